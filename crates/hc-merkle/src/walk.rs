//! Reading nodes step by step, where which to read depends on what was read before.
//!
//! Owns the contract between a walk and whoever reads for it, and the loop that joins them. Knows
//! nothing of what is walked for.

use alloc::vec::Vec;

use crate::{Node, NodeIndex};

/// What a [`Walk`] wants next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step<T> {
    /// These nodes, in one read.
    Read(Vec<NodeIndex>),
    /// Nothing more.
    Done(T),
}

/// A computation over stored nodes that knows no store: it names nodes, is given them, and goes on.
pub trait Walk {
    /// What comes of it.
    type Output;

    /// Goes on with the nodes that were read: one for each that the last [`Step::Read`] named, in the
    /// same order, `None` where it is not stored. The first step is given none. A node that is not the
    /// one asked for counts as not stored.
    fn step(&mut self, read: &[Option<Node>]) -> Step<Self::Output>;
}

/// Runs a walk to its end with a function that reads nodes.
///
/// # Errors
/// Whatever `read` returns.
pub fn drive<W: Walk, E>(
    mut walk: W,
    mut read: impl FnMut(&[NodeIndex]) -> Result<Vec<Option<Node>>, E>,
) -> Result<W::Output, E> {
    let mut nodes = Vec::new();
    loop {
        match walk.step(&nodes) {
            Step::Read(wanted) => nodes = read(&wanted)?,
            Step::Done(output) => return Ok(output),
        }
    }
}

/// The node with this number, if that is what was read at `place`.
pub(crate) fn node_at(read: &[Option<Node>], place: usize, index: NodeIndex) -> Option<Node> {
    read.get(place)
        .copied()
        .flatten()
        .filter(|node| node.index == index)
}
