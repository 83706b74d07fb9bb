//! Namespaces: 32 bytes that keep what is signed or hashed for one purpose from being valid for another.
//!
//! Owns their derivation, the constants of the protocol, discovery keys and capabilities. Knows nothing
//! of who announces or connects.

use crate::digest::{hash, keyed_hash};
use crate::key::bytes32;
use crate::{CoreKey, DiscoveryKey};

bytes32!(
    /// 32 bytes that keep what is signed or hashed for one purpose from being valid for another.
    Namespace
);
bytes32!(
    /// Shown at the start of a replication channel: proof of knowing the key of the log, bound to the
    /// connection so that it cannot be replayed on another.
    Capability
);

impl Namespace {
    /// Domain of what is signed for a tree.
    pub const TREE: Self = Self([
        0x9f, 0xac, 0x70, 0xb5, 0x0c, 0xa1, 0x4e, 0xfc, 0x4e, 0x91, 0xc8, 0x33, 0xb2, 0x04, 0xe7,
        0x5b, 0x8b, 0x5a, 0xad, 0x8b, 0x58, 0x81, 0xbf, 0xc0, 0xad, 0xb5, 0xef, 0x38, 0xa3, 0x27,
        0x5b, 0x9c,
    ]);

    /// Domain of the capability of the side that opened the connection.
    pub const REPLICATE_INITIATOR: Self = Self([
        0x51, 0x81, 0x2a, 0x2a, 0x35, 0x9b, 0x50, 0x36, 0x95, 0x36, 0x77, 0x5d, 0xf8, 0x9e, 0x18,
        0xe4, 0x77, 0x40, 0xf3, 0xdb, 0x72, 0xac, 0x0a, 0xe7, 0x0b, 0x29, 0x59, 0x4c, 0x19, 0x4d,
        0xc3, 0x16,
    ]);

    /// Domain of the capability of the side that accepted the connection.
    pub const REPLICATE_RESPONDER: Self = Self([
        0x04, 0x38, 0x49, 0x2d, 0x02, 0x97, 0x0c, 0xc1, 0x35, 0x28, 0xac, 0x02, 0x62, 0xbc, 0xa0,
        0x07, 0x4e, 0x09, 0x26, 0x26, 0x02, 0x56, 0x86, 0x5a, 0xcc, 0xc0, 0xbf, 0x15, 0xbd, 0x79,
        0x12, 0x7d,
    ]);

    /// Domain of the hash of a manifest.
    pub const MANIFEST: Self = Self([
        0xe6, 0x4b, 0x71, 0x08, 0xea, 0xcc, 0xe4, 0x7c, 0xfc, 0x61, 0xac, 0x85, 0x05, 0x68, 0xf5,
        0x5f, 0x8b, 0x15, 0xb8, 0x2e, 0xc5, 0xed, 0x78, 0xc4, 0xec, 0x59, 0x7b, 0x03, 0x6e, 0x2a,
        0x14, 0x98,
    ]);

    /// Namespace of a signer that names none.
    pub const DEFAULT_SIGNER: Self = Self([
        0x41, 0x44, 0xee, 0xa5, 0x31, 0xe4, 0x83, 0xd5, 0x4e, 0x0c, 0x14, 0xf4, 0xca, 0x68, 0xe0,
        0x64, 0x4f, 0x35, 0x53, 0x43, 0xff, 0x6f, 0xcb, 0x0f, 0x00, 0x52, 0x00, 0xe1, 0x2c, 0xd7,
        0x47, 0xcb,
    ]);

    /// Domain of the keys of block encryption.
    pub const DEFAULT_ENCRYPTION: Self = Self([
        0x9a, 0xed, 0xb6, 0xf1, 0xde, 0xa8, 0x48, 0x7c, 0xc1, 0xe1, 0x69, 0x8f, 0x97, 0xeb, 0x2f,
        0x06, 0x3f, 0x6d, 0xb4, 0xc6, 0x49, 0x69, 0x56, 0x22, 0xe7, 0xb6, 0x75, 0xe2, 0xce, 0xaf,
        0xa6, 0xe9,
    ]);

    /// The namespace with a number under a name: `hash(hash(name) ‖ id)`.
    #[must_use]
    pub fn derive(name: &[u8], id: u8) -> Self {
        Self(hash(&[&hash(&[name]), &[id]]))
    }
}

impl CoreKey {
    /// What this log may be announced under: BLAKE2b-256 of `hypercore`, keyed with the key.
    #[must_use]
    pub fn discovery_key(&self) -> DiscoveryKey {
        DiscoveryKey(keyed_hash(self.as_bytes(), &[b"hypercore"]))
    }
}

/// Which end of a connection one is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// The end that opened it.
    Initiator,
    /// The end that accepted it.
    Responder,
}

impl Side {
    /// The end that is not this one.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Initiator => Self::Responder,
            Self::Responder => Self::Initiator,
        }
    }
}

/// The capability that `side` shows for the log with this key, on the connection whose handshake ended
/// with this hash: BLAKE2b-256 of the namespace of the side and the key, keyed with the hash.
#[must_use]
pub fn capability(side: Side, key: &CoreKey, handshake_hash: &[u8; 64]) -> Capability {
    let namespace = match side {
        Side::Initiator => Namespace::REPLICATE_INITIATOR,
        Side::Responder => Namespace::REPLICATE_RESPONDER,
    };
    Capability(keyed_hash(
        handshake_hash,
        &[namespace.as_bytes(), key.as_bytes()],
    ))
}
