//! Sessions: handles of one log, each with what it does where a call does not say otherwise.
//!
//! Owns the options that a handle has and hands on to its sessions. Knows nothing of what they mean for
//! an append or a get.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hc_merkle::{Authority, BlockIndex, DiscoveryKey, KeyPair, Manifest, Verifier};
use hc_storage::Access;
use thiserror::Error;

use crate::cipher::Cipher;
use crate::core::lane::Guard;
use crate::core::{Core, Scope, Seal};
use crate::encryption::{EncryptionKey, Provider};
use crate::hypercore::Hypercore;
use crate::read::Wait;
use crate::sync::{Gate, Mutex};
use crate::view::View;

/// Called with a block that has to be waited for.
pub(crate) type OnWait = Arc<dyn Fn(BlockIndex) + Send + Sync>;

/// What a handle does where a call does not say otherwise. Its sessions inherit it.
#[derive(Clone, Default)]
pub(crate) struct Defaults {
    pub(crate) cipher: Option<Arc<Cipher>>,
    /// Signs instead of the key pair that the log was opened with.
    pub(crate) key_pair: Option<Arc<KeyPair>>,
    pub(crate) read_only: bool,
    pub(crate) wait: Wait,
    pub(crate) on_wait: Option<OnWait>,
    pub(crate) presence: Presence,
    /// What the handle closes with.
    pub(crate) scope: Option<Arc<Scope>>,
    /// How often the handle has waited for a block. Not inherited.
    pub(crate) waits: Arc<AtomicU64>,
}

/// What a handle means for the log as long as it is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Presence {
    /// It does not keep the log open.
    pub(crate) weak: bool,
    /// It is interested in new blocks.
    pub(crate) active: bool,
    /// It gives peers what is here.
    pub(crate) uploads: bool,
}

impl Default for Presence {
    fn default() -> Self {
        Self {
            weak: false,
            active: true,
            uploads: true,
        }
    }
}

impl Defaults {
    /// Counts a block that has to be waited for, and tells who wants to know: the call first.
    pub(crate) fn note_wait(&self, index: BlockIndex, call: Option<&OnWait>) {
        self.waits.fetch_add(1, Ordering::Relaxed);
        for hook in [call, self.on_wait.as_ref()].into_iter().flatten() {
            hook(index);
        }
    }
}

impl fmt::Debug for Defaults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Defaults")
            .field("read_only", &self.read_only)
            .field("wait", &self.wait)
            .field("presence", &self.presence)
            .finish_non_exhaustive()
    }
}

/// A handle, as what was begun on it holds it: ends with it, and does not keep it open.
#[derive(Debug, Clone)]
pub(crate) struct Handle {
    pub(crate) core: Arc<Core>,
    pub(crate) gate: Arc<Gate>,
    pub(crate) defaults: Arc<Defaults>,
}

impl Handle {
    /// Whether what is written through it can be signed, in this way.
    pub(crate) fn may_write(&self, how: &Seal) -> bool {
        let Defaults {
            key_pair,
            read_only,
            ..
        } = &*self.defaults;
        let has_signer = key_pair.is_some() || self.core.can_sign();
        let signs = has_signer || !matches!(how, Seal::Own);
        signs && !read_only && self.core.store.access() == Access::ReadWrite
    }

    /// Who may sign for the log: as it is known, or, where only its key is, the key pair of this handle,
    /// if the key is that of its own log.
    pub(crate) fn verifier(&self, view: &View) -> Option<Verifier> {
        let key = match &*view.authority {
            Authority::Known(verifier) => return Some(verifier.clone()),
            Authority::KeyOnly(key) => *key,
        };
        let public_key = self.defaults.key_pair.as_ref()?.public_key();
        let alone = Verifier::from_manifest(Manifest::single(public_key));
        let candidates = [alone.ok(), Some(Verifier::compat(public_key))];
        let mut candidates = candidates.into_iter().flatten();
        candidates.find(|verifier| verifier.key() == key)
    }
}

/// Why there is no session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SessionError {
    /// The handle, or the log, was closed.
    #[error("log {} is closed", log.to_z32())]
    Closed {
        /// Which log.
        log: DiscoveryKey,
    },
}

