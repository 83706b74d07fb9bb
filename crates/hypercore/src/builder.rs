//! Opening a log, option by option.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hc_merkle::{BlockIndex, CoreKey, KeyPair, Manifest};
use hc_storage::Durability;

use crate::core::{Identity, Opening, PeerCheck};
use crate::derive::NamePath;
use crate::encryption::{EncryptionKey, Provider};
use crate::error::OpenError;
use crate::hypercore::{Hypercore, IntoBlock};
use crate::read::Wait;
use crate::replicate::Replicating;
use crate::rt::Runtime;
use crate::session::Defaults;
use crate::signer::ExternalSigner;
use crate::storage::Storage;

/// What to do where the store does not have the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IfMissing {
    /// Make it; and the store itself, if that is not there.
    #[default]
    Create,
    /// Fail with [`OpenError::Missing`].
    Fail,
}

/// How a log is to be opened; see [`Hypercore::builder`].
///
/// Which log is meant follows from what is given:
///
/// | given | the log is | writable |
/// | --- | --- | --- |
/// | nothing | the store's first; a new one with a random key pair, if there is none | if its secret key is stored |
/// | key pair, seed or signer | the one whose only signer they are | yes |
/// | key | the one with that key; a new reader of it, if the store does not have it | if its secret key is stored |
/// | manifest | the one that it names | with a key pair that it lists |
///
/// ```
/// # futures_lite::future::block_on(async {
/// # use std::time::Duration;
/// use hypercore::encryption::EncryptionKey;
/// use hypercore::{Hypercore, IfMissing, KeyPair, Storage};
///
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path();
/// let log = Hypercore::builder(Storage::disk(path))
///     .key_pair(KeyPair::from_seed(&[7; 32]))
///     .encryption_key(EncryptionKey::from_bytes([9; 32]))
///     .timeout(Duration::from_secs(5)) // of what is not here
///     .on_wait(|index| println!("waiting for block {index}"))
///     .open()
///     .await?;
/// log.append("kept").await?;
/// log.close().await?;
///
/// let again = Hypercore::builder(Storage::disk(path)).if_missing(IfMissing::Fail);
/// again.read_only().open().await?.close().await?;
/// let empty = Hypercore::builder(Storage::disk(path)).overwrite().open().await?;
/// assert_eq!(empty.length().get(), 0);
/// # empty.close().await?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[must_use = "a builder does nothing until it is opened"]
pub struct Builder {
    storage: Storage,
    identity: Identity,
    encryption: Option<Provider>,
    runtime: Option<Arc<dyn Runtime>>,
    durability: Option<Durability>,
    if_missing: Option<IfMissing>,
    pub(crate) replicating: Replicating,
    overwrite: bool,
    peer_check: Option<PeerCheck>,
    complete: bool,
    user_data: Vec<(String, Bytes)>,
    /// What the first handle does by default, but for its cipher.
    defaults: Defaults,
    read_frozen: bool,
    contradiction: Option<&'static str>,
}

impl Builder {
    pub(crate) fn new(storage: Storage) -> Self {
        Self {
            storage,
            identity: Identity::default(),
            encryption: None,
            runtime: None,
            durability: None,
            if_missing: None,
            replicating: None,
            overwrite: false,
            peer_check: None,
            complete: false,
            user_data: Vec::new(),
            defaults: Defaults::default(),
            read_frozen: false,
            contradiction: None,
        }
    }

    /// The log with this key.
    pub fn key(mut self, key: CoreKey) -> Self {
        set(&mut self.identity.key, key, "key", &mut self.contradiction);
        self
    }

    /// The log that this manifest names.
    pub fn manifest(mut self, manifest: Manifest) -> Self {
        set(
            &mut self.identity.manifest,
            manifest,
            "manifest",
            &mut self.contradiction,
        );
        self
    }

