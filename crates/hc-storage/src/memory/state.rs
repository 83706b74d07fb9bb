//! One log in memory: what it holds, how a batch changes it, and what is seen of a branch. Knows no lock.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use hc_bitfield::Bitfield;
use hc_merkle::{Head, Length, Node, NodeIndex};

use super::Id;
use crate::batch::Batch;
use crate::record::{Alias, Auth, Hints, Lineage, Moment, Topic};

#[derive(Clone)]
pub(super) struct State {
    pub(super) auth: Auth,
    pub(super) head: Head,
    pub(super) bitfield: Bitfield,
    pub(super) hints: Hints,
    pub(super) blocks: BTreeMap<u64, Bytes>,
    pub(super) nodes: BTreeMap<u64, Node>,
    pub(super) user_data: BTreeMap<String, Bytes>,
    pub(super) alias: Option<Alias>,
    pub(super) group: Option<Topic>,
    pub(super) active: Option<Moment>,
    pub(super) branches: BTreeMap<Arc<str>, Id>,
    pub(super) origin: Option<Origin>,
}

/// Where a branch comes from.
#[derive(Debug, Clone)]
pub(super) struct Origin {
    pub(super) parent: Id,
    pub(super) lineage: Lineage,
}

/// What is seen of a log: of a branch, with the log that it left below some length.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) own: &'a State,
    pub(super) below: Option<(u64, &'a State)>,
}

impl<'a> View<'a> {
    pub(super) fn new(own: &'a State, below: Option<&'a State>) -> Self {
        let length = own
            .origin
            .as_ref()
            .map(|origin| origin.lineage.length.get());
        Self {
            own,
            below: length.zip(below),
        }
    }

    pub(super) fn bitfield(&self) -> Bitfield {
        let Some((length, below)) = self.below else {
            return self.own.bitfield.clone();
        };
        let mut bits = below.bitfield.clone();
        bits.unset_range(length..u64::MAX);
        for range in self.own.bitfield.ranges(0..u64::MAX) {
            bits.set_range(range);
        }
        bits
    }

    pub(super) fn block(&self, index: u64) -> Option<Bytes> {
        let below = self.below.filter(|(length, _)| index < *length);
        let own = self.own.blocks.get(&index);
        own.or_else(|| below?.1.blocks.get(&index)).cloned()
    }

    /// The first block of a range that is stored.
    pub(super) fn first(&self, range: Range<u64>) -> Option<(u64, Bytes)> {
        let own = self.own.blocks.range(range.clone()).next();
        let below = self.below.and_then(|(length, below)| {
            let end = range.end.min(length).max(range.start);
            below.blocks.range(range.start..end).next()
        });
        let first = own
            .into_iter()
            .chain(below)
            .min_by_key(|(index, _)| **index);
        first.map(|(index, bytes)| (*index, bytes.clone()))
    }

    pub(super) fn node(&self, index: NodeIndex) -> Option<Node> {
        let below = self
            .below
            .filter(|(length, _)| index.end().get() <= *length);
        let own = self.own.nodes.get(&index.get());
        own.or_else(|| below?.1.nodes.get(&index.get())).copied()
    }

    pub(super) fn has_roots(&self, roots: &[Node]) -> bool {
        let has = |root: &Node| {
            root.index.end() <= self.own.head.length() && self.node(root.index) == Some(*root)
        };
        roots.iter().all(has)
    }
}

impl State {
    pub(super) fn new(auth: Auth) -> Self {
        Self {
            auth,
            head: Head::empty(),
            bitfield: Bitfield::new(),
            hints: Hints::default(),
            blocks: BTreeMap::new(),
            nodes: BTreeMap::new(),
            user_data: BTreeMap::new(),
            alias: None,
            group: None,
            active: None,
            branches: BTreeMap::new(),
            origin: None,
        }
    }

    pub(super) fn byte_len(&self) -> u64 {
        self.blocks.values().map(|bytes| bytes.len() as u64).sum()
    }

    /// Carries out a batch that is the so many-th change in the store.
    pub(super) fn apply(&mut self, batch: Batch, now: Moment) {
        self.group = self.group.or(batch.group);
        if batch.head.is_some() && self.group.is_some() {
            self.active = Some(now);
        }
        if let Some(length) = batch.truncate {
            self.truncate(length);
        }
        if let Some(length) = batch.inherit {
            self.inherit(length);
        }
        let roots = batch.head.iter().flat_map(Head::roots);
        for node in batch.nodes.iter().chain(roots) {
            self.nodes.insert(node.index.get(), *node);
        }
        for (index, bytes) in batch.blocks {
            // a copy, so that a small block does not keep a large network buffer alive
            self.blocks
                .insert(index.get(), Bytes::copy_from_slice(&bytes));
            self.bitfield.set(index.get());
        }
        if let Some(head) = batch.head {
            self.head = head;
        }
        for range in batch.clears.iter().filter(|range| range.start < range.end) {
            self.drop_blocks(range.clone());
        }
        self.auth.manifest = batch.manifest.map(Arc::new).or(self.auth.manifest.take());
        self.auth.encryption = batch.encryption.or(self.auth.encryption);
        self.hints = batch.hints.unwrap_or(self.hints);
        for (key, value) in batch.user_data {
            match value {
                Some(value) => self.user_data.insert(key, Bytes::copy_from_slice(&value)),
                None => self.user_data.remove(&key),
            };
        }
    }

    pub(super) fn truncate(&mut self, length: Length) {
        self.drop_blocks(length.get()..u64::MAX);
        self.nodes
            .retain(|index, _| NodeIndex::new(*index).end() <= length);
        if let Some(origin) = self.origin.as_mut()
            && length <= origin.lineage.length
        {
            origin.lineage = Lineage { length, cut: false };
        }
    }

    pub(super) fn inherit(&mut self, length: Length) {
        self.drop_blocks(0..length.get());
        if let Some(origin) = &mut self.origin {
            origin.lineage = Lineage { length, cut: false };
        }
    }

    /// On a branch: takes what its log is about to lose past `length`, or what it leaves behind there.
    pub(super) fn outlive(&mut self, log: &Self, length: Length) {
        let Some(origin) = self.origin.as_mut() else {
            return;
        };
        let inherited = origin.lineage.length;
        if length >= inherited {
            return;
        }
        origin.lineage = Lineage { length, cut: true };
        for (index, bytes) in log.blocks.range(length.get()..inherited.get()) {
            self.blocks.entry(*index).or_insert_with(|| bytes.clone());
            self.bitfield.set(*index);
        }
        for (index, node) in &log.nodes {
            let end = NodeIndex::new(*index).end();
            if end > length && end <= inherited {
                self.nodes.insert(*index, *node);
            }
        }
    }

    pub(super) fn drop_blocks(&mut self, range: Range<u64>) {
        self.blocks
            .extract_if(range.clone(), |_, _| true)
            .for_each(drop);
        self.bitfield.unset_range(range);
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State")
            .field("length", &self.head.length())
            .finish_non_exhaustive()
    }
}
