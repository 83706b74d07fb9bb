//! Taking a tree to a greater length with nodes that someone else gives.
//!
//! Owns how the roots grow together. Knows nothing of signatures: what comes out is a claim until its
//! head is verified.

use alloc::vec::Vec;

use super::UpgradeProof;
use super::path::Top;
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
    /// Two nodes of the proof that are siblings: authentic as those of a [`Path`](super::path::Path),
    /// but for the size of each by itself.
    pub(super) loose: Vec<Node>,
    /// All other nodes, authentic once the head is.
    pub(super) sure: Vec<Node>,
    /// Whether the node that was to join is part of the tree now.
    pub(super) joined: bool,
}

/// Grows the tree of `head` by an upgrade that starts at its length; `joining` is the top of a path of
/// the same proof, in place of a node of the upgrade.
pub(super) fn grow(
    head: &Head,
    fork: Fork,
    upgrade: UpgradeProof,
    joining: Option<Top>,
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
        if let Some(Top { node, is_sure }) = joining.take_if(|top| top.node.index == index) {
            let size = if is_sure { Size::Hashed } else { Size::Claimed };
            tree.push(node, size)?;
            continue;
        }
        let node = nodes.next().filter(|node| node.index == index);
        let node = node.ok_or(ProofError::ExpectedNode { index })?;
        tree.push(node, Size::Claimed)?;
    }
    unexpected(nodes.next())?;

    let asked = Head::new(fork, to, tree.roots())?;
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
        tree.push(node, Size::Claimed)?;
    }
    unexpected(nodes.next())?;

    let mut head = Head::new(fork, end, tree.roots())?;
    head.signature = Some(upgrade.signature).filter(|signature| !signature.is_empty());
    let joined = joins && joining.is_none();
    let (sure, loose) = tree.into_nodes();
    Ok(Grown {
        asked,
        head,
        loose,
        sure,
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

/// A tree under way.
struct Growing {
    roots: Vec<(Node, Size)>,
    loose: Vec<Node>,
    sure: Vec<Node>,
}

/// What is known of the size of a node, once the head is authentic.
///
/// The hash of a parent covers the sum of the sizes below it: the sibling of what is known is known as
/// well. Only where two nodes of the proof meet is neither.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Size {
    /// It is a root of the tree that grows: known, and stored.
    Stored,
    /// A hash covers it.
    Hashed,
    /// The proof says so.
    Claimed,
}

impl Growing {
    fn new(head: &Head) -> Self {
        Self {
            roots: head
                .roots()
                .iter()
                .map(|root| (*root, Size::Stored))
                .collect(),
            loose: Vec::new(),
            sure: Vec::new(),
        }
    }

    fn push(&mut self, node: Node, size: Size) -> Result<(), ProofError> {
        let (mut node, mut size) = (node, size);
        while let Some((left, left_size)) = self
            .roots
            .pop_if(|(left, _)| siblings(left.index, node.index))
        {
            let is_loose = (left_size, size) == (Size::Claimed, Size::Claimed);
            let below = if is_loose {
                &mut self.loose
            } else {
                &mut self.sure
            };
            below.extend(Some(left).filter(|_| left_size != Size::Stored));
            below.push(node);
            node = hash::parent_node(&left, &node).ok_or(ProofError::TooManyBytes)?;
            size = Size::Hashed;
        }
        self.roots.push((node, size));
        Ok(())
    }

    fn roots(&self) -> Vec<Node> {
        self.roots.iter().map(|(root, _)| *root).collect()
    }

    /// What is authentic once the head is, whose hash covers the sizes of its roots.
    fn into_nodes(self) -> (Vec<Node>, Vec<Node>) {
        let mut sure = self.sure;
        let new = self.roots.iter().filter(|(_, size)| *size != Size::Stored);
        sure.extend(new.map(|(root, _)| *root));
        (sure, self.loose)
    }
}

fn siblings(left: NodeIndex, right: NodeIndex) -> bool {
    left.is_left() && left.sibling() == Some(right)
}
