//! Opening one log of a store: which one is meant, and with which options.

use std::future::IntoFuture;
use std::sync::Arc;

use hc_merkle::{CoreKey, DiscoveryKey, KeyPair, Manifest};
use hc_replicator::PullPolicy;
use hc_storage::{Access, Alias, Durability, Topic};

use super::Corestore;
use super::registry::Found;
use crate::builder::{IfMissing, set};
use crate::cipher::Cipher;
use crate::core::{Core, Identity, Opening, check_signs, mark_encrypted};
use crate::encryption::{EncryptionKey, Provider};
use crate::error::OpenError;
use crate::hypercore::Hypercore;
use crate::read::Wait;
use crate::rt::BoxFuture;
use crate::session::Defaults;

/// Which log of a store is meant; see [`Corestore::get`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Which {
    /// The one that was first opened by this name in the session's namespace, else the one whose key
    /// pair follows from it.
    Name(String),
    /// The one with this key.
    Key(CoreKey),
    /// The one with this discovery key, which the store has to have.
    DiscoveryKey(DiscoveryKey),
    /// The one that this manifest names.
    Manifest(Manifest),
    /// The one whose only signer has this key pair.
    KeyPair(KeyPair),
}

impl From<&str> for Which {
    fn from(name: &str) -> Self {
        Self::Name(name.to_owned())
    }
}

macro_rules! which {
    ($($type:ty => $variant:ident),*) => {$(
        impl From<$type> for Which {
            fn from(value: $type) -> Self {
                Self::$variant(value)
            }
        }
    )*};
}
which!(
    String => Name,
    CoreKey => Key,
    DiscoveryKey => DiscoveryKey,
    Manifest => Manifest,
    KeyPair => KeyPair
);

/// A log that was asked for; see [`Corestore::get`].
#[must_use = "nothing is opened unless it is awaited"]
pub struct OpenCore {
    store: Corestore,
    which: Which,
    manifest: Option<Manifest>,
    key_pair: Option<KeyPair>,
    cipher: Option<Arc<Cipher>>,
    if_missing: Option<IfMissing>,
    read_frozen: bool,
    defaults: Defaults,
    pull: Option<PullPolicy>,
    durability: Option<Durability>,
    group: Option<Topic>,
    exclusive: bool,
    /// Without the store's encryption.
    plain: bool,
    contradiction: Option<&'static str>,
}

/// Which log is meant, once the names are looked up.
struct Meant {
    identity: Identity,
    discovery_key: DiscoveryKey,
    /// The name that the log gets, if it has none.
    alias: Option<Alias>,
}

impl OpenCore {
    pub(super) fn new(store: &Corestore, which: Which) -> Self {
        Self {
            store: store.clone(),
            which,
            manifest: None,
            key_pair: None,
            cipher: None,
            if_missing: None,
            read_frozen: false,
            defaults: Defaults {
                read_only: store.session.read_only,
                ..Defaults::default()
            },
            pull: None,
            durability: None,
            group: None,
            exclusive: false,
            plain: false,
            contradiction: None,
        }
    }

    /// Who may sign: of a log that is known by its key, or instead of the manifest that a new name or
    /// key pair would be given.
    pub fn manifest(mut self, manifest: Manifest) -> Self {
        set(
            &mut self.manifest,
            manifest,
            "manifest",
            &mut self.contradiction,
        );
        self
    }

    /// Signs with this key pair. It is stored where the log is created with it.
    pub fn key_pair(mut self, pair: KeyPair) -> Self {
        set(
            &mut self.key_pair,
            pair,
            "key_pair",
            &mut self.contradiction,
        );
        self
    }

    /// Encrypts blocks, as [`Builder::encryption_key`](crate::Builder::encryption_key) does.
    pub fn encryption_key(self, key: EncryptionKey) -> Self {
        self.cipher(Provider::key(key), "encryption_key")
    }

    /// Encrypts blocks, as [`Builder::block_key`](crate::Builder::block_key) does.
    pub fn block_key(self, key: EncryptionKey) -> Self {
        self.cipher(Provider::block_key(key), "block_key")
    }

