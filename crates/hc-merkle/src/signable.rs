//! The bytes that are signed for a tree. Knows nothing of who signs them.

use crate::{CoreKey, Fork, Length, Namespace, TreeHash};

/// The state of a tree that a signature is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignedTree {
    /// The hash over its roots.
    pub hash: TreeHash,
    /// Its number of blocks.
    pub length: Length,
    /// How often the log was truncated.
    pub fork: Fork,
}

/// What binds a signature to one log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Context {
    /// The key of the log, which is the hash of its manifest (version 1 and later).
    Key(CoreKey),
    /// The namespace of the signer (version 0).
    Namespace(Namespace),
    /// Nothing but the public key that verifies (compat mode).
    Compat,
    /// As in compat mode, and without a domain (the form before that).
    Legacy,
}

/// Bytes to be signed: at most 112 of them, on the stack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signable {
    bytes: [u8; Self::MAX_LEN],
    len: usize,
}

impl Signable {
    const MAX_LEN: usize = 112;

    pub(crate) fn new(context: Context, tree: &SignedTree) -> Self {
        let mut signable = Self {
            bytes: [0; Self::MAX_LEN],
            len: 0,
        };
        if context != Context::Legacy {
            signable.push(Namespace::TREE.as_bytes());
        }
        match context {
            Context::Key(key) => signable.push(key.as_bytes()),
            Context::Namespace(namespace) => signable.push(namespace.as_bytes()),
            Context::Compat | Context::Legacy => {}
        }
        signable.push(tree.hash.as_bytes());
        signable.push(&tree.length.get().to_le_bytes());
        signable.push(&tree.fork.get().to_le_bytes());
        signable
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    fn push(&mut self, part: &[u8]) {
        let end = self.len + part.len();
        if let Some(place) = self.bytes.get_mut(self.len..end) {
            place.copy_from_slice(part);
            self.len = end;
        }
    }
}
