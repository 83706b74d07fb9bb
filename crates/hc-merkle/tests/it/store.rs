//! A log in memory: takes changes, and answers reads of nodes and blocks.

use std::collections::BTreeMap;

use bytes::Bytes;
use hc_merkle::{BlockIndex, Change, Fork, Head, Length, Node, NodeIndex};

#[derive(Clone)]
pub(crate) struct Store {
    pub(crate) head: Head,
    pub(crate) nodes: BTreeMap<NodeIndex, Node>,
    pub(crate) blocks: BTreeMap<BlockIndex, Bytes>,
}

impl Store {
    pub(crate) fn empty() -> Self {
        Self {
            head: Head::empty(),
            nodes: BTreeMap::new(),
            blocks: BTreeMap::new(),
        }
    }

    pub(crate) fn commit(&mut self, change: &Change) {
        assert_eq!(
            change.base(),
            (self.head.fork(), self.head.length()),
            "change is for now"
        );
        if let Some(length) = change.truncate() {
            self.nodes.retain(|index, _| index.end() <= length);
            self.blocks.retain(|index, _| index.get() < length.get());
        }
        assert!(
            change.nodes().is_sorted_by_key(|node| node.index),
            "nodes are in order"
        );
        self.nodes
            .extend(change.nodes().iter().map(|node| (node.index, *node)));
        self.blocks.extend(change.blocks().iter().cloned());
        if let Some(head) = change.head() {
            self.head = head.clone();
        }
    }

    pub(crate) fn read(&self, indexes: &[NodeIndex]) -> Vec<Option<Node>> {
        indexes
            .iter()
            .map(|index| self.nodes.get(index).copied())
            .collect()
    }

    pub(crate) fn state(&self) -> (Fork, Length, u64, [u8; 32]) {
        let head = &self.head;
        (
            head.fork(),
            head.length(),
            head.byte_length().get(),
            *head.tree_hash().as_bytes(),
        )
    }

    /// The blocks that are there, as ranges [from, to).
    pub(crate) fn has(&self) -> Vec<[u64; 2]> {
        let mut ranges: Vec<[u64; 2]> = Vec::new();
        for index in self.blocks.keys() {
            match ranges.last_mut() {
                Some(range) if range[1] == index.get() => range[1] += 1,
                _ => ranges.push([index.get(), index.get() + 1]),
            }
        }
        ranges
    }
}
