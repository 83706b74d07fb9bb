//! Where a byte of the log lies, as the nodes of the tree tell.
//!
//! Owns reading the nodes for the walk, which is `hc-merkle`'s, and asking for those that are not here.
//! Whom to ask for what is the machine's matter.

use std::future::IntoFuture;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use futures_lite::future::yield_now;
use hc_merkle::{BlockIndex, ByteOffset, Fork, Length, Seek as Walk, Sought, drive};
use hc_replicator::{Demand, Seek as Lacking};
use hc_storage::StorageError;
use thiserror::Error;

use super::reader::Reader;
use super::wait::{Wait, Waited};
use crate::core::conflict::Conflict;
use crate::error::GetError;
use crate::hypercore::Hypercore;
use crate::rt::BoxFuture;

/// Where a byte lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// The block it is in; the length of the log for the byte after the last.
    pub index: BlockIndex,
    /// Bytes of that block's plain text before it.
    pub offset: u64,
}

/// Why it is not known where a byte lies.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SeekError {
    /// The log has fewer bytes.
    #[error("byte {byte} is past the end of the log, at {byte_length}")]
    PastEnd {
        /// Which was sought.
        byte: u64,
        /// Bytes in the log.
        byte_length: u64,
    },
    /// The nodes that tell are not stored here.
    #[error("byte {byte} is in one of the blocks {} to {}; which, is not known here", blocks.start, blocks.end.saturating_sub(1))]
    NotLocal {
        /// Which was sought.
        byte: u64,
        /// Where it may be.
        blocks: Range<u64>,
    },
    /// The time to wait is over.
    #[error("where byte {byte} is was not known in time")]
    TimedOut {
        /// Which was sought.
        byte: u64,
    },
    /// The snapshot's part of the log that the byte is in was cut off, and its nodes were not stored.
    #[error("byte {byte} was truncated")]
    Truncated {
        /// Which was sought.
        byte: u64,
    },
    /// The log was signed twice, and is frozen.
    #[error(transparent)]
    Conflict(#[from] Conflict),
    /// The handle was closed.
    #[error("the log is closed")]
    Closed,
    /// What peers send cannot be stored.
    #[error("the nodes that tell could not be stored: {0}")]
    Unstorable(#[source] Arc<StorageError>),
    /// The store could not be read.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// A byte that is looked for; see [`Hypercore::seek`]. Dropping it takes the question back.
#[derive(Debug)]
#[must_use = "nothing is looked for unless it is awaited"]
pub struct Seek {
    reader: Reader,
    byte: u64,
    wait: Option<Wait>,
}

impl Seek {
    pub(crate) fn new(reader: Reader, byte: u64) -> Self {
        Self {
            reader,
            byte,
            wait: None,
        }
    }

    /// How long to wait for what is not known here, instead of what the handle does by default; forever,
    /// if that says nothing.
    pub fn wait(mut self, wait: Wait) -> Self {
        self.wait = Some(wait);
        self
    }

    /// Waits for so long: [`SeekError::TimedOut`] after that.
    pub fn timeout(self, timeout: Duration) -> Self {
        self.wait(Wait::For(timeout))
    }

    async fn run(self) -> Result<Position, SeekError> {
        let handle = &self.reader.handle;
        if handle.gate.is_closed() {
            return Err(handle.core.closed());
        }
        let wait = self.wait.unwrap_or(handle.defaults.wait);
        let wait = match wait {
            Wait::No => wait,
            wait => wait.fixed(&handle.core),
        };
        loop {
            // Taken before looking, so that nothing that changes meanwhile is missed.
            let line = self.reader.line.as_ref();
            let changes = line.map(|line| line.watchers.watch_next());
            let missing = match self.reader.look_for(self.byte)? {
                Looked::Found(position) => return Ok(position),
                Looked::Missing(missing) => missing,
            };
            let is_past = missing.blocks.is_empty();
            let frozen = self.reader.frozen.is_some();
            if wait == Wait::No || (is_past && frozen) {
                return Err(self.reader.not_local(self.byte, missing));
            }
            match changes.filter(|_| !frozen) {
                None if !frozen => self.ask(missing, wait).await?,
                Some(mut changes) if is_past => {
                    let longer = wait.apply(&handle.core, &handle.gate, changes.next());
                    self.end(longer.await)?;
                }
                _ => self.narrow(missing.blocks, wait).await?,
            }
        }
    }

    /// Asks for nodes that tell more, or for a longer log where it ends before the byte.
    async fn ask(&self, missing: Missing, wait: Wait) -> Result<(), SeekError> {
        let handle = &self.reader.handle;
        let demand = handle.core.demand(Demand::Seek(Lacking {
            bytes: ByteOffset::new(self.byte),
            padding: self.reader.padding(),
            blocks: missing.blocks,
            at: missing.at,
        }));
        self.end(wait.apply(&handle.core, &handle.gate, demand).await)?;
        // What the store has may be about to be what everybody sees.
        yield_now().await;
        Ok(())
    }

    fn end<T>(&self, waited: Waited<T>) -> Result<T, SeekError> {
        match waited {
            Waited::Done(done) => Ok(done),
            Waited::TimedOut => Err(SeekError::TimedOut { byte: self.byte }),
            Waited::Closed(why) => Err(why.into()),
            Waited::Failed(error) => Err(SeekError::Unstorable(error)),
        }
    }

    /// Of a state that is held fast, and on a branch: fetches a block in the middle of those that the byte may be in. The
    /// nodes that prove it leave at most half of them.
    async fn narrow(&self, blocks: Range<u64>, wait: Wait) -> Result<(), SeekError> {
        let byte = self.byte;
        let middle = BlockIndex::new(blocks.start.midpoint(blocks.end));
        if let Some(frozen) = &self.reader.frozen
            && middle.get() >= frozen.shared(&self.reader.handle.core).get()
        {
            return Err(SeekError::Truncated { byte });
        }
        match self.reader.fetch(Demand::Block(middle), middle, wait).await {
            // Where it was cut, the log is looked at again.
            Ok(()) | Err(GetError::Truncated { .. }) => Ok(()),
            Err(GetError::TimedOut { .. }) => Err(SeekError::TimedOut { byte }),
            Err(GetError::Unstorable { error, .. }) => Err(SeekError::Unstorable(error)),
            Err(GetError::Storage(error)) => Err(SeekError::Storage(error)),
            Err(GetError::Conflict(conflict)) => Err(conflict.into()),
            Err(_) => Err(SeekError::Closed),
        }
    }
}

impl IntoFuture for Seek {
    type Output = Result<Position, SeekError>;
    type IntoFuture = BoxFuture<Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

/// What the stored nodes tell of a byte.
enum Looked {
    Found(Position),
    Missing(Missing),
}

/// Where a byte is that is not found.
struct Missing {
    /// It is in one of these; in none, where the log ends before it.
    blocks: Range<u64>,
    /// The log that was looked at.
    at: (Fork, Length),
}

impl Reader {
    /// Goes as far as the nodes that are stored here lead.
    fn look_for(&self, byte: u64) -> Result<Looked, StorageError> {
        let held = self.hold()?;
        let walk = Walk::new(&held.head, ByteOffset::new(byte), self.padding());
        let sought = drive(walk, |indexes| held.nodes(&self.handle.core, indexes))?;
        let at = (held.head.fork(), held.head.length());
        let end = at.1.get();
        Ok(match sought {
            Sought::Block { index, offset } => Looked::Found(Position { index, offset }),
            Sought::Within { blocks } => Looked::Missing(Missing { blocks, at }),
            Sought::Past => Looked::Missing(Missing {
                blocks: end..end,
                at,
            }),
        })
    }

    fn not_local(&self, byte: u64, missing: Missing) -> SeekError {
        let Missing { blocks, .. } = missing;
        if !blocks.is_empty() {
            return SeekError::NotLocal { byte, blocks };
        }
        let held = self.hold();
        let byte_length = held.map_or(0, |held| self.plain_length(&held.head));
        SeekError::PastEnd { byte, byte_length }
    }

    /// Finds the block that a byte lies in, by the nodes that are stored here.
    pub(crate) fn seek(&self, byte: u64) -> Result<Position, SeekError> {
        match self.look_for(byte)? {
            Looked::Found(position) => Ok(position),
            Looked::Missing(missing) => Err(self.not_local(byte, missing)),
        }
    }
}

impl Hypercore {
    /// Finds the block that a byte lies in, and where in it: a future to await. What the stored nodes do
    /// not tell is asked of peers, and a byte past the end is waited for. Bytes are those of the plain
    /// text where the handle can decrypt; the byte after the last is at the start of the block after the
    /// last.
    ///
    /// Where a peer's word alone would have to be taken for how two neighbours share their bytes, one of
    /// the two blocks is fetched.
    ///
    /// ```
    /// # futures_lite::future::block_on(async {
    /// # use hypercore::{Hypercore, Storage};
    /// # let log = Hypercore::builder(Storage::memory()).open().await.unwrap();
    /// log.append_batch(["abc", "d", "efg"]).await.unwrap();
    /// let found = log.seek(5).await?;
    /// assert_eq!((found.index.get(), found.offset), (2, 1));
    /// # Ok::<(), hypercore::SeekError>(())
    /// # }).unwrap();
    /// ```
    pub fn seek(&self, byte: u64) -> Seek {
        Seek::new(self.reader(), byte)
    }

    /// As [`seek`](Self::seek), by the nodes that are stored here alone, at once.
    ///
    /// # Errors
    /// [`SeekError`].
    ///
    /// ```
    /// # futures_lite::future::block_on(async {
    /// # use hypercore::{Hypercore, Storage};
    /// # let log = Hypercore::builder(Storage::memory()).open().await.unwrap();
    /// log.append_batch(["abc", "d", "efg"]).await.unwrap();
    /// let found = log.seek_local(3)?;
    /// assert_eq!((found.index.get(), found.offset), (1, 0));
    /// # Ok::<(), hypercore::SeekError>(())
    /// # }).unwrap();
    /// ```
    pub fn seek_local(&self, byte: u64) -> Result<Position, SeekError> {
        self.reader().seek(byte)
    }
}
