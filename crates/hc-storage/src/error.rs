//! What can go wrong with a store, and where. Every error names the file or the log it is about.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use hc_merkle::{BlockIndex, DiscoveryKey, Fork, Length};
use thiserror::Error;

use crate::batch::BatchError;

/// Why a store did not open.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// There is no store there, and none was to be made.
    #[error("no store at {}", path.display())]
    Missing {
        /// Where.
        path: PathBuf,
    },
    /// There is a directory with something else in it.
    #[error("{} is not empty and holds no store", path.display())]
    NotAStore {
        /// Where.
        path: PathBuf,
    },
    /// Another process, or another handle in this one, has it open for writing.
    #[error("store {} is locked{}", path.display(), Held(holder.as_ref()))]
    Locked {
        /// Where.
        path: PathBuf,
        /// Who, as far as the lock file says.
        holder: Option<Holder>,
    },
    /// A file was written by another version of this program.
    #[error("{} has format version {found}, this program reads version {supported}", path.display())]
    Version {
        /// Which file.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The version that would do.
        supported: u32,
    },
    /// Something in the store is not what was written.
    #[error(transparent)]
    Damaged(#[from] Damage),
    /// The operating system refused.
    #[error(transparent)]
    Io(#[from] IoFault),
    /// The index could be neither opened nor rebuilt.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// The index could not be brought up to date with the log.
    #[error("the index could not be brought up to date: {cause}")]
    Poisoned {
        /// What happened.
        cause: Arc<StorageError>,
    },
}

impl From<OpenError> for StorageError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Damaged(damage) => Self::Damaged(damage),
            OpenError::Io(fault) => Self::Io(fault),
            OpenError::Index(error) => Self::Index(error),
            OpenError::Poisoned { cause } => Self::Poisoned { cause },
            // the log that was being read is not the one that is there now
            _ => Self::Rewound,
        }
    }
}

/// Why a call on an open store did nothing.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StorageError {
    /// The log is not where the batch expects it.
    #[error("batch for fork {} length {}, the log is at fork {} length {}", expected.0, expected.1, found.0, found.1)]
    Stale {
        /// Fork and length that the batch was made for.
        expected: (Fork, Length),
        /// Those of the log.
        found: (Fork, Length),
    },
    /// The batch makes no sense.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// The store has this log.
    #[error("log {key} exists")]
    CoreExists {
        /// Which.
        key: DiscoveryKey,
    },
    /// The store does not have this log.
    #[error("no log {key}")]
    NoCore {
        /// Which.
        key: DiscoveryKey,
    },
    /// The log was deleted while this handle was open.
    #[error("log {key} was deleted")]
    CoreDeleted {
        /// Which.
        key: DiscoveryKey,
    },
    /// Another log has the name.
    #[error("log {key} has the name {name:?}")]
    NameTaken {
        /// The name.
        name: String,
        /// Whose it is.
        key: DiscoveryKey,
    },
    /// The log has another name.
    #[error("log {key} has another name than {name:?}")]
    OtherName {
        /// Which log.
        key: DiscoveryKey,
        /// The name that it was to get.
        name: String,
    },
    /// A name is longer than [`MAX_NAME_LEN`](crate::limits::MAX_NAME_LEN).
    #[error("a name of {len} bytes, the limit is {}", crate::limits::MAX_NAME_LEN)]
    NameTooLong {
        /// Its bytes.
        len: usize,
    },
    /// The log is in another group, and stays there.
    #[error("log {key} is in another group")]
    OtherGroup {
        /// Which log.
        key: DiscoveryKey,
    },
    /// The store keeps another secret, and keeps it.
    #[error("the store keeps another secret")]
    OtherSecret,
    /// The log has a branch of this name.
    #[error("branch {name:?} exists")]
    BranchExists {
        /// Which.
        name: String,
    },
    /// The log does not have this branch, or not any more.
    #[error("no branch {name:?}")]
    NoBranch {
        /// Which.
        name: String,
    },
    /// A branch has no branches of its own.
    #[error("a branch cannot have branches")]
    BranchOfBranch,
    /// Something was to be done to logs of several stores at once.
    #[error("a log belongs to another store")]
    OtherStore,
    /// The handle only reads.
    #[error("store is open for reading only")]
    ReadOnly,
    /// The store was closed.
    #[error("store is closed")]
    Closed,
    /// A block's bytes are not those that were stored.
    #[error("block {block} of log {core} is damaged: segment {segment}, offset {offset}")]
    BlockDamaged {
        /// Of which log.
        core: DiscoveryKey,
        /// Which block.
        block: BlockIndex,
        /// Number of the log segment.
        segment: u32,
        /// Where its bytes start in it.
        offset: u32,
    },
    /// A part of the store's log is damaged, and what was last appended to this log, whose secret key is
    /// here, may have been in it: appending now could sign the same length a second time.
    #[error(
        "{damage}, and the last appends to log {core} may have been there: compare its length with a peer's, then repair the store"
    )]
    AppendsLost {
        /// To which log nothing is appended.
        core: DiscoveryKey,
        /// What is damaged.
        damage: Damage,
    },
    /// Something in the store is not what was written.
    #[error(transparent)]
    Damaged(#[from] Damage),
    /// The index does not answer. It is rebuilt when the store is opened again; nothing is lost.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// The operating system refused.
    #[error(transparent)]
    Io(#[from] IoFault),
    /// An earlier write did not succeed. What the device holds of it is found out by opening the store
    /// again; until then it takes no writes.
    #[error("store takes no writes until it is opened again: {cause}")]
    Poisoned {
        /// What happened then.
        cause: Arc<StorageError>,
    },
    /// The writer of a store that is read beside it took back what it had written. Open it again.
    #[error("log was shortened by its writer, open it again")]
    Rewound,
}

/// A call to the operating system that did not succeed.
#[derive(Debug, Error)]
#[error("{action} {}: {source}", path.display())]
pub struct IoFault {
    /// What was tried.
    pub action: Action,
    /// On which file or directory.
    pub path: PathBuf,
    /// What the system said.
    #[source]
    pub source: io::Error,
}

impl IoFault {
    /// Whether the device or the user's share of it is full.
    #[must_use]
    pub fn is_full(&self) -> bool {
        matches!(
            self.source.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
        )
    }

    /// Whether the file or directory may not be written to, or read.
    #[must_use]
    pub fn is_denied(&self) -> bool {
        let kind = self.source.kind();
        matches!(
            kind,
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem
        )
    }

    /// The same fault again: the system's errors cannot be cloned.
    pub(crate) fn duplicate(&self) -> Self {
        let source = match self.source.raw_os_error() {
            Some(code) => io::Error::from_raw_os_error(code),
            None => self.source.kind().into(),
        };
        Self {
            action: self.action,
            path: self.path.clone(),
            source,
        }
    }
}

/// What was tried on a file or a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Action {
    /// Making it.
    Create,
    /// Opening it.
    Open,
    /// Reading from it.
    Read,
    /// Writing to it.
    Write,
    /// Bringing it to the device.
    Sync,
    /// Cutting it.
    Truncate,
    /// Listing it.
    List,
    /// Giving it another name.
    Rename,
    /// Removing it.
    Remove,
    /// Locking it.
    Lock,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Create => "create",
            Self::Open => "open",
            Self::Read => "read",
            Self::Write => "write",
            Self::Sync => "sync",
            Self::Truncate => "truncate",
            Self::List => "list",
            Self::Rename => "rename",
            Self::Remove => "remove",
            Self::Lock => "lock",
        })
    }
}