/// The open handles of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sessions {
    /// Those that keep it open.
    pub strong: usize,
    /// Those that do not.
    pub weak: usize,
}

/// How a session is to differ from the handle that it is made from; see [`Hypercore::session`].
#[must_use = "a session is made when it is opened"]
pub struct SessionBuilder {
    core: Arc<Core>,
    gate: Arc<Gate>,
    defaults: Defaults,
}

impl SessionBuilder {
    /// How long its reads wait for what is not stored here.
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

    /// Neither appends nor truncates, and nor does any session made from it.
    pub fn read_only(mut self) -> Self {
        self.defaults.read_only = true;
        self
    }

    /// Signs with this key pair: also on a log that was opened without one.
    pub fn key_pair(mut self, pair: KeyPair) -> Self {
        self.defaults.key_pair = Some(Arc::new(pair));
        self
    }

    /// Encrypts and decrypts with this key; see
    /// [`Builder::encryption_key`](crate::Builder::encryption_key). On a log that is not encrypted, only
    /// what is written and read through this session is.
    pub fn encryption_key(mut self, key: EncryptionKey) -> Self {
        self.defaults.cipher = Some(Provider::key(key).0);
        self
    }

    /// As [`encryption_key`](Self::encryption_key), with the key of this one log.
    pub fn block_key(mut self, key: EncryptionKey) -> Self {
        self.defaults.cipher = Some(Provider::block_key(key).0);
        self
    }

    /// Encrypts and decrypts in the application's own way.
    pub fn encryption(mut self, encryption: impl Into<Provider>) -> Self {
        self.defaults.cipher = Some(encryption.into().0);
        self
    }

    /// Is not interested in new blocks by itself: peers are told that somebody is only while an active
    /// session is open.
    pub fn inactive(mut self) -> Self {
        self.defaults.presence.active = false;
        self
    }

    /// Does not keep the log open: it is closed with the last session that does. Not
    /// [active](Self::inactive) either.
    pub fn weak(mut self) -> Self {
        self.defaults.presence = Presence {
            weak: true,
            active: false,
            ..self.defaults.presence
        };
        self
    }

    /// Opens the session.
    ///
    /// # Errors
    /// [`SessionError`] where the handle was closed.
    pub fn open(self) -> Result<Hypercore, SessionError> {
        if self.gate.is_closed() {
            return Err(self.closed());
        }
        Ok(Hypercore::new(self.core, self.defaults))
    }

    fn closed(&self) -> SessionError {
        let log = self.core.discovery_key;
        SessionError::Closed { log }
    }

    /// Opens the session once no other exclusive session is open: they come one after the other, in the
    /// order in which they were first polled. Sessions that are not exclusive are not kept out.
    ///
    /// # Errors
    /// [`SessionError`] where the handle was closed before its turn came.
    ///
    /// ```
    /// # futures_lite::future::block_on(async {
    /// # use hypercore::{Hypercore, Storage};
    /// # let log = Hypercore::builder(Storage::memory()).open().await.unwrap();
    /// let first = log.session().exclusive().await?;
    /// first.append("a").await.unwrap();
    /// first.close().await.unwrap();
    /// let second = log.session().exclusive().await?;
    /// # second.append("b").await.unwrap();
    /// # Ok::<(), hypercore::SessionError>(())
    /// # }).unwrap();
    /// ```
    pub async fn exclusive(self) -> Result<Hypercore, SessionError> {
        let turn = self.core.take_exclusive(&self.gate).await;
        let guard = turn.map_err(|_| self.closed())?;
        let mut log = Hypercore::new(self.core, self.defaults);
        log.exclusive = Some(Exclusive(Mutex::new(Some(guard))));
        Ok(log)
    }
}

impl fmt::Debug for SessionBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionBuilder")
            .field("defaults", &self.defaults)
            .finish_non_exhaustive()
    }
}

/// The turn of an exclusive session, until it is closed or dropped.
#[derive(Debug)]
pub(crate) struct Exclusive(Mutex<Option<Guard>>);

