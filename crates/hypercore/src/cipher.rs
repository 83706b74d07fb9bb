//! The encryption that a handle was given, tied to its log.
//!
//! The scheme of the reference depends on the mode of the log, which a reader may learn only from a
//! peer: so it is tied when it is first needed. Knows nothing of the cipher itself.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use hc_merkle::{Authority, BlockIndex, Fork};
use hc_storage::EncryptionScheme;

use crate::encryption::{
    AsyncEncryption, DefaultEncryption, Encryption, EncryptionError, EncryptionKey,
};

/// What a store notes of a log under [`DefaultEncryption`], by whichever key.
const DEFAULT: EncryptionScheme = EncryptionScheme::REFERENCE;
/// What a store notes of a log under an encryption of the application's own.
const OWN: EncryptionScheme = EncryptionScheme(2);

/// How a handle encrypts and decrypts.
#[derive(Debug)]
pub(crate) struct Cipher {
    scheme: EncryptionScheme,
    key: Option<EncryptionKey>,
    tied: OnceLock<Tied>,
}

/// An encryption that knows the mode of its log.
#[derive(Debug)]
pub(crate) enum Tied {
    /// It computes.
    Here(Arc<dyn Encryption>),
    /// It has to be waited for.
    Elsewhere(Arc<dyn AsyncEncryption>),
}

impl Tied {
    /// Bytes that it adds to each block.
    pub(crate) fn padding(&self) -> usize {
        match self {
            Self::Here(here) => here.padding(),
            Self::Elsewhere(elsewhere) => elsewhere.padding(),
        }
    }

    /// Encrypts blocks that are to be appended from an index on.
    pub(crate) async fn encrypt(
        &self,
        (start, fork): (u64, Fork),
        mut blocks: Vec<Bytes>,
    ) -> Result<Vec<Bytes>, EncryptionError> {
        for (index, block) in (start..).map(BlockIndex::new).zip(&mut blocks) {
            *block = match self {
                Self::Here(here) => here.encrypt(index, fork, block)?,
                Self::Elsewhere(elsewhere) => elsewhere.encrypt(index, fork, block).await?,
            };
        }
        Ok(blocks)
    }
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
        let tied = Tied::Here(Arc::new(DefaultEncryption::from_block_key(key)));
        Self {
            scheme: DEFAULT,
            key: None,
            tied: tied.into(),
        }
    }

    pub(crate) fn own(encryption: Tied) -> Self {
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
    pub(crate) fn tie(&self, authority: &Authority) -> Option<&Tied> {
        if self.tied.get().is_none() {
            let (key, verifier) = (self.key.as_ref()?, authority.verifier()?);
            self.tied
                .get_or_init(|| Tied::Here(Arc::new(DefaultEncryption::for_log(key, verifier))));
        }
        self.tied.get()
    }

    /// Bytes that it adds to each block; 0 as long as that is unknown.
    pub(crate) fn padding(&self, authority: &Authority) -> u64 {
        self.tie(authority).map_or(0, |tied| tied.padding() as u64)
    }

    pub(crate) async fn decrypt(
        &self,
        authority: &Authority,
        index: BlockIndex,
        stored: &Bytes,
    ) -> Result<Bytes, EncryptionError> {
        match self.tie(authority) {
            Some(Tied::Here(here)) => here.decrypt(index, stored),
            Some(Tied::Elsewhere(elsewhere)) => elsewhere.decrypt(index, stored).await,
            // A block that was verified tells the mode: there are none before it is known.
            None => Err(EncryptionError::Other(
                "the mode of the log is unknown".into(),
            )),
        }
    }
}
