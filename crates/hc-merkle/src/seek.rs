//! Which block a byte lies in, as far as the stored nodes tell: one node is read per level.
//!
//! Owns the way down. Knows nothing of who is asked for the rest.

use alloc::vec;
use core::ops::Range;

use crate::walk::node_at;
use crate::{BlockIndex, ByteLength, ByteOffset, Head, Node, NodeIndex, Step, Walk};

/// Where a byte lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sought {
    /// In this block, so many bytes after its start (padding not counted); or, with an offset of 0 and
    /// the length of the log for a block, at its end.
    Block {
        /// Which block.
        index: BlockIndex,
        /// Bytes of it before the one sought.
        offset: u64,
    },
    /// In one of these blocks; which, the stored nodes do not tell.
    Within {
        /// The blocks.
        blocks: Range<u64>,
    },
    /// Past the end of the log.
    Past,
}

/// A walk to the block that a byte lies in.
///
/// Where blocks have no bytes several may begin at the same byte; then it depends on the shape of the
/// tree which of them is found, as in the reference.
#[derive(Debug, Clone)]
pub struct Seek(State);

#[derive(Debug, Clone)]
enum State {
    Done(Sought),
    Descent(Descent),
}

impl Seek {
    /// Looks for a byte of the log at `head`, not counting the first `padding` bytes of each block.
    #[must_use]
    pub fn new(head: &Head, bytes: ByteOffset, padding: u64) -> Self {
        let mut left = bytes.get();
        if left == 0 {
            return Self::at(0);
        }
        for root in head.roots() {
            let size = unpadded(root.size, root.index.leaves(), padding);
            if left == size {
                return Self::at(root.index.end().get());
            }
            if left < size {
                return Self(State::Descent(Descent::new(root.index, left, padding)));
            }
            left -= size;
        }
        Self(State::Done(Sought::Past))
    }

    fn at(block: u64) -> Self {
        Self(State::Done(Sought::Block {
            index: BlockIndex::new(block),
            offset: 0,
        }))
    }
}

impl Walk for Seek {
    type Output = Sought;

    fn step(&mut self, read: &[Option<Node>]) -> Step<Sought> {
        let landed = match &mut self.0 {
            State::Done(sought) => return Step::Done(sought.clone()),
            State::Descent(descent) => match descent.step(read) {
                Step::Read(nodes) => return Step::Read(nodes),
                Step::Done(landed) => landed,
            },
        };
        Step::Done(match landed {
            Landed::After(node) => Sought::Block {
                index: BlockIndex::new(node.end().get()),
                offset: 0,
            },
            Landed::In(node, offset) => match node.block() {
                Some(index) => Sought::Block { index, offset },
                None => Sought::Within {
                    blocks: node.first_block().get()..node.end().get(),
                },
            },
        })
    }
}

/// Where the way down ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Landed {
    /// The byte is the first after all blocks under this node.
    After(NodeIndex),
    /// The byte lies under this node, so many bytes from its start, and nothing more is known: it is a
    /// leaf, or its left child is not stored.
    In(NodeIndex, u64),
}

impl Landed {
    /// The node whose path shows where the byte is.
    pub(crate) fn node(self) -> NodeIndex {
        match self {
            Self::After(node) | Self::In(node, _) => node,
        }
    }
}

/// The way down from a node that is known to hold the byte.
#[derive(Debug, Clone)]
pub(crate) struct Descent {
    at: NodeIndex,
    /// Bytes from the start of `at`.
    left: u64,
    padding: u64,
    /// The left child of `at`, once it was asked for.
    asked: Option<NodeIndex>,
}

impl Descent {
    pub(crate) fn new(root: NodeIndex, left: u64, padding: u64) -> Self {
        Self {
            at: root,
            left,
            padding,
            asked: None,
        }
    }
}

impl Walk for Descent {
    type Output = Landed;

    fn step(&mut self, read: &[Option<Node>]) -> Step<Landed> {
        if let Some(child) = self.asked.take() {
            let Some(node) = node_at(read, 0, child) else {
                return Step::Done(Landed::In(self.at, self.left));
            };
            let size = unpadded(node.size, child.leaves(), self.padding);
            if size == self.left {
                return Step::Done(Landed::After(child));
            }
            if size > self.left {
                self.at = child;
            } else if let Some(right) = self.at.right_child() {
                self.left -= size;
                self.at = right;
            }
        }
        match self.at.left_child() {
            Some(child) if self.left > 0 => {
                self.asked = Some(child);
                Step::Read(vec![child])
            }
            _ => Step::Done(Landed::In(self.at, self.left)),
        }
    }
}

/// Bytes of so many blocks without the padding of each.
pub(crate) fn unpadded(size: ByteLength, leaves: u64, padding: u64) -> u64 {
    size.get().saturating_sub(leaves.saturating_mul(padding))
}