impl Exclusive {
    pub(crate) fn end(&self) {
        let guard = self.0.lock().take();
        drop(guard);
    }
}

impl Hypercore {
    /// What is begun on this handle holds on to.
    pub(crate) fn handle(&self) -> Handle {
        Handle {
            core: self.core.clone(),
            gate: self.gate.clone(),
            defaults: self.defaults.clone(),
        }
    }

    /// Another handle of the same log, which has to be closed by itself. It inherits how this one waits,
    /// signs and encrypts, whether it is read-only, weak or inactive, unless it is told otherwise. A
    /// clone is a session that is told nothing.
    ///
    /// ```
    /// # futures_lite::future::block_on(async {
    /// # use hypercore::{AppendError, Hypercore, Storage, Wait};
    /// # let log = Hypercore::builder(Storage::memory()).open().await.unwrap();
    /// let session = log.session().wait(Wait::No).read_only().open()?;
    /// assert!(session.get(0).await.is_err()); // there is no block, and it does not wait
    /// assert!(session.append("a").await.is_err());
    ///
    /// log.append("a").await.unwrap();
    /// assert_eq!(session.get(0).await.unwrap(), "a");
    /// # Ok::<(), hypercore::SessionError>(())
    /// # }).unwrap();
    /// ```
    pub fn session(&self) -> SessionBuilder {
        SessionBuilder {
            core: self.core.clone(),
            gate: self.gate.clone(),
            defaults: (*self.defaults).clone(),
        }
    }

    /// The open handles of the log, this one among them.
    #[must_use]
    pub fn sessions(&self) -> Sessions {
        self.core.sessions()
    }

    /// How often reads of this handle had to wait for a block that was not stored here.
    #[must_use]
    pub fn waits(&self) -> u64 {
        self.defaults.waits.load(Ordering::Relaxed)
    }

    /// How long reads of this handle wait, unless they are told otherwise.
    #[must_use]
    pub fn default_wait(&self) -> Wait {
        self.defaults.wait
    }

    /// Encrypts what is appended through this handle from now on, and decrypts what is read through it,
    /// in another way; or not at all. What is there already stays as it is, and other handles do.
    ///
    /// ```
    /// # futures_lite::future::block_on(async {
    /// # use hypercore::encryption::{EncryptionKey, Provider};
    /// # use hypercore::{Hypercore, Storage};
    /// let log = Hypercore::builder(Storage::memory()).open().await?;
    /// let mut secret = log.session().open()?;
    /// secret.set_encryption(Some(Provider::key(EncryptionKey::from_bytes([7; 32]))));
    /// secret.append("for those with the key").await?;
    /// assert_eq!(secret.get(0).await?, "for those with the key");
    /// assert_ne!(log.get(0).await?, "for those with the key");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn set_encryption(&mut self, encryption: Option<Provider>) {
        let cipher = encryption.map(|provider| provider.0);
        Arc::make_mut(&mut self.defaults).cipher = cipher;
    }

    /// Signs what is written through this handle, from now on, with another key pair. Whether that may
    /// sign shows when something is written.
    ///
    /// ```
    /// # futures_lite::future::block_on(async {
    /// # use hypercore::{AppendError, Hypercore, KeyPair, Storage};
    /// # let mut log = Hypercore::builder(Storage::memory()).open().await.unwrap();
    /// log.set_key_pair(KeyPair::from_seed(&[9; 32]));
    /// let error = log.append("a").await.unwrap_err();
    /// assert!(matches!(error, AppendError::Sign(_)));
    /// # });
    /// ```
    pub fn set_key_pair(&mut self, pair: KeyPair) {
        Arc::make_mut(&mut self.defaults).key_pair = Some(Arc::new(pair));
    }

    /// Whether this handle is interested in new blocks: while any is, peers are told so, and channels
    /// stay open.
    pub fn set_active(&self, active: bool) {
        self.core.set_handle_active(&self.gate, active);
    }

    pub(crate) fn with_defaults(mut defaults: Defaults) -> Arc<Defaults> {
        defaults.waits = Arc::default();
        Arc::new(defaults)
    }
}
