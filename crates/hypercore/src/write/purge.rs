//! Removing a log from its store.

use hc_merkle::DiscoveryKey;
use hc_storage::{Access, StorageError};
use thiserror::Error;

use crate::hypercore::Hypercore;

/// Why a log was not removed. It is closed all the same, unless the store is read-only.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PurgeError {
    /// The store is only read.
    #[error("the store is read-only")]
    ReadOnly,
    /// The store does not have it any more.
    #[error("the store does not have log {key:?} any more")]
    Missing {
        /// Which.
        key: DiscoveryKey,
    },
    /// The job that removed it did not end.
    #[error("removing was interrupted")]
    Interrupted,
    /// The store refused.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl Hypercore {
    /// Closes all handles of the log and removes it from its store: blocks, tree, user data and secret
    /// key. Other logs of the store are left alone.
    ///
    /// # Errors
    /// [`PurgeError`].
    ///
    /// ```
    /// # futures_lite::future::block_on(async {
    /// # use std::sync::Arc;
    /// # use hypercore::{Hypercore, IfMissing, Storage};
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path();
    /// let log = Hypercore::builder(Storage::disk(path)).open().await?;
    /// log.append("soon gone").await?;
    /// log.purge().await?;
    /// let again = Hypercore::builder(Storage::disk(path)).if_missing(IfMissing::Fail);
    /// assert!(again.open().await.is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub async fn purge(&self) -> Result<(), PurgeError> {
        let core = &self.core;
        if core.store.access() == Access::ReadOnly {
            return Err(PurgeError::ReadOnly);
        }
        core.shut().await;
        let (store, key, owned) = (core.store.clone(), core.discovery_key, core.owns_store);
        let job = move || -> Result<bool, StorageError> {
            let deleted = store.delete_core(&key);
            if owned {
                store.close()?;
            }
            deleted
        };
        let deleted = core.block_on_disk(job).await;
        if deleted.ok_or(PurgeError::Interrupted)?? {
            Ok(())
        } else {
            Err(PurgeError::Missing { key })
        }
    }
}
