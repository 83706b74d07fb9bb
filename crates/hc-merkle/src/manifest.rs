//! Who may sign a log, and what its key is the hash of.

use alloc::vec::Vec;

use crate::{Hash, Length, PublicKey};

/// Layout of a manifest on the wire, and what its signatures are made over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ManifestVersion {
    /// The first layout; signatures are over the namespace of each signer.
    V0,
    /// The default; signatures are over the hash of the manifest.
    V1,
    /// Adds linked keys and user data.
    V2,
    /// Laid out like version 2.
    V3,
}

/// One of those who may sign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signer {
    /// 32 bytes that keep signatures for one purpose from being valid for another.
    pub namespace: [u8; 32],
    /// The Ed25519 key that verifies.
    pub public_key: PublicKey,
}

/// A fixed start of the log: up to this length a tree with this hash needs no signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prologue {
    /// Tree hash at `length`.
    pub hash: Hash,
    /// Number of blocks that are fixed.
    pub length: Length,
}

/// Who may sign a log: its key is the hash of this.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// Layout, and what is signed.
    pub version: ManifestVersion,
    /// Whether a signer may have signed a longer tree than the one that is proven.
    pub allow_patch: bool,
    /// How many of the signers must have signed.
    pub quorum: u64,
    /// Who may sign. Empty for a static log, which is its prologue.
    pub signers: Vec<Signer>,
    /// The fixed start, if there is one.
    pub prologue: Option<Prologue>,
    /// Keys of other logs that belong to this one (version 2 and later).
    pub linked: Option<Vec<[u8; 32]>>,
    /// Bytes that the application put here (version 2 and later).
    pub user_data: Option<Vec<u8>>,
}
