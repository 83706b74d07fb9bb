//! The hash of the tree at a length: what is signed for it.

use std::future::IntoFuture;
use std::time::Duration;

use hc_merkle::{BlockIndex, Fork, Length, TreeHash, Truncation};
use hc_replicator::Demand;
use thiserror::Error;

use super::reader::Reader;
use super::wait::Wait;
use crate::error::GetError;
use crate::hypercore::Hypercore;
use crate::rt::BoxFuture;

/// A hash that was asked for; see [`Hypercore::tree_hash`]. Dropping it takes the question back.
#[derive(Debug)]
#[must_use = "nothing is read unless it is awaited"]
pub struct TreeHashAt {
    reader: Reader,
    length: Length,
    wait: Option<Wait>,
}

/// Why there is no hash.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TreeHashError {
    /// The roots at that length are not stored here, nor do they come.
    #[error("the tree at length {length}: {source}")]
    Block {
        /// Which length.
        length: Length,
        /// What is with the last block below it.
        source: GetError,
    },
    /// The last block is stored, but not the nodes above it.
    #[error("the roots at length {length} are missing from the store")]
    Lost {
        /// Which length.
        length: Length,
    },
}

impl TreeHashAt {
    pub(crate) fn new(reader: Reader, length: u64) -> Self {
        Self {
            reader,
            length: Length::new(length),
            wait: None,
        }
    }

    /// How long to wait for what is not stored here, instead of what the handle does by default; forever,
    /// if that says nothing.
    pub fn wait(mut self, wait: Wait) -> Self {
        self.wait = Some(wait);
        self
    }

    /// Waits for so long.
    pub fn timeout(self, timeout: Duration) -> Self {
        self.wait(Wait::For(timeout))
    }

    async fn run(self) -> Result<TreeHash, TreeHashError> {
        let (length, handle) = (self.length, &self.reader.handle);
        let fails = |source| TreeHashError::Block { length, source };
        if handle.gate.is_closed() {
            return Err(fails(GetError::Closed));
        }
        let last = BlockIndex::new(length.get().saturating_sub(1));
        let wait = self.wait.unwrap_or(handle.defaults.wait);
        let wait = match wait {
            Wait::No => wait,
            wait => wait.fixed(&handle.core),
        };
        loop {
            if let Some(hash) = self.look().map_err(fails)? {
                return Ok(hash);
            }
            if wait == Wait::No {
                return Err(fails(GetError::NotLocal { index: last }));
            }
            let was_stored = self.reader.local(last).map_err(fails)?.is_some();
            self.reader
                .fetch(Demand::Block(last), last, wait)
                .await
                .map_err(fails)?;
            if was_stored && self.look().map_err(fails)?.is_none() {
                return Err(TreeHashError::Lost { length });
            }
        }
    }

    /// The hash, if the roots are stored here.
    fn look(&self) -> Result<Option<TreeHash>, GetError> {
        let core = &self.reader.handle.core;
        let frozen = self.reader.hold()?;
        // What comes of it is not signed: the fork does not matter.
        let Ok(truncation) = Truncation::new(&frozen.head, self.length, Fork::ZERO) else {
            return match self.reader.frozen {
                Some(_) => Err(GetError::PastSnapshot {
                    index: BlockIndex::new(self.length.get().saturating_sub(1)),
                    length: frozen.head.length(),
                    log: core.discovery_key,
                }),
                None => Ok(None),
            };
        };
        let nodes = frozen.nodes(core, truncation.nodes())?;
        let draft = truncation.apply(&nodes).ok();
        if draft.is_none() && self.reader.frozen.is_some() {
            let shared = frozen.shared(core);
            if self.length > shared {
                let index = BlockIndex::new(self.length.get().saturating_sub(1));
                return Err(GetError::Truncated { index });
            }
        }
        Ok(draft.map(|draft| draft.head().tree_hash()))
    }
}

impl IntoFuture for TreeHashAt {
    type Output = Result<TreeHash, TreeHashError>;
    type IntoFuture = BoxFuture<Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

impl Hypercore {
    /// The hash of the tree over the first `length` blocks: a future to await. Where the roots at that
    /// length are not stored, the block before it is fetched, which brings them; a length that the log
    /// does not have yet is waited for. That of the present log is
    /// `log.head().`[`tree_hash`](crate::Head::tree_hash)`()`.
    ///
    /// ```
    /// # futures_lite::future::block_on(async {
    /// # use hypercore::{Hypercore, Storage};
    /// # let log = Hypercore::builder(Storage::memory()).open().await.unwrap();
    /// log.append_batch(["a", "b"]).await.unwrap();
    /// let at_two = log.head().tree_hash();
    /// log.append("c").await.unwrap();
    /// assert_eq!(log.tree_hash(2).await?, at_two);
    /// # Ok::<(), hypercore::TreeHashError>(())
    /// # }).unwrap();
    /// ```
    pub fn tree_hash(&self, length: u64) -> TreeHashAt {
        TreeHashAt::new(self.reader(), length)
    }
}
