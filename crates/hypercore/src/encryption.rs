//! Encryption of blocks, before they are hashed and stored: peers replicate and verify a log that they
//! cannot read.
//!
//! Owns the [`Encryption`] trait, the scheme of the reference ([`DefaultEncryption`]) and its keys.
//! Knows nothing of how a block is signed, stored or sent.
//!
//! # The default scheme
//! A stored block is 8 bytes longer than the plain one. The prefix is the fork at which the block was
//! appended (64 bits, little-endian) under XSalsa20 with the *blinding key* and the nonce
//! `index ‖ 0…`; the body is under XSalsa20 with the *block key* and the nonce `index ‖ prefix ‖ 0…`.
//! There is no authentication tag: the signed tree says that a stored block is the one that was written.
//!
//! The block key is
//! - by default BLAKE2b-256 of a namespace, the key of the log and the encryption key,
//! - for logs of compat mode BLAKE2b-256 of the encryption key, keyed with the key of the log,
//! - or given as it is, to share a single log of several under one encryption key.
//!
//! The blinding key is BLAKE2b-256 of the block key. An index is encrypted twice under one nonce only if
//! it is written twice on one fork, which truncating forbids by counting the fork up.

use core::fmt;
use std::error::Error as StdError;

use bytes::Bytes;
use hc_merkle::digest::{hash, keyed_hash};
use hc_merkle::{BlockIndex, CoreKey, Fork, Namespace, Verifier};
use salsa20::XSalsa20;
use salsa20::cipher::{KeyIvInit, StreamCipher};
use thiserror::Error;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Bytes that the default scheme puts in front of each block.
const PREFIX_LEN: usize = 8;

/// How the blocks of a log are encrypted.
///
/// Both directions are plain computations, run where the block is written or read: an implementation
/// must not wait for anything.
pub trait Encryption: fmt::Debug + Send + Sync {
    /// Bytes that each stored block has in front of the plain ones; the same for all blocks of the log.
    fn padding(&self) -> usize;

    /// Encrypts a block that is about to be appended at `index`, on `fork`: `padding` bytes more than
    /// the plain block.
    ///
    /// # Errors
    /// [`EncryptionError`] where it cannot; nothing is appended then.
    fn encrypt(
        &self,
        index: BlockIndex,
        fork: Fork,
        plain: &[u8],
    ) -> Result<Bytes, EncryptionError>;

    /// Decrypts the block stored at `index`.
    ///
    /// # Errors
    /// [`EncryptionError`] where it is no block of this scheme.
    fn decrypt(&self, index: BlockIndex, stored: &[u8]) -> Result<Bytes, EncryptionError>;
}

/// Why a block was not encrypted or decrypted.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum EncryptionError {
    /// A stored block that is too short to be of this scheme: its writer did not encrypt it.
    #[error("a block of {len} bytes is too short to be encrypted")]
    Short {
        /// Its bytes.
        len: usize,
    },
    /// An error of an [`Encryption`] of the application's own.
    #[error(transparent)]
    Other(Box<dyn StdError + Send + Sync>),
}

/// A 32-byte key of block encryption. Wiped from memory when dropped, and never printed.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct EncryptionKey([u8; 32]);

impl EncryptionKey {
    /// Takes the bytes. The caller wipes its own copy.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes. Whoever copies them has to wipe the copy.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for EncryptionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EncryptionKey(…)")
    }
}

/// The scheme of the reference: XSalsa20 under keys of the log's own. Its keys are never printed.
#[derive(Debug, Clone)]
pub struct DefaultEncryption {
    block_key: EncryptionKey,
    blinding_key: EncryptionKey,
}

impl DefaultEncryption {
    /// For a log with this encryption key, which may be the same for many logs: the scheme for its mode.
    #[must_use]
    pub fn for_log(key: &EncryptionKey, verifier: &Verifier) -> Self {
        if verifier.is_compat() {
            Self::compat(key, &verifier.key())
        } else {
            Self::new(key, &verifier.key())
        }
    }

    /// For a log whose key is the hash of its manifest.
    #[must_use]
    pub fn new(key: &EncryptionKey, log: &CoreKey) -> Self {
        let parts: [&[u8]; 3] = [
            Namespace::DEFAULT_ENCRYPTION.as_bytes(),
            log.as_bytes(),
            key.as_bytes(),
        ];
        Self::from_block_key(EncryptionKey(hash(&parts)))
    }

    /// For a log of compat mode, whose key is a public key.
    #[must_use]
    pub fn compat(key: &EncryptionKey, log: &CoreKey) -> Self {
        Self::from_block_key(EncryptionKey(keyed_hash(log.as_bytes(), &[key.as_bytes()])))
    }

    /// For the one log whose block key this is; see [`block_key`](Self::block_key).
    #[must_use]
    pub fn from_block_key(block_key: EncryptionKey) -> Self {
        let blinding_key = EncryptionKey(hash(&[block_key.as_bytes()]));
        Self {
            block_key,
            blinding_key,
        }
    }

    /// The key that the blocks of this log are under: enough to read this log, and no other under the
    /// same encryption key.
    #[must_use]
    pub fn block_key(&self) -> &EncryptionKey {
        &self.block_key
    }
}

impl Encryption for DefaultEncryption {
    fn padding(&self) -> usize {
        PREFIX_LEN
    }

    fn encrypt(
        &self,
        index: BlockIndex,
        fork: Fork,
        plain: &[u8],
    ) -> Result<Bytes, EncryptionError> {
        let mut prefix = fork.get().to_le_bytes();
        cipher(&self.blinding_key, index, [0; PREFIX_LEN]).apply_keystream(&mut prefix);
        let mut stored = Vec::with_capacity(PREFIX_LEN + plain.len());
        stored.extend_from_slice(&prefix);
        stored.extend_from_slice(plain);
        if let Some(body) = stored.get_mut(PREFIX_LEN..) {
            cipher(&self.block_key, index, prefix).apply_keystream(body);
        }
        Ok(stored.into())
    }

    fn decrypt(&self, index: BlockIndex, stored: &[u8]) -> Result<Bytes, EncryptionError> {
        let (prefix, body) = stored
            .split_first_chunk::<PREFIX_LEN>()
            .ok_or(EncryptionError::Short { len: stored.len() })?;
        let mut plain = body.to_vec();
        cipher(&self.block_key, index, *prefix).apply_keystream(&mut plain);
        Ok(plain.into())
    }
}

/// XSalsa20 with the nonce `index ‖ prefix ‖ 0…`.
fn cipher(key: &EncryptionKey, index: BlockIndex, prefix: [u8; PREFIX_LEN]) -> XSalsa20 {
    let mut nonce = [0; 24];
    let (head, rest) = nonce.split_at_mut(8);
    head.copy_from_slice(&index.get().to_le_bytes());
    rest[..PREFIX_LEN].copy_from_slice(&prefix);
    XSalsa20::new(key.as_bytes().into(), &nonce.into())
}
