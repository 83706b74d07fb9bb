//! A handle that shows the log as it was when it was made.

use std::fmt;
use std::ops::RangeBounds;
use std::sync::Arc;

use bytes::Bytes;
use hc_merkle::{BlockIndex, ByteLength, CoreKey, DiscoveryKey, Fork, Head, Length, TreeHash};
use hc_storage::{StorageError, is_reserved};
use thiserror::Error;

use crate::error::CloseError;
use crate::hypercore::Hypercore;
use crate::read::{Frozen, Get, Position, Reader, Seek, SeekError, TreeHashAt, bounds};
use crate::write::UserDataError;

/// Why there is no snapshot.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// The handle was closed.
    #[error("the log is closed")]
    Closed,
    /// The store could not be read.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// A log as it was at one moment; see [`Hypercore::snapshot`].
///
/// Blocks that were stored then stay readable whatever becomes of them: the log may be cleared or cut
/// below it. Blocks that were not come from peers, as long as the log has not been cut below them since.
/// A snapshot is a session: the log stays open as long as it is. It can not be written to.
pub struct Snapshot {
    session: Hypercore,
    frozen: Arc<Frozen>,
}

impl Hypercore {
    /// The log as it is now, whatever becomes of it: a handle to read from.
    ///
    /// # Errors
    /// [`SnapshotError`] where the handle was closed or the store can not be read.
    ///
    /// ```
    /// # futures_lite::future::block_on(async {
    /// # use hypercore::{Hypercore, Storage};
    /// # let log = Hypercore::builder(Storage::memory()).open().await?;
    /// log.append_batch(["a", "b"]).await?;
    /// let snapshot = log.snapshot()?;
    /// log.truncate(1).await?;
    /// log.append("other").await?;
    /// assert_eq!(snapshot.length().get(), 2);
    /// assert_eq!(snapshot.get(1).await?, "b");
    /// assert_eq!(snapshot.signed_length().get(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn snapshot(&self) -> Result<Snapshot, SnapshotError> {
        if self.is_closed() {
            return Err(SnapshotError::Closed);
        }
        Ok(Snapshot::new(self.clone(), self.core.freeze()?))
    }

    pub(crate) fn reader(&self) -> Reader {
        Reader {
            handle: self.handle(),
            frozen: None,
            line: None,
        }
    }
}

impl Snapshot {
    pub(crate) fn new(session: Hypercore, frozen: Frozen) -> Self {
        let frozen = Arc::new(frozen);
        Self { session, frozen }
    }

    pub(crate) fn reader(&self) -> Reader {
        Reader {
            handle: self.session.handle(),
            frozen: Some(self.frozen.clone()),
            line: None,
        }
    }

    /// What names the log.
    #[must_use]
    pub fn key(&self) -> CoreKey {
        self.session.key()
    }

    /// What the log may be announced under without giving its key away.
    #[must_use]
    pub fn discovery_key(&self) -> DiscoveryKey {
        self.session.discovery_key()
    }

    /// Length, roots and signature of the log at that moment.
    #[must_use]
    pub fn head(&self) -> Head {
        self.frozen.head.clone()
    }

    /// Blocks in it.
    #[must_use]
    pub fn length(&self) -> Length {
        self.frozen.head.length()
    }

    /// How many of its blocks the log has had ever since: it falls to the shortest length that the log
    /// was cut to, and does not rise again.
    #[must_use]
    pub fn signed_length(&self) -> Length {
        self.frozen.shared(&self.session.core)
    }

    /// Bytes in all its blocks, without what encryption adds where the handle can decrypt.
    #[must_use]
    pub fn byte_length(&self) -> ByteLength {
        ByteLength::new(self.reader().plain_length(&self.frozen.head))
    }

    /// Bytes that encryption adds to each block; 0 where the handle cannot decrypt.
    #[must_use]
    pub fn padding(&self) -> u64 {
        self.session.padding()
    }

    /// The fork that the log was on.
    #[must_use]
    pub fn fork(&self) -> Fork {
        self.frozen.head.fork()
    }

    /// The hash of its tree.
    #[must_use]
    pub fn tree_hash(&self) -> TreeHash {
        self.frozen.head.tree_hash()
    }

    /// As [`Hypercore::tree_hash`]; a length past its own is an error.
    pub fn tree_hash_at(&self, length: u64) -> TreeHashAt {
        TreeHashAt::new(self.reader(), length)
    }

    /// Whether all blocks of a range were stored here when it was made.
    #[must_use]
    pub fn has(&self, range: impl RangeBounds<u64>) -> bool {
        let range = bounds(&range);
        let end = range.end.unwrap_or_else(|| self.length().get());
        self.frozen.has(range.start..end)
    }

    /// As [`Hypercore::get`], of the block that the log had then. A block past its length is
    /// [`GetError::PastSnapshot`](crate::GetError::PastSnapshot) at once, one that was cut off since and
    /// was not stored [`GetError::Truncated`](crate::GetError::Truncated).
    pub fn get(&self, index: u64) -> Get {
        Get::new(self.reader(), BlockIndex::new(index))
    }

    /// As [`Hypercore::seek`], among its own bytes.
    pub fn seek(&self, byte: u64) -> Seek {
        Seek::new(self.reader(), byte)
    }

    /// As [`Hypercore::seek_local`], among its own bytes.
    ///
    /// # Errors
    /// [`SeekError`].
    pub fn seek_local(&self, byte: u64) -> Result<Position, SeekError> {
        self.reader().seek(byte)
    }

    /// A piece of user data as it was then; `None` where there was none.
    ///
    /// # Errors
    /// [`UserDataError`] where the handle was closed or the store can not be read.
    pub fn user_data(&self, key: &str) -> Result<Option<Bytes>, UserDataError> {
        if self.session.is_closed() {
            return Err(UserDataError::Closed);
        }
        if is_reserved(key) {
            return Ok(None);
        }
        Ok(self.frozen.stored.user_data(key)?)
    }

    /// Whether it was closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.session.is_closed()
    }

    /// Closes it, and the log if no other session is open. Closing twice is no error.
    ///
    /// # Errors
    /// As [`Hypercore::close`].
    pub async fn close(&self) -> Result<(), CloseError> {
        self.session.close().await
    }
}

impl Clone for Snapshot {
    /// Another session on the same state.
    fn clone(&self) -> Self {
        Self {
            session: self.session.clone(),
            frozen: self.frozen.clone(),
        }
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot")
            .field("key", &self.key())
            .field("length", &self.length())
            .field("fork", &self.fork())
            .finish_non_exhaustive()
    }
}