    /// The log of this name in a [`Corestore`](crate::Corestore) that is kept in the same place.
    ///
    /// ```
    /// # futures_lite::future::block_on(async {
    /// use hypercore::{Corestore, Hypercore, NamePath, Storage};
    ///
    /// let dir = tempfile::tempdir()?;
    /// let log = Hypercore::builder(Storage::disk(dir.path())).name(NamePath::ROOT, "posts").open().await?;
    /// let key = log.key();
    /// log.close().await?;
    ///
    /// let store = Corestore::open(Storage::disk(dir.path())).await?;
    /// assert_eq!(store.get("posts").await?.key(), key);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn name(mut self, place: NamePath, name: &str) -> Self {
        let alias = place.alias(name);
        set(
            &mut self.identity.name,
            alias,
            "name",
            &mut self.contradiction,
        );
        self
    }

    /// Signs with this key pair. It is stored where the log is created with it.
    pub fn key_pair(mut self, pair: KeyPair) -> Self {
        set(
            &mut self.identity.key_pair,
            pair,
            "key_pair",
            &mut self.contradiction,
        );
        self
    }

    /// Signs with the key pair of this seed, the same that libsodium makes of it. Excludes
    /// [`key_pair`](Self::key_pair).
    pub fn seed(mut self, seed: &[u8; 32]) -> Self {
        let pair = KeyPair::from_seed(seed);
        set(
            &mut self.identity.key_pair,
            pair,
            "seed",
            &mut self.contradiction,
        );
        self
    }

    /// Has somebody outside this process sign: see [`ExternalSigner`]. Names the log as a key pair
    /// does, unless key or manifest do. Excludes [`key_pair`](Self::key_pair) and [`seed`](Self::seed).
    pub fn signer(mut self, signer: impl ExternalSigner + 'static) -> Self {
        let signer: Arc<dyn ExternalSigner> = Arc::new(signer);
        set(
            &mut self.identity.signer,
            signer,
            "signer",
            &mut self.contradiction,
        );
        self
    }

    /// Names the log by its signer's public key and signs as version 10 did, instead of by the hash
    /// of a manifest. Peers of both versions replicate either.
    pub fn compat(mut self) -> Self {
        self.identity.compat = true;
        self
    }

    /// Encrypts blocks with the scheme of the reference, under a key that may be the same for many
    /// logs. The store notes that the log is encrypted, never the key. Peers without the key can
    /// replicate and verify the log, and cannot read it.
    pub fn encryption_key(mut self, key: EncryptionKey) -> Self {
        let provider = Provider::key(key);
        set(
            &mut self.encryption,
            provider,
            "encryption_key",
            &mut self.contradiction,
        );
        self
    }

    /// As [`encryption_key`](Self::encryption_key), with the key of this one log: see
    /// [`DefaultEncryption::block_key`](crate::encryption::DefaultEncryption::block_key).
    pub fn block_key(mut self, key: EncryptionKey) -> Self {
        let provider = Provider::block_key(key);
        set(
            &mut self.encryption,
            provider,
            "block_key",
            &mut self.contradiction,
        );
        self
    }

    /// Encrypts blocks in the application's own way: an `Arc` of an
    /// [`Encryption`](crate::encryption::Encryption) or an
    /// [`AsyncEncryption`](crate::encryption::AsyncEncryption).
    pub fn encryption(mut self, encryption: impl Into<Provider>) -> Self {
        let provider = encryption.into();
        set(
            &mut self.encryption,
            provider,
            "encryption",
            &mut self.contradiction,
        );
        self
    }

    /// Time and blocking work; [`rt::AsyncStd`](crate::rt) where the feature `async-std` is on.
    pub fn runtime(mut self, runtime: impl Runtime) -> Self {
        let runtime: Arc<dyn Runtime> = Arc::new(runtime);
        set(
            &mut self.runtime,
            runtime,
            "runtime",
            &mut self.contradiction,
        );
        self
    }

    /// What a write has to survive before it is acknowledged; [`Durability::Os`] by default.
    pub fn durability(mut self, level: Durability) -> Self {
        set(
            &mut self.durability,
            level,
            "durability",
            &mut self.contradiction,
        );
        self
    }

    /// What to do where the store does not have the log; [`IfMissing::Create`] by default.
    pub fn if_missing(mut self, what: IfMissing) -> Self {
        set(
            &mut self.if_missing,
            what,
            "if_missing",
            &mut self.contradiction,
        );
        self
    }

    /// Replaces the log, if the store has it, by an empty one: all blocks and user data are gone. Where no
    /// key was given that is a new log, with a new key pair; else one with the same key and, if it was
    /// stored, the same secret key. What such a log signs contradicts what it signed before: where peers
    /// may have that, [truncate](Hypercore::truncate) it instead.
    pub fn overwrite(mut self) -> Self {
        self.overwrite = true;
        self
    }

    /// Asks peers, before the first append, whether one of them has more of the log, signed by its writer:
    /// then this is a backup that was restored, and appending to it would sign the same lengths a second
    /// time. That append fails with [`AppendError::Behind`](crate::AppendError::Behind); the log has by
    /// then what its peers have, and the next append goes on from there.
    ///
    /// Peers have to be connected meanwhile. What they say is believed only where it was verified.
    pub fn check_peers(mut self, check: PeerCheck) -> Self {
        set(
            &mut self.peer_check,
            check,
            "check_peers",
            &mut self.contradiction,
        );
        self
    }

    /// Keeps the whole log here: fetches all of its blocks, and then those that come, for as long as it
    /// is open. Without this only what is asked for is fetched.
    ///
    /// ```
    /// # futures_lite::future::block_on(async {
    /// # use async_std::{os::unix::net::UnixStream, task};
    /// # use hypercore::{Hypercore, Role, Storage};
    /// # let log = Hypercore::builder(Storage::memory()).open().await?;
    /// log.append_batch(["a", "b"]).await?;
    /// let copy = Hypercore::builder(Storage::memory()).key(log.key()).complete().open().await?;
    ///
    /// let (left, right) = UnixStream::pair()?;
    /// task::spawn(log.replicate(left, Role::Initiator));
    /// task::spawn(copy.replicate(right, Role::Responder));
    /// let mut watch = copy.watch();
    /// while copy.contiguous_length() < log.length() {
    ///     watch.next().await;
    /// }
    /// assert_eq!(copy.get(1).local().await?, "b");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn complete(mut self) -> Self {
        self.complete = true;
        self
    }

    /// Stores a piece of user data with the log, each time that it is opened like this. May be called
    /// several times.
    pub fn user_data(mut self, key: impl Into<String>, value: impl IntoBlock) -> Self {
        self.user_data.push((key.into(), value.into_block()));
        self
    }

    /// How long reads wait for what is not stored here, where they are not told; forever by default.
    pub fn wait(mut self, wait: Wait) -> Self {
        self.defaults.wait = wait;
        self
    }

    /// As [`wait`](Self::wait), for so long.
    pub fn timeout(self, timeout: Duration) -> Self {
        self.wait(Wait::For(timeout))
    }

    /// Calls a function with each block that has to be waited for, once for each get.
    pub fn on_wait(mut self, hook: impl Fn(BlockIndex) + Send + Sync + 'static) -> Self {
        self.defaults.on_wait = Some(Arc::new(hook));
        self
    }

    /// Neither appends nor truncates through the handle, though there is a key pair.
    pub fn read_only(mut self) -> Self {
        self.defaults.read_only = true;
        self
    }

    /// Is not interested in new blocks by itself: serves peers, and asks them only for what it is asked
    /// for.
    pub fn inactive(mut self) -> Self {
        self.defaults.presence.active = false;
        self
    }

    /// Opens the log even if it was [signed twice](crate::Conflict) and is frozen for it, so that what is
    /// stored can be read and saved. It can be neither appended to nor replicated, and what is not stored
    /// does not come. Without this such a log is not opened: [`OpenError::Frozen`].
    pub fn read_frozen(mut self) -> Self {
        self.read_frozen = true;
        self
    }

    /// Opens the log.
    ///
    /// # Errors
    /// [`OpenError`]; nothing was created, but for the store itself.
    pub async fn open(self) -> Result<Hypercore, OpenError> {
        let both = self.identity.key_pair.is_some() && self.identity.signer.is_some();
        let both = both.then_some("signer").or(self.identity.names_twice());
        if let Some(option) = self.contradiction.or(both) {
            return Err(OpenError::Contradiction { option });
        }
        let runtime = self
            .runtime
            .or_else(default_runtime)
            .ok_or(OpenError::NoRuntime)?;
        let cipher = self.encryption.map(|provider| provider.0);
        let mut defaults = Defaults {
            cipher: cipher.clone(),
            ..self.defaults
        };
        let opening = Opening {
            lost: None,
            cipher,
            storage: self.storage,
            identity: self.identity,
            if_missing: self.if_missing.unwrap_or_default(),
            overwrite: self.overwrite,
            user_data: self.user_data,
            read_frozen: self.read_frozen,
            durability: self.durability.unwrap_or_default(),
            runtime: runtime.clone(),
            home: None,
            alias: None,
            peer_check: self.peer_check,
            created: None,
        };
        let core = if opening.storage.blocks() {
            let opened = crate::rt::run(&*runtime, move || opening.run()).await;
            opened.ok_or(OpenError::Interrupted)??
        } else {
            opening.run()?
        };
        if let Some(replicating) = self.replicating {
            defaults.presence.uploads = replicating.uploads;
            core.configure(|config| *config = replicating);
        }
        if self.complete {
            core.follow();
        }
        Ok(Hypercore::new(core, defaults))
    }
}

impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder")
            .field("storage", &self.storage)
            .field("identity", &self.identity)
            .finish_non_exhaustive()
    }
}

pub(crate) fn set<T>(
    slot: &mut Option<T>,
    value: T,
    name: &'static str,
    twice: &mut Option<&'static str>,
) {
    if slot.replace(value).is_some() {
        twice.get_or_insert(name);
    }
}

#[cfg(feature = "async-std")]
pub(crate) fn default_runtime() -> Option<Arc<dyn Runtime>> {
    Some(Arc::new(crate::rt::AsyncStd))
}

#[cfg(not(feature = "async-std"))]
pub(crate) fn default_runtime() -> Option<Arc<dyn Runtime>> {
    None
}
