//! What a store knows of its logs beside the logs themselves: their names, their groups, and the secret
//! that key pairs are derived from.

use std::fmt;

use hc_merkle::{CoreKey, DiscoveryKey};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::error::StorageError;
use crate::limits::MAX_NAME_LEN;

/// A place for names, as the layer above derived it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NamespaceId(pub [u8; 32]);

/// A name that a log was first opened by. It stays the log's, whatever the layer above would make of the
/// name today.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Alias {
    /// Where the name is.
    pub namespace: NamespaceId,
    /// The name; at most [`MAX_NAME_LEN`](crate::limits::MAX_NAME_LEN) bytes.
    pub name: String,
}

impl Alias {
    pub(crate) fn check(&self) -> Result<(), StorageError> {
        let len = self.name.len();
        if len > MAX_NAME_LEN {
            return Err(StorageError::NameTooLong { len });
        }
        Ok(())
    }
}

/// A log with its name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct NamedCore {
    /// Its name.
    pub alias: Alias,
    /// What the store knows the log by.
    pub discovery_key: DiscoveryKey,
    /// What names the log.
    pub key: CoreKey,
}

/// What a group of logs is known by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Topic(pub [u8; 32]);

/// When a log last changed, among all that happened in the store: a number that grows with each change
/// of any log, and is never the same for two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(pub u64);

/// A log of a group whose head has changed since it joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ActiveCore {
    /// What the store knows the log by.
    pub discovery_key: DiscoveryKey,
    /// What names the log.
    pub key: CoreKey,
    /// When its head last changed.
    pub at: Moment,
}

/// 32 secret bytes that belong to a store as a whole. Kept with its secret keys, wiped from memory when
/// dropped, and never printed.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct StoreSecret([u8; 32]);

impl StoreSecret {
    /// The caller wipes its own copy.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for StoreSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoreSecret(…)")
    }
}