    /// Encrypts blocks in the application's own way, as
    /// [`Builder::encryption`](crate::Builder::encryption) does.
    pub fn encryption(self, encryption: impl Into<Provider>) -> Self {
        self.cipher(encryption.into(), "encryption")
    }

    fn cipher(mut self, Provider(cipher): Provider, option: &'static str) -> Self {
        set(&mut self.cipher, cipher, option, &mut self.contradiction);
        self
    }

    /// What a write has to survive before it is acknowledged. Counts where this opens the log; handles
    /// of one log share it.
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

    /// As [`Builder::read_frozen`](crate::Builder::read_frozen).
    pub fn read_frozen(mut self) -> Self {
        self.read_frozen = true;
        self
    }

    /// Has the log join a group, for good; a log that is in another does not open.
    pub fn group(mut self, topic: Topic) -> Self {
        set(&mut self.group, topic, "group", &mut self.contradiction);
        self
    }

    /// An exclusive session of the log: opened once no other exclusive session is open, as
    /// [`SessionBuilder::exclusive`](crate::SessionBuilder::exclusive) has it.
    ///
    /// ```
    /// # futures_lite::future::block_on(async {
    /// use hypercore::{Corestore, Storage};
    ///
    /// let store = Corestore::open(Storage::memory()).await?;
    /// let first = store.get("posts").exclusive().await?;
    /// first.append("a").await?;
    /// first.close().await?;
    /// let second = store.get("posts").exclusive().await?;
    /// assert_eq!(second.length().get(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn exclusive(mut self) -> Self {
        self.exclusive = true;
        self
    }

    /// Blocks are what is stored, whatever the store's encryption is.
    pub(super) fn plain(mut self) -> Self {
        self.plain = true;
        self
    }

    /// How long reads of the handle wait for what is not stored here.
    pub fn wait(mut self, wait: Wait) -> Self {
        self.defaults.wait = wait;
        self
    }

    /// A handle that neither appends nor truncates.
    pub fn read_only(mut self) -> Self {
        self.defaults.read_only = true;
        self
    }

    /// A handle that is not interested in new blocks by itself: the log is served to peers that ask for
    /// it, and not offered to any.
    pub fn inactive(mut self) -> Self {
        self.defaults.presence.active = false;
        self
    }

    /// What peers are asked for, on all handles of the log; see [`Builder::pull`](crate::Builder::pull).
    pub fn pull(mut self, pull: PullPolicy) -> Self {
        self.pull = Some(pull);
        self
    }

    async fn run(mut self) -> Result<Hypercore, OpenError> {
        if let Some(option) = self.contradiction {
            return Err(OpenError::Contradiction { option });
        }
        let (shared, session) = (self.store.shared.clone(), self.store.session.clone());
        if self.cipher.is_none() && !self.plain {
            self.cipher.clone_from(&shared.defaults.cipher);
        }
        let mut handle = loop {
            shared.awake().await;
            if session.scope.is_closed() {
                return Err(OpenError::Closed);
            }
            let meant = self.resolve()?;
            let log = meant.discovery_key;
            let (core, is_new) = match shared.find(&log, self.opening(meant))? {
                Found::Open(core) => (core, false),
                Found::Opened(core) => (core, true),
                Found::Closing(core) => {
                    core.lane.idle().await;
                    continue;
                }
            };
            let handle = Hypercore::new(core, self.handle_defaults());
            if handle.core.gate.is_closed() {
                // Its last handle was closed since.
                continue;
            }
            if !is_new {
                self.adopt(&handle).await?;
            }
            break handle;
        };
        if let Some(topic) = self.group {
            handle.join_group(topic).await?;
        }
        if self.exclusive {
            let session = handle.session().exclusive().await;
            handle = session.map_err(|_| OpenError::Closed)?;
        }
        if let Some(pull) = self.pull {
            handle.set_pull(pull);
        }
        session.opened(&handle.core);
        if self.defaults.presence.active {
            shared.offer(&handle.core);
        }
        Ok(handle)
    }

    fn handle_defaults(&self) -> Defaults {
        Defaults {
            cipher: self.cipher.clone(),
            scope: Some(self.store.session.scope.clone()),
            ..self.defaults.clone()
        }
    }

    fn opening(&self, meant: Meant) -> Opening {
        let opening = self.store.shared.opening(meant.identity);
        Opening {
            lost: None,
            read_frozen: self.read_frozen,
            peer_check: None,
            cipher: self.cipher.clone(),
            if_missing: self.if_missing.unwrap_or_default(),
            durability: self.durability.unwrap_or(opening.durability),
            alias: meant.alias,
            ..opening
        }
    }

    /// Looks up the log that is meant.
    fn resolve(&self) -> Result<Meant, OpenError> {
        let mut alias = None;
        let mut identity = Identity {
            manifest: self.manifest.clone(),
            key_pair: self.key_pair.clone(),
            ..Identity::default()
        };
        match &self.which {
            Which::Name(name) => alias = self.resolve_name(name, &mut identity)?,
            Which::Key(key) => identity.key = Some(*key),
            Which::DiscoveryKey(log) => identity.discovery_key = Some(*log),
            Which::Manifest(manifest) => {
                only(&mut identity.manifest, manifest.clone(), "manifest")?;
            }
            Which::KeyPair(pair) => only(&mut identity.key_pair, pair.clone(), "key_pair")?,
        }
        if let (Some(pair), None, None, None) = (
            &identity.key_pair,
            identity.key,
            &identity.manifest,
            identity.discovery_key,
        ) {
            identity.manifest = Some(self.manifest_of(pair));
        }
        let discovery_key = identity.discovery_key()?;
        let discovery_key = discovery_key.ok_or(OpenError::Missing { key: None })?;
        Ok(Meant {
            identity,
            discovery_key,
            alias,
        })
    }

    /// The log that was first opened by a name; else the one whose key pair follows from it, and the
    /// name for it to be recorded.
    fn resolve_name(
        &self,
        name: &str,
        identity: &mut Identity,
    ) -> Result<Option<Alias>, OpenError> {
        if self.key_pair.is_some() {
            return Err(OpenError::Contradiction { option: "key_pair" });
        }
        let (shared, session) = (&self.store.shared, &self.store.session);
        let alias = session.place.alias(name);
        identity.of_name(&*shared.store, shared.primary.as_ref(), alias)
    }

    /// The manifest of a log with this only signer.
    fn manifest_of(&self, pair: &KeyPair) -> Manifest {
        Manifest::single(pair.public_key()).with_version(self.store.session.version)
    }

    /// What this adds to a log that was open: who may sign, a key pair, encryption, its name.
    async fn adopt(&self, handle: &Hypercore) -> Result<(), OpenError> {
        let core = &handle.core;
        let writes = core.store.access() == Access::ReadWrite;
        let Meant {
            identity, alias, ..
        } = self.resolve()?;
        if let Some(manifest) = identity.manifest
            && writes
            && handle.authority().verifier().is_none()
        {
            handle
                .set_manifest(manifest)
                .await
                .map_err(OpenError::from)?;
        }
        if let Some(pair) = identity.key_pair {
            check_signs(&handle.authority(), pair.public_key())?;
            if writes {
                core.writer.set(pair.into()).ok();
            }
        }
        if let Some(alias) = alias
            && writes
            && core.log.alias()?.is_none()
        {
            core.store.set_name(&core.discovery_key, alias)?;
        }
        self.adopt_cipher(core)
    }

    fn adopt_cipher(&self, core: &Core) -> Result<(), OpenError> {
        if let Some(cipher) = self.cipher.as_deref() {
            let length = core.view.load().head.length();
            let encrypted = mark_encrypted(&*core.log, &*core.store, Some(cipher), length)?;
            core.set_encrypted(encrypted);
        }
        Ok(())
    }
}

/// Sets what is implied, unless it was set to something.
fn only<T>(slot: &mut Option<T>, value: T, option: &'static str) -> Result<(), OpenError> {
    match slot.replace(value) {
        Some(_) => Err(OpenError::Contradiction { option }),
        None => Ok(()),
    }
}

impl IntoFuture for OpenCore {
    type Output = Result<Hypercore, OpenError>;
    type IntoFuture = BoxFuture<Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

impl std::fmt::Debug for OpenCore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpenCore")
            .field("which", &self.which)
            .finish_non_exhaustive()
    }
}
