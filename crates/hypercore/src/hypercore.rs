//! The handle that people use: one session on one log.

use std::fmt;
use std::future::IntoFuture;
use std::ops::RangeBounds;
use std::sync::Arc;

use bytes::Bytes;
use hc_merkle::{
    Authority, BlockIndex, ByteLength, CoreKey, DiscoveryKey, Fork, Head, Length, Manifest,
};
use hc_protocol::Side;
use hc_storage::{Durability, Usage};

use crate::builder::Builder;
use crate::core::{AppendOptions, Core, Seal};
use crate::error::{AppendError, CloseError, InfoError, RefreshError};
use crate::event::{Events, State, Watch};
use crate::info::Info;
use crate::read::{Download, FindingPeers, Get, Update};
use crate::replicate::{Connection, Peer, Replication};
use crate::rt::BoxFuture;
use crate::session::{Defaults, Exclusive, Handle};
use crate::signer::ExternalSigner;
use crate::storage::Storage;
use crate::sync::Gate;
use crate::view::View;

/// A log.
///
/// A handle is cheap to clone; each clone is a session of its own on the same log, which ends when it
/// is [closed](Self::close) or dropped. All methods take `&self` and may be called from many threads.
///
/// ```
/// # futures_lite::future::block_on(async {
/// # use hypercore::{Hypercore, Storage};
/// let log = Hypercore::builder(Storage::memory()).open().await?;
/// log.append_batch(["a", "bc"]).await?;
/// assert_eq!((log.length().get(), log.contiguous_length().get()), (2, 2));
/// assert_eq!((log.byte_length().get(), log.fork().get(), log.padding()), (3, 0, 0));
/// assert_eq!(log.id(), log.key().to_z32());
/// assert_eq!(log.discovery_key(), log.key().discovery_key());
/// log.close().await?;
/// assert!(log.is_closed() && !log.is_writable());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
pub struct Hypercore {
    pub(crate) core: Arc<Core>,
    pub(crate) gate: Arc<Gate>,
    pub(crate) defaults: Arc<Defaults>,
    /// The turn of an exclusive session.
    pub(crate) exclusive: Option<Exclusive>,
}

impl Hypercore {
    /// Begins to open a log that is kept in `storage`.
    ///
    /// ```
    /// # futures_lite::future::block_on(async {
    /// use hypercore::{Hypercore, Storage};
    ///
    /// let log = Hypercore::builder(Storage::memory()).open().await?;
    /// assert!(log.is_writable());
    /// # Ok::<(), hypercore::OpenError>(())
    /// # }).unwrap();
    /// ```
    pub fn builder(storage: Storage) -> Builder {
        Builder::new(storage)
    }

    /// A handle that keeps nothing open and interests nobody.
    pub(crate) fn passive(core: Arc<Core>) -> Self {
        Self {
            core,
            gate: Arc::default(),
            defaults: Arc::default(),
            exclusive: None,
        }
    }

    pub(crate) fn new(core: Arc<Core>, defaults: Defaults) -> Self {
        let gate = core.attach(defaults.presence);
        if let Some(scope) = &defaults.scope
            && !scope.enter(&gate, Arc::downgrade(&core))
        {
            gate.close();
        }
        core.note_handles();
        Self {
            core,
            gate,
            defaults: Self::with_defaults(defaults),
            exclusive: None,
        }
    }

    /// What names the log. Whoever knows it may read the log; whoever is told it can verify it.
    #[must_use]
    pub fn key(&self) -> CoreKey {
        self.core.key
    }

    /// What the log may be announced under without giving its key away.
    #[must_use]
    pub fn discovery_key(&self) -> DiscoveryKey {
        self.core.discovery_key
    }

    /// The key as people write it, in z-base-32.
    #[must_use]
    pub fn id(&self) -> String {
        self.core.key.to_z32()
    }

