//! How many nodes of a path a reader lacks: what it puts in a request, so that a proof has no more
//! than needed.
//!
//! Owns which nodes are counted. Knows nothing of who is asked.

use alloc::vec::Vec;

use crate::flat::full_roots;
use crate::walk::node_at;
use crate::{Length, Node, NodeIndex};

/// A plan to count the nodes that are missing on the way up from a node: which to look for, then how
/// many.
#[derive(Debug, Clone)]
pub struct Missing {
    path: Vec<NodeIndex>,
}

impl Missing {
    /// Plans to count what is missing from `index` upwards, itself included, in a log of `length`
    /// blocks whose roots are stored. Nothing is looked for, and 0 counted, for a node that such a
    /// log does not have, since nothing is known of its path.
    #[must_use]
    pub fn new(length: Length, index: NodeIndex) -> Self {
        Self {
            path: path_to_root(length, index),
        }
    }

    /// The nodes to read, from the node up to below its root.
    #[must_use]
    pub fn nodes(&self) -> &[NodeIndex] {
        &self.path
    }

    /// Takes what was read, in the order of [`nodes`](Self::nodes), and counts the missing ones below
    /// the first that is there.
    #[must_use]
    pub fn count(&self, nodes: &[Option<Node>]) -> u64 {
        let stored = |(place, index): (usize, &NodeIndex)| node_at(nodes, place, *index).is_some();
        let first = self.path.iter().enumerate().position(stored);
        first.unwrap_or(self.path.len()) as u64
    }
}

/// As [`Missing`], for stores that can tell at once whether they have a node: asks from the bottom up
/// and stops at the first that is there.
pub fn missing_nodes(
    length: Length,
    index: NodeIndex,
    mut is_stored: impl FnMut(NodeIndex) -> bool,
) -> u64 {
    let path = path_to_root(length, index);
    path.iter()
        .position(|index| is_stored(*index))
        .unwrap_or(path.len()) as u64
}

/// The most nodes that a peer with `length` blocks can lack above a node, itself not counted: what
/// one who pushes without being asked sends. 0 for roots and for what lies past the length.
#[must_use]
pub fn max_missing_nodes(length: Length, index: NodeIndex) -> u64 {
    if full_roots(length).any(|root| root == index) {
        return 0;
    }
    path_to_root(length, index).len() as u64
}

/// The way up from a node to below the root that is above it; empty where it is a root or outside.
fn path_to_root(length: Length, index: NodeIndex) -> Vec<NodeIndex> {
    let mut path = Vec::new();
    let Some(root) = full_roots(length).find(|root| root.contains(index)) else {
        return path;
    };
    let mut at = index;
    while at != root {
        path.push(at);
        let Some(parent) = at.parent() else { break };
        at = parent;
    }
    path
}
