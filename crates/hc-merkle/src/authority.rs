//! What is known of who may sign a log. Knows nothing of signatures themselves.

use alloc::borrow::Cow;

use crate::manifest::{Manifest, ManifestError};
use crate::{CoreKey, PublicKey, Verifier};

/// What is known of who may sign a log: at first perhaps only its key, which is the hash of a manifest
/// yet to be learned or, in compat mode, a public key. The first proof that verifies decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Authority {
    /// Only the key of the log.
    KeyOnly(CoreKey),
    /// Who may sign is settled.
    Known(Verifier),
}

impl Authority {
    /// The key of the log.
    #[must_use]
    pub fn key(&self) -> CoreKey {
        match self {
            Self::KeyOnly(key) => *key,
            Self::Known(verifier) => verifier.key(),
        }
    }

    /// The verifier, where it is settled.
    #[must_use]
    pub fn verifier(&self) -> Option<&Verifier> {
        match self {
            Self::KeyOnly(_) => None,
            Self::Known(verifier) => Some(verifier),
        }
    }

    /// The verifier for a proof that came with this manifest or without one.
    ///
    /// Where who may sign is settled, the manifest of the proof is not looked at. Else it has to belong
    /// to the key; without one, the key is taken for a public key (compat mode). The caller keeps the
    /// verifier only if the proof then verifies.
    ///
    /// # Errors
    /// [`ManifestError`] where the manifest is invalid or another log's: the fault of whoever sent it.
    pub fn resolve(&self, manifest: Option<&Manifest>) -> Result<Cow<'_, Verifier>, ManifestError> {
        match (self, manifest) {
            (Self::Known(verifier), _) => Ok(Cow::Borrowed(verifier)),
            (Self::KeyOnly(key), Some(manifest)) => {
                Verifier::new(*key, manifest.clone()).map(Cow::Owned)
            }
            (Self::KeyOnly(key), None) => {
                Ok(Cow::Owned(Verifier::compat(PublicKey(*key.as_bytes()))))
            }
        }
    }
}

impl From<Verifier> for Authority {
    fn from(verifier: Verifier) -> Self {
        Self::Known(verifier)
    }
}

impl From<CoreKey> for Authority {
    fn from(key: CoreKey) -> Self {
        Self::KeyOnly(key)
    }
}
