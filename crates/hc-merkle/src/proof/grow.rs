//! Taking a tree to a greater length with nodes that someone else gives.
//!
//! Owns how the roots grow together. Knows nothing of signatures: what comes out is a claim until its
//! head is verified.

use alloc::vec::Vec;

use super::UpgradeProof;
use crate::error::ProofError;
use crate::flat::growth;
use crate::limits::MAX_LENGTH;
use crate::manifest::Prologue;
use crate::{Fork, Head, Length, Node, NodeIndex, hash};

/// A longer tree that a proof claims.
#[derive(Debug)]
pub(super) struct Grown {
    /// The head at the length that was asked for, unsigned.
    pub(super) asked: Head,
    /// The head at the length that is signed, with the signature.
    pub(super) head: Head,
    /// Nodes as the proof has them.
    pub(super) given: Vec<Node>,
    /// Nodes that were hashed here.
    pub(super) hashed: Vec<Node>,
    /// Whether the node that was to join is part of the tree now.
    pub(super) joined: bool,
}

/// Grows the tree of `head` by an upgrade that starts at its length; `joining` is the top of a path of
/// the same proof, in place of a node of the upgrade.
pub(super) fn grow(
    head: &Head,
    fork: Fork,
    upgrade: UpgradeProof,
    joining: Option<Node>,
    prologue: Option<&Prologue>,
) -> Result<Grown, ProofError> {
    let to = target_length(&upgrade)?;
    if let Some(prologue) = prologue
        && upgrade.start < prologue.length
        && (upgrade.start > Length::ZERO || upgrade.length < prologue.length)
    {
        return Err(ProofError::Prologue);
    }

    let mut tree = Growing::new(head);
    let mut nodes = upgrade.nodes.into_iter();
    let mut joining = joining;
    let joins = joining.is_some();
    for index in growth(upgrade.start, to) {
        if let Some(node) = joining.take_if(|node| node.index == index) {
            tree.push(node)?;
            continue;
        }
        let node = nodes.next().filter(|node| node.index == index);
        let node = node.ok_or(ProofError::ExpectedNode { index })?;
        tree.given.push(node);
        tree.push(node)?;
    }
    unexpected(nodes.next())?;

    let asked = Head::new(fork, to, tree.roots.clone())?;
    if prologue.is_some_and(|known| known.length == to && known.hash != asked.tree_hash()) {
        return Err(ProofError::Prologue);
    }

    let end = upgrade
        .additional_nodes
        .last()
        .map_or(to, |node| node.index.end());
    if end > MAX_LENGTH {
        return Err(ProofError::TooLong { length: end });
    }
    let mut nodes = upgrade.additional_nodes.into_iter();
    for index in growth(to, end) {
        let node = nodes.next().filter(|node| node.index == index);
        let node = node.ok_or(ProofError::ExpectedNode { index })?;
        tree.given.push(node);
        tree.push(node)?;
    }
    unexpected(nodes.next())?;

    let mut head = Head::new(fork, end, tree.roots)?;
    head.signature = Some(upgrade.signature).filter(|signature| !signature.is_empty());
    let joined = joins && joining.is_none();
    Ok(Grown {
        asked,
        head,
        given: tree.given,
        hashed: tree.hashed,
        joined,
    })
}

fn target_length(upgrade: &UpgradeProof) -> Result<Length, ProofError> {
    let sum = upgrade.start.get().checked_add(upgrade.length.get());
    let to = Length::new(sum.unwrap_or(u64::MAX));
    if to > MAX_LENGTH || upgrade.length == Length::ZERO {
        return Err(ProofError::TooLong { length: to });
    }
    Ok(to)
}

fn unexpected(node: Option<Node>) -> Result<(), ProofError> {
    match node {
        Some(node) => Err(ProofError::UnexpectedNode { index: node.index }),
        None => Ok(()),
    }
}

struct Growing {
    roots: Vec<Node>,
    given: Vec<Node>,
    hashed: Vec<Node>,
}

impl Growing {
    fn new(head: &Head) -> Self {
        Self {
            roots: head.roots.clone(),
            given: Vec::new(),
            hashed: Vec::new(),
        }
    }

    fn push(&mut self, node: Node) -> Result<(), ProofError> {
        let mut node = node;
        while let Some(left) = self.roots.pop_if(|left| siblings(left.index, node.index)) {
            node = hash::parent_node(&left, &node).ok_or(ProofError::TooManyBytes)?;
            self.hashed.push(node);
        }
        self.roots.push(node);
        Ok(())
    }
}

fn siblings(left: NodeIndex, right: NodeIndex) -> bool {
    left.is_left() && left.sibling() == Some(right)
}
