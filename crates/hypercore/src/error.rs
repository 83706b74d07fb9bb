//! One error for each operation: what went wrong, with what, and whose doing it was.

use std::error::Error as StdError;
use std::sync::Arc;

use hc_merkle::manifest::ManifestError;
use hc_merkle::{BlockIndex, CoreKey, DiscoveryKey, Length, PublicKey, SignError, SignatureError};
use hc_storage::StorageError;
use thiserror::Error;

use crate::atom::AtomError;
use crate::branch::{BranchError, MergeError, RebaseError};
use crate::core::conflict::Conflict;
use crate::core::lane::LaneError;
use crate::core::publish::CommitError;
use crate::encryption::EncryptionError;
use crate::identity::SetManifestError;
use crate::limits::MAX_BLOCK_BYTES;
use crate::read::SeekError;
use crate::signer::SealError;
use crate::write::{ClearError, TruncateError, UserDataError};

/// Why a log was not opened.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The store did not open.
    #[error(transparent)]
    Store(#[from] hc_storage::OpenError),
    /// The store refused.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The store has no such log, and none was to be created.
    #[error("the store has no log {}", key.map_or_else(|| "yet".to_owned(), |key| key.to_string()))]
    Missing {
        /// Which was asked for, if any was.
        key: Option<CoreKey>,
    },
    /// The store has no log with this discovery key; its key alone could make it one.
    #[error("the store has no log with discovery key {discovery_key}")]
    Unknown {
        /// Which was asked for.
        discovery_key: DiscoveryKey,
    },
    /// The store has no log of this name, and no primary key to derive one from: it is only read, or
    /// without its secrets.
    #[error("the store has no log named {name:?}")]
    Unnamed {
        /// The name.
        name: String,
    },
    /// The store of several logs was closed.
    #[error("the store is closed")]
    Closed,
    /// A write, this or an earlier one, ended without saying whether it was stored: open the store
    /// again to know.
    #[error("a write ended in doubt; open the store again")]
    InDoubt,
    /// The log was signed twice, and was frozen for it. [`Builder::read_frozen`](crate::Builder) opens
    /// it all the same, to read what is stored.
    #[error("log {key:?} is frozen: {conflict}")]
    Frozen {
        /// The log.
        key: CoreKey,
        /// Why.
        #[source]
        conflict: Conflict,
    },
    /// The user data that was given has a key of the library's own.
    #[error("user data under the key {name:?} is not the application's")]
    ReservedUserData {
        /// The key.
        name: String,
    },
    /// The manifest is invalid, or another log's.
    #[error("manifest: {0}")]
    Manifest(#[from] ManifestError),
    /// The key pair may not sign for this log.
    #[error("{public_key:?} may not sign for log {key:?}")]
    NotASigner {
        /// The log.
        key: CoreKey,
        /// Whose key it is.
        public_key: PublicKey,
    },
    /// The secret key in the store is not one.
    #[error("the stored secret key of log {key:?} is damaged")]
    SecretKey {
        /// The log.
        key: CoreKey,
    },
    /// The log was encrypted by another scheme than the one that was given.
    #[error("log {key:?} is encrypted by another scheme")]
    OtherEncryption {
        /// The log.
        key: CoreKey,
    },
    /// The log has blocks of plain text, so that none can be encrypted.
    #[error("log {key:?} is not encrypted")]
    NotEncrypted {
        /// The log.
        key: CoreKey,
    },
    /// An option was set twice, or together with one that excludes it.
    #[error("option `{option}` was set twice, or with another that excludes it")]
    Contradiction {
        /// Which.
        option: &'static str,
    },
    /// Without the feature `async-std`, the builder has to be given a runtime.
    #[error("no runtime was given, and the feature `async-std` is off")]
    NoRuntime,
    /// The operating system gave no randomness for a new key.
    #[error("no randomness for a new key: {0}")]
    Randomness(getrandom::Error),
    /// The job that opened the store did not end.
    #[error("opening was interrupted")]
    Interrupted,
}

/// Why nothing was appended. Every error leaves the log as it was, but for
/// [`InDoubt`](Self::InDoubt).
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AppendError {
    /// There is no secret key for this log here, or the store is read-only.
    #[error("the log is not writable here")]
    NotWritable,
    /// Roots of the log's tree are lost: see [`Hypercore::repairing`](crate::Hypercore::repairing).
    #[error("the log has lost roots of its tree, and waits for a peer to bring them back")]
    Repairing,
    /// The log is encrypted, and this handle has no key for it.
    #[error("the log is encrypted, and its encryption key was not given")]
    EncryptionKeyMissing,
    /// A block is too large to be sent to peers.
    #[error("block {position} of the batch has {bytes} bytes, the limit is {MAX_BLOCK_BYTES}")]
    BlockTooLarge {
        /// Which of the blocks appended together, from 0.
        position: usize,
        /// Its bytes, as they would be stored.
        bytes: usize,
    },
    /// A block was not encrypted.
    #[error("encryption: {0}")]
    Encryption(#[from] EncryptionError),
    /// The log would have more blocks or bytes than can be counted.
    #[error(transparent)]
    TooLong(hc_merkle::AppendError),
    /// The log would be longer than [`Append::max_length`](crate::Append::max_length) allows.
    #[error("the log would have {length} blocks, and was to have {max} at most")]
    MaxLength {
        /// How many it would have.
        length: Length,
        /// How many it was to have at most.
        max: Length,
    },
    /// The manifest fixes the beginning of the log, which is appended as a whole.
    #[error("the log begins with a prologue of {prologue} blocks, which are appended together")]
    BelowPrologue {
        /// Length of its fixed beginning.
        prologue: Length,
    },
    /// The log would not begin as its manifest says.
    #[error("the blocks are not the prologue of the log")]
    OtherPrologue,
    /// There was no signature.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// The [external signer](crate::ExternalSigner) failed or refused.
    #[error("the signer: {0}")]
    Signer(Box<dyn StdError + Send + Sync>),
    /// The signature that was given, or that the external signer made, does not hold.
    #[error(transparent)]
    Signature(SignatureError),
    /// The log was signed twice, and is frozen.
    #[error(transparent)]
    Conflict(#[from] Conflict),
    /// A peer had more of the log, signed by its writer: this is a backup that was restored. Nothing was
    /// appended. The log has what that peer has now; if more is to be appended, append again.
    #[error(
        "the log had {had} blocks and a peer has {length}: it was restored from a backup; it has them now, append again to go on from there"
    )]
    Behind {
        /// Blocks that the log had when it was opened.
        had: Length,
        /// Blocks that it has now.
        length: Length,
    },
    /// A peer has to [say](crate::PeerCheck::required) first how long the log is, and none did in time.
    #[error("no peer has said yet how long the log is; connect with one and append again")]
    NoPeer,
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

/// Why there is no block.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum GetError {
    /// The block is not stored here, and was not to be waited for.
    #[error("block {index} is not stored here")]
    NotLocal {
        /// Which.
        index: BlockIndex,
    },
    /// No log can ever have so many blocks.
    #[error(
        "block {index} is past any log, of at most {} blocks",
        hc_merkle::limits::MAX_LENGTH
    )]
    PastAnyLog {
        /// Which.
        index: BlockIndex,
    },
    /// The time to wait is over.
    #[error("block {index} did not arrive in time")]
    TimedOut {
        /// Which.
        index: BlockIndex,
    },
    /// The log was cut below the block while it was waited for. A reader that follows a later fork says so
    /// only where the nodes that it has stored show it: else the block of that fork is waited for.
    #[error("block {index} was truncated")]
    Truncated {
        /// Which.
        index: BlockIndex,
    },
    /// The snapshot has no such block.
    #[error("block {index} is past the end of the snapshot of log {}, at {length}", log.to_z32())]
    PastSnapshot {
        /// Which.
        index: BlockIndex,
        /// Blocks in the snapshot.
        length: Length,
        /// Of which log.
        log: DiscoveryKey,
    },
    /// The store says that it has the block, and does not.
    #[error("block {index} is missing from the store")]
    Lost {
        /// Which.
        index: BlockIndex,
    },
    /// What peers send cannot be stored: the disk may be full. The store takes no more writes until it
    /// is opened again.
    #[error("block {index} could not be stored: {error}")]
    Unstorable {
        /// Which.
        index: BlockIndex,
        /// What the store said.
        #[source]
        error: Arc<StorageError>,
    },
    /// The block was not decrypted.
    #[error("block {index}: {source}")]
    Encryption {
        /// Which.
        index: BlockIndex,
        /// Why.
        source: EncryptionError,
    },
    /// The log was signed twice, and is frozen.
    #[error(transparent)]
    Conflict(#[from] Conflict),
    /// The handle was closed.
    #[error("the log is closed")]
    Closed,
    /// The store refused.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// Why a download ended before all blocks were here.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DownloadError {
    /// The time to wait is over. What arrived is stored.
    #[error("the download did not end in time")]
    TimedOut,
    /// The log was cut below a block of the list.
    #[error("the log was truncated below what was asked for")]
    Truncated,
    /// The log was signed twice, and is frozen.
    #[error(transparent)]
    Conflict(#[from] Conflict),
    /// The handle was closed.
    #[error("the log is closed")]
    Closed,
    /// What peers send cannot be stored: the disk may be full. The store takes no more writes until it
    /// is opened again.
    #[error(transparent)]
    Storage(Arc<StorageError>),
}

/// Why an update did not come to an end.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum UpdateError {
    /// The time to wait is over.
    #[error("peers did not answer in time")]
    TimedOut,
    /// The log was signed twice, and is frozen.
    #[error(transparent)]
    Conflict(#[from] Conflict),
    /// The handle was closed.
    #[error("the log is closed")]
    Closed,
    /// What peers send cannot be stored: the disk may be full. The store takes no more writes until it
    /// is opened again.
    #[error(transparent)]
    Storage(Arc<StorageError>),
}

/// Why there are no facts about the log.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum InfoError {
    /// The store refused.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// Why what another process wrote was not taken in.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RefreshError {
    /// The handle was closed.
    #[error("the log is closed")]
    Closed,
    /// An earlier write ended in doubt.
    #[error("a write ended in doubt; open the log again")]
    InDoubt,
    /// The store refused.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The job that read the store did not end.
    #[error("reading was interrupted")]
    Interrupted,
}

