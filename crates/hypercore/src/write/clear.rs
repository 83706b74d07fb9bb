//! Dropping blocks that are stored here.

use std::future::IntoFuture;
use std::ops::{Range, RangeBounds};

use hc_merkle::{BlockIndex, ByteLength};
use hc_storage::{Durability, StorageError};
use thiserror::Error;

use crate::hypercore::Hypercore;
use crate::rt::BoxFuture;
use crate::session::Handle;

/// What was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cleared {
    /// Blocks that were stored and are not any more.
    pub blocks: u64,
    /// Bytes in them, as stored.
    pub bytes: ByteLength,
}

/// Why nothing was cleared. Every error leaves the log as it was, but for
/// [`InDoubt`](Self::InDoubt).
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ClearError {
    /// The store is only read.
    #[error("the store is read-only")]
    ReadOnly,
    /// The tree above a stored block is not there.
    #[error("the nodes above block {index} are missing from the store")]
    Lost {
        /// Which.
        index: BlockIndex,
    },
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

/// Blocks that are to be dropped; see [`Hypercore::clear`].
#[derive(Debug)]
#[must_use = "nothing is cleared unless it is awaited"]
pub struct Clear {
    handle: Handle,
    range: Range<u64>,
    level: Durability,
}

impl Clear {
    /// Says how much was dropped, which has to be looked up first.
    pub fn diff(self) -> ClearDiff {
        ClearDiff(self)
    }

    /// What it has to survive before it is acknowledged, instead of what the log was opened with.
    pub fn durability(mut self, level: Durability) -> Self {
        self.level = level;
        self
    }

    async fn run(self, measure: bool) -> Result<Cleared, ClearError> {
        let Self {
            handle,
            range,
            level,
        } = self;
        handle.core.clear(&handle.gate, range, measure, level).await
    }
}

impl IntoFuture for Clear {
    type Output = Result<(), ClearError>;
    type IntoFuture = BoxFuture<Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async { self.run(false).await.map(drop) })
    }
}

/// As [`Clear`], but says how much was dropped.
#[derive(Debug)]
#[must_use = "nothing is cleared unless it is awaited"]
pub struct ClearDiff(Clear);

impl IntoFuture for ClearDiff {
    type Output = Result<Cleared, ClearError>;
    type IntoFuture = BoxFuture<Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.0.run(true))
    }
}

impl Hypercore {
    /// Drops the stored blocks of a range, so that their space can be used again: a future to await.
    /// They stay part of the log, can be fetched again from whoever has them, and peers are told that
    /// they are not here any more. An end past that of the log means its end; where nothing is stored,
    /// nothing happens. Needs no right to append.
    ///
    /// ```
    /// # futures_lite::future::block_on(async {
    /// # use hypercore::{Hypercore, Storage};
    /// # let log = Hypercore::builder(Storage::memory()).open().await.unwrap();
    /// log.append_batch(["a", "bb", "ccc"]).await.unwrap();
    /// log.clear(0..1).await?;
    /// assert!(!log.has(0..1) && log.has(1..3));
    /// let cleared = log.clear(..).diff().await?;
    /// assert_eq!((cleared.blocks, cleared.bytes.get()), (2, 5));
    /// # Ok::<(), hypercore::ClearError>(())
    /// # }).unwrap();
    /// ```
    pub fn clear(&self, range: impl RangeBounds<u64>) -> Clear {
        let range = crate::read::bounds(&range);
        Clear {
            handle: self.handle(),
            range: range.start..range.end.unwrap_or(u64::MAX),
            level: self.core.durability,
        }
    }
}
