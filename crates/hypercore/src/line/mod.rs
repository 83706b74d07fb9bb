//! What goes on beside a log, unsigned: what a branch and a draft can both do.
//!
//! Owns the handle. Knows nothing of where a line goes in the end.

mod state;
mod write;

use std::fmt;
use std::ops::RangeBounds;
use std::sync::Arc;

use bytes::Bytes;
use futures_lite::future;
use hc_merkle::{BlockIndex, ByteLength, CoreKey, Fork, Head, Length, TreeHash};
use hc_replicator::{Demand, Outcome};
use hc_storage::is_reserved;

pub(crate) use self::state::{Backing, Enlisted, LineStaged, LineState, Lines, Place};
use crate::error::{CloseError, GetError, InfoError};
use crate::event::{Events, State, Watch};
use crate::hypercore::{Appended, Hypercore, IntoBlock};
use crate::info::Info;
use crate::read::{Get, Position, Reader, Seek, SeekError, TreeHashAt, Wait, Waited, bounds};
use crate::session::{Defaults, Handle};
use crate::snapshot::{Snapshot, SnapshotError};
use crate::sync::Gate;
use crate::write::UserDataError;

/// An unsigned continuation of a log: what a [`Branch`](crate::Branch) and a [`Draft`](crate::Draft) can
/// both do.
///
/// What is below [`inherited`](Self::inherited) is the log's; what is above, its own. It can be written to
/// whoever may sign the log.
pub struct Line {
    pub(crate) state: Arc<LineState>,
    pub(crate) gate: Arc<Gate>,
    pub(crate) defaults: Arc<Defaults>,
}

impl Line {
    pub(crate) fn new(state: Arc<LineState>, defaults: &Defaults) -> Self {
        let defaults = Defaults {
            read_only: false,
            ..defaults.clone()
        };
        let core = state.place().core.clone();
        state.attach(|| Hypercore::new(core, defaults.clone()));
        Self {
            state,
            gate: Arc::default(),
            defaults: Hypercore::with_defaults(defaults),
        }
    }

    /// What is begun on this handle holds on to.
    pub(crate) fn handle(&self) -> Handle {
        Handle {
            core: self.state.place().core.clone(),
            gate: self.gate.clone(),
            defaults: self.defaults.clone(),
        }
    }

    fn reader(&self) -> Reader {
        Reader {
            handle: self.handle(),
            frozen: None,
            line: Some(self.state.clone()),
        }
    }

    /// The key of the log that it left, or was moved to.
    #[must_use]
    pub fn key(&self) -> CoreKey {
        self.state.place().core.key
    }

    /// Blocks in it, stored here or not.
    #[must_use]
    pub fn length(&self) -> Length {
        self.state.place().head.length()
    }

    /// Bytes in all blocks, without what encryption adds where the handle can decrypt.
    #[must_use]
    pub fn byte_length(&self) -> ByteLength {
        let head = self.head();
        ByteLength::new(self.reader().plain_length(&head))
    }

    /// Bytes that encryption adds to each block; 0 where the handle cannot decrypt.
    #[must_use]
    pub fn padding(&self) -> u64 {
        self.reader().padding()
    }

    /// How often it was truncated, counted on from the log's.
    #[must_use]
    pub fn fork(&self) -> Fork {
        self.head().fork()
    }

    /// Its present head, unsigned.
    #[must_use]
    pub fn head(&self) -> Head {
        self.state.place().head.clone()
    }

    /// The hash of its present tree.
    #[must_use]
    pub fn tree_hash(&self) -> TreeHash {
        self.head().tree_hash()
    }

    /// The hash of the tree over its first `length` blocks: a future to await.
    pub fn tree_hash_at(&self, length: u64) -> TreeHashAt {
        TreeHashAt::new(self.reader(), length)
    }

    /// Up to where it is what the log is that it left; what is above is its own.
    ///
    /// # Errors
    /// [`InfoError`] where the store can not be read.
    pub fn inherited(&self) -> Result<Length, InfoError> {
        Ok(self.state.place().backing.inherited()?)
    }

