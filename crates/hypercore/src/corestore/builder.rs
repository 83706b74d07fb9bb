//! Opening a store of many logs, option by option.

use std::sync::Arc;
use std::time::Duration;

use hc_merkle::manifest::ManifestVersion;
use hc_storage::{Access, Durability, Store};

use super::Corestore;
use super::session::Session;
use super::shared::{Defaults, Shared};
use crate::builder::default_runtime;
use crate::cipher::Cipher;
use crate::derive::PrimaryKey;
use crate::encryption::EncryptionKey;
use crate::error::OpenError;
use crate::limits::PASSIVE_LINGER;
use crate::rt::Runtime;
use crate::storage::Storage;

/// How a store is to be opened; see [`Corestore::builder`].
#[must_use = "a builder does nothing until it is opened"]
pub struct CorestoreBuilder {
    storage: Storage,
    primary: Option<PrimaryKey>,
    runtime: Option<Arc<dyn Runtime>>,
    version: ManifestVersion,
    defaults: Defaults,
}

impl CorestoreBuilder {
    pub(super) fn new(storage: Storage) -> Self {
        Self {
            storage,
            primary: None,
            runtime: None,
            version: ManifestVersion::default(),
            defaults: Defaults {
                durability: Durability::default(),
                cipher: None,
                linger: PASSIVE_LINGER,
            },
        }
    }

    /// Derives the key pairs of names from this key instead of a random one, which a store is otherwise
    /// made with. It is stored; a store that has another does not open.
    ///
    /// Unsafe in what it may lead to, not in memory: two stores with one primary key that both append to
    /// a log fork it for good. Use it to move a store, or to restore one.
    pub fn unsafe_primary_key(mut self, key: PrimaryKey) -> Self {
        self.primary = Some(key);
        self
    }

    /// Time and blocking work; [`rt::AsyncStd`](crate::rt) where the feature `async-std` is on.
    pub fn runtime(mut self, runtime: impl Runtime) -> Self {
        self.runtime = Some(Arc::new(runtime));
        self
    }

    /// What a write has to survive before it is acknowledged, unless a log is opened with another level;
    /// [`Durability::Os`] by default.
    pub fn durability(mut self, level: Durability) -> Self {
        self.defaults.durability = level;
        self
    }

    /// Version of the manifests of new names; version 1 by default.
    pub fn manifest_version(mut self, version: ManifestVersion) -> Self {
        self.version = version;
        self
    }

    /// Encrypts the blocks of all logs that are opened without a key of their own, each under a key that
    /// follows from this one and the log's.
    pub fn encryption_key(mut self, key: EncryptionKey) -> Self {
        self.defaults.cipher = Some(Arc::new(Cipher::from_key(key)));
        self
    }

    /// How long a log that was opened for a peer stays when neither side wants it any more;
    /// [six seconds](crate::limits::PASSIVE_LINGER) by default.
    pub fn passive_linger(mut self, linger: Duration) -> Self {
        self.defaults.linger = linger;
        self
    }

    /// Opens the store.
    ///
    /// # Errors
    /// [`OpenError`]; [`StorageError::OtherSecret`](crate::StorageError::OtherSecret) within where the
    /// store has another primary key.
    pub async fn open(self) -> Result<Corestore, OpenError> {
        let runtime = self
            .runtime
            .or_else(default_runtime)
            .ok_or(OpenError::NoRuntime)?;
        let (storage, primary) = (self.storage, self.primary);
        let blocks = storage.blocks();
        let random = runtime.clone();
        let job = move || {
            let (store, owns) = storage.into_store()?;
            let primary = primary_key(&*store, primary, &*random).inspect_err(|_| {
                if owns {
                    // What went wrong before says more.
                    store.close().ok();
                }
            })?;
            Ok::<_, OpenError>((store, owns, primary))
        };
        let (store, owns, primary) = if blocks {
            let opened = crate::rt::run(&*runtime, job).await;
            opened.ok_or(OpenError::Interrupted)??
        } else {
            job()?
        };
        let shared = Shared::new(store, owns, primary, runtime, self.defaults);
        Ok(Corestore::new(shared, Session::root(self.version)))
    }
}

/// The primary key of a store: the one it has, else the one given, else a new one.
fn primary_key(
    store: &dyn Store,
    given: Option<PrimaryKey>,
    runtime: &dyn Runtime,
) -> Result<Option<PrimaryKey>, OpenError> {
    let stored = store.secret()?;
    if store.access() == Access::ReadOnly {
        return Ok(stored.as_ref().map(PrimaryKey::from));
    }
    let key = match (stored, given) {
        (Some(stored), None) => return Ok(Some(PrimaryKey::from(&stored))),
        (_, Some(given)) => given,
        (None, None) => PrimaryKey::random(runtime).map_err(OpenError::Randomness)?,
    };
    store.set_secret(key.secret())?;
    Ok(Some(key))
}

impl std::fmt::Debug for CorestoreBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CorestoreBuilder")
            .field("storage", &self.storage)
            .finish_non_exhaustive()
    }
}