/// What the store said when the log was closed. It is closed all the same.
#[derive(Debug, Error)]
#[error(transparent)]
pub struct CloseError(#[from] pub(crate) StorageError);

/// What stands in the way of every write.
macro_rules! write_errors {
    ($($error:ident),*) => {$(
        impl From<LaneError> for $error {
            fn from(error: LaneError) -> Self {
                match error {
                    LaneError::Closed => Self::Closed,
                    LaneError::Poisoned => Self::InDoubt,
                }
            }
        }

        impl From<CommitError> for $error {
            fn from(error: CommitError) -> Self {
                match error {
                    CommitError::Storage(error) => Self::Storage(error),
                    CommitError::InDoubt => Self::InDoubt,
                }
            }
        }
    )*};
}
write_errors!(AppendError, TruncateError, ClearError, UserDataError);
write_errors!(BranchError, MergeError, RebaseError, AtomError);

/// What stands in the way of every signature.
macro_rules! seal_errors {
    ($($error:ident),*) => {$(
        impl From<SealError> for $error {
            fn from(error: SealError) -> Self {
                match error {
                    SealError::NotWritable => Self::NotWritable,
                    SealError::Sign(error) => Self::Sign(error),
                    SealError::Signer(error) => Self::Signer(error),
                    SealError::Signature(error) => Self::Signature(error),
                    SealError::Closed => Self::Closed,
                }
            }
        }
    )*};
}
seal_errors!(AppendError, TruncateError, MergeError);

impl From<LaneError> for OpenError {
    fn from(error: LaneError) -> Self {
        match error {
            LaneError::Closed => Self::Closed,
            LaneError::Poisoned => Self::InDoubt,
        }
    }
}

impl From<CommitError> for OpenError {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Storage(error) => Self::Storage(error),
            CommitError::InDoubt => Self::InDoubt,
        }
    }
}

impl From<SetManifestError> for OpenError {
    fn from(error: SetManifestError) -> Self {
        match error {
            SetManifestError::Manifest(error) => Self::Manifest(error),
            SetManifestError::ReadOnly => Self::Storage(StorageError::ReadOnly),
            SetManifestError::Closed => Self::Closed,
            SetManifestError::InDoubt => Self::InDoubt,
            SetManifestError::Storage(error) => Self::Storage(error),
        }
    }
}

impl From<LaneError> for RefreshError {
    fn from(error: LaneError) -> Self {
        match error {
            LaneError::Closed => Self::Closed,
            LaneError::Poisoned => Self::InDoubt,
        }
    }
}

/// A handle, or the whole log, is of no use any more: it was closed, or is frozen.
pub(crate) struct Closed(pub(crate) Option<Conflict>);

macro_rules! closed_errors {
    ($($error:ty),*) => {$(
        impl From<Closed> for $error {
            fn from(closed: Closed) -> Self {
                closed.0.map_or(Self::Closed, Self::Conflict)
            }
        }
    )*};
}
closed_errors!(AppendError, GetError, DownloadError, UpdateError, SeekError);
