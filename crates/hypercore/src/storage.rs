//! Where logs are kept, as the builder takes it. Knows nothing of how an engine works.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use hc_storage::{MemoryStore, OpenError, Store, StoreOptions};

/// Where a log is kept: a directory, memory, or a store that is already open.
#[derive(Debug, Clone)]
pub struct Storage(Place);

#[derive(Debug, Clone)]
enum Place {
    Memory,
    Disk {
        path: PathBuf,
        options: StoreOptions,
    },
    Open(Arc<dyn Store>),
}

impl Storage {
    /// A new store in memory, which ends with the log.
    #[must_use]
    pub fn memory() -> Self {
        Self(Place::Memory)
    }

    /// A directory, made if it is not there. One process at a time may write to it.
    #[must_use]
    pub fn disk(path: impl AsRef<Path>) -> Self {
        Self::directory(path, StoreOptions::default().create(true))
    }

    /// A directory with a store in it: an error if there is none.
    #[must_use]
    pub fn existing(path: impl AsRef<Path>) -> Self {
        Self::directory(path, StoreOptions::default())
    }

    /// A directory with a store in it that is only read; another process may be writing to it
    /// meanwhile. What that writes shows after a [refresh](crate::Hypercore::refresh).
    #[must_use]
    pub fn read_only(path: impl AsRef<Path>) -> Self {
        Self::directory(path, StoreOptions::default().read_only())
    }

    /// A directory, with options of the engine's.
    #[must_use]
    pub fn directory(path: impl AsRef<Path>, options: StoreOptions) -> Self {
        let path = path.as_ref().to_path_buf();
        Self(Place::Disk { path, options })
    }

    /// A store that is open and may hold other logs too. Closing the log leaves it open.
    #[must_use]
    pub fn open(store: Arc<dyn Store>) -> Self {
        Self(Place::Open(store))
    }

    /// Opens the store, to copy logs into it or out of it, or to open several of them
    /// ([`Storage::open`]). Blocks where it is a directory. It is closed by [`Store::close`], or with the
    /// last handle.
    ///
    /// # Errors
    /// [`StoreError`](crate::StoreError) says what is in the way.
    ///
    /// ```
    /// use hypercore::Storage;
    ///
    /// let store = Storage::memory().open_store()?;
    /// assert!(store.cores()?.is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn open_store(self) -> Result<Arc<dyn Store>, hc_storage::OpenError> {
        match self.0 {
            Place::Memory => Ok(Arc::new(MemoryStore::new())),
            Place::Disk { path, options } => Ok(Arc::new(options.open(path)?)),
            Place::Open(store) => Ok(store),
        }
    }

    /// Whether opening may wait for a disk.
    pub(crate) fn blocks(&self) -> bool {
        matches!(self.0, Place::Disk { .. })
    }

    /// The store, and whether it ends with the log.
    pub(crate) fn into_store(self) -> Result<(Arc<dyn Store>, bool), OpenError> {
        let owns = !matches!(self.0, Place::Open(_));
        Ok((self.open_store()?, owns))
    }
}
