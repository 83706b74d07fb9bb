//! Going back to an earlier length of a log.
//!
//! Owns which roots have to be read for that, and what becomes of the head. Knows nothing of which
//! blocks and nodes a store has to delete; [`Change::truncate`](crate::Change::truncate) says from
//! where on.

use alloc::vec::Vec;

use crate::error::TruncateError;
use crate::flat::full_roots;
use crate::{Draft, Fork, Head, Length, Node, NodeIndex};

/// A plan to read the head of a log at an earlier length: which nodes it needs, then the head.
#[derive(Debug, Clone)]
pub struct Truncation {
    base: (Fork, Length),
    fork: Fork,
    length: Length,
    /// The roots at the new length, as far as they are roots of the present head too.
    kept: Vec<Node>,
    wanted: Vec<NodeIndex>,
}

impl Truncation {
    /// Plans to go from `head` back to `length`, on fork `fork`.
    ///
    /// # Errors
    /// [`TruncateError::Longer`] where the log is shorter than that.
    pub fn new(head: &Head, length: Length, fork: Fork) -> Result<Self, TruncateError> {
        if length > head.length {
            return Err(TruncateError::Longer {
                length,
                present: head.length,
            });
        }
        let shared = full_roots(length)
            .zip(head.roots())
            .take_while(|(index, root)| root.index == *index)
            .count();
        Ok(Self {
            base: (head.fork, head.length),
            fork,
            length,
            kept: head.roots().iter().take(shared).copied().collect(),
            wanted: full_roots(length).skip(shared).collect(),
        })
    }

    /// The nodes to read; none where the head itself has all roots of the earlier length.
    #[must_use]
    pub fn nodes(&self) -> &[NodeIndex] {
        &self.wanted
    }

    /// Takes the nodes that were read, in the order of [`nodes`](Self::nodes), and gives the shorter
    /// log: to be sealed as it is, or appended to first.
    ///
    /// # Errors
    /// [`TruncateError`] where one is not there or not the one asked for.
    pub fn apply(&self, nodes: &[Option<Node>]) -> Result<Draft, TruncateError> {
        let mut roots = self.kept.clone();
        for (place, &index) in self.wanted.iter().enumerate() {
            let node = nodes.get(place).copied().flatten();
            let root = node.filter(|node| node.index == index);
            roots.push(root.ok_or(TruncateError::MissingNode { index })?);
        }
        let head = Head::new(self.fork, self.length, roots)?;
        Ok(Draft::truncated(self.base, &head))
    }
}
