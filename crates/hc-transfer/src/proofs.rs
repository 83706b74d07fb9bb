//! A log as the proofs that replication would send of it to somebody who takes its blocks in order.
//!
//! Owns which nodes go with which block: those that whoever took everything before it lacks. Knows
//! nothing of what becomes of the proofs.

use std::ops::Range;
use std::sync::Arc;

use hc_bitfield::Bitfield;
use hc_merkle::hash::{leaf_node, parent_node};
use hc_merkle::manifest::Prologue;
use hc_merkle::proof::{BlockProof, BlockRequest, Planner, Proof, Request, UpgradeRequest};
use hc_merkle::{
    Authority, BlockIndex, Head, Length, Manifest, ManifestError, Node, NodeIndex, PlanError,
    PublicKey, SignatureError, Verifier, drive, missing_nodes,
};
use hc_storage::Auth;
use thiserror::Error;

use crate::error::SourceError;
use crate::source::Source;

/// Why a log cannot be shown to be what it says.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ProveError {
    /// It could not be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// Something that it says it has is not there.
    #[error("the log is not whole: {0}")]
    Missing(#[from] PlanError),
    /// A block is there, and a node that ties it to the tree is not.
    #[error("block {block} cannot be verified: node {node} is not stored")]
    Untied {
        /// Which block.
        block: BlockIndex,
        /// Which node.
        node: NodeIndex,
    },
    /// A block is not the one that was signed.
    #[error("block {block} is not the one that was signed")]
    Block {
        /// Which.
        block: BlockIndex,
    },
    /// Its head is not signed by who may.
    #[error("the head at length {length}: {source}")]
    Head {
        /// Its length.
        length: Length,
        /// Why it does not hold.
        source: SignatureError,
    },
    /// Its manifest is invalid or another log's.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// It has blocks, and says nothing of who may sign.
    #[error("the log does not say who may sign it")]
    NoManifest,
}

impl ProveError {
    /// Whether the log is not what was written and signed, as opposed to a refusal of the system.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Source(error) => error.is_damage(),
            _ => true,
        }
    }
}

/// Who may sign a log, as far as what is stored of it says.
pub(crate) fn authority(auth: &Auth) -> Result<Authority, ManifestError> {
    if auth.compat {
        return Ok(Verifier::compat(PublicKey(*auth.key.as_bytes())).into());
    }
    Ok(match &auth.manifest {
        Some(manifest) => Verifier::new(auth.key, manifest.clone())?.into(),
        None => auth.key.into(),
    })
}

/// The proofs of one log, one after the other.
pub(crate) struct Proofs<'a> {
    source: &'a dyn Source,
    head: Head,
    manifest: Option<Arc<Manifest>>,
    prologue: Option<Prologue>,
    have: Bitfield,
    /// Blocks that whoever takes the proofs has by now.
    given: Bitfield,
    range: Range<u64>,
}

impl<'a> Proofs<'a> {
    /// Of the blocks in `range`, for somebody who has those in `given`.
    pub(crate) fn new(
        source: &'a dyn Source,
        given: Bitfield,
        range: Range<u64>,
    ) -> Result<Self, ProveError> {
        let head = source.head()?;
        let authority = authority(&source.auth()?)?;
        let verifier = authority.verifier();
        let end = range.end.min(head.length().get());
        Ok(Self {
            source,
            manifest: verifier.and_then(Verifier::shared_manifest),
            prologue: verifier.and_then(Verifier::prologue).copied(),
            have: source.bitfield()?,
            given,
            range: range.start..end,
            head,
        })
    }

    pub(crate) fn head(&self) -> &Head {
        &self.head
    }

    /// Blocks in the range that the log has, given or not.
    pub(crate) fn total(&self) -> u64 {
        self.have.count(self.range.clone())
    }

    /// Blocks in the range that the log has, and that were given.
    pub(crate) fn given(&self) -> u64 {
        let all = self.have.intersection(&self.given, self.range.clone());
        all.map(|run| run.end - run.start).sum()
    }

    /// Counts blocks as given.
    pub(crate) fn pass_over(&mut self, given: Bitfield) {
        self.given = given;
    }