    /// Who may sign; `None` in compat mode, and on a reader until a peer has told it.
    #[must_use]
    pub fn manifest(&self) -> Option<Manifest> {
        self.core
            .view
            .load()
            .authority
            .verifier()?
            .manifest()
            .cloned()
    }

    /// Blocks in the log, stored here or not.
    #[must_use]
    pub fn length(&self) -> Length {
        self.core.view.load().head.length()
    }

    /// Blocks stored here without a gap from the first.
    #[must_use]
    pub fn contiguous_length(&self) -> Length {
        self.core.view.load().contiguous
    }

    /// Bytes in all blocks, without what encryption adds where the handle can decrypt.
    #[must_use]
    pub fn byte_length(&self) -> ByteLength {
        self.plain_length(&self.core.view.load())
    }

    /// Bytes that encryption adds to each block; 0 where the handle cannot decrypt.
    #[must_use]
    pub fn padding(&self) -> u64 {
        self.padding_in(&self.core.view.load())
    }

    fn padding_in(&self, view: &View) -> u64 {
        let cipher = self.defaults.cipher.as_ref();
        cipher.map_or(0, |cipher| cipher.padding(&view.authority))
    }

    fn plain_length(&self, view: &View) -> ByteLength {
        let added = self
            .padding_in(view)
            .saturating_mul(view.head.length().get());
        ByteLength::new(view.head.byte_length().get().saturating_sub(added))
    }

    /// How often the log was truncated.
    #[must_use]
    pub fn fork(&self) -> Fork {
        self.core.view.load().head.fork()
    }

    /// Length, contiguous length, bytes and fork of one moment.
    #[must_use]
    pub fn state(&self) -> State {
        self.core.view.load().state()
    }

    /// Whether this handle can append.
    #[must_use]
    pub fn is_writable(&self) -> bool {
        self.handle().may_write(&Seal::Own) && !self.gate.is_closed()
    }

