//! What can be wrong with the files that logs are read from: which file, where in it, and what.

use std::io;
use std::path::PathBuf;

use hc_storage::StorageError;
use thiserror::Error;

/// Why a log could not be read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SourceError {
    /// A store of ours did not answer.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A file of the reference's is not what it should be.
    #[error(transparent)]
    File(#[from] BadFile),
}

impl SourceError {
    /// Whether bytes on disk are not what was written, as opposed to a refusal of the system.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        match self {
            Self::File(bad) => bad.is_damage(),
            Self::Storage(error) => matches!(
                error,
                StorageError::Damaged(_) | StorageError::BlockDamaged { .. }
            ),
        }
    }
}

/// A file that cannot be read, and the place in it.
#[derive(Debug, Error)]
#[error("{}{}: {fault}", path.display(), place(*offset, fault))]
pub struct BadFile {
    /// Which file or directory.
    pub path: PathBuf,
    /// Where in it; 0 where the whole is meant.
    pub offset: u64,
    /// What is wrong.
    #[source]
    pub fault: FileFault,
}

/// Where in a file; what is not there has no place.
fn place(offset: u64, fault: &FileFault) -> String {
    match fault {
        FileFault::Absent { .. } => String::new(),
        _ => format!(" at byte {offset}"),
    }
}

impl BadFile {
    pub(crate) fn new(path: impl Into<PathBuf>, offset: u64, fault: FileFault) -> Self {
        Self {
            path: path.into(),
            offset,
            fault,
        }
    }

    /// Whether bytes are not what was written, as opposed to a refusal of the system or a feature that
    /// is not known here.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        matches!(
            self.fault,
            FileFault::Truncated | FileFault::Checksum | FileFault::Malformed { .. }
        )
    }
}

/// What is wrong with a file.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FileFault {
    /// The operating system refused.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// It ends before what has to be there.
    #[error("the file ends too early")]
    Truncated,
    /// A checksum does not match.
    #[error("a checksum does not match")]
    Checksum,
    /// The bytes have no meaning.
    #[error("{what} has no meaning")]
    Malformed {
        /// What was read there.
        what: &'static str,
    },
    /// Something that is longer than what is taken in.
    #[error("{what} of {len} bytes, the limit is {limit}")]
    TooLong {
        /// What was read there.
        what: &'static str,
        /// Its bytes.
        len: u64,
        /// Most bytes that it may have.
        limit: u64,
    },
    /// A feature that the reference does not use.
    #[error("{what} is not supported")]
    Unsupported {
        /// Which.
        what: &'static str,
    },
    /// Nothing that the reference wrote.
    #[error("{what} is not here")]
    Absent {
        /// What was looked for.
        what: &'static str,
    },
}
