//! The state that every handle of one log shares.
//!
//! A change is planned under the lane, committed as one batch, and only then published; commit and
//! publish are one step that no dropped future can split.
//!
//! **Order of locks:** lane → view → machine → outbox. Whoever holds one may take those after it,
//! never those before. All but the lane are held for a few instructions and never across an await.

mod append;
mod apply;
pub(crate) mod lane;
mod open;
pub(crate) mod publish;
mod refresh;
mod seal;

use std::sync::{Arc, OnceLock, Weak};
use std::time::Instant;

use hc_merkle::{CoreKey, DiscoveryKey};
use hc_storage::{CoreStore, Durability, StorageError, Store};

pub(crate) use self::append::AppendOptions;
use self::apply::ApplyQueue;
pub(crate) use self::apply::stage;
use self::lane::Lane;
pub(crate) use self::open::{Identity, Opening};
pub(crate) use self::seal::Seal;
use crate::event::{Event, Hub, Watchers};
use crate::replicate::Swarm;
use crate::rt::Runtime;
use crate::signer::ExternalSigner;
use crate::sync::{Gate, Mutex};
use crate::view::ViewCell;

/// One open log.
pub(crate) struct Core {
    pub(crate) key: CoreKey,
    pub(crate) discovery_key: DiscoveryKey,
    /// The key pair that signs.
    pub(crate) writer: Option<hc_merkle::KeyPair>,
    /// Who signs in its place, outside this process.
    pub(crate) external: Option<Arc<dyn ExternalSigner>>,
    /// Whether there is a secret key that may sign, here or in a store that is only read.
    pub(crate) has_secret_key: bool,
    /// Whether blocks are encrypted before they are appended.
    pub(crate) encrypted: bool,
    pub(crate) store: Arc<dyn Store>,
    /// Whether the store ends with the log.
    owns_store: bool,
    pub(crate) log: Arc<dyn CoreStore>,
    pub(crate) durability: Durability,
    pub(crate) runtime: Arc<dyn Runtime>,
    pub(crate) lane: Arc<Lane>,
    pub(crate) view: ViewCell,
    /// The machine and its peers.
    pub(crate) swarm: Mutex<Swarm>,
    /// What peers sent and nobody has verified yet.
    pub(crate) apply: ApplyQueue,
    /// Why nothing more can be stored, once that is so: what is not here does not come any more.
    fault: OnceLock<Arc<StorageError>>,
    /// When the machine's time began.
    pub(crate) epoch: Instant,
    pub(crate) hub: Hub,
    pub(crate) watchers: Watchers,
    /// The gates of all handles.
    handles: Mutex<Vec<Weak<Gate>>>,
    /// Closed with the last handle, or when all are closed at once.
    pub(crate) gate: Gate,
}

impl Core {
    /// The gate of a new handle; closed from the start if the log is.
    pub(crate) fn attach(&self) -> Arc<Gate> {
        let gate = Arc::new(Gate::default());
        let mut handles = self.handles.lock();
        handles.retain(|one| one.strong_count() > 0);
        handles.push(Arc::downgrade(&gate));
        if self.gate.is_closed() {
            gate.close();
        }
        gate
    }

    /// Whether any handle is neither closed nor dropped.
    pub(crate) fn is_attached(&self) -> bool {
        let handles = self.handles.lock();
        handles
            .iter()
            .filter_map(Weak::upgrade)
            .any(|gate| !gate.is_closed())
    }

    /// Tells peers whether anybody here is interested: as long as a handle is open, somebody is.
    pub(crate) fn note_handles(&self) {
        self.set_active(self.is_attached());
    }

    /// Refuses new work, fails what waits, lets the write that is under way finish, and closes the
    /// store if it is the log's own.
    pub(crate) async fn close(self: &Arc<Self>) -> Result<(), StorageError> {
        if !self.gate.close() {
            return Ok(());
        }
        let handles = std::mem::take(&mut *self.handles.lock());
        for gate in handles.iter().filter_map(Weak::upgrade) {
            gate.close();
        }
        self.lane.close();
        self.lane.idle().await;
        self.end_demands();
        self.attend();
        self.hub.emit(&Event::Close);
        self.watchers.end();
        if !self.owns_store {
            return Ok(());
        }
        let store = self.store.clone();
        self.block_on_disk(move || store.close())
            .await
            .unwrap_or(Ok(()))
    }

    /// Why nothing more can be stored, once that is so.
    pub(crate) fn fault(&self) -> Option<Arc<StorageError>> {
        self.fault.get().cloned()
    }

    /// Nothing more can be stored: fails whoever waits for it, and the connections that bring it.
    fn fail(&self, error: StorageError) {
        tracing::warn!(%error, "what peers sent was not stored");
        self.fault.set(Arc::new(error)).ok();
        self.end_demands();
        self.attend();
    }

    /// Runs a job that may wait for a disk. `None` if it did not run to its end.
    pub(crate) async fn block_on_disk<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        crate::rt::run(&*self.runtime, job).await
    }
}

impl std::fmt::Debug for Core {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Core")
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}
