//! Many logs in one store, by name, key or manifest, and one connection for all of them.
//!
//! Owns names, sessions and what is shared by all logs of a store. What a log is it leaves to the log.

mod audit;
mod builder;
mod fixed;
mod group;
mod open;
mod registry;
mod session;
mod shared;
mod sharing;

use std::fmt;
use std::sync::Arc;

use hc_merkle::manifest::ManifestVersion;
use hc_merkle::{DiscoveryKey, KeyPair};
use hc_protocol::Side;
use hc_storage::{Access, CoreEntry, Durability, NamespaceId, StorageError, Usage};

use self::audit::Drops;
pub use self::audit::{Audit, AuditError, Audited};
pub use self::builder::CorestoreBuilder;
pub use self::fixed::StaticError;
pub use self::group::{GroupHandle, GroupUpdates};
pub use self::open::{OpenCore, Which};
use self::session::Session;
pub use self::session::StoreFindingPeers;
use self::shared::Shared;
pub use self::shared::{CoreAuth, ListedCore, StoreEvent, StoreEvents};
pub use self::sharing::{Sharing, SharingPolicy};
use crate::derive::NamePath;
use crate::error::{CloseError, OpenError, RefreshError};
use crate::replicate::{Connection, Replication};
use crate::storage::Storage;

/// Many logs in one store.
///
/// All of them are opened through [`get`](Self::get), by name, key, discovery key, manifest or key pair.
/// A log that is opened twice is the same log; the last handle that closes frees it, unless peers still
/// have it. Names are those of the reference's corestore: the same primary key, namespaces and name give
/// the same log.
///
/// A value of this type is one session on the store; clones are the same session, and
/// [`session`](Self::session) and [`namespace`](Self::namespace) begin others, which share all logs and
/// close on their own. The store closes with the session that opened it.
///
/// ```
/// # futures_lite::future::block_on(async {
/// use hypercore::{Corestore, Storage};
///
/// let store = Corestore::open(Storage::memory()).await?;
/// let posts = store.get("posts").await?;
/// let same = store.get(posts.key()).await?;
/// posts.append("hello").await?;
/// assert_eq!(same.get(0).await?, "hello");
/// store.close().await?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct Corestore {
    shared: Arc<Shared>,
    session: Arc<Session>,
}

