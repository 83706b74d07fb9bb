//! The encryption that a handle was given, tied to its log.
//!
//! The scheme of the reference depends on the mode of the log, which a reader may learn only from a
//! peer: so it is tied when it is first needed. Knows nothing of the cipher itself.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use hc_merkle::{Authority, BlockIndex};
use hc_storage::EncryptionScheme;

use crate::encryption::{DefaultEncryption, Encryption, EncryptionError, EncryptionKey};

/// What a store notes of a log under [`DefaultEncryption`], by whichever key.
const DEFAULT: EncryptionScheme = EncryptionScheme::REFERENCE;
/// What a store notes of a log under an [`Encryption`] of the application's own.
const OWN: EncryptionScheme = EncryptionScheme(2);

/// How a handle encrypts and decrypts.
#[derive(Debug)]
pub(crate) struct Cipher {
    scheme: EncryptionScheme,
    key: Option<EncryptionKey>,
    tied: OnceLock<Arc<dyn Encryption>>,
}

impl Cipher {
    pub(crate) fn from_key(key: EncryptionKey) -> Self {
        Self {
            scheme: DEFAULT,
            key: Some(key),
            tied: OnceLock::new(),
        }
    }

    pub(crate) fn from_block_key(key: EncryptionKey) -> Self {
        let tied: Arc<dyn Encryption> = Arc::new(DefaultEncryption::from_block_key(key));
        Self {
            scheme: DEFAULT,
            key: None,
            tied: tied.into(),
        }
    }

    pub(crate) fn own(encryption: Arc<dyn Encryption>) -> Self {
        Self {
            scheme: OWN,
            key: None,
            tied: encryption.into(),
        }
    }

    pub(crate) fn scheme(&self) -> EncryptionScheme {
        self.scheme
    }

    /// The encryption; `None` as long as the mode of the log is unknown, when it has no blocks.
    pub(crate) fn tie(&self, authority: &Authority) -> Option<&dyn Encryption> {
        if self.tied.get().is_none() {
            let (key, verifier) = (self.key.as_ref()?, authority.verifier()?);
            self.tied
                .get_or_init(|| Arc::new(DefaultEncryption::for_log(key, verifier)));
        }
        self.tied.get().map(|tied| &**tied)
    }

    /// Bytes that it adds to each block; 0 as long as that is unknown.
    pub(crate) fn padding(&self, authority: &Authority) -> u64 {
        self.tie(authority).map_or(0, |tied| tied.padding() as u64)
    }

    pub(crate) fn decrypt(
        &self,
        authority: &Authority,
        index: BlockIndex,
        stored: &Bytes,
    ) -> Result<Bytes, EncryptionError> {
        match self.tie(authority) {
            Some(tied) => tied.decrypt(index, stored),
            // A block that was verified tells the mode: there are none before it is known.
            None => Err(EncryptionError::Other(
                "the mode of the log is unknown".into(),
            )),
        }
    }
}
