//! Who a log is, who may write it, and what is known about its completeness.

use std::sync::Arc;

use hc_merkle::manifest::Manifest;
use hc_merkle::{CoreKey, DiscoveryKey, Length, SecretKey};

use super::Alias;

/// How the blocks of a log are encrypted: a number that the layer above gave. The key itself is never
/// stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EncryptionScheme(pub u8);

impl EncryptionScheme {
    /// That of the reference, by whichever key.
    pub const REFERENCE: Self = Self(1);
}

/// What a log is created with.
#[derive(Debug, Clone)]
pub struct CoreRecord {
    /// What the store knows the log by.
    pub discovery_key: DiscoveryKey,
    /// What verifies it, and who may write it.
    pub auth: Auth,
    /// The name that it is to be found by.
    pub alias: Option<Alias>,
}

/// What verifies a log, and who may write it.
#[derive(Debug, Clone)]
pub struct Auth {
    /// What names the log.
    pub key: CoreKey,
    /// Who may sign, once it is known; shared with the [verifier](hc_merkle::Verifier::new) made of it.
    pub manifest: Option<Arc<Manifest>>,
    /// The signer's secret, on the side that may write. Kept apart from the log, readable only by the
    /// owner of the store, wiped from memory when dropped.
    pub secret_key: Option<SecretKey>,
    /// How blocks are encrypted, where they are.
    pub encryption: Option<EncryptionScheme>,
    /// Whether the key is the public key itself, as it was before manifests.
    pub compat: bool,
}

impl Auth {
    /// A log of which nothing but the key is known.
    #[must_use]
    pub const fn reader(key: CoreKey) -> Self {
        Self {
            key,
            manifest: None,
            secret_key: None,
            encryption: None,
            compat: false,
        }
    }
}

/// One of the logs in a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct CoreEntry {
    /// What the store knows the log by.
    pub discovery_key: DiscoveryKey,
    /// What names the log.
    pub key: CoreKey,
}

/// Facts that can be found again by looking, kept so that nobody has to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Hints {
    /// All blocks below this are stored here.
    pub contiguous_length: Length,
    /// All blocks below this were seen at some other peer.
    pub remote_contiguous_length: Length,
}

/// What a branch has of the log that it left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lineage {
    /// Blocks and nodes below this length are those of the log.
    pub length: Length,
    /// Whether the log was cut below what the branch had of it. The branch then keeps that itself, and
    /// both have gone different ways from `length` on.
    pub cut: bool,
}
