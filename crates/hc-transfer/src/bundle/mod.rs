//! One log as one file, which can be verified by whoever reads it from front to back.
//!
//! Owns the format, which `docs/bundle.md` describes byte by byte. A bundle is what replication would
//! have sent, written down: the manifest, the signed head, and each block with the nodes that whoever
//! took everything before it lacks. So every block is verified before it is stored, memory does not
//! grow with the log, and a bundle that was cut off is good up to there. It never has a secret key.

mod frame;
mod header;
mod import;
mod read;
mod write;

use std::io;
use std::ops::Range;

use hc_merkle::{ManifestError, ProofError, SignatureError};
use thiserror::Error;

use crate::intake::IntakeError;
use crate::proofs::ProveError;

pub use header::BundleHeader;
pub use import::{Imported, import};
pub use read::Bundle;
pub use write::{Exported, export, write};

/// What of a log goes into a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportOptions {
    blocks: Range<u64>,
    without_user_data: bool,
}

impl ExportOptions {
    /// Only these blocks, as far as the log has them; all by default. The head is always that of the
    /// whole log.
    #[must_use]
    pub fn blocks(mut self, blocks: Range<u64>) -> Self {
        self.blocks = blocks;
        self
    }

    /// Leaves user data out.
    #[must_use]
    pub fn without_user_data(mut self) -> Self {
        self.without_user_data = true;
        self
    }
}

impl Default for ExportOptions {
    fn default() -> Self {
        Self {
            blocks: 0..u64::MAX,
            without_user_data: false,
        }
    }
}

/// Why no bundle was written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ExportError {
    /// The log is not what it says.
    #[error(transparent)]
    Source(#[from] ProveError),
    /// The bundle could not be written.
    #[error("write the bundle: {0}")]
    Io(#[from] io::Error),
    /// There is more user data than a bundle takes.
    #[error("the log has too much user data for a bundle")]
    TooMuchUserData,
    /// There is a bundle already.
    #[error("there is a file already")]
    Exists,
}

/// Why a bundle could not be read, or is not one.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BundleError {
    /// The operating system refused.
    #[error("read the bundle: {0}")]
    Io(#[from] io::Error),
    /// It is not what was written; the place is that of the record with the fault.
    #[error("the bundle is damaged at byte {offset}: {fault}")]
    Damaged {
        /// Where the record starts.
        offset: u64,
        /// What is wrong with it.
        #[source]
        fault: BundleFault,
    },
    /// It is of a version that is not known here.
    #[error("the bundle has format version {found}, this program reads version 1")]
    Version {
        /// Its version.
        found: u8,
    },
}

/// What is wrong with a record of a bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BundleFault {
    /// It does not begin as bundles do.
    #[error("this is no bundle")]
    Magic,
    /// The file ends before the bundle does.
    #[error("the file ends too early")]
    Truncated,
    /// A checksum does not match.
    #[error("a checksum does not match")]
    Checksum,
    /// The bytes have no meaning.
    #[error("the record has no meaning")]
    Malformed,
    /// A record is longer than one of its kind may be.
    #[error("the record says that it has {len} bytes")]
    TooLong {
        /// Bytes that it says it has.
        len: u64,
    },
    /// A record that does not belong there.
    #[error("the record does not belong here")]
    Order,
    /// Something follows the end.
    #[error("bytes are left over")]
    Trailing,
    /// The manifest is invalid or another log's.
    #[error(transparent)]
    Manifest(ManifestError),
    /// The head is not signed by who may.
    #[error("the head: {0}")]
    Head(SignatureError),
    /// A block or the head does not hold.
    #[error(transparent)]
    Proof(ProofError),
}

/// Why a bundle was not taken in. What was taken before stays, and the next attempt goes on from there.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The bundle is not what it should be.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// The store did not take it.
    #[error(transparent)]
    Intake(IntakeError),
}

impl ImportError {
    /// Whether bytes are not what was written and signed, as opposed to a refusal of the system.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Bundle(error) => matches!(error, BundleError::Damaged { .. }),
            Self::Intake(error) => error.is_damage(),
        }
    }
}

impl From<IntakeError> for ImportError {
    fn from(error: IntakeError) -> Self {
        match error {
            IntakeError::Proof { at, error } => Self::Bundle(BundleError::Damaged {
                offset: at,
                fault: BundleFault::Proof(error),
            }),
            error => Self::Intake(error),
        }
    }
}
