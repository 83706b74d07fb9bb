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
pub mod multisig;
mod namespace;
mod node;
pub mod proof;
mod signable;
mod truncate;
mod verifier;

pub use authority::Authority;
pub use change::Change;
pub use draft::Draft;
pub use error::{AppendError, HeadError, TruncateError};
pub use head::Head;
pub use id::{ParseKeyError, z32_decode, z32_encode};
pub use index::{BlockIndex, ByteLength, ByteOffset, Fork, Length, NodeIndex};
pub use key::{
    CoreKey, DiscoveryKey, KeyPair, MismatchedSecretKey, PublicKey, SecretKey, Signature, TreeHash,
};
pub use manifest::{Manifest, ManifestError};
pub use namespace::{Capability, Namespace, Side, capability};
pub use node::{Hash, Node};
pub use signable::{Signable, SignedTree};
pub use truncate::Truncation;
pub use verifier::{SignError, SignatureError, Signer, SignerError, Verifier};