impl Corestore {
    /// Opens the store in a place, or makes one there, with the default options.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn open(storage: Storage) -> Result<Self, OpenError> {
        Self::builder(storage).open().await
    }

    /// Begins to open the store in a place.
    ///
    /// ```
    /// # futures_lite::future::block_on(async {
    /// use hypercore::manifest::ManifestVersion;
    /// use hypercore::{Corestore, Durability, Storage};
    ///
    /// let store = Corestore::builder(Storage::memory())
    ///     .durability(Durability::Disk)
    ///     .manifest_version(ManifestVersion::V2)
    ///     .open()
    ///     .await?;
    /// assert!(!store.is_read_only());
    /// # Ok::<(), hypercore::OpenError>(())
    /// # }).unwrap();
    /// ```
    pub fn builder(storage: Storage) -> CorestoreBuilder {
        CorestoreBuilder::new(storage)
    }

    fn new(shared: Arc<Shared>, session: Session) -> Self {
        let session = Arc::new(session);
        shared.enter(&session);
        Self { shared, session }
    }

    /// Asks for a log: by name, [`CoreKey`](crate::CoreKey), [`DiscoveryKey`], [`Manifest`](crate::Manifest)
    /// or [`KeyPair`]. What is returned takes options, and gives the handle when it is awaited.
    ///
    /// ```
    /// # futures_lite::future::block_on(async {
    /// use hypercore::{Corestore, IfMissing, Storage};
    ///
    /// let store = Corestore::open(Storage::memory()).await?;
    /// let log = store.get("posts").await?;
    /// assert!(log.is_writable());
    ///
    /// let again = store.get(log.discovery_key()).if_missing(IfMissing::Fail).await?;
    /// assert_eq!(again.key(), log.key());
    /// # Ok::<(), hypercore::OpenError>(())
    /// # }).unwrap();
    /// ```
    pub fn get(&self, which: impl Into<Which>) -> OpenCore {
        OpenCore::new(self, which.into())
    }

    /// Another session, in the same namespace, that closes on its own.
    #[must_use]
    pub fn session(&self) -> Self {
        Self::new(self.shared.clone(), self.session.child(self.session.place))
    }

    /// A session whose names are apart from all others': those in the namespace of this name in the
    /// present one.
    ///
    /// ```
    /// # futures_lite::future::block_on(async {
    /// use hypercore::{Corestore, Storage};
    ///
    /// let store = Corestore::open(Storage::memory()).await?;
    /// let (a, b) = (store.namespace("a"), store.namespace("b"));
    /// assert_ne!(a.get("log").await?.key(), b.get("log").await?.key());
    /// # Ok::<(), hypercore::OpenError>(())
    /// # }).unwrap();
    /// ```
    #[must_use]
    pub fn namespace(&self, name: &str) -> Self {
        let place = self.session.place.join(name);
        Self::new(self.shared.clone(), self.session.child(place))
    }

    /// Another session, whose new names get manifests of this version. Names that a log was opened by
    /// before keep the manifest that they had.
    #[must_use]
    pub fn with_manifest_version(&self, version: ManifestVersion) -> Self {
        let mut session = self.session.child(self.session.place);
        session.version = version;
        Self::new(self.shared.clone(), session)
    }

    /// A session whose names are in a namespace that was [named](NamePath::join) before.
    #[must_use]
    pub fn at(&self, place: NamePath) -> Self {
        Self::new(self.shared.clone(), self.session.child(place))
    }

    /// Another session, whose handles neither append nor truncate.
    #[must_use]
    pub fn read_only(&self) -> Self {
        let mut session = self.session.child(self.session.place);
        session.read_only = true;
        Self::new(self.shared.clone(), session)
    }

    /// The namespace of this session.
    #[must_use]
    pub fn path(&self) -> NamePath {
        self.session.place
    }

    /// The key pair of the log that this name would be given; `None` where the store is only read
    /// without its secrets.
    ///
    /// ```
    /// # futures_lite::future::block_on(async {
    /// use hypercore::{Corestore, Storage};
    ///
    /// let store = Corestore::open(Storage::memory()).await?;
    /// let pair = store.create_key_pair("posts").unwrap();
    /// assert_eq!(store.get(pair).await?.key(), store.get("posts").await?.key());
    /// # Ok::<(), hypercore::OpenError>(())
    /// # }).unwrap();
    /// ```
    #[must_use]
    pub fn create_key_pair(&self, name: &str) -> Option<KeyPair> {
        let primary = self.shared.primary.as_ref()?;
        Some(primary.key_pair(&self.session.place, name))
    }

    /// Whether the store is only read, beside its writer.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        self.shared.store.access() == Access::ReadOnly
    }

    /// Whether this session was closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.session.scope.is_closed()
    }

    /// All logs of the store, by discovery key, those with a name with it.
    ///
    /// ```
    /// # futures_lite::future::block_on(async {
    /// use hypercore::{Corestore, Storage};
    ///
    /// let store = Corestore::open(Storage::memory()).await?;
    /// store.get("posts").await?;
    /// let listed = store.list()?;
    /// assert_eq!(listed[0].name.as_deref(), Some("posts"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`StorageError`].
    pub fn list(&self) -> Result<Vec<ListedCore>, StorageError> {
        self.shared.list()
    }

    /// The logs whose names are in the namespace of this session, by name.
    ///
    /// # Errors
    /// [`StorageError`].
    pub fn list_names(&self) -> Result<Vec<ListedCore>, StorageError> {
        let place = NamespaceId(*self.session.place.as_bytes());
        let named = self.shared.store.named(Some(place))?;
        Ok(named.into_iter().map(ListedCore::from).collect())
    }

    /// The log that [`Hypercore::builder`](crate::Hypercore::builder) opens in this place where it is told
    /// of none.
    ///
    /// # Errors
    /// [`StorageError`].
    pub fn default_core(&self) -> Result<Option<DiscoveryKey>, StorageError> {
        self.shared.store.default_core()
    }

    /// What the store has about who may write a log, without opening it; `None` where it does not have
    /// the log.
    ///
    /// # Errors
    /// [`StorageError`].
    pub fn auth(&self, log: &DiscoveryKey) -> Result<Option<CoreAuth>, StorageError> {
        self.shared.auth(log)
    }

    /// The logs that are open: through a handle, or because a peer wants them.
    #[must_use]
    pub fn open_cores(&self) -> Vec<CoreEntry> {
        self.shared.open_cores()
    }

    /// How many sessions of this store are open, this one included.
    #[must_use]
    pub fn open_sessions(&self) -> usize {
        self.shared.open_sessions()
    }

    /// Logs that open and close, and groups in which something happens, from now on.
    ///
    /// ```
    /// # futures_lite::future::block_on(async {
    /// use hypercore::{Corestore, Storage, StoreEvent};
    ///
    /// let store = Corestore::open(Storage::memory()).await?;
    /// let mut events = store.events();
    /// let log = store.get("posts").await?;
    /// assert!(matches!(events.next().await, Some(StoreEvent::Opened(core)) if core.key == log.key()));
    /// log.close().await?;
    /// assert!(matches!(events.next().await, Some(StoreEvent::Closed(_))));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn events(&self) -> StoreEvents {
        self.shared.events()
    }

    /// Bytes that the store takes.
    ///
    /// # Errors
    /// [`StorageError`].
    pub fn usage(&self) -> Result<Usage, StorageError> {
        self.shared.store.usage()
    }

    /// Replicates all logs of the store over a duplex stream: those that are open, those that are opened
    /// later, and those on disk that the remote asks for, which are opened for as long as it wants them.
    /// A future to run, which ends with the stream or the store.
    ///
    /// ```
    /// # futures_lite::future::block_on(async {
    /// use async_std::{os::unix::net::UnixStream, task};
    /// use hypercore::{Corestore, Role, Storage};
    ///
    /// let (here, there) = (Corestore::open(Storage::memory()).await?, Corestore::open(Storage::memory()).await?);
    /// let log = here.get("posts").await?;
    /// log.append("hello").await?;
    /// log.close().await?;
    ///
    /// let (left, right) = UnixStream::pair()?;
    /// task::spawn(here.replicate(left, Role::Initiator));
    /// task::spawn(there.replicate(right, Role::Responder));
    /// let copy = there.get(log.key()).await?;
    /// assert_eq!(copy.get(0).await?, "hello");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn replicate<S>(&self, stream: S, role: Side) -> Connection<S> {
        self.replication(stream, role, Sharing::All).start()
    }

    /// As [`replicate`](Self::replicate), with the options of the connection, and a say in which logs
    /// the remote may learn of and fetch.
    pub fn replication<S>(&self, stream: S, role: Side, sharing: Sharing) -> Replication<S> {
        let runtime = self.shared.runtime.clone();
        let source = sharing::source(&self.shared, sharing);
        Replication::of(stream, role, runtime, source)
    }

    /// Says that peers are being looked for: until the returned value is dropped, or the session closed,
    /// an update of any log that is open through this session waits for a first peer.
    pub fn finding_peers(&self) -> StoreFindingPeers {
        self.session.find_peers()
    }

    /// Verifies all logs of the store, one after the other, without opening them to anybody, and drops
    /// the blocks that do not hold, as [`Hypercore::audit`](crate::Hypercore::audit) does.
    ///
    /// # Errors
    /// [`StorageError`].
    pub fn audit(&self) -> Result<Audit, StorageError> {
        Audit::new(&self.shared, Drops::WhatIsBad)
    }

    /// As [`audit`](Self::audit), and changes nothing.
    ///
    /// # Errors
    /// [`StorageError`].
    pub fn audit_dry_run(&self) -> Result<Audit, StorageError> {
        Audit::new(&self.shared, Drops::Nothing)
    }

    /// Brings everything to the device and holds still: until [`resume`](Self::resume), no log is opened
    /// and connections read nothing. What is open stays open, and may be read and written; what is
    /// appended then is kept as at any other time.
    ///
    /// For a process that may be stopped any moment, as those of telephones are. The store stays this
    /// process's own: its files stay open and its lock is held. (The reference gives the lock up, so that
    /// another process may open the store meanwhile and sign the same lengths again: a fork. Who wants to
    /// hand a store over [closes](Self::close) it.)
    ///
    /// # Errors
    /// [`StorageError`].
    pub async fn suspend(&self) -> Result<(), StorageError> {
        self.shared.suspend().await
    }

    /// Ends what [`suspend`](Self::suspend) began.
    pub fn resume(&self) {
        self.shared.resume();
    }

    /// On a store that is read beside its writer: takes in what was written since, and says whether there
    /// was anything.
    ///
    /// # Errors
    /// [`RefreshError`].
    pub async fn refresh(&self) -> Result<bool, RefreshError> {
        self.shared.refresh().await
    }

    /// Brings everything acknowledged so far to a level of durability.
    ///
    /// # Errors
    /// [`StorageError`].
    pub async fn sync(&self, level: Durability) -> Result<(), StorageError> {
        self.shared.sync(level).await
    }

    /// Closes this session: all handles that were opened through it, and their clones. With the session
    /// that opened the store, everything closes: all other sessions, connections, logs, the store.
    ///
    /// # Errors
    /// [`CloseError`] where the store could not bring everything to the disk; it is closed all the same.
    pub async fn close(&self) -> Result<(), CloseError> {
        self.session.close().await;
        if self.session.is_root {
            self.shared.close().await?;
        }
        Ok(())
    }
}

impl fmt::Debug for Corestore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Corestore")
            .field("store", &self.shared.store)
            .field("namespace", &self.session.place)
            .finish_non_exhaustive()
    }
}
