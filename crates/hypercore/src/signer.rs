//! Signing outside this process, or by other hands than the log's own: the trait that hardware keys,
//! agents and remote services implement, and why there is no signature.
//!
//! Knows nothing of what is signed or of what becomes of it.

use std::error::Error as StdError;
use std::fmt;
use std::future::{Future, ready};
use std::pin::Pin;

use hc_merkle::{KeyPair, PublicKey, SignError, Signature, SignatureError};
use thiserror::Error;

/// The answer of an [`ExternalSigner`], once it is there.
pub type Signing<'a> =
    Pin<Box<dyn Future<Output = Result<Signature, Box<dyn StdError + Send + Sync>>> + Send + 'a>>;

/// Someone who signs for a log and may take their time: a hardware key, an agent in another process, a
/// service elsewhere, a person. The secret key never comes here.
///
/// While a signature is waited for, the log takes no other change, so that what is signed is what is
/// written; reads go on. If the future that waits is dropped, nothing is appended.
///
/// ```
/// # futures_lite::future::block_on(async {
/// use hypercore::{ExternalSigner, Hypercore, KeyPair, PublicKey, Signing, Storage};
///
/// #[derive(Debug)]
/// struct Device(KeyPair); // stands for what guards one elsewhere
///
/// impl ExternalSigner for Device {
///     fn public_key(&self) -> PublicKey {
///         self.0.public_key()
///     }
///
///     fn sign<'a>(&'a self, message: &'a [u8]) -> Signing<'a> {
///         Box::pin(async move {
///             // send `message` to the device, wait for its answer
///             Ok(self.0.sign(message))
///         })
///     }
/// }
///
/// let device = Device(KeyPair::from_seed(&[7; 32]));
/// let log = Hypercore::builder(Storage::memory()).signer(device).open().await?;
/// assert!(log.is_writable());
/// log.append("signed elsewhere").await?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
pub trait ExternalSigner: fmt::Debug + Send + Sync {
    /// The key that verifies what it signs.
    fn public_key(&self) -> PublicKey;

    /// Signs the bytes with Ed25519.
    fn sign<'a>(&'a self, message: &'a [u8]) -> Signing<'a>;
}

impl ExternalSigner for KeyPair {
    fn public_key(&self) -> PublicKey {
        Self::public_key(self)
    }

    fn sign<'a>(&'a self, message: &'a [u8]) -> Signing<'a> {
        Box::pin(ready(Ok(Self::sign(self, message))))
    }
}

/// Why a change was not signed. Nothing was written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SealError {
    /// Nothing here may sign for the log, or nobody knows yet who may.
    #[error("the log is not writable here")]
    NotWritable,
    /// The key pair may not sign, or not alone.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// The external signer failed or refused.
    #[error("the signer: {0}")]
    Signer(Box<dyn StdError + Send + Sync>),
    /// The signature that was given, or that the external signer made, is not one over this change.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// The log was closed while a signature was waited for.
    #[error("the log is closed")]
    Closed,
}
