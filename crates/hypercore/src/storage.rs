//! Where logs are kept, as the builder takes it. Knows nothing of how an engine works.

use std::sync::Arc;

use hc_storage::{MemoryStore, OpenError, Store};

/// Where a log is kept: memory, or a store that is already open.
#[derive(Debug, Clone)]
pub struct Storage(Place);

#[derive(Debug, Clone)]
pub(crate) enum Place {
    Memory,
    Open(Arc<dyn Store>),
}

impl Storage {
    /// A new store in memory, which ends with the log.
    #[must_use]
    pub fn memory() -> Self {
        Self(Place::Memory)
    }

    /// A store that is open and may hold other logs too. Closing the log leaves it open.
    #[must_use]
    pub fn open(store: Arc<dyn Store>) -> Self {
        Self(Place::Open(store))
    }

    /// Whether opening may wait for a disk.
    pub(crate) fn blocks(&self) -> bool {
        false
    }

    /// The store, and whether it ends with the log.
    pub(crate) fn into_store(self) -> Result<(Arc<dyn Store>, bool), OpenError> {
        Ok(match self.0 {
            Place::Memory => (Arc::new(MemoryStore::new()), true),
            Place::Open(store) => (store, false),
        })
    }
}