    /// What takes somebody from a shorter length to the log's; `None` where there is nothing to take.
    pub(crate) fn upgrade(&self, start: Length) -> Result<Option<Proof>, ProveError> {
        let length = self.head.length().get().saturating_sub(start.get());
        if length == 0 {
            return Ok(None);
        }
        let request = Request {
            upgrade: Some(UpgradeRequest {
                start,
                length: Length::new(length),
            }),
            manifest: true,
            ..Request::default()
        };
        self.proof(&request).map(Some)
    }

    /// The next block that the log has and that was not given. After [`ProveError::Untied`] it can be
    /// gone on with: that block is left out.
    pub(crate) fn next(&mut self) -> Result<Option<BlockProof>, ProveError> {
        let Some(index) = self.find_next() else {
            return Ok(None);
        };
        self.range.start = index + 1;
        let block = BlockIndex::new(index);
        let out_of_bounds = PlanError::MissingBlock { index: block };
        let leaf = block.leaf().ok_or(out_of_bounds)?;
        let nodes = missing_nodes(self.head.length(), leaf, |node| self.is_known(node));
        let request = Request {
            block: Some(BlockRequest {
                index: block,
                nodes,
            }),
            ..Request::default()
        };
        let proof = self.proof(&request).map_err(|error| match error {
            ProveError::Missing(PlanError::MissingNode { index: node }) => {
                ProveError::Untied { block, node }
            }
            error => error,
        })?;
        let proof = proof.block.ok_or(out_of_bounds)?;
        self.given.set(index);
        Ok(Some(proof))
    }

    fn find_next(&self) -> Option<u64> {
        let mut at = self.range.start;
        loop {
            let index = self.have.first_set(at).filter(|at| *at < self.range.end)?;
            let next = self.given.first_unset(index);
            if next == index {
                return Some(index);
            }
            at = next;
        }
    }

    /// Whether a proof that was given had this node: as a sibling on a path, or on the path itself.
    fn is_known(&self, node: NodeIndex) -> bool {
        self.root(node).is_some()
            || node.parent().is_some_and(|parent| {
                let blocks = parent.first_block().get()..parent.end().get();
                self.given.any_set(blocks)
            })
    }

    fn root(&self, index: NodeIndex) -> Option<Node> {
        let roots = self.head.roots();
        roots.iter().find(|root| root.index == index).copied()
    }

    fn read(&self, indexes: &[NodeIndex]) -> Result<Vec<Option<Node>>, SourceError> {
        let mut nodes = Vec::with_capacity(indexes.len());
        if !indexes.is_empty() {
            self.source.nodes(indexes, &mut nodes)?;
        }
        Ok(nodes)
    }

    fn proof(&self, request: &Request) -> Result<Proof, ProveError> {
        let planner = Planner::new(&self.head, request, self.prologue.as_ref())?;
        let plan = drive(planner, |indexes| self.read(indexes))??;
        let nodes = self.read(plan.nodes())?;
        let missing = plan
            .nodes()
            .iter()
            .zip(&nodes)
            .find(|(_, node)| node.is_none());
        if let Some((index, _)) = missing {
            return Err(PlanError::MissingNode { index: *index }.into());
        }
        let block = match request.block {
            Some(block) => self.source.block(block.index)?,
            None => None,
        };
        Ok(plan.assemble(&nodes, block, self.manifest.as_deref())?)
    }

    /// Whether the log's head is signed by who may.
    pub(crate) fn check_head(&self, auth: &Auth) -> Result<(), ProveError> {
        let length = self.head.length();
        if length == Length::ZERO {
            return Ok(());
        }
        let authority = authority(auth)?;
        let verifier = match authority.verifier() {
            Some(verifier) => verifier.clone(),
            None => authority.resolve(None)?.into_owned(),
        };
        verifier
            .verify(&self.head)
            .map_err(|source| ProveError::Head { length, source })
    }

    /// Whether a block leads to the node that its path ends at. That node was proven by a path before,
    /// or is a root.
    pub(crate) fn check(&self, proof: &BlockProof) -> Result<(), ProveError> {
        let block = proof.index;
        let bad = || ProveError::Block { block };
        let leaf = block.leaf().ok_or_else(bad)?;
        let mut top = leaf_node(leaf, &proof.value);
        for sibling in &proof.nodes {
            top = parent_node(&top, sibling).ok_or_else(bad)?;
        }
        let known = match self.root(top.index) {
            Some(root) => Some(root),
            None => self.read(&[top.index])?.pop().flatten(),
        };
        if known == Some(top) {
            Ok(())
        } else {
            Err(bad())
        }
    }
}
