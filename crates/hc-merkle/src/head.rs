//! The head of a log: an immutable value. Knows nothing of how one is reached from another.

use alloc::sync::Arc;
use alloc::vec::Vec;

use bytes::Bytes;

use crate::error::HeadError;
use crate::{ByteLength, Fork, Length, Node, SignedTree, TreeHash, flat, hash, limits};

/// Everything that identifies the state of a log: fork, length, bytes, the roots of its tree, and the
/// signature over them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    pub(crate) fork: Fork,
    pub(crate) length: Length,
    pub(crate) byte_length: ByteLength,
    /// None where there are none. Shared, as a head is kept in several places.
    pub(crate) roots: Option<Arc<[Node]>>,
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
            roots: None,
            signature: None,
        }
    }

    /// The head of the tree with these roots, unsigned.
    ///
    /// # Errors
    /// [`HeadError`] where the roots are not exactly those of a tree of `length` blocks, from left to
    /// right, or hold more bytes than 64 bits can count.
    pub fn new(fork: Fork, length: Length, roots: Vec<Node>) -> Result<Self, HeadError> {
        let expected = flat::full_roots(length);
        if length > limits::MAX_LENGTH || expected.len() != roots.len() {
            return Err(HeadError::Roots { length });
        }
        let mut bytes = 0u64;
        for (root, index) in roots.iter().zip(expected) {
            if root.index != index {
                return Err(HeadError::Roots { length });
            }
            bytes = bytes
                .checked_add(root.size.get())
                .ok_or(HeadError::TooManyBytes)?;
        }
        Ok(Self::of(fork, length, ByteLength::new(bytes), roots.into()))
    }

    /// The head of a tree whose roots were counted, unsigned.
    pub(crate) fn of(
        fork: Fork,
        length: Length,
        byte_length: ByteLength,
        roots: Arc<[Node]>,
    ) -> Self {
        Self {
            fork,
            length,
            byte_length,
            roots: (!roots.is_empty()).then_some(roots),
            signature: None,
        }
    }

    /// The same head with a signature over it.
    #[must_use]
    pub fn with_signature(mut self, signature: Bytes) -> Self {
        self.signature = Some(signature);
        self
    }

    /// Hash over the roots: what is signed, with length and fork.
    #[must_use]
    pub fn tree_hash(&self) -> TreeHash {
        hash::tree_hash(self.roots())
    }

    /// What a signature over this head is made over.
    #[must_use]
    pub fn signed_tree(&self) -> SignedTree {
        SignedTree {
            hash: self.tree_hash(),
            length: self.length,
            fork: self.fork,
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
        self.roots.as_deref().unwrap_or_default()
    }

    /// The signature as it stands in proofs: 64 bytes in compat mode and for manifests of version 0
    /// with one signer, else an encoded multi-signature. `None` on an unsigned head.
    #[must_use]
    pub fn signature(&self) -> Option<&Bytes> {
        self.signature.as_ref()
    }
}
