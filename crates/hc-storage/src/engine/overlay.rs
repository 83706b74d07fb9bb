//! What is newer than the index: the locators and nodes of one log since a checkpoint.
//!
//! A log has at most two of these: one that commits go to, and one below it that a checkpoint is
//! writing. Knows nothing of the index.

use std::collections::HashMap;
use std::ops::Range;

use foldhash::fast::RandomState;
use hc_bitfield::RangeSet;
use hc_merkle::NodeIndex;

use crate::log::{Locator, PlacedNode};

/// By number of block or node. Each of a batch is entered here while its append waits, so that the hash
/// counts; its seed is random, for a remote may choose what is stored.
pub(crate) type Table<V> = HashMap<u64, V, RandomState>;

/// Changes to locators and nodes that the index does not have yet.
#[derive(Debug, Default)]
pub(crate) struct Overlay {
    pub(crate) locators: Table<Locator>,
    pub(crate) nodes: Table<PlacedNode>,
    /// Blocks whose locators in the index are void.
    pub(crate) dropped: RangeSet,
    /// Nodes in the index that reach past this length are void.
    pub(crate) floor: Option<u64>,
}

/// What one layer knows of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lookup {
    Found(PlacedNode),
    /// It was cut: the layers below do not count.
    Cut,
    /// The layers below know.
    Below,
}

impl Overlay {
    pub(crate) fn node(&self, index: NodeIndex) -> Lookup {
        match (self.nodes.get(&index.get()), self.floor) {
            (Some(node), _) => Lookup::Found(*node),
            (None, Some(floor)) if index.end().get() > floor => Lookup::Cut,
            (None, _) => Lookup::Below,
        }
    }

    pub(crate) fn drop_blocks(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        if range.end - range.start < self.locators.len() as u64 {
            for block in range.clone() {
                self.locators.remove(&block);
            }
        } else {
            self.locators.retain(|block, _| !range.contains(block));
        }
        self.dropped.insert(range);
    }

    pub(crate) fn truncate(&mut self, length: u64) {
        self.drop_blocks(length..u64::MAX);
        self.nodes
            .retain(|index, _| NodeIndex::new(*index).end().get() <= length);
        self.floor = Some(self.floor.map_or(length, |floor| floor.min(length)));
    }
}
