//! What all sessions of a store share: the store itself, its open logs, its connections, and who listens.

use std::collections::HashMap;
use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use event_listener::Event as Signal;
use futures_core::Stream;
use hc_merkle::{CoreKey, DiscoveryKey, Manifest};
use hc_storage::{CoreEntry, Durability, NamedCore, NamespaceId, StorageError, Store, Topic};

use super::registry::{Found, Registry};
use super::session::Session;
use crate::builder::IfMissing;
use crate::cipher::Cipher;
use crate::core::{Core, GroupActive, Home, Identity, Opening};
use crate::derive::PrimaryKey;
use crate::error::{OpenError, RefreshError};
use crate::hub::{Hub, News, Subscription};
use crate::replicate::Doors;
use crate::rt::Runtime;
use crate::storage::Storage;
use crate::sync::Mutex;

/// Options of all logs that are opened without their own.
pub(super) struct Defaults {
    pub(super) durability: Durability,
    pub(super) cipher: Option<Arc<Cipher>>,
    pub(super) linger: Duration,
}

/// A store and what is open of it.
pub(super) struct Shared {
    pub(super) store: Arc<dyn Store>,
    owns_store: bool,
    pub(super) primary: Option<PrimaryKey>,
    pub(super) runtime: Arc<dyn Runtime>,
    pub(super) defaults: Defaults,
    pub(super) cores: Registry,
    connections: Mutex<Vec<Weak<Doors>>>,
    sessions: Mutex<Vec<Weak<Session>>>,
    hub: Hub<StoreEvent>,
    pub(super) groups: Mutex<HashMap<Topic, Weak<Hub<StoreEvent>>>>,
    suspension: Suspension,
    /// Whether a log that was refreshed took in more than its own, which nobody was told of yet.
    taken_in: AtomicBool,
    me: Weak<Shared>,
}

#[derive(Default)]
struct Suspension {
    suspended: Mutex<bool>,
    over: Signal,
}

/// Something that happened in a store.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreEvent {
    /// A log was opened, through a handle or because a peer asked for it.
    Opened(CoreEntry),
    /// A log was closed: nobody here and no peer wants it.
    Closed(CoreEntry),
    /// A log that is in a group grew or was cut: told once, however many handles it has.
    GroupActive(GroupActive),
    /// The subscriber was too slow: so many events before the next one are lost.
    Lagged(u64),
    /// The store was closed. The last event.
    Close,
}

impl News for StoreEvent {
    fn lagged(count: u64) -> Self {
        Self::Lagged(count)
    }

    fn is_last(&self) -> bool {
        *self == Self::Close
    }
}

/// What happens in a store: a stream that ends after [`StoreEvent::Close`].
#[must_use = "a subscription that is dropped hears nothing"]
pub struct StoreEvents(Subscription<StoreEvent>);

impl StoreEvents {
    /// The next event; `None` after [`StoreEvent::Close`].
    pub async fn next(&mut self) -> Option<StoreEvent> {
        self.0.next().await
    }

    /// An event that has already happened, without waiting.
    pub fn try_next(&mut self) -> Option<StoreEvent> {
        self.0.try_next()
    }
}

impl Stream for StoreEvents {
    type Item = StoreEvent;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<StoreEvent>> {
        Pin::new(&mut self.0).poll_next(cx)
    }
}

impl fmt::Debug for StoreEvents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreEvents").finish_non_exhaustive()
    }
}

/// A log of a store, as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedCore {
    /// What names the log.
    pub key: CoreKey,
    /// What it may be announced under.
    pub discovery_key: DiscoveryKey,
    /// The name that it was first opened by.
    pub name: Option<String>,
    /// The namespace that the name is in, as [`NamePath::as_bytes`](crate::NamePath::as_bytes) gives it.
    pub namespace: Option<NamespaceId>,
}

