//! Stores that can move: verifiable bundles, sealed backups of secret keys, and readers of the stores
//! that the reference writes.
//!
//! Owns what leaves and enters a store other than over a connection. Whatever it reads, from a file of
//! its own or of the reference's, is verified against the signed tree before it is stored: all ways in
//! go through the same proofs as replication does. Knows nothing of peers and futures; it blocks.
//!
#![doc = include_str!("../README.md")]
//!
//! | module | what it has |
//! | --- | --- |
//! | [`Source`], [`StoredLog`] | a log that can be read from: one of a store's, or one of the below |
//! | [`copy`] | from a source into a store, verified and resumable |
//! | [`bundle`] | one log as one file |
//! | [`backup`] | secret keys, sealed under a passphrase |
//! | [`Legacy`] | a directory of the reference, whichever version wrote it |
//! | [`v10`] | directories that version 10 of the reference wrote |
//! | [`v11`] | databases that version 11 of the reference wrote |
#![forbid(unsafe_code)]

pub mod backup;
pub mod bundle;
mod copy;
mod cursor;
mod error;
mod files;
mod intake;
pub mod limits;
mod migrate;
mod proofs;
mod source;
pub mod v10;
pub mod v11;
#[cfg(test)]
mod vectors;

pub use copy::{Copied, CopyError, CopyOptions, copy};
pub use error::{BadFile, FileFault, SourceError};
pub use intake::IntakeError;
pub use migrate::{Legacy, Migrated};
pub use proofs::ProveError;
pub use source::{Progress, Source, StoredLog};