    /// Whether this handle was closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.gate.is_closed()
    }

    /// Appends a block: a future that gives the state after it.
    ///
    /// Appends take effect in the order in which they are first polled. Dropping the future before it
    /// ended leaves the block appended or not, but never memory and disk apart.
    ///
    /// ```
    /// # futures_lite::future::block_on(async {
    /// # use hypercore::{Hypercore, Storage};
    /// # let log = Hypercore::builder(Storage::memory()).open().await.unwrap();
    /// let appended = log.append("hello").await?;
    /// assert_eq!(appended.length.get(), 1);
    /// # Ok::<(), hypercore::AppendError>(())
    /// # }).unwrap();
    /// ```
    pub fn append(&self, block: impl IntoBlock) -> Append {
        self.append_blocks(vec![block.into_block()])
    }

    /// Appends blocks together: all of them, under one signature, or none.
    ///
    /// ```
    /// # futures_lite::future::block_on(async {
    /// # use hypercore::{Hypercore, Storage};
    /// # let log = Hypercore::builder(Storage::memory()).open().await.unwrap();
    /// let appended = log.append_batch(["a", "b", "c"]).await?;
    /// assert_eq!(appended.length.get(), 3);
    /// # Ok::<(), hypercore::AppendError>(())
    /// # }).unwrap();
    /// ```
    pub fn append_batch<B: IntoBlock>(&self, blocks: impl IntoIterator<Item = B>) -> Append {
        self.append_blocks(blocks.into_iter().map(IntoBlock::into_block).collect())
    }

    fn append_blocks(&self, blocks: Vec<Bytes>) -> Append {
        Append::new(self.handle(), blocks)
    }

    /// Reads a block: a future that gives its bytes, verified.
    pub fn get(&self, index: u64) -> Get {
        Get::new(self.reader(), BlockIndex::new(index))
    }

    /// Fetches the blocks of a range: a future that ends when all of them are stored here. Without an
    /// end it follows the log as it grows, and ends with the handle.
    ///
    /// Blocks come in no order unless it is made [linear](Download::linear), from all peers that have
    /// them. An end past that of the log waits for blocks that do not exist yet.
    pub fn download(&self, range: impl RangeBounds<u64>) -> Download {
        Download::span(self, &range)
    }

    /// Fetches some blocks: a future that ends when all of them are stored here.
    pub fn download_blocks(&self, blocks: impl IntoIterator<Item = u64>) -> Download {
        Download::list(self, blocks)
    }

    /// Asks the peers for a longer log: a future that gives `true` once it is longer, `false` once it
    /// is clear that no peer has more: once one has what is here and no more, others that claim more, or
    /// are still being connected, are waited for a few round trips. `false` at once where there are no peers, unless some are
    /// [being found](Self::finding_peers). Fetches no blocks.
    pub fn update(&self) -> Update {
        Update::new(self)
    }

    /// Says that peers are being looked for: until the returned value is dropped, an
    /// [update](Self::update) waits for the first of them.
    pub fn finding_peers(&self) -> FindingPeers {
        FindingPeers::new(&self.core)
    }

    /// The peers that are connected and know the key.
    #[must_use]
    pub fn peers(&self) -> Vec<Peer> {
        self.core.peers()
    }

    /// Replicates over a duplex stream with whoever is at its other end: a future to run, which ends
    /// with the connection. One side has to be the initiator, usually the one that connected.
    ///
    /// For more than one log over one stream, and for options, see
    /// [`Replication`](crate::Replication).
    pub fn replicate<S>(&self, stream: S, role: Side) -> Connection<S> {
        Replication::over(stream, role).add(self).start()
    }

    /// Whether all blocks of a range are stored here. True for an empty range; a range without an end
    /// goes to the end of the log.
    ///
    /// ```
    /// # futures_lite::future::block_on(async {
    /// # use hypercore::{Hypercore, Storage};
    /// # let log = Hypercore::builder(Storage::memory()).open().await.unwrap();
    /// # log.append("hello").await.unwrap();
    /// assert!(log.has(0..1));
    /// assert!(!log.has(0..2));
    /// # });
    /// ```
    #[must_use]
    pub fn has(&self, range: impl RangeBounds<u64>) -> bool {
        let view = self.core.view.load();
        let range = crate::read::bounds(&range);
        let end = range.end.unwrap_or_else(|| view.head.length().get());
        range.start >= end || !view.have.any_unset(range.start..end)
    }

    /// How many blocks of a range are stored here.
    #[must_use]
    pub fn count(&self, range: impl RangeBounds<u64>) -> u64 {
        let view = self.core.view.load();
        let range = crate::read::bounds(&range);
        let end = range.end.unwrap_or(u64::MAX).min(view.head.length().get());
        view.have.count(range.start..end.max(range.start))
    }

    /// The first block of a range that is not stored here, up to the end of the log.
    #[must_use]
    pub fn first_missing(&self, range: impl RangeBounds<u64>) -> Option<BlockIndex> {
        let view = self.core.view.load();
        let range = crate::read::bounds(&range);
        let end = range.end.unwrap_or_else(|| view.head.length().get());
        let first = view.have.first_unset(range.start);
        (first < end).then(|| BlockIndex::new(first))
    }

    /// Facts about the log. What its store takes is asked for by itself: [`usage`](Self::usage).
    #[must_use]
    pub fn info(&self) -> Info {
        let view = self.core.view.load();
        Info {
            key: self.core.key,
            discovery_key: self.core.discovery_key,
            length: view.head.length(),
            contiguous_length: view.contiguous,
            stored: Length::new(view.have.count(0..view.head.length().get())),
            byte_length: self.plain_length(&view),
            fork: view.head.fork(),
            padding: self.padding_in(&view),
            writable: self.is_writable(),
            has_secret_key: self.core.has_secret_key,
            encrypted: self.core.is_encrypted(),
            tree_hash: view.head.tree_hash(),
        }
    }

    /// Bytes that the store of the log takes, with all other logs in it: live, dead and the index.
    ///
    /// ```
    /// # futures_lite::future::block_on(async {
    /// # use hypercore::{Hypercore, Storage};
    /// # let log = Hypercore::builder(Storage::memory()).open().await?;
    /// log.append("twelve bytes").await?;
    /// assert_eq!(log.usage()?.live, 12);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`InfoError`] where the store can not be read.
    pub fn usage(&self) -> Result<Usage, InfoError> {
        Ok(self.core.store.usage()?)
    }

    /// The present head of the log: length, roots, signature.
    #[must_use]
    pub fn head(&self) -> Head {
        self.core.view.load().head.clone()
    }

    /// Who may sign, as far as it is known: what a proof of this log is verified by.
    #[must_use]
    pub fn authority(&self) -> Authority {
        (*self.core.view.load().authority).clone()
    }

    /// What happens to the log from now on. See [`Event`](crate::Event).
    pub fn events(&self) -> Events {
        Events(self.core.hub.subscribe())
    }

    /// The state of the log now, and then whenever it has changed.
    ///
    /// ```
    /// # futures_lite::future::block_on(async {
    /// # use hypercore::{Hypercore, Storage};
    /// # let log = Hypercore::builder(Storage::memory()).open().await.unwrap();
    /// let mut watch = log.watch();
    /// assert_eq!(watch.next().await.unwrap().length.get(), 0);
    /// log.append_batch(["a", "b"]).await?;
    /// assert_eq!(watch.next().await.unwrap().length.get(), 2);
    /// # Ok::<(), hypercore::AppendError>(())
    /// # }).unwrap();
    /// ```
    pub fn watch(&self) -> Watch {
        self.core
            .watchers
            .watch(self.state(), self.core.gate.is_closed())
    }

    /// On a store that is read beside its writer: takes in what was written since, and says whether
    /// there was anything.
    ///
    /// # Errors
    /// [`RefreshError`].
    pub async fn refresh(&self) -> Result<bool, RefreshError> {
        if self.gate.is_closed() {
            return Err(RefreshError::Closed);
        }
        self.core.refresh().await
    }

    /// Closes this handle: whatever waits on it ends with `Closed`. If no other handle of the log is
    /// open, closes the log: connections let it go, and its store is closed if it was opened for it. A
    /// log of a [`Corestore`](crate::Corestore) stays for the peers that it has.
    /// Closing twice is no error.
    ///
    /// # Errors
    /// [`CloseError`] where the store could not bring everything to the disk; it is closed all the
    /// same.
    pub async fn close(&self) -> Result<(), CloseError> {
        self.detach();
        if self.core.home.is_some() {
            if self.core.gate.is_closed() {
                self.core.lane.idle().await;
            }
        } else if !self.core.is_attached() {
            self.core.close().await?;
        }
        Ok(())
    }

    /// Closes this handle, but not the log.
    fn detach(&self) {
        if let Some(exclusive) = &self.exclusive {
            exclusive.end();
        }
        if self.gate.close() {
            self.core.note_handles();
        }
    }

    /// Closes all handles of the log, and the log.
    ///
    /// # Errors
    /// As [`close`](Self::close).
    pub async fn close_all(&self) -> Result<(), CloseError> {
        Ok(self.core.close().await?)
    }
}

