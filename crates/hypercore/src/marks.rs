//! Mark and sweep: keeping the blocks that are in use, and clearing all others at once.
//!
//! Marking is a value: who has none can not mark, a [`Marking`] can be swept once, and what is only a
//! snapshot or a branch has none to give. Knows nothing of how marks are kept.

use std::ops::RangeBounds;
use std::sync::Arc;

use bytes::Bytes;
use hc_storage::StorageError;
use thiserror::Error;

use crate::core::Core;
use crate::core::lane::LaneError;
use crate::core::publish::CommitError;
use crate::error::GetError;
use crate::hypercore::Hypercore;
use crate::sync::Gate;

/// Why nothing was marked or swept.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum MarkError {
    /// Somebody marks the log already.
    #[error("the log is being marked already")]
    Marking,
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

/// Why a block was not read and marked.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum MarkedGetError {
    /// It was not read.
    #[error(transparent)]
    Get(#[from] GetError),
    /// It was not marked.
    #[error(transparent)]
    Mark(#[from] MarkError),
}

/// A log that is being marked: what is read or named through this is kept by the
/// [sweep](Self::sweep). Dropping it ends the marking and clears nothing; the marks stay, for
/// [`Hypercore::resume_marking`].
///
/// What is not the log itself has none: neither a snapshot nor a branch can be swept.
///
/// ```compile_fail,E0599
/// # async fn example(log: hypercore::Hypercore) {
/// let snapshot = log.snapshot().unwrap();
/// snapshot.start_marking().await;
/// # }
/// ```
///
/// ```compile_fail,E0599
/// # async fn example(branch: hypercore::Branch) {
/// branch.start_marking().await;
/// # }
/// ```
#[derive(Debug)]
#[must_use = "marking ends when it is dropped"]
pub struct Marking {
    log: Hypercore,
    marker: Marker,
}

/// Marks blocks for a [`Marking`] from elsewhere: another task, or whoever reads a snapshot.
#[derive(Debug, Clone)]
pub struct Marker {
    core: Arc<Core>,
    gate: Arc<Gate>,
}

impl Marker {
    /// Marks the blocks of a range, stored here or not. On the store when this returns; what lies past
    /// the end of the log is not marked.
    ///
    /// # Errors
    /// [`MarkError`].
    pub async fn mark(&self, blocks: impl RangeBounds<u64>) -> Result<(), MarkError> {
        let range = crate::read::bounds(&blocks);
        let blocks = range.start..range.end.unwrap_or(u64::MAX);
        self.core.mark(&self.gate, blocks).await
    }
}

impl Marking {
    /// Reads a block, from here or from a peer, and marks it.
    ///
    /// # Errors
    /// [`MarkedGetError`].
    pub async fn get(&self, index: u64) -> Result<Bytes, MarkedGetError> {
        let block = self.log.get(index).await?;
        self.marker.mark(index..=index).await?;
        Ok(block)
    }

    /// As [`Marker::mark`].
    ///
    /// # Errors
    /// [`MarkError`].
    pub async fn mark(&self, blocks: impl RangeBounds<u64>) -> Result<(), MarkError> {
        self.marker.mark(blocks).await
    }

    /// What others mark by.
    #[must_use]
    pub fn marker(&self) -> Marker {
        self.marker.clone()
    }

    /// The marked blocks, in order.
    #[must_use]
    pub fn marked(&self) -> Vec<u64> {
        self.log
            .core
            .marked()
            .ranges(0..u64::MAX)
            .flatten()
            .collect()
    }

    /// Whether a block is marked.
    #[must_use]
    pub fn is_marked(&self, index: u64) -> bool {
        self.log.core.marked().get(index)
    }

    /// Clears every stored block that is not marked, forgets the marks, and says how many blocks were
    /// cleared. If the process dies on the way, some are cleared and the marks are still there.
    ///
    /// # Errors
    /// [`MarkError`].
    pub async fn sweep(self) -> Result<u64, MarkError> {
        self.log.core.sweep(&self.log.gate).await
    }

    /// Forgets the marks and clears nothing.
    ///
    /// # Errors
    /// [`MarkError`].
    pub async fn abandon(self) -> Result<(), MarkError> {
        self.log.core.forget_marks(&self.log.gate).await
    }
}

impl Drop for Marking {
    fn drop(&mut self) {
        self.log.core.end_marking();
    }
}

impl Hypercore {
    /// Begins to mark the blocks that are in use, with none marked, so that all others can be swept away.
    ///
    /// ```
    /// # futures_lite::future::block_on(async {
    /// # use hypercore::{Hypercore, Storage};
    /// # let log = Hypercore::builder(Storage::memory()).open().await?;
    /// log.append_batch(["root", "old", "old", "leaf"]).await?;
    /// let marking = log.start_marking().await?;
    /// marking.get(0).await?; // what is read is kept
    /// marking.mark(3..4).await?; // and what is named
    /// assert_eq!(marking.sweep().await?, 2);
    /// assert!(log.has(0..1) && !log.has(1..2) && !log.has(2..3) && log.has(3..4));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`MarkError`].
    pub async fn start_marking(&self) -> Result<Marking, MarkError> {
        self.core.begin_marking(&self.gate, true).await?;
        Ok(self.marking())
    }

    /// Goes on with a marking that ended without a sweep, in this process or in one before it.
    ///
    /// # Errors
    /// [`MarkError`].
    pub async fn resume_marking(&self) -> Result<Marking, MarkError> {
        self.core.begin_marking(&self.gate, false).await?;
        Ok(self.marking())
    }

    fn marking(&self) -> Marking {
        let log = self.clone();
        let marker = Marker {
            core: log.core.clone(),
            gate: log.gate.clone(),
        };
        Marking { log, marker }
    }
}

impl From<LaneError> for MarkError {
    fn from(error: LaneError) -> Self {
        match error {
            LaneError::Closed => Self::Closed,
            LaneError::Poisoned => Self::InDoubt,
        }
    }
}

impl From<CommitError> for MarkError {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Storage(error) => Self::Storage(error),
            CommitError::InDoubt => Self::InDoubt,
        }
    }
}
