//! Making a log shorter.

use std::error::Error as StdError;
use std::future::IntoFuture;
use std::sync::Arc;

use bytes::Bytes;
use hc_merkle::{ByteLength, Fork, Head, Length, SignError, SignatureError};
use hc_storage::{Durability, StorageError};
use thiserror::Error;

use crate::core::{Seal, TruncateOptions};
use crate::hypercore::Hypercore;
use crate::rt::BoxFuture;
use crate::session::Handle;
use crate::signer::ExternalSigner;

/// Where a log stands after a truncation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Truncated {
    /// Blocks in the log.
    pub length: Length,
    /// Bytes in all blocks, as stored.
    pub byte_length: ByteLength,
    /// The fork that it is on now.
    pub fork: Fork,
}

impl Truncated {
    pub(crate) fn at(head: &Head) -> Self {
        Self {
            length: head.length(),
            byte_length: head.byte_length(),
            fork: head.fork(),
        }
    }
}

/// Why nothing was truncated. Every error leaves the log as it was, but for
/// [`InDoubt`](Self::InDoubt).
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TruncateError {
    /// There is no secret key for this log here, the handle is read-only, or the store is. (Who only
    /// reads a log can still cut it to nothing, on the fork that it is on.)
    #[error("the log is not writable here")]
    NotWritable,
    /// Roots of the log's tree are lost: see [`Hypercore::repairing`].
    #[error("the log has lost roots of its tree, and waits for a peer to bring them back")]
    Repairing,
    /// The log is not that long.
    #[error("length {length} is past the end of the log, at {present}")]
    Longer {
        /// What it was to be cut to.
        length: Length,
        /// What it has.
        present: Length,
    },
    /// The fork is not above the present one. Blocks of one index may differ from fork to fork, never
    /// within one: readers tell old from new by it, and block encryption relies on it.
    #[error("a truncated log needs a fork above {present}")]
    ForkNotHigher {
        /// The fork that it is on.
        present: Fork,
    },
    /// The manifest fixes the beginning of the log.
    #[error("length {length} is below the prologue of the log, of {prologue} blocks")]
    BelowPrologue {
        /// What it was to be cut to.
        length: Length,
        /// Length of its fixed beginning.
        prologue: Length,
    },
    /// The stored tree does not lead to that length.
    #[error("the tree: {0}")]
    Tree(hc_merkle::TruncateError),
    /// There was no signature.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// The external signer failed or refused.
    #[error("the signer: {0}")]
    Signer(Box<dyn StdError + Send + Sync>),
    /// The signature that was given, or that the external signer made, is not one over the shorter log.
    #[error(transparent)]
    Signature(#[from] SignatureError),
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

impl From<hc_merkle::TruncateError> for TruncateError {
    fn from(error: hc_merkle::TruncateError) -> Self {
        match error {
            hc_merkle::TruncateError::Longer { length, present } => {
                Self::Longer { length, present }
            }
            other => Self::Tree(other),
        }
    }
}

/// A truncation that was asked for; see [`Hypercore::truncate`].
#[derive(Debug)]
#[must_use = "nothing is truncated unless it is awaited"]
pub struct Truncate {
    handle: Handle,
    length: Length,
    options: TruncateOptions,
}

impl Truncate {
    /// The fork that begins with it, which has to be above the present one; one above it by default.
    pub fn fork(mut self, fork: u64) -> Self {
        self.options.fork = Some(Fork::new(fork));
        self
    }

    /// What it has to survive before it is acknowledged, instead of what the log was opened with.
    pub fn durability(mut self, level: Durability) -> Self {
        self.options.level = level;
        self
    }

    /// Who signs, instead of who signs for the log; see [`Append::signer`](crate::Append::signer).
    pub fn signer(mut self, signer: impl ExternalSigner + 'static) -> Self {
        self.options.seal = Seal::By(Arc::new(signer));
        self
    }

    /// The signature over the log as it will be, on the fork that begins, as it stands in proofs. Needs no
    /// secret key; if the signature does not hold, nothing is truncated.
    pub fn signature(mut self, signature: impl Into<Bytes>) -> Self {
        self.options.seal = Seal::Given(signature.into());
        self
    }

    async fn run(self) -> Result<Truncated, TruncateError> {
        let Self {
            handle,
            length,
            options,
        } = self;
        handle.core.truncate(&handle, length, options).await
    }
}

impl IntoFuture for Truncate {
    type Output = Result<Truncated, TruncateError>;
    type IntoFuture = BoxFuture<Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

impl Hypercore {
    /// Cuts the log to its first `length` blocks and begins a new fork: a future that gives the state
    /// after it. To the present length is legal too. A log that is only
    /// read can be cut to nothing, which drops what is stored of it and leaves its fork as it is.
    ///
    /// [Snapshots](Self::snapshot) go on showing what they showed.
    ///
    /// ```
    /// # futures_lite::future::block_on(async {
    /// # use hypercore::{Hypercore, Storage};
    /// # let log = Hypercore::builder(Storage::memory()).open().await.unwrap();
    /// log.append_batch(["a", "b", "c"]).await.unwrap();
    /// let truncated = log.truncate(1).await?;
    /// assert_eq!((truncated.length.get(), truncated.fork.get()), (1, 1));
    /// # Ok::<(), hypercore::TruncateError>(())
    /// # }).unwrap();
    /// ```
    pub fn truncate(&self, length: u64) -> Truncate {
        Truncate {
            handle: self.handle(),
            length: Length::new(length),
            options: TruncateOptions {
                level: self.core.durability,
                seal: Seal::Own,
                fork: None,
            },
        }
    }
}
