//! Filling the fixed beginning of a log from another log that has the same blocks.
//!
//! Nothing is trusted: what is copied is verified against the manifest, as if a peer had sent it.

use std::ops::{ControlFlow, Range};

use bytes::Bytes;
use futures_lite::future;
use hc_merkle::manifest::Prologue;
use hc_merkle::proof::{Batch as Proofs, BlockRequest};
use hc_merkle::proof::{Plan, Planner, Proof, Request, UpgradeProof};
use hc_merkle::{
    BlockIndex, Fork, Head, Length, PlanError, ProofError, Verifier, drive, flat, max_missing_nodes,
};
use hc_storage::{Access, StorageError};
use thiserror::Error;

use crate::core::lane::{Guard, LaneError};
use crate::core::publish::CommitError;
use crate::core::{Core, stage};
use crate::hypercore::Hypercore;
use crate::limits::{APPLY_BATCH, APPLY_BATCH_BYTES};
use crate::view::View;

/// Why a prologue was not copied, or not as a whole.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CopyPrologueError {
    /// The manifest of the log has no prologue, or is not known yet.
    #[error("the log has no prologue")]
    NoPrologue,
    /// The other log is shorter than the prologue.
    #[error("the prologue has {prologue} blocks, the other log {length}")]
    Shorter {
        /// Length of the prologue.
        prologue: Length,
        /// Length of the other log.
        length: Length,
    },
    /// The other log does not begin with the prologue.
    #[error("the other log does not begin with the prologue")]
    OtherPrologue,
    /// A node of the tree is not stored in the other log.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// What is stored of the other log does not hold. What was copied before is kept.
    #[error(transparent)]
    Proof(#[from] ProofError),
    /// The store is only read.
    #[error("the store is read-only")]
    ReadOnly,
    /// One of the handles was closed.
    #[error("the log is closed")]
    Closed,
    /// A write, this or an earlier one, ended without saying whether it was stored: open the log
    /// again to know.
    #[error("a write ended in doubt; open the log again")]
    InDoubt,
    /// A store refused.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl Hypercore {
    /// Copies what the manifest of this log fixes as its beginning from a log that begins with the same
    /// blocks, as far as they are stored there, and says how many that were. Blocks that are here
    /// already are left alone. The logs are independent of each other afterwards.
    ///
    /// The length of the prologue is set with the first blocks; if a later part fails, those before it
    /// are kept, and it may be called again.
    ///
    /// # Errors
    /// [`CopyPrologueError`].
    ///
    /// ```
    /// # futures_lite::future::block_on(async {
    /// use hypercore::manifest::{Manifest, Prologue};
    /// # use hypercore::{Hypercore, Storage};
    /// # let log = Hypercore::builder(Storage::memory()).open().await?;
    /// log.append_batch(["a", "b", "c"]).await?;
    /// let head = log.head();
    /// let fixed = Prologue { hash: head.tree_hash(), length: head.length() };
    ///
    /// // nobody may sign: the log is its prologue, and will never be anything else
    /// let manifest = Manifest::new([]).with_prologue(fixed);
    /// let frozen = Hypercore::builder(Storage::memory()).manifest(manifest).open().await?;
    /// assert_eq!(frozen.copy_prologue(&log).await?, 3);
    /// assert_eq!(frozen.get(2).await?, "c");
    /// assert!(!frozen.is_writable());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub async fn copy_prologue(&self, from: &Self) -> Result<u64, CopyPrologueError> {
        let view = self.core.view.load();
        let prologue = view.authority.verifier().and_then(Verifier::prologue);
        let prologue = *prologue.ok_or(CopyPrologueError::NoPrologue)?;
        if self.core.store.access() == Access::ReadOnly {
            return Err(CopyPrologueError::ReadOnly);
        }
        let beginning = from.beginning(&prologue)?;
        let mut next = 0;
        let mut copied = 0;
        loop {
            if from.is_closed() {
                return Err(CopyPrologueError::Closed);
            }
            let guard = self.core.enter(&self.gate).await?;
            let view = self.core.view.load();
            let blocks = from.blocks_missing_in(&view, next..prologue.length.get())?;
            let mut proofs = Vec::with_capacity(blocks.len() + 1);
            if view.head.length() < prologue.length {
                proofs.push(upgrade(&view, &beginning));
            }
            for (index, block) in &blocks {
                proofs.push(from.prove_block(&beginning, *index, block.clone())?);
            }
            if proofs.is_empty() {
                return Ok(copied);
            }
            next = blocks.last().map_or(u64::MAX, |(index, _)| index.get() + 1);
            copied += blocks.len() as u64;
            self.core.take_in(guard, &view, proofs)?;
            future::yield_now().await;
        }
    }

    /// The head of this log at the length of a prologue, if it is that prologue.
    fn beginning(&self, prologue: &Prologue) -> Result<Head, CopyPrologueError> {
        let length = self.length();
        if length < prologue.length {
            return Err(CopyPrologueError::Shorter {
                prologue: prologue.length,
                length,
            });
        }
        let indexes: Vec<_> = flat::full_roots(prologue.length).collect();
        let mut roots = Vec::with_capacity(indexes.len());
        for (index, node) in indexes.iter().zip(self.core.nodes(&indexes)?) {
            roots.push(node.ok_or(PlanError::MissingNode { index: *index })?);
        }
        match Head::new(Fork::ZERO, prologue.length, roots) {
            Ok(head) if head.tree_hash() == prologue.hash => Ok(head),
            _ => Err(CopyPrologueError::OtherPrologue),
        }
    }

    /// The next blocks of a range that are stored here and not there, as many as are verified together.
    fn blocks_missing_in(
        &self,
        there: &View,
        range: Range<u64>,
    ) -> Result<Vec<(BlockIndex, Bytes)>, StorageError> {
        let mut found = Vec::new();
        let mut bytes = 0_usize;
        let range = BlockIndex::new(range.start)..BlockIndex::new(range.end.max(range.start));
        self.core.log.blocks(range, &mut |index, block| {
            if !there.have.get(index.get()) {
                bytes = bytes.saturating_add(block.len());
                found.push((index, block));
            }
            if found.len() < APPLY_BATCH && bytes < APPLY_BATCH_BYTES {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        })?;
        Ok(found)
    }

    /// A block with its path to a root of the prologue.
    fn prove_block(
        &self,
        beginning: &Head,
        index: BlockIndex,
        block: Bytes,
    ) -> Result<Proof, CopyPrologueError> {
        let leaf = index.leaf();
        let nodes = leaf.map_or(0, |leaf| max_missing_nodes(beginning.length(), leaf));
        let request = Request {
            block: Some(BlockRequest { index, nodes }),
            ..Request::default()
        };
        let planner = Planner::new(beginning, &request, None)?;
        let plan: Plan = drive(planner, |indexes| self.core.nodes(indexes))??;
        let nodes = self.core.nodes(plan.nodes())?;
        Ok(plan.assemble(&nodes, Some(block), None)?)
    }
}