    /// Whether this handle was closed, or the log.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.gate.is_closed() || self.state.place().core.gate.is_closed()
    }

    /// Appends a block, which nobody signs, and gives the state after it.
    ///
    /// # Errors
    /// [`AppendError`](crate::AppendError); nothing was appended then.
    pub async fn append(&self, block: impl IntoBlock) -> Result<Appended, crate::AppendError> {
        self.append_blocks(vec![block.into_block()]).await
    }

    /// Appends blocks together: all of them, or none.
    ///
    /// # Errors
    /// As [`append`](Self::append).
    pub async fn append_batch<B: IntoBlock>(
        &self,
        blocks: impl IntoIterator<Item = B>,
    ) -> Result<Appended, crate::AppendError> {
        let blocks = blocks.into_iter().map(IntoBlock::into_block);
        self.append_blocks(blocks.collect()).await
    }

    /// Reads a block: a future that gives its bytes. What is the log's and not stored here is fetched; a
    /// block that does not exist yet is waited for.
    pub fn get(&self, index: u64) -> Get {
        Get::new(self.reader(), BlockIndex::new(index))
    }

    /// Finds the block that a byte lies in: a future to await.
    pub fn seek(&self, byte: u64) -> Seek {
        Seek::new(self.reader(), byte)
    }

    /// As [`seek`](Self::seek), by the nodes that are stored here alone, at once.
    ///
    /// # Errors
    /// [`SeekError`].
    pub fn seek_local(&self, byte: u64) -> Result<Position, SeekError> {
        self.reader().seek(byte)
    }

    /// Whether all blocks of a range are stored here. True for an empty range; a range without an end goes
    /// to its end.
    ///
    /// # Errors
    /// [`InfoError`] where the store can not be read.
    pub fn has(&self, range: impl RangeBounds<u64>) -> Result<bool, InfoError> {
        let place = self.state.place();
        let range = bounds(&range);
        let end = range.end.unwrap_or_else(|| place.head.length().get());
        let stored = place.backing.read().bitfield()?;
        Ok(range.start >= end || !stored.any_unset(range.start..end))
    }

    /// A piece of its user data. A branch has its own; a draft shows that of the log until it is set.
    ///
    /// # Errors
    /// [`UserDataError`] where the handle was closed or the store can not be read.
    pub fn user_data(&self, key: &str) -> Result<Option<Bytes>, UserDataError> {
        if self.is_closed() {
            return Err(UserDataError::Closed);
        }
        if is_reserved(key) {
            return Ok(None);
        }
        Ok(self.state.place().backing.read().user_data(key)?)
    }

    /// Stores a piece of user data under a key, in place of what was there.
    ///
    /// # Errors
    /// [`UserDataError`].
    pub async fn set_user_data(
        &self,
        key: impl Into<String>,
        value: impl IntoBlock,
    ) -> Result<(), UserDataError> {
        let value = Some(value.into_block());
        self.write_user_data(key.into(), value).await
    }

    /// Removes a piece of user data. No error where there is none.
    ///
    /// # Errors
    /// [`UserDataError`].
    pub async fn remove_user_data(&self, key: impl Into<String>) -> Result<(), UserDataError> {
        self.write_user_data(key.into(), None).await
    }

    /// Facts about it.
    ///
    /// # Errors
    /// [`InfoError`] where the store can not be read.
    pub fn info(&self) -> Result<Info, InfoError> {
        let place = self.state.place();
        let core = &place.core;
        let stored = place.backing.read().bitfield()?;
        Ok(Info {
            key: core.key,
            discovery_key: core.discovery_key,
            length: place.head.length(),
            contiguous_length: Length::new(stored.contiguous_len()),
            stored: Length::new(stored.count(0..place.head.length().get())),
            byte_length: self.byte_length(),
            fork: place.head.fork(),
            padding: self.padding(),
            writable: !self.is_closed(),
            has_secret_key: core.has_secret_key,
            encrypted: core.is_encrypted(),
            tree_hash: place.head.tree_hash(),
        })
    }

    /// It as it is now, whatever becomes of it and of the log: a handle to read from.
    ///
    /// # Errors
    /// [`SnapshotError`] where the handle was closed or the store can not be read.
    pub fn snapshot(&self) -> Result<Snapshot, SnapshotError> {
        if self.is_closed() {
            return Err(SnapshotError::Closed);
        }
        let core = self.state.place().core.clone();
        let session = Hypercore::new(core, (*self.defaults).clone());
        Ok(Snapshot::new(session, self.state.freeze()?))
    }

    /// What happens to it from now on: that it grows, is cut, or becomes one of another log.
    pub fn events(&self) -> Events {
        Events(self.state.hub.subscribe())
    }

    /// Its state now, and then whenever it has changed. Its contiguous length is not counted.
    pub fn watch(&self) -> Watch {
        let state: State = self.state.place().state();
        self.state.watchers.watch(state, self.is_closed())
    }

    /// Closes this handle: whatever waits on it ends with `Closed`. With the last handle of it and of the
    /// log, closes the log.
    ///
    /// # Errors
    /// [`CloseError`] where the store could not bring everything to the disk; it is closed all the same.
    pub async fn close(&self) -> Result<(), CloseError> {
        match self.detach() {
            Some(session) => session.close().await,
            None => Ok(()),
        }
    }

    fn detach(&self) -> Option<Hypercore> {
        self.gate.close().then(|| self.state.detach()).flatten()
    }

    pub(crate) fn duplicate(&self) -> Self {
        let line = Self::new(self.state.clone(), &self.defaults);
        if self.gate.is_closed() {
            drop(line.detach());
        }
        line
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        drop(self.detach());
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.state.fmt(f)
    }
}

impl fmt::Debug for LineState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = self.place();
        f.debug_struct("Line")
            .field("name", &self.name)
            .field("key", &place.core.key)
            .field("length", &place.head.length())
            .field("fork", &place.head.fork())
            .finish_non_exhaustive()
    }
}

impl LineState {
    /// Waits for a block, and says once it may be stored.
    pub(crate) async fn fetch(
        &self,
        gate: &Gate,
        what: Demand,
        index: BlockIndex,
        wait: Wait,
    ) -> Result<(), GetError> {
        let turned = self.listen();
        if self.read(index)?.is_some() {
            return Ok(());
        }
        let place = self.place();
        let core = &place.core;
        let changed = async {
            let closed = async {
                core.gate.closed().await;
                None
            };
            let turned = async {
                turned.await;
                Some(Outcome::Available)
            };
            future::or(turned, closed).await
        };
        let waited = if index.get() < place.backing.inherited()?.get() {
            // the log may be left for another meanwhile, which is then asked
            let demand = core.demand(what);
            wait.apply(core, gate, future::or(changed, demand)).await
        } else if index.get() >= place.head.length().get() {
            wait.apply(core, gate, changed).await
        } else {
            // it was its own, and nobody else has it
            return Err(GetError::NotLocal { index });
        };
        match waited {
            Waited::Done(Outcome::Available) => Ok(()),
            Waited::Done(_) => Err(GetError::Truncated { index }),
            Waited::TimedOut => Err(GetError::TimedOut { index }),
            Waited::Closed(why) => Err(why.into()),
            Waited::Failed(error) => Err(GetError::Unstorable { index, error }),
        }
    }
}