impl Clone for Hypercore {
    /// Another session on the same log. Closed from the start if this one is.
    fn clone(&self) -> Self {
        let log = Self::new(self.core.clone(), (*self.defaults).clone());
        if self.gate.is_closed() {
            log.detach();
        }
        log
    }
}

impl Drop for Hypercore {
    fn drop(&mut self) {
        self.detach();
    }
}

impl fmt::Debug for Hypercore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_struct("Hypercore")
            .field("key", &self.key())
            .field("length", &state.length)
            .field("fork", &state.fork)
            .field("writable", &self.is_writable())
            .finish_non_exhaustive()
    }
}

/// Where a log stands after an append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// Blocks in the log.
    pub length: Length,
    /// Bytes in all blocks, as stored.
    pub byte_length: ByteLength,
}

impl Appended {
    pub(crate) fn at(head: &Head) -> Self {
        Self {
            length: head.length(),
            byte_length: head.byte_length(),
        }
    }
}

/// An append that was asked for; see [`Hypercore::append`].
#[derive(Debug)]
#[must_use = "nothing is appended unless it is awaited"]
pub struct Append {
    handle: Handle,
    blocks: Vec<Bytes>,
    options: AppendOptions,
}

impl Append {
    pub(crate) fn new(handle: Handle, blocks: Vec<Bytes>) -> Self {
        let options = AppendOptions {
            level: handle.core.durability,
            seal: Seal::Own,
            max_length: None,
        };
        Self {
            handle,
            blocks,
            options,
        }
    }