/// The upgrade to the prologue, which needs no signature.
fn upgrade(view: &View, beginning: &Head) -> Proof {
    Proof {
        fork: view.head.fork(),
        upgrade: Some(UpgradeProof {
            start: Length::ZERO,
            length: beginning.length(),
            nodes: beginning.roots().to_vec(),
            additional_nodes: Vec::new(),
            signature: Bytes::new(),
        }),
        ..Proof::default()
    }
}

impl Core {
    /// Verifies proofs that have to hold, all of them, and stores what they bring.
    fn take_in(
        &self,
        guard: Guard,
        view: &View,
        mut proofs: Vec<Proof>,
    ) -> Result<(), CopyPrologueError> {
        for proof in &mut proofs {
            proof.fork = view.head.fork();
        }
        let batch = Proofs::verify(&view.head, &view.authority, proofs);
        let stored = self.nodes(batch.expected())?;
        let mut confirmed = batch.confirm(&stored);
        for outcome in std::mem::take(&mut confirmed.outcomes) {
            outcome?;
        }
        if let Some(staged) = stage(view, &confirmed) {
            self.commit_now(guard, staged, self.durability)?;
        }
        Ok(())
    }
}

impl From<LaneError> for CopyPrologueError {
    fn from(error: LaneError) -> Self {
        match error {
            LaneError::Closed => Self::Closed,
            LaneError::Poisoned => Self::InDoubt,
        }
    }
}

impl From<CommitError> for CopyPrologueError {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Storage(error) => Self::Storage(error),
            CommitError::InDoubt => Self::InDoubt,
        }
    }
}
