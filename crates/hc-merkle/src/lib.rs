//! Everything that decides whether the bytes of an append-only log are authentic.
//!
//! Owns the signed Merkle tree: numbering, hashes, appends, truncations, proofs and their
//! verification, the manifest that says who may sign, and signatures. Knows nothing of storage,
//! connections or what a block means.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod authority;
mod change;
pub mod digest;
mod draft;
mod error;
pub mod flat;
pub mod hash;
mod head;
mod id;
mod index;
mod key;
pub mod limits;
pub mod manifest;
mod missing;
pub mod multisig;
mod namespace;
mod node;
mod offset;
pub mod proof;
pub mod proof_file;
mod seek;
mod signable;
mod truncate;
mod verifier;
mod walk;

pub use authority::Authority;
pub use change::Change;
pub use draft::{Draft, Rejoined};
pub use error::{
    AppendError, HeadError, OffsetError, PlanError, ProofError, RejoinError, TruncateError,
};
pub use head::Head;
pub use id::{ParseKeyError, z32_decode, z32_encode};
pub use index::{BlockIndex, ByteLength, ByteOffset, Fork, Length, NodeIndex};
pub use key::{
    CoreKey, DiscoveryKey, KeyPair, MismatchedSecretKey, PublicKey, SecretKey, Signature, TreeHash,
};
pub use manifest::{Manifest, ManifestError};
pub use missing::{Missing, max_missing_nodes, missing_nodes};
pub use namespace::{Capability, Namespace, Side, capability};
pub use node::{Hash, Node};
pub use offset::ByteRange;
pub use seek::{Seek, Sought};
pub use signable::{Signable, SignedTree};
pub use truncate::Truncation;
pub use verifier::{SignError, SignatureError, Signer, SignerError, Verifier};
pub use walk::{Step, Walk, drive};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadMe;