impl From<NamedCore> for ListedCore {
    fn from(named: NamedCore) -> Self {
        Self {
            key: named.key,
            discovery_key: named.discovery_key,
            name: Some(named.alias.name),
            namespace: Some(named.alias.namespace),
        }
    }
}

/// What a store has about who may write a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CoreAuth {
    /// What names the log.
    pub key: CoreKey,
    /// Who may sign, once it is known.
    pub manifest: Option<Manifest>,
    /// Whether the key is the public key itself, as it was before manifests.
    pub compat: bool,
    /// Whether blocks are encrypted.
    pub encrypted: bool,
    /// Whether the store has a secret key for it, or a name that one follows from.
    pub has_secret_key: bool,
}

impl Shared {
    pub(super) fn new(
        store: Arc<dyn Store>,
        owns_store: bool,
        primary: Option<PrimaryKey>,
        runtime: Arc<dyn Runtime>,
        defaults: Defaults,
    ) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            store,
            owns_store,
            primary,
            runtime,
            defaults,
            cores: Registry::default(),
            connections: Mutex::default(),
            sessions: Mutex::default(),
            hub: Hub::default(),
            groups: Mutex::default(),
            suspension: Suspension::default(),
            taken_in: AtomicBool::new(false),
            me: me.clone(),
        })
    }

    /// How a log of this store is opened, with the default options; not created.
    pub(super) fn opening(&self, identity: Identity) -> Opening {
        Opening {
            lost: None,
            read_frozen: false,
            peer_check: None,
            storage: Storage::open(self.store.clone()),
            identity,
            cipher: None,
            if_missing: IfMissing::Fail,
            overwrite: false,
            user_data: Vec::new(),
            durability: self.defaults.durability,
            runtime: self.runtime.clone(),
            home: self.me.upgrade().map(|me| me as Arc<dyn Home>),
            alias: None,
            created: None,
        }
    }

    /// The log, opened where it is not.
    pub(super) fn find(&self, log: &DiscoveryKey, opening: Opening) -> Result<Found, OpenError> {
        let found = self.cores.find(log, || opening.run())?;
        if let Found::Opened(core) = &found {
            self.hub.emit(&StoreEvent::Opened(core.entry()));
        }
        Ok(found)
    }

    /// Offers a log that somebody here wants to all connections.
    pub(super) fn offer(&self, core: &Arc<Core>) {
        let connections: Vec<_> = {
            let mut all = self.connections.lock();
            all.retain(|one| one.strong_count() > 0);
            all.iter().filter_map(Weak::upgrade).collect()
        };
        connections
            .iter()
            .for_each(|doors| doors.offer(core.clone()));
    }

    pub(super) fn connected(&self, doors: &Arc<Doors>) {
        self.connections.lock().push(Arc::downgrade(doors));
    }

    fn knock(&self) {
        let connections: Vec<_> = {
            let all = self.connections.lock();
            all.iter().filter_map(Weak::upgrade).collect()
        };
        connections.iter().for_each(|doors| doors.knock());
    }

    pub(super) fn enter(&self, session: &Arc<Session>) {
        let mut sessions = self.sessions.lock();
        sessions.retain(|one| one.upgrade().is_some_and(|one| !one.scope.is_closed()));
        sessions.push(Arc::downgrade(session));
    }

    pub(super) fn open_sessions(&self) -> usize {
        let sessions = self.sessions.lock();
        let open = sessions.iter().filter_map(Weak::upgrade);
        open.filter(|one| !one.scope.is_closed()).count()
    }

    pub(super) fn open_cores(&self) -> Vec<CoreEntry> {
        self.cores.all().iter().map(|core| core.entry()).collect()
    }

    pub(super) fn events(&self) -> StoreEvents {
        StoreEvents(self.hub.subscribe())
    }

    pub(super) fn list(&self) -> Result<Vec<ListedCore>, StorageError> {
        let mut named: HashMap<DiscoveryKey, NamedCore> = HashMap::new();
        for core in self.store.named(None)? {
            named.insert(core.discovery_key, core);
        }
        let listed = self.store.cores()?.into_iter().map(|entry| {
            let named = named.remove(&entry.discovery_key);
            named.map_or_else(
                || ListedCore {
                    key: entry.key,
                    discovery_key: entry.discovery_key,
                    name: None,
                    namespace: None,
                },
                ListedCore::from,
            )
        });
        Ok(listed.collect())
    }

    pub(super) fn auth(&self, log: &DiscoveryKey) -> Result<Option<CoreAuth>, StorageError> {
        let Some(core) = self.store.open_core(log)? else {
            return Ok(None);
        };
        let auth = core.auth()?;
        let derived = self.primary.is_some() && core.alias()?.is_some();
        Ok(Some(CoreAuth {
            key: auth.key,
            manifest: auth.manifest.map(Arc::unwrap_or_clone),
            compat: auth.compat,
            encrypted: auth.encryption.is_some(),
            has_secret_key: auth.secret_key.is_some() || derived,
        }))
    }

    pub(super) async fn sync(&self, level: Durability) -> Result<(), StorageError> {
        let store = self.store.clone();
        let synced = crate::rt::run(&*self.runtime, move || store.sync(level)).await;
        synced.unwrap_or(Err(StorageError::Closed))
    }

    pub(super) async fn suspend(&self) -> Result<(), StorageError> {
        *self.suspension.suspended.lock() = true;
        self.sync(Durability::Disk).await
    }

    pub(super) fn resume(&self) {
        *self.suspension.suspended.lock() = false;
        self.suspension.over.notify(usize::MAX);
        self.knock();
    }

    pub(super) fn is_suspended(&self) -> bool {
        *self.suspension.suspended.lock()
    }

    /// Waits until the store is not suspended.
    pub(super) async fn awake(&self) {
        while self.is_suspended() {
            let over = self.suspension.over.listen();
            if self.is_suspended() {
                over.await;
            }
        }
    }

    pub(super) async fn refresh(&self) -> Result<bool, RefreshError> {
        let store = self.store.clone();
        let read = crate::rt::run(&*self.runtime, move || store.refresh()).await;
        let mut news = read.ok_or(RefreshError::Interrupted)??;
        for core in self.cores.all() {
            news |= core.catch_up().await?;
        }
        Ok(news | self.taken_in.swap(false, Ordering::AcqRel))
    }

    /// Closes all sessions, logs and connections, and the store.
    pub(super) async fn close(&self) -> Result<(), StorageError> {
        let Some(cores) = self.cores.close() else {
            return Ok(());
        };
        self.resume();
        let sessions = std::mem::take(&mut *self.sessions.lock());
        for session in sessions.iter().filter_map(Weak::upgrade) {
            session.close().await;
        }
        for core in cores {
            core.close().await?;
        }
        self.knock();
        self.hub.emit(&StoreEvent::Close);
        let groups = std::mem::take(&mut *self.groups.lock());
        for hub in groups.values().filter_map(Weak::upgrade) {
            hub.emit(&StoreEvent::Close);
        }
        if !self.owns_store {
            return Ok(());
        }
        let store = self.store.clone();
        let closed = crate::rt::run(&*self.runtime, move || store.close()).await;
        closed.unwrap_or(Ok(()))
    }
}

impl Home for Shared {
    fn active(&self, active: GroupActive) {
        let event = StoreEvent::GroupActive(active);
        self.hub.emit(&event);
        let hub = {
            let groups = self.groups.lock();
            groups.get(&active.topic).and_then(Weak::upgrade)
        };
        if let Some(hub) = hub {
            hub.emit(&event);
        }
    }

    fn refreshed(&self) {
        self.taken_in.store(true, Ordering::Release);
    }

    fn closed(&self, log: CoreEntry) {
        self.hub.emit(&StoreEvent::Closed(log));
    }
}
