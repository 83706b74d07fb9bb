//! Bringing back what a store has lost of a log's tree.
//!
//! A log whose roots are lost is opened all the same: to peers it is an empty log, to which nothing is
//! appended and of which nothing is proven, until somebody proves a tree that is not shorter. Owns what
//! fits in place of what was lost. Knows nothing of how it was lost.

use hc_merkle::hash::parent_node;
use hc_merkle::proof::{Present, Proof, Remote};
use hc_merkle::{Change, Fork, Length, ProofError};
use hc_storage::{Access, StorageError};
use thiserror::Error;

use crate::core::Core;
use crate::core::lane::LaneError;
use crate::core::publish::{CommitError, Staged};
use crate::event::Event;
use crate::hypercore::Hypercore;
use crate::remote_proof::RemoteProof;
use crate::view::View;

/// What a log was before roots of its tree were lost; see [`Hypercore::repairing`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lost {
    /// The fork that it is on.
    pub fork: Fork,
    /// How many blocks it had.
    pub length: Length,
}

/// Why nothing came back. The log is as it was, but for [`InDoubt`](Self::InDoubt).
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RecoverError {
    /// The proof is of another log.
    #[error("the proof is of another log")]
    OtherLog,
    /// The proof does not hold, or does not go with what is stored.
    #[error(transparent)]
    Proof(#[from] ProofError),
    /// The store is only read.
    #[error("the store is read-only")]
    ReadOnly,
    /// The handle was closed.
    #[error("the log is closed")]
    Closed,
    /// A write, this or an earlier one, ended without saying whether it was stored: open the log
    /// again to know.
    #[error("a write ended in doubt; open the log again")]
    InDoubt,
    /// The store refused.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl Hypercore {
    /// What the log was, where roots of its tree are lost; `None` where they are not, which is as good
    /// as always.
    ///
    /// Such a log is opened for reading what is stored of it. Its length is zero, appends and
    /// truncations fail, and peers are shown nothing. It takes the tree of the first peer that proves
    /// one which is not shorter than its own was, or of a [proof](Self::recover) that came another way;
    /// [events](crate::Event::Repaired) tell. Nodes between the roots and the blocks may still be missing
    /// then: [`verify`](Self::verify) names the blocks, a proof that carries one brings what is above it,
    /// and an [audit](Self::audit) drops them, to be fetched again. What is signed here may have been lost for good: a peer
    /// that has less of it than was signed can not help.
    #[must_use]
    pub fn repairing(&self) -> Option<Lost> {
        let view = self.core.view.load();
        let fork = view.head.fork();
        view.lost.map(|length| Lost { fork, length })
    }

    /// Takes from a proof what the store has lost: roots, nodes above the block that the proof carries,
    /// and that block itself. All of it, or nothing if the proof does not hold.
    ///
    /// # Errors
    /// [`RecoverError`].
    ///
    /// ```
    /// # futures_lite::future::block_on(async {
    /// # use hypercore::{Hypercore, Storage};
    /// # let other = Hypercore::builder(Storage::memory()).open().await?;
    /// # other.append_batch(["a", "b"]).await?;
    /// # let log = Hypercore::builder(Storage::memory()).key(other.key()).open().await?;
    /// # log.set_manifest(other.manifest().unwrap()).await?;
    /// // at somebody who has the log
    /// let proof = other.prove().block(1).make()?;
    /// # let _ = log.recover(&proof).await; // a log that has lost nothing takes no longer tree
    /// # other.recover(&proof).await?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub async fn recover(&self, proof: &RemoteProof) -> Result<(), RecoverError> {
        let core = &self.core;
        if proof.discovery_key() != core.discovery_key {
            return Err(RecoverError::OtherLog);
        }
        let guard = core.enter(&self.gate).await?;
        if core.store.access() == Access::ReadOnly {
            return Err(RecoverError::ReadOnly);
        }
        let view = core.view.load();
        let change = core.restored(&view, proof.proof.clone())??;
        let mut staged = Staged::on(&view);
        staged.restore(&change);
        Ok(core.commit(guard, staged, core.durability).await?)
    }
}

impl Core {
    /// What a proof brings back of this log, if it goes with what is stored; tells that it is tried.
    pub(crate) fn restored(
        &self,
        view: &View,
        proof: Proof,
    ) -> Result<Result<Change, ProofError>, StorageError> {
        let Some(length) = view.lost else {
            let present = Present::Head(&view.head);
            return Ok(Remote::restore(proof, &view.authority, present));
        };
        self.hub.emit(&Event::Repairing);
        let fork = view.head.fork();
        let present = Present::Rootless { fork, length };
        let restored = match Remote::restore(proof, &view.authority, present) {
            Ok(change) => self.fits(&change)?.map(|()| change),
            Err(error) => Err(error),
        };
        if restored.is_err() {
            self.hub.emit(&Event::RepairFailed);
        }
        Ok(restored)
    }

    /// Whether the roots that come are those above the nodes that are left.
    fn fits(&self, change: &Change) -> Result<Result<(), ProofError>, StorageError> {
        for root in change.head().map_or(&[][..], |head| head.roots()) {
            let children = root.index.left_child().zip(root.index.right_child());
            let Some((left, right)) = children else {
                continue;
            };
            let children = self.nodes(&[left, right])?;
            let [Some(left), Some(right)] = children.as_slice() else {
                continue;
            };
            if parent_node(left, right).as_ref() != Some(root) {
                return Ok(Err(ProofError::Checksum { index: root.index }));
            }
        }
        Ok(Ok(()))
    }
}

impl From<LaneError> for RecoverError {
    fn from(error: LaneError) -> Self {
        match error {
            LaneError::Closed => Self::Closed,
            LaneError::Poisoned => Self::InDoubt,
        }
    }
}

impl From<CommitError> for RecoverError {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Storage(error) => Self::Storage(error),
            CommitError::InDoubt => Self::InDoubt,
        }
    }
}
