//! The one result of appending, verifying or truncating that may be written to storage.

use alloc::vec::Vec;
use core::ops::Range;

use bytes::Bytes;

use crate::manifest::Manifest;
use crate::{BlockIndex, Fork, Head, Length, Node};

/// What has to be written to take a log from one verified state to the next.
///
/// Made only by this crate, from a signed draft, a verified proof or a truncation: whoever holds one
/// may store it. All of it is written as one atomic batch, or none of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Fork and length that the log must have for this change to apply.
    pub(crate) base: (Fork, Length),
    /// Blocks and nodes at and above this length are deleted first.
    pub(crate) truncate: Option<Length>,
    /// Nodes to store, in the order of their index: hash and size are both vouched for.
    pub(crate) nodes: Vec<Node>,
    /// Blocks to store, whose leaves are among the verified nodes.
    pub(crate) blocks: Vec<(BlockIndex, Bytes)>,
    /// The next head, where it moves.
    pub(crate) head: Option<Head>,
    /// The manifest, where it was learned with this change.
    pub(crate) manifest: Option<Manifest>,
}

impl Change {
    /// Fork and length that the log must have for this change to apply.
    #[must_use]
    pub fn base(&self) -> (Fork, Length) {
        self.base
    }

    /// Blocks and nodes at and above this length are deleted first.
    #[must_use]
    pub fn truncate(&self) -> Option<Length> {
        self.truncate
    }

    /// Nodes to store, in the order of their index.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Blocks to store, as (index, bytes).
    #[must_use]
    pub fn blocks(&self) -> &[(BlockIndex, Bytes)] {
        &self.blocks
    }

    /// The next head, where it moves.
    #[must_use]
    pub fn head(&self) -> Option<&Head> {
        self.head.as_ref()
    }

    /// The manifest, where it was learned with this change.
    #[must_use]
    pub fn manifest(&self) -> Option<&Manifest> {
        self.manifest.as_ref()
    }

    /// The blocks that this change appends to the log, by index: from the old length (or the length
    /// truncated to) to the new one. Empty where the head does not grow.
    #[must_use]
    pub fn appended(&self) -> Range<u64> {
        let start = self.truncate.unwrap_or(self.base.1).get();
        let end = self.head.as_ref().map_or(start, |head| head.length.get());
        start..end.max(start)
    }
}
