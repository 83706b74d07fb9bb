//! Everything that decides whether the bytes of an append-only log are authentic.
//!
//! Owns the signed Merkle tree: numbering, hashes, appends, truncations, proofs and their
//! verification, the manifest that says who may sign, and signatures. Knows nothing of storage,
//! connections or what a block means.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod change;
mod draft;
mod error;
pub mod flat;
pub mod hash;
mod head;
mod index;
mod key;
pub mod limits;
pub mod manifest;
mod node;
pub mod proof;
mod truncate;

pub use change::Change;
pub use draft::Draft;
pub use error::{AppendError, HeadError, TruncateError};
pub use head::Head;
pub use index::{BlockIndex, ByteLength, ByteOffset, Fork, Length, NodeIndex};
pub use key::{CoreKey, DiscoveryKey, PublicKey, SecretKey, Signature, TreeHash};
pub use node::{Hash, Node};
pub use truncate::Truncation;
