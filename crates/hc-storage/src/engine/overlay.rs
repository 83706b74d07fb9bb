//! What is newer than the index: the locators and nodes of one log since a checkpoint.
//!
//! A log has at most two of these: one that commits go to, and one below it that a checkpoint is
//! writing. Knows nothing of the index.

use std::ops::Range;

use hc_bitfield::RangeSet;
use hc_merkle::NodeIndex;

use super::table::Table;
use crate::log::{Locator, PlacedNode};

/// Changes to locators and nodes that the index does not have yet.
#[derive(Debug, Default)]
pub(crate) struct Overlay {
    pub(crate) locators: Table<Locator>,
    pub(crate) nodes: Nodes,
    /// Blocks whose locators in the index are void.
    pub(crate) dropped: RangeSet,
    /// Nodes in the index that reach past this length are void.
    pub(crate) floor: Option<u64>,
}

/// Nodes, counted in the order in which appending block by block completes them: then all that an append
/// makes follow each other.
#[derive(Debug, Default)]
pub(crate) struct Nodes {
    table: Table<PlacedNode>,
    /// Room for those that wait while others are entered.
    open: Vec<(u64, PlacedNode)>,
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
        match (self.nodes.get(index), self.floor) {
            (Some(node), _) => Lookup::Found(*node),
            (None, Some(floor)) if index.end().get() > floor => Lookup::Cut,
            (None, _) => Lookup::Below,
        }
    }

    pub(crate) fn drop_blocks(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        self.locators.remove(range.clone());
        self.dropped.insert(range);
    }

    pub(crate) fn truncate(&mut self, length: u64) {
        self.drop_blocks(length..u64::MAX);
        self.nodes.table.remove(nodes_of(length)..u64::MAX);
        self.floor = Some(self.floor.map_or(length, |floor| floor.min(length)));
    }
}

impl Nodes {
    fn get(&self, index: NodeIndex) -> Option<&PlacedNode> {
        let node = self.table.get(order(index))?;
        // past the end of any log the count is not exact
        (node.node.index == index).then_some(node)
    }

    pub(crate) fn insert(&mut self, node: PlacedNode) {
        self.table.insert(order(node.node.index), node);
    }

    /// Enters nodes that are in the order of their indexes, as a frame has them.
    pub(crate) fn extend(&mut self, nodes: impl Iterator<Item = PlacedNode>) {
        // those whose blocks are not passed yet, each below the one before it, with where they end
        let Self { table, open } = self;
        for node in nodes {
            let index = node.node.index;
            // the block before which the left half of what is under the node ends, or before a leaf's own
            let middle = index.get().div_ceil(2);
            while let Some((end, passed)) = open.pop_if(|(end, _)| *end <= middle) {
                table.insert(order_at(end, passed.node.index), passed);
            }
            let end = index.end().get();
            if index.depth() == 0 {
                table.insert(order_at(end, index), node);
            } else {
                open.push((end, node));
            }
        }
        while let Some((end, node)) = open.pop() {
            table.insert(order_at(end, node.node.index), node);
        }
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &PlacedNode> {
        self.table.values()
    }
}

/// How many nodes are complete before one: all those of a log that lacks its last block, and those below it
/// that end with the same block.
fn order(index: NodeIndex) -> u64 {
    order_at(index.end().get(), index)
}

/// The same of a node of which it is known where it ends.
fn order_at(end: u64, index: NodeIndex) -> u64 {
    let order = nodes_of(end.saturating_sub(1)).saturating_add(index.depth().into());
    // so that a range can end behind it
    order.min(u64::MAX - 1)
}

/// How many nodes a log of some length has: two for each block, less one for each root.
fn nodes_of(length: u64) -> u64 {
    length
        .saturating_mul(2)
        .saturating_sub(length.count_ones().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use hc_merkle::{ByteLength, Hash, Node};

    fn placed(index: u64) -> PlacedNode {
        PlacedNode {
            node: Node {
                index: NodeIndex::new(index),
                size: ByteLength::new(1),
                hash: Hash([0; 32]),
            },
            place: None,
        }
    }

    /// The nodes that appending some blocks makes, in the order of their indexes.
    fn appended(from: u64, to: u64) -> Vec<u64> {
        let complete = |length: u64| {
            (0..2 * length.max(1)).filter(move |index| NodeIndex::new(*index).end().get() <= length)
        };
        let before: Vec<u64> = complete(from).collect();
        complete(to)
            .filter(|index| !before.contains(index))
            .collect()
    }

    #[test]
    fn nodes_are_counted_in_the_order_of_appending() {
        let mut next = 0;
        for length in 1..200 {
            let mut new = appended(length - 1, length);
            new.sort_unstable_by_key(|index| NodeIndex::new(*index).depth());
            for index in new {
                assert_eq!(order(NodeIndex::new(index)), next, "node {index}");
                next += 1;
            }
            assert_eq!(nodes_of(length), next, "length {length}");
        }
        assert!(order(NodeIndex::new(u64::MAX)) > order(NodeIndex::new(0)));
    }

    #[test]
    fn what_is_appended_is_entered_in_its_order() {
        for (from, to) in [(0, 1), (0, 64), (5, 6), (7, 8), (13, 150), (64, 128)] {
            let mut nodes = Nodes::default();
            nodes.extend(appended(from, to).into_iter().map(placed));
            // those in a row come in order, and first
            let entered: Vec<u64> = nodes.values().map(|node| order(node.node.index)).collect();
            assert_eq!(
                entered,
                (nodes_of(from)..nodes_of(to)).collect::<Vec<_>>(),
                "{from}..{to}"
            );
        }
    }

    #[test]
    fn nodes_in_any_order_are_found_and_cut() {
        let mut overlay = Overlay::default();
        let scattered = [200, 3, 7, 1, 90, 91, 6, u64::MAX, 400];
        overlay.nodes.extend(scattered.into_iter().map(placed));
        for index in scattered {
            let node = placed(index);
            assert_eq!(
                overlay.node(NodeIndex::new(index)),
                Lookup::Found(node),
                "{index}"
            );
        }
        overlay.truncate(50);
        for index in scattered {
            let index = NodeIndex::new(index);
            let kept = index.end().get() <= 50;
            assert_eq!(
                matches!(overlay.node(index), Lookup::Found(_)),
                kept,
                "{index:?}"
            );
            assert!(kept || overlay.node(index) == Lookup::Cut, "{index:?}");
        }
        assert_eq!(overlay.node(NodeIndex::new(0)), Lookup::Below);
    }
}
