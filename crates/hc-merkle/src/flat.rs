//! Arithmetic of the flat tree: a binary tree numbered in order, so that leaves are even, parents odd,
//! and the number of a node never changes while the tree grows.
//!
//! Owns depth, spans and kinship of a [`NodeIndex`], and the roots of a tree of a given [`Length`].
//! Knows nothing of hashes or sizes. Nothing here panics or wraps, whatever the number: steps that
//! leave the 64-bit tree give `None`.

use alloc::vec::Vec;

use crate::{BlockIndex, Length, NodeIndex};

impl NodeIndex {
    /// Height above the leaves; 0 for a leaf.
    #[must_use]
    pub const fn depth(self) -> u32 {
        self.get().trailing_ones()
    }

    /// Whether this is a leaf, the node of one block.
    #[must_use]
    pub const fn is_leaf(self) -> bool {
        self.get() & 1 == 0
    }

    /// The block of this leaf; `None` for a parent.
    #[must_use]
    pub const fn block(self) -> Option<BlockIndex> {
        if self.is_leaf() {
            Some(BlockIndex::new(self.get() / 2))
        } else {
            None
        }
    }

    /// Whether this is the left child of its parent.
    #[must_use]
    pub const fn is_left(self) -> bool {
        match self.width() {
            Some(width) => self.get() & width == 0,
            None => true,
        }
    }

    /// The parent; `None` at the top of the 64-bit tree.
    #[must_use]
    pub const fn parent(self) -> Option<Self> {
        let Some(width) = self.width() else {
            return None;
        };
        let half = width / 2;
        if self.is_left() {
            match self.get().checked_add(half) {
                Some(parent) => Some(Self::new(parent)),
                None => None,
            }
        } else {
            Some(Self::new(self.get() - half))
        }
    }

    /// The other child of the parent; `None` where the 64-bit tree has none.
    #[must_use]
    pub const fn sibling(self) -> Option<Self> {
        let Some(width) = self.width() else {
            return None;
        };
        if self.is_left() {
            match self.get().checked_add(width) {
                Some(sibling) => Some(Self::new(sibling)),
                None => None,
            }
        } else {
            Some(Self::new(self.get() - width))
        }
    }

    /// The left child; `None` for a leaf.
    #[must_use]
    pub const fn left_child(self) -> Option<Self> {
        match self.quarter() {
            Some(quarter) => Some(Self::new(self.get() - quarter)),
            None => None,
        }
    }

    /// The right child; `None` for a leaf.
    #[must_use]
    pub const fn right_child(self) -> Option<Self> {
        match self.quarter() {
            Some(quarter) => match self.get().checked_add(quarter) {
                Some(child) => Some(Self::new(child)),
                None => None,
            },
            None => None,
        }
    }

    /// The leftmost leaf under this node; itself for a leaf.
    #[must_use]
    pub const fn left_span(self) -> Self {
        Self::new(self.get() - self.reach())
    }

    /// The rightmost leaf under this node; itself for a leaf.
    #[must_use]
    pub const fn right_span(self) -> Self {
        Self::new(self.get().saturating_add(self.reach()))
    }

    /// Number of leaves under this node; 1 for a leaf.
    #[must_use]
    pub const fn leaves(self) -> u64 {
        self.reach().saturating_add(1)
    }

    /// The first block under this node.
    #[must_use]
    pub const fn first_block(self) -> BlockIndex {
        BlockIndex::new(self.left_span().get() / 2)
    }

    /// The length that a log must have for this node to be complete: one past its last block.
    #[must_use]
    pub const fn end(self) -> Length {
        Length::new(self.right_span().get() / 2 + 1)
    }

    /// Whether `other` is this node or lies under it.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.left_span().get() <= other.get() && other.get() <= self.right_span().get()
    }

    /// Distance to the outermost leaves.
    const fn reach(self) -> u64 {
        match 1u64.checked_shl(self.depth()) {
            Some(half) => half - 1,
            None => u64::MAX,
        }
    }

    /// Distance to the sibling.
    const fn width(self) -> Option<u64> {
        1u64.checked_shl(self.depth() + 1)
    }

    /// Distance to the children.
    const fn quarter(self) -> Option<u64> {
        match self.depth().checked_sub(1) {
            Some(depth) => 1u64.checked_shl(depth),
            None => None,
        }
    }
}

/// The roots of the tree over `length` blocks, from left to right: one for each bit that is set in
/// `length`. None above 2^63, where the tree has no numbers.
#[must_use]
pub const fn full_roots(length: Length) -> FullRoots {
    let left = if length.get() > 1 << 63 {
        0
    } else {
        length.get()
    };
    FullRoots { offset: 0, left }
}

/// The roots of the tree over `length` blocks, collected: what has to be read to know a log at an
/// earlier length.
#[must_use]
pub fn roots_at(length: Length) -> Vec<NodeIndex> {
    full_roots(length).collect()
}

/// The nodes that take a tree from one length to a longer one, from left to right: whoever has the
/// roots at `from` and these nodes can compute the roots at `to`. Empty where `to` is not longer, or is
/// above 2^63.
#[must_use]
pub fn growth(from: Length, to: Length) -> Vec<NodeIndex> {
    let mut nodes = Vec::new();
    let last = from
        .get()
        .checked_sub(1)
        .and_then(|block| BlockIndex::new(block).leaf());
    for root in full_roots(to).filter(|root| root.end() > from) {
        match last {
            // This root covers the last block of the shorter tree: all to the right of it are new.
            Some(last) if root.contains(last) => {
                let mut at = last;
                while at != root {
                    if at.is_left() {
                        nodes.extend(at.sibling());
                    }
                    let Some(parent) = at.parent() else { break };
                    at = parent;
                }
            }
            _ => nodes.push(root),
        }
    }
    nodes
}

/// Iterator over the roots of a tree; made by [`full_roots`].
#[derive(Debug, Clone)]
pub struct FullRoots {
    /// Blocks under the roots that were given out.
    offset: u64,
    /// Blocks under those that were not.
    left: u64,
}

impl Iterator for FullRoots {
    type Item = NodeIndex;

    fn next(&mut self) -> Option<NodeIndex> {
        let leaves = 1 << self.left.checked_ilog2()?;
        let root = 2 * self.offset + (leaves - 1);
        self.offset += leaves;
        self.left -= leaves;
        Some(NodeIndex::new(root))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.left.count_ones() as usize;
        (left, Some(left))
    }
}

impl ExactSizeIterator for FullRoots {}

#[cfg(test)]
mod tests;
