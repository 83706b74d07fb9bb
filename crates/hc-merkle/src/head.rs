//! The head of a log: an immutable value. Knows nothing of how one is reached from another.

use alloc::vec::Vec;

use bytes::Bytes;

use crate::{ByteLength, Fork, Length, Node};

/// Everything that identifies the state of a log: fork, length, bytes, the roots of its tree, and the
/// signature over them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    pub(crate) fork: Fork,
    pub(crate) length: Length,
    pub(crate) byte_length: ByteLength,
    pub(crate) roots: Vec<Node>,
    pub(crate) signature: Option<Bytes>,
}

impl Head {
    /// The head of a log without blocks, unsigned.
    #[must_use]
    pub const fn empty() -> Self {
        Self {
            fork: Fork::ZERO,
            length: Length::ZERO,
            byte_length: ByteLength::ZERO,
            roots: Vec::new(),
            signature: None,
        }
    }

    /// How often the log was truncated.
    #[must_use]
    pub fn fork(&self) -> Fork {
        self.fork
    }

    /// Number of blocks.
    #[must_use]
    pub fn length(&self) -> Length {
        self.length
    }

    /// Number of bytes in all blocks, as stored.
    #[must_use]
    pub fn byte_length(&self) -> ByteLength {
        self.byte_length
    }

    /// The roots of the tree, from left to right.
    #[must_use]
    pub fn roots(&self) -> &[Node] {
        &self.roots
    }

    /// The signature as it stands in proofs: 64 bytes in compat mode and for manifests of version 0
    /// with one signer, else an encoded multi-signature. `None` on an unsigned head.
    #[must_use]
    pub fn signature(&self) -> Option<&Bytes> {
        self.signature.as_ref()
    }
}