/// A place in the store whose bytes are not those that were written.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{} is damaged at byte {offset}: {kind}", path.display())]
pub struct Damage {
    /// Which file.
    pub path: PathBuf,
    /// Where in it.
    pub offset: u64,
    /// What is wrong.
    pub kind: DamageKind,
}

/// What is wrong with a damaged place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DamageKind {
    /// The first bytes are not those of such a file.
    #[error("not a segment header")]
    SegmentHeader,
    /// A checksum does not match, or the bytes end early, in a frame known to have been on the device.
    #[error("frame is torn or altered")]
    Frame,
    /// The checksum matches and the content makes no sense.
    #[error("frame has no meaning")]
    FrameContent,
    /// Frames between this place and what follows are gone.
    #[error("frames are missing")]
    Missing,
    /// The file that says how far the log is known to reach is not one, or that of another store.
    #[error("recorded position of the log is altered")]
    Position,
    /// A record of the file of secret keys is torn or altered, or its header is.
    #[error("record of a secret key is torn or altered")]
    Secret,
    /// A byte of a record of the file of secret keys is altered, and it is known what it was: the key is
    /// there.
    #[error("a byte of a secret key's record is altered; the key is still known")]
    SecretCorrected,
    /// A node that the head needs is not stored.
    #[error("a root of the tree is missing")]
    Root,
}

/// The index does not answer; what it holds can be rebuilt from the log.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum IndexError {
    /// The engine below returned an error.
    #[error("index {}: {reason:?}", path.display())]
    Engine {
        /// Directory of the index.
        path: PathBuf,
        /// What kind.
        reason: IndexFault,
    },
    /// An entry is not what was written.
    #[error("index {} has a damaged entry", path.display())]
    Entry {
        /// Directory of the index.
        path: PathBuf,
    },
}

/// What kind of fault the engine below the index reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum IndexFault {
    /// It found its own files damaged.
    Corrupt,
    /// The operating system refused; the kind of refusal.
    Io(io::ErrorKind),
    /// It panicked.
    Panicked,
    /// It refused for another reason.
    Refused,
}

/// Who holds the lock of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Its process.
    pub pid: u32,
    /// The machine it runs on.
    pub host: String,
    /// Since when.
    pub since: SystemTime,
}

/// Prints who holds a lock, after "is locked".
struct Held<'a>(Option<&'a Holder>);

impl fmt::Display for Held<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(Holder { pid, host, since }) = self.0 else {
            return Ok(());
        };
        write!(f, " by process {pid} on {host}")?;
        let ago = SystemTime::now()
            .duration_since(*since)
            .unwrap_or_default()
            .as_secs();
        write!(f, ", for {ago} s")
    }
}
