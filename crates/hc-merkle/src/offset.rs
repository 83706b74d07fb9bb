//! Where a node begins in the bytes of a log, in one read.
//!
//! Owns which sizes have to be added up. Knows nothing of how blocks are stored.

use alloc::vec::Vec;
use core::ops::Range;

use crate::error::OffsetError;
use crate::walk::node_at;
use crate::{BlockIndex, ByteOffset, Head, Node, NodeIndex};

/// A plan to find the bytes of a block or of all blocks under a node: which nodes it needs, then the
/// range.
#[derive(Debug, Clone)]
pub struct ByteRange {
    /// Bytes under the roots before the one that has the node.
    base: u64,
    /// Left siblings on the way up from the node to its root, then the node itself unless it is a
    /// root and so known.
    wanted: Vec<NodeIndex>,
    /// Size of the node where it is known.
    size: Option<u64>,
}

impl ByteRange {
    /// Plans to find the bytes of a block of the log at `head`.
    ///
    /// # Errors
    /// [`OffsetError::OutOfBounds`] where the log has no such block.
    pub fn of_block(head: &Head, block: BlockIndex) -> Result<Self, OffsetError> {
        let index = block.leaf().ok_or(OffsetError::OutOfBounds {
            index: NodeIndex::new(u64::MAX),
        })?;
        Self::of_node(head, index)
    }

    /// Plans to find the bytes under a node of the log at `head`.
    ///
    /// # Errors
    /// [`OffsetError::OutOfBounds`] where the tree has no such node.
    pub fn of_node(head: &Head, index: NodeIndex) -> Result<Self, OffsetError> {
        let mut base = 0u64;
        for root in head.roots() {
            if root.index.contains(index) {
                let mut wanted = lefts(index, root.index);
                let size = (root.index == index).then_some(root.size.get());
                if size.is_none() {
                    wanted.push(index);
                }
                return Ok(Self { base, wanted, size });
            }
            base = base.saturating_add(root.size.get());
        }
        Err(OffsetError::OutOfBounds { index })
    }

    /// The nodes to read; none where the node is a root.
    #[must_use]
    pub fn nodes(&self) -> &[NodeIndex] {
        &self.wanted
    }

    /// Takes the nodes that were read, in the order of [`nodes`](Self::nodes), and gives the range of
    /// bytes.
    ///
    /// # Errors
    /// [`OffsetError`] where one is not there, or sizes cannot be added up.
    pub fn range(&self, nodes: &[Option<Node>]) -> Result<Range<u64>, OffsetError> {
        let mut start = self.base;
        let mut size = self.size;
        let lefts = self.wanted.len() - usize::from(size.is_none());
        for (place, &index) in self.wanted.iter().enumerate() {
            let node = node_at(nodes, place, index).ok_or(OffsetError::MissingNode { index })?;
            if place < lefts {
                start = start
                    .checked_add(node.size.get())
                    .ok_or(OffsetError::TooManyBytes)?;
            } else {
                size = Some(node.size.get());
            }
        }
        let end = start
            .checked_add(size.unwrap_or_default())
            .ok_or(OffsetError::TooManyBytes)?;
        Ok(start..end)
    }

    /// As [`range`](Self::range), only where it begins.
    ///
    /// # Errors
    /// As [`range`](Self::range).
    pub fn start(&self, nodes: &[Option<Node>]) -> Result<ByteOffset, OffsetError> {
        self.range(nodes).map(|range| ByteOffset::new(range.start))
    }
}

/// Left siblings on the way up from a node to a root above it.
fn lefts(index: NodeIndex, root: NodeIndex) -> Vec<NodeIndex> {
    let mut found = Vec::new();
    let mut at = index;
    while at != root {
        if !at.is_left() {
            found.extend(at.sibling());
        }
        let Some(parent) = at.parent() else { break };
        at = parent;
    }
    found
}
