//! Who may sign a log, as far as it is known here: told by the application or learned from a peer.
//!
//! Owns what an application can ask and say about it. Knows nothing of signing.

use hc_encoding::encode_to_vec;
use hc_merkle::manifest::Prologue;
use hc_merkle::{Authority, Length, Manifest, ManifestError, Verifier};
use hc_storage::{Access, Batch, StorageError};
use thiserror::Error;

use crate::core::lane::LaneError;
use crate::core::publish::{CommitError, Staged};
use crate::hypercore::Hypercore;

/// Why a manifest was not stored. Every error leaves the log as it was, but for
/// [`InDoubt`](Self::InDoubt).
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SetManifestError {
    /// It is invalid, or another log's.
    #[error("manifest: {0}")]
    Manifest(#[from] ManifestError),
    /// The store is only read.
    #[error("the store is read-only")]
    ReadOnly,
    /// The handle was closed.
    #[error("the log is closed")]
    Closed,
    /// A write, this or an earlier one, ended without saying whether it was stored: open the log
    /// again to know.
    #[error("a write ended in doubt; open the log again")]
    InDoubt,
    /// The store refused.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl Hypercore {
    /// Who may sign, in the bytes that the key is the hash of; `None` where the
    /// [manifest](Self::manifest) is.
    ///
    /// ```
    /// # futures_lite::future::block_on(async {
    /// # use hypercore::{Hypercore, Manifest, Storage};
    /// # let log = Hypercore::builder(Storage::memory()).open().await?;
    /// let bytes = log.manifest_bytes().unwrap();
    /// let manifest = Manifest::from_bytes(&bytes)?;
    /// assert_eq!(manifest.key(), log.key());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    #[must_use]
    pub fn manifest_bytes(&self) -> Option<Vec<u8>> {
        self.manifest().map(|manifest| encode_to_vec(&manifest))
    }

    /// Tells a log that is known by its key alone who may sign it, which is stored. `false` where it is
    /// known already.
    ///
    /// # Errors
    /// [`SetManifestError`]; a manifest that the key is not the hash of changes nothing.
    ///
    /// ```
    /// # futures_lite::future::block_on(async {
    /// # use hypercore::{Hypercore, Storage};
    /// # let log = Hypercore::builder(Storage::memory()).open().await?;
    /// let reader = Hypercore::builder(Storage::memory()).key(log.key()).open().await?;
    /// assert_eq!(reader.manifest(), None);
    /// reader.set_manifest(log.manifest().unwrap()).await?;
    /// assert_eq!(reader.manifest(), log.manifest());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub async fn set_manifest(&self, manifest: Manifest) -> Result<bool, SetManifestError> {
        let verifier = Verifier::new(self.key(), manifest)?;
        let core = &self.core;
        let guard = core.enter(&self.gate).await?;
        if core.store.access() == Access::ReadOnly {
            return Err(SetManifestError::ReadOnly);
        }
        let view = core.view.load();
        if view.authority.verifier().is_some() {
            return Ok(false);
        }
        let mut staged = Staged::on(&view);
        let mut batch = Batch::new();
        if let Some(manifest) = verifier.manifest() {
            batch.set_manifest(manifest.clone());
        }
        staged.batch = batch;
        staged.next.authority = Authority::Known(verifier).into();
        core.commit(guard, staged, core.durability).await?;
        Ok(true)
    }

    /// The manifest of a log that goes on from here under another key: the same signers, the present
    /// length as its prologue, and this log linked to it. `None` where nobody knows who may sign.
    ///
    /// This is how a log of compat mode gets a manifest, since its key can not change: open another one
    /// with this manifest, [copy the prologue](Self::copy_prologue), and append to that. Blocks that
    /// are encrypted stay under the [block key](crate::encryption::DefaultEncryption::block_key) of this
    /// log.
    ///
    /// ```
    /// # futures_lite::future::block_on(async {
    /// # use hypercore::{Hypercore, KeyPair, Storage};
    /// # let pair = KeyPair::from_seed(&[1; 32]);
    /// let old = Hypercore::builder(Storage::memory()).key_pair(pair.clone()).compat().open().await?;
    /// old.append_batch(["a", "b"]).await?;
    ///
    /// let manifest = old.successor().unwrap();
    /// let new = Hypercore::builder(Storage::memory()).manifest(manifest).key_pair(pair).open().await?;
    /// new.copy_prologue(&old).await?;
    /// new.append("c").await?;
    /// assert_eq!(new.get(0).await?, "a");
    /// assert_eq!(new.manifest().unwrap().linked, Some(vec![old.key()]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    #[must_use]
    pub fn successor(&self) -> Option<Manifest> {
        let view = self.core.view.load();
        let manifest = view.authority.verifier()?.described();
        let successor = manifest.with_linked([self.key()]);
        if view.head.length() == Length::ZERO {
            return Some(successor);
        }
        Some(successor.with_prologue(Prologue {
            hash: view.head.tree_hash(),
            length: view.head.length(),
        }))
    }
}

impl From<LaneError> for SetManifestError {
    fn from(error: LaneError) -> Self {
        match error {
            LaneError::Closed => Self::Closed,
            LaneError::Poisoned => Self::InDoubt,
        }
    }
}

impl From<CommitError> for SetManifestError {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Storage(error) => Self::Storage(error),
            CommitError::InDoubt => Self::InDoubt,
        }
    }
}
