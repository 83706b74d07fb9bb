//! The state that every handle of one log shares.
//!
//! A change is planned under the lane, committed as one batch, and only then published; commit and
//! publish are one step that no dropped future can split.
//!
//! **Order of locks:** lane → machine → view → outbox. Whoever holds one may take those after it,
//! never those before. All but the lane are held for a few instructions and never across an await.

mod append;
mod apply;
mod clear;
pub(crate) mod conflict;
pub(crate) mod cuts;
mod group;
mod handles;
mod hints;
mod home;
pub(crate) mod lane;
mod marks;
mod open;
pub(crate) mod publish;
mod refresh;
mod reorg;
mod restored;
mod seal;
pub(crate) mod together;
mod truncate;
mod user_data;
mod writer;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use hc_bitfield::Bitfield;
use hc_merkle::proof::Reorg;
use hc_merkle::{CoreKey, DiscoveryKey};
use hc_storage::{CoreEntry, CoreStore, Durability, StorageError, Store, Topic};

pub(crate) use self::append::AppendOptions;
use self::apply::ApplyQueue;
pub(crate) use self::apply::stage;
use self::conflict::Frozen;
use self::handles::Handles;
use self::hints::Hints;
pub use self::home::GroupActive;
pub(crate) use self::home::{Home, Scope};
use self::lane::{Guard, Lane, LaneError};
pub(crate) use self::open::{Identity, Opening, check_signs, mark_encrypted};
pub use self::restored::PeerCheck;
use self::restored::Unchecked;
pub(crate) use self::seal::Seal;
pub(crate) use self::truncate::TruncateOptions;
pub(crate) use self::writer::Writer;
use crate::event::{Event, Watchers};
use crate::hub::Hub;
use crate::limits::MAX_STORE_DELAY;
use crate::line::{Enlisted, Lines};
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
    pub(crate) writer: OnceLock<Writer>,
    /// Who signs in its place, outside this process.
    pub(crate) external: Option<Arc<dyn ExternalSigner>>,
    /// Whether there is a secret key that may sign, here or in a store that is only read.
    pub(crate) has_secret_key: bool,
    /// Whether blocks are encrypted before they are appended.
    pub(crate) encrypted: AtomicBool,
    /// The group that the log is in.
    pub(crate) group: OnceLock<Topic>,
    /// The store that the log was opened in, where that has several.
    pub(crate) home: Option<Arc<dyn Home>>,
    pub(crate) store: Arc<dyn Store>,
    /// That peers are to be asked before the first append.
    pub(crate) unchecked: Option<Box<Unchecked>>,
    /// Whether the store ends with the log.
    pub(crate) owns_store: bool,
    pub(crate) log: Arc<dyn CoreStore>,
    pub(crate) durability: Durability,
    pub(crate) runtime: Arc<dyn Runtime>,
    pub(crate) lane: Arc<Lane>,
    pub(crate) view: ViewCell,
    /// The machine and its peers.
    pub(crate) swarm: Mutex<Swarm>,
    /// What is remembered of peers.
    pub(crate) hints: Hints,
    /// What peers sent and nobody has verified yet.
    pub(crate) apply: ApplyQueue,
    /// A later fork, on the way to where it parts from ours. Only for who holds the lane.
    reorg: Mutex<Option<Box<Reorg>>>,
    /// The log was signed twice, and is frozen.
    frozen: Frozen,
    /// Why nothing more can be stored, once that is so: what is not here does not come any more.
    fault: OnceLock<Arc<StorageError>>,
    /// When the machine's time began.
    pub(crate) epoch: Instant,
    pub(crate) hub: Hub<Event>,
    pub(crate) watchers: Watchers,
    /// Blocks that are marked, while somebody marks.
    marks: Mutex<Option<Bitfield>>,
    /// All handles.
    handles: Handles,
    /// The branches that are open.
    pub(crate) lines: Lines,
    /// Whether it is in an atom.
    pub(crate) enlisted: Enlisted,
    /// One exclusive session after the other.
    exclusive: OnceLock<Arc<Lane>>,
    /// Everybody has been told that the log is closed.
    ended: AtomicBool,
    /// Closed with the last handle, or when all are closed at once.
    pub(crate) gate: Gate,
}

impl Core {
    /// Refuses new work, fails what waits, lets the write that is under way finish, and closes the
    /// store if it is the log's own.
    pub(crate) async fn close(self: &Arc<Self>) -> Result<(), StorageError> {
        self.shut().await;
        if !self.owns_store {
            return Ok(());
        }
        let store = self.store.clone();
        self.block_on_disk(move || store.close())
            .await
            .unwrap_or(Ok(()))
    }

    /// As [`close`](Self::close), but leaves the store open. Whoever comes second waits as the first
    /// does, and nothing is told twice.
    pub(crate) async fn shut(&self) {
        self.shut_gates();
        self.lane.idle().await;
        self.end();
    }

    /// Closes a log of a store with several if nobody wants it: no handle keeps it open, and no peer is
    /// there. A write that is under way ends on its own; the lane is idle then.
    pub(crate) fn retire(&self) {
        let wanted = self.home.is_none() || self.has_channels();
        if wanted || !self.handles.close_unless_held(&self.gate) {
            return;
        }
        self.close_lanes();
        self.end();
    }

    /// Tells everybody, once, that the log is closed.
    fn end(&self) {
        if self.ended.swap(true, Ordering::SeqCst) {
            return;
        }
        self.end_demands();
        self.attend();
        if let Err(error) = self.store_hints() {
            tracing::debug!(%error, "what was seen of peers was not stored");
        }
        self.hub.emit(&Event::Close);
        self.watchers.end();
        if let Some(home) = &self.home {
            home.closed(self.entry());
        }
    }

    /// What the store lists the log by.
    pub(crate) fn entry(&self) -> CoreEntry {
        CoreEntry {
            discovery_key: self.discovery_key,
            key: self.key,
        }
    }

    pub(crate) fn set_encrypted(&self, encrypted: bool) {
        self.encrypted.store(encrypted, Ordering::Relaxed);
    }

    /// Whether blocks are encrypted before they are appended.
    pub(crate) fn is_encrypted(&self) -> bool {
        self.encrypted.load(Ordering::Relaxed)
    }

    /// Refuses new work on all handles, for good.
    fn shut_gates(&self) {
        self.gate.close();
        self.handles.close();
        self.close_lanes();
    }

    fn close_lanes(&self) {
        if let Some(exclusive) = self.exclusive.get() {
            exclusive.close();
        }
        self.lane.close();
    }

    /// A turn on the lane, unless the handle is closed before it comes.
    pub(crate) async fn enter(&self, gate: &Gate) -> Result<Guard, LaneError> {
        together::enter(&self.lane, gate).await
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

    /// Waits before so many bytes are stored, where the store is behind in giving back space: without a
    /// thread, and not for longer than [`MAX_STORE_DELAY`].
    pub(crate) async fn wait_for_space(&self, bytes: usize) {
        if bytes == 0 || self.store.delay().is_zero() {
            return;
        }
        let begun = self.runtime.now();
        loop {
            let left = MAX_STORE_DELAY.saturating_sub(self.runtime.now() - begun);
            let delay = self.store.delay().min(left);
            if delay.is_zero() {
                return;
            }
            self.runtime.sleep_until(self.runtime.now() + delay).await;
        }
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
