//! Encryption of blocks, before they are hashed and stored: peers replicate and verify a log that they
//! cannot read.
//!
//! Owns the [`Encryption`] traits, the scheme of the reference ([`DefaultEncryption`]) and its keys.
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
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use hc_merkle::digest::{hash, keyed_hash};
use hc_merkle::{BlockIndex, CoreKey, Fork, Namespace, Verifier};
use salsa20::XSalsa20;
use salsa20::cipher::{KeyIvInit, StreamCipher};
use thiserror::Error;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::cipher::{Cipher, Tied};

/// Bytes that the default scheme puts in front of each block.
const PREFIX_LEN: usize = 8;

/// How the blocks of a log are encrypted.
///
/// Both directions are plain computations, run where the block is written or read: an implementation
/// must not wait for anything. One that has to is an [`AsyncEncryption`].
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

/// The answer of an [`AsyncEncryption`], once it is there.
pub type Ciphering<'a> = Pin<Box<dyn Future<Output = Result<Bytes, EncryptionError>> + Send + 'a>>;

/// As [`Encryption`], for keys that are not here: in a device, behind a service, or to be asked of a
/// person.
///
/// While a block that is appended is encrypted, the log takes no other change; reads go on.
///
/// ```
/// # futures_lite::future::block_on(async {
/// use std::sync::Arc;
///
/// use bytes::Bytes;
/// use hypercore::encryption::{AsyncEncryption, Ciphering};
/// use hypercore::{BlockIndex, Fork, Hypercore, Storage};
///
/// #[derive(Debug)]
/// struct Service; // stands for one that is asked over a network; its cipher is a joke
///
/// impl AsyncEncryption for Service {
///     fn padding(&self) -> usize {
///         0
///     }
///
///     fn encrypt<'a>(&'a self, _: BlockIndex, _: Fork, plain: &'a [u8]) -> Ciphering<'a> {
///         Box::pin(async move { Ok(plain.iter().map(|byte| byte ^ 0x55).collect()) })
///     }
///
///     fn decrypt<'a>(&'a self, _: BlockIndex, stored: &'a [u8]) -> Ciphering<'a> {
///         Box::pin(async move { Ok(stored.iter().map(|byte| byte ^ 0x55).collect()) })
///     }
/// }
///
/// let service: Arc<dyn AsyncEncryption> = Arc::new(Service);
/// let log = Hypercore::builder(Storage::memory()).encryption(service).open().await?;
/// log.append("secret").await?;
/// assert_eq!(log.get(0).await?, "secret");
/// assert_ne!(log.get(0).raw().await?, "secret");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
pub trait AsyncEncryption: fmt::Debug + Send + Sync {
    /// As [`Encryption::padding`].
    fn padding(&self) -> usize;

    /// As [`Encryption::encrypt`].
    fn encrypt<'a>(&'a self, index: BlockIndex, fork: Fork, plain: &'a [u8]) -> Ciphering<'a>;

    /// As [`Encryption::decrypt`].
    fn decrypt<'a>(&'a self, index: BlockIndex, stored: &'a [u8]) -> Ciphering<'a>;
}

/// What encrypts and decrypts for a handle: a key for the scheme of the reference, or an application's
/// own encryption, which becomes one by [`Into`].
#[derive(Debug, Clone)]
pub struct Provider(pub(crate) Arc<Cipher>);

impl Provider {
    /// The scheme of the reference, under a key that may be the same for many logs.
    #[must_use]
    pub fn key(key: EncryptionKey) -> Self {
        Self(Arc::new(Cipher::from_key(key)))
    }

    /// The scheme of the reference, under the key of one log: see
    /// [`DefaultEncryption::block_key`].
    #[must_use]
    pub fn block_key(key: EncryptionKey) -> Self {
        Self(Arc::new(Cipher::from_block_key(key)))
    }
}

impl From<Arc<dyn Encryption>> for Provider {
    fn from(own: Arc<dyn Encryption>) -> Self {
        Self(Arc::new(Cipher::own(Tied::Here(own))))
    }
}

impl From<Arc<dyn AsyncEncryption>> for Provider {
    fn from(own: Arc<dyn AsyncEncryption>) -> Self {
        Self(Arc::new(Cipher::own(Tied::Elsewhere(own))))
    }
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