    /// What the blocks have to survive before the append is acknowledged, instead of what the log was
    /// opened with.
    pub fn durability(mut self, level: Durability) -> Self {
        self.options.level = level;
        self
    }

    /// Who signs, instead of who signs for the log: a [`KeyPair`](crate::KeyPair), or somebody outside
    /// this process. The manifest has to name them, and one signature has to be enough.
    pub fn signer(mut self, signer: impl ExternalSigner + 'static) -> Self {
        self.options.seal = Seal::By(Arc::new(signer));
        self
    }

    /// The signature, which was made before: over the log as it will be, as it stands in proofs. A log
    /// that [several sign together](Hypercore::propose) is appended to in this way. Needs no secret key;
    /// if the signature does not hold, nothing is appended.
    pub fn signature(mut self, signature: impl Into<Bytes>) -> Self {
        self.options.seal = Seal::Given(signature.into());
        self
    }

    /// Appends nothing, and fails with [`AppendError::MaxLength`], if the log would have more than so
    /// many blocks.
    ///
    /// ```
    /// # futures_lite::future::block_on(async {
    /// # use hypercore::{AppendError, Hypercore, Storage};
    /// # let log = Hypercore::builder(Storage::memory()).open().await.unwrap();
    /// log.append_batch(["a", "b"]).max_length(2).await?;
    /// let refused = log.append("c").max_length(2).await;
    /// assert!(matches!(refused, Err(AppendError::MaxLength { .. })));
    /// # Ok::<(), AppendError>(())
    /// # }).unwrap();
    /// ```
    pub fn max_length(mut self, blocks: u64) -> Self {
        self.options.max_length = Some(Length::new(blocks));
        self
    }

    async fn run(self) -> Result<Appended, AppendError> {
        let Self {
            handle,
            blocks,
            options,
        } = self;
        handle.core.append(&handle, blocks, options).await
    }
}

impl IntoFuture for Append {
    type Output = Result<Appended, AppendError>;
    type IntoFuture = BoxFuture<Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

/// What can become a block. Borrowed bytes are copied, owned ones are not.
pub trait IntoBlock {
    /// The block's bytes.
    fn into_block(self) -> Bytes;
}

macro_rules! owned {
    ($($type:ty),*) => {$(
        impl IntoBlock for $type {
            fn into_block(self) -> Bytes {
                self.into()
            }
        }
    )*};
}
owned!(Bytes, Vec<u8>, Box<[u8]>, String);

impl IntoBlock for &[u8] {
    fn into_block(self) -> Bytes {
        Bytes::copy_from_slice(self)
    }
}

impl<const N: usize> IntoBlock for &[u8; N] {
    fn into_block(self) -> Bytes {
        Bytes::copy_from_slice(self)
    }
}

impl IntoBlock for &str {
    fn into_block(self) -> Bytes {
        Bytes::copy_from_slice(self.as_bytes())
    }
}
