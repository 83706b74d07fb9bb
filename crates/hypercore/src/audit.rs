//! Dropping what does not hold: blocks that are not what was signed are cleared, so that they can be
//! fetched again, with the nodes above them.
//!
//! What holds is for [`verify`](crate::Hypercore::verify) to say; this acts on it.

use hc_merkle::{BlockIndex, Length};
use hc_storage::{Access, StorageError};
use thiserror::Error;

use crate::core::lane::LaneError;
use crate::core::publish::{CommitError, Staged, runs};
use crate::hypercore::Hypercore;
use crate::verify::{Verification, VerifyError};

/// What an audit found, and did about it; see [`Hypercore::audit`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogAudit {
    /// Blocks that are stored.
    pub blocks: u64,
    /// Blocks that are not what was signed, that no stored nodes tie to it, or that the store says it has
    /// and can not give. They were dropped, unless it was a dry run.
    pub bad: Vec<BlockIndex>,
    /// Blocks below which none is missing, after that.
    pub contiguous_length: Length,
}

impl LogAudit {
    /// Whether everything that was stored is what was signed.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.bad.is_empty()
    }
}

/// Why a log was not audited, or not to the end.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LogAuditError {
    /// The head itself does not hold, or the store can not be read: nothing was dropped.
    #[error(transparent)]
    Verify(#[from] VerifyError),
    /// The store is only read: nothing can be dropped.
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
    /// Rehashes everything that is stored, and says what does not hold. Changes nothing; [`audit`] drops
    /// it.
    ///
    /// [`audit`]: Self::audit
    ///
    /// # Errors
    /// [`LogAuditError`].
    pub fn audit_dry_run(&self) -> Result<LogAudit, LogAuditError> {
        let found = self.verify(|_| {})?;
        Ok(self.audited(found))
    }

    /// Rehashes everything that is stored, and drops the blocks that do not hold: reads, downloads and
    /// peers then take them for what they are, missing. Fetching one brings the nodes above it as well.
    ///
    /// Hashes on the calling thread, without keeping anybody from the log.
    ///
    /// # Errors
    /// [`LogAuditError`].
    ///
    /// ```
    /// # futures_lite::future::block_on(async {
    /// # use hypercore::{Hypercore, Storage};
    /// # let log = Hypercore::builder(Storage::memory()).open().await?;
    /// log.append_batch(["a", "b"]).await?;
    /// let audit = log.audit().await?;
    /// assert!(audit.is_ok());
    /// assert_eq!(audit.blocks, 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub async fn audit(&self) -> Result<LogAudit, LogAuditError> {
        let core = &self.core;
        loop {
            let epoch = core.view.load().epoch;
            let found = self.verify(|_| {})?;
            let guard = core.enter(&self.gate).await?;
            if core.store.access() == Access::ReadOnly {
                return Err(LogAuditError::ReadOnly);
            }
            let view = core.view.load();
            if view.epoch != epoch {
                // What was found may be gone, and something else in its place.
                continue;
            }
            let mut staged = Staged::on(&view);
            for run in runs(found.bad.iter().map(|index| index.get())) {
                staged
                    .batch
                    .clear(BlockIndex::new(run.start)..BlockIndex::new(run.end));
                staged.drop_blocks(run);
            }
            if !found.is_ok() {
                core.commit(guard, staged, core.durability).await?;
            }
            return Ok(self.audited(found));
        }
    }

    fn audited(&self, found: Verification) -> LogAudit {
        LogAudit {
            blocks: found.blocks,
            bad: found.bad,
            contiguous_length: self.contiguous_length(),
        }
    }
}

impl From<LaneError> for LogAuditError {
    fn from(error: LaneError) -> Self {
        match error {
            LaneError::Closed => Self::Closed,
            LaneError::Poisoned => Self::InDoubt,
        }
    }
}

impl From<CommitError> for LogAuditError {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Storage(error) => Self::Storage(error),
            CommitError::InDoubt => Self::InDoubt,
        }
    }
}
