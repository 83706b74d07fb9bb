//! Opening a log: which one is meant, making it if it is not there, and what is known of it.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use hc_merkle::{
    Authority, CoreKey, DiscoveryKey, Fork, Head, KeyPair, Length, Manifest, ManifestError,
    PublicKey, SecretKey, Verifier,
};
use hc_storage::{
    Access, Alias, Auth, Batch, CoreRecord, CoreStore, Durability, StorageError, Store, is_reserved,
};

use super::apply::ApplyQueue;
use super::conflict::{Conflict, Frozen};
use super::handles::Handles;
use super::hints::Hints;
use super::restored::{PeerCheck, Unchecked};
use super::{Core, Home, Writer};
use crate::builder::IfMissing;
use crate::cipher::Cipher;
use crate::derive::PrimaryKey;
use crate::error::OpenError;
use crate::event::Watchers;
use crate::hub::Hub;
use crate::line::{Enlisted, Lines};
use crate::replicate::Swarm;
use crate::rt::Runtime;
use crate::signer::ExternalSigner;
use crate::storage::Storage;
use crate::sync::{Gate, Mutex};
use crate::view::{View, ViewCell};

/// Which log is meant, as the builder was told.
#[derive(Debug, Default)]
pub(crate) struct Identity {
    pub(crate) key: Option<CoreKey>,
    pub(crate) manifest: Option<Manifest>,
    pub(crate) key_pair: Option<KeyPair>,
    /// Who signs outside this process.
    pub(crate) signer: Option<Arc<dyn ExternalSigner>>,
    pub(crate) compat: bool,
    /// The log with this discovery key, whatever its key is.
    pub(crate) discovery_key: Option<DiscoveryKey>,
    /// The log of this name.
    pub(crate) name: Option<Alias>,
}

/// All that opening needs.
pub(crate) struct Opening {
    pub(crate) storage: Storage,
    pub(crate) identity: Identity,
    pub(crate) cipher: Option<Arc<Cipher>>,
    pub(crate) if_missing: IfMissing,
    pub(crate) overwrite: bool,
    pub(crate) user_data: Vec<(String, Bytes)>,
    pub(crate) durability: Durability,
    /// A frozen log is opened too.
    pub(crate) read_frozen: bool,
    pub(crate) runtime: Arc<dyn Runtime>,
    /// The store that the log is one of.
    pub(crate) home: Option<Arc<dyn Home>>,
    /// The name that it is created with. Its key pair follows from that, and is not stored.
    pub(crate) alias: Option<Alias>,
    /// Fork and length of the log, if that was found without roots.
    pub(crate) lost: Option<(Fork, Length)>,
    /// What peers are to be asked before the first append.
    pub(crate) peer_check: Option<PeerCheck>,
    /// Who may sign the log, if it was created now.
    pub(crate) created: Option<Verifier>,
}

/// A log that is named: its key, and who may sign if that is known.
struct Named {
    key: CoreKey,
    verifier: Option<Verifier>,
}

impl Identity {
    /// What excludes a name, where there is one.
    pub(crate) fn names_twice(&self) -> Option<&'static str> {
        let others = [
            (self.key.is_some(), "key"),
            (self.key_pair.is_some(), "key_pair"),
            (self.signer.is_some(), "signer"),
        ];
        let excludes = others.into_iter().find(|(given, _)| *given);
        let excludes = excludes.filter(|_| self.name.is_some());
        excludes.map(|(_, option)| option)
    }

    /// What the store knows the log by; `None` where the store's default is meant.
    pub(crate) fn discovery_key(&self) -> Result<Option<DiscoveryKey>, OpenError> {
        // A name takes one hash. Whether the keys in it are any good shows when it is opened.
        if let (Some(manifest), None) = (&self.manifest, self.key) {
            return Ok(Some(self.key_of(manifest).discovery_key()));
        }
        let named = self.resolve()?;
        let named = named.map(|named| named.key.discovery_key());
        Ok(named.or(self.discovery_key))
    }

    /// Means the log that was first opened by a name; else the one whose key pair follows from it, and
    /// then gives back the name, for it to be recorded.
    pub(crate) fn of_name(
        &mut self,
        store: &dyn Store,
        primary: Option<&PrimaryKey>,
        alias: Alias,
    ) -> Result<Option<Alias>, OpenError> {
        if let Some(known) = store.find_named(&alias)? {
            self.key = Some(known.key);
            return Ok(None);
        }
        let Some(primary) = primary else {
            return Err(OpenError::Unnamed { name: alias.name });
        };
        self.key_pair = Some(primary.key_pair_of(&alias));
        Ok(Some(alias))
    }

    /// The log that was named; `None` where the store's default is meant.
    fn resolve(&self) -> Result<Option<Named>, OpenError> {
        if let Some(manifest) = &self.manifest {
            let key = self.key.unwrap_or_else(|| self.key_of(manifest));
            let verifier = Verifier::new(key, manifest.clone())?;
            return Ok(Some(Named {
                key,
                verifier: Some(verifier),
            }));
        }
        let verifier = match (self.public_key(), self.key) {
            (None, None) => return Ok(None),
            (None, Some(key)) => {
                // In compat mode or not: the first proof tells.
                return Ok(Some(Named {
                    key,
                    verifier: None,
                }));
            }
            (Some(public_key), None) => self.of_only(public_key)?,
            (Some(public_key), Some(key)) => {
                let manifest = Manifest::single(public_key);
                match Verifier::new(key, manifest) {
                    Ok(verifier) => verifier,
                    // A signer among others, perhaps: the stored manifest will tell.
                    Err(ManifestError::OtherKey) => {
                        return Ok(Some(Named {
                            key,
                            verifier: None,
                        }));
                    }
                    Err(error) => return Err(error.into()),
                }
            }
        };
        Ok(Some(Named {
            key: verifier.key(),
            verifier: Some(verifier),
        }))
    }

    fn key_of(&self, manifest: &Manifest) -> CoreKey {
        match manifest.signers.as_slice() {
            [only] if self.compat => CoreKey(*only.public_key.as_bytes()),
            _ => manifest.key(),
        }
    }

    /// The key of who signs here, if anybody was named.
    fn public_key(&self) -> Option<PublicKey> {
        let pair = self.key_pair.as_ref().map(KeyPair::public_key);
        pair.or_else(|| self.signer.as_ref().map(|signer| signer.public_key()))
    }

    fn of_only(&self, public_key: PublicKey) -> Result<Verifier, OpenError> {
        if self.compat {
            return Ok(Verifier::compat(public_key));
        }
        Ok(Verifier::from_manifest(Manifest::single(public_key))?)
    }
}

impl Opening {
    /// Opens or makes the log. Blocks where its store does.
    pub(crate) fn run(mut self) -> Result<Arc<Core>, OpenError> {
        let (store, owns_store) = self.storage.clone().into_store()?;
        let (log, key) = match self.find_or_create(&*store) {
            Ok(found) => found,
            Err(error) => {
                if owns_store {
                    // Nobody will use it; what went wrong before says more.
                    store.close().ok();
                }
                return Err(error);
            }
        };
        let conflict = Conflict::stored(&*log)?;
        if let Some(conflict) = conflict.filter(|_| !self.read_frozen) {
            if owns_store {
                store.close().ok();
            }
            return Err(OpenError::Frozen { key, conflict });
        }
        let auth = log.auth()?;
        let authority = self.authority(&*log, &auth, &*store)?;
        let writer = self.writer(&*store, &*log, &auth, &authority)?;
        let external = self.identity.signer.take();
        if let Some(external) = &external {
            check_signs(&authority, external.public_key())?;
        }
        let mut view = View::new(log.head()?, log.bitfield()?, authority);
        if let Some((fork, length)) = self.lost {
            view.head = Head::new(fork, Length::ZERO, Vec::new()).unwrap_or(view.head);
            view.lost = Some(length);
        }
        let cipher = self.cipher.as_deref();
        let length = view.lost.unwrap_or(view.head.length());
        let encrypted = mark_encrypted(&*log, &*store, cipher, length)?;
        self.store_user_data(&*log)?;
        let may_write = store.access() == Access::ReadWrite && conflict.is_none();
        let runtime = self.runtime;
        let hints = Hints::new(log.hints()?);
        Ok(Arc::new(Core {
            key,
            discovery_key: key.discovery_key(),
            has_secret_key: writer.is_some(),
            writer: once(writer.filter(|_| may_write)),
            external: external.filter(|_| may_write),
            encrypted: AtomicBool::new(encrypted),
            group: once(log.group()?),
            unchecked: self.peer_check.map(|rule| Unchecked::new(rule, &view.head)),
            home: self.home,
            store,
            owns_store,
            log,
            durability: self.durability,
            lane: Arc::default(),
            epoch: runtime.now(),
            swarm: Mutex::new(Swarm::new(random_seed(&*runtime)?)),
            hints,
            runtime,
            apply: ApplyQueue::default(),
            reorg: Mutex::default(),
            frozen: Frozen::at_open(conflict),
            fault: OnceLock::new(),
            view: ViewCell::new(view),
            hub: Hub::default(),
            watchers: Watchers::default(),
            marks: Mutex::default(),
            handles: Handles::default(),
            lines: Lines::default(),
            enlisted: Enlisted::default(),
            exclusive: OnceLock::new(),
            ended: AtomicBool::new(false),
            gate: Gate::default(),
        }))
    }

    fn find_or_create(
        &mut self,
        store: &dyn Store,
    ) -> Result<(Arc<dyn CoreStore>, CoreKey), OpenError> {
        if let Some(alias) = self.identity.name.take() {
            let primary = self.primary_key(store)?;
            self.alias = self.identity.of_name(store, primary.as_ref(), alias)?;
        }
        let named = self.identity.resolve()?;
        let discovery_key = match (&named, self.identity.discovery_key) {
            (Some(named), _) => Some(named.key.discovery_key()),
            (None, Some(discovery_key)) => Some(discovery_key),
            (None, None) => store.default_core()?,
        };
        let found = match discovery_key {
            Some(key) => self.find(store, &key)?,
            None => None,
        };
        if let Some(found) = found {
            let auth = found.auth()?;
            if !self.overwrite {
                if let Some(alias) = self.alias.take() {
                    name(store, &*found, &auth.key, alias)?;
                }
                return Ok((found, auth.key));
            }
            return self.replace(store, named, auth);
        }
        if let (None, Some(discovery_key)) = (&named, self.identity.discovery_key) {
            return Err(OpenError::Unknown { discovery_key });
        }
        let may_create = self.if_missing == IfMissing::Create;
        if !may_create || store.access() == Access::ReadOnly {
            return Err(OpenError::Missing {
                key: named.map(|named| named.key),
            });
        }
        let named = match named {
            Some(named) => named,
            None => self.name_new()?,
        };
        self.create_first(store, named)
    }

    /// The log, if the store has it, with its roots or without them.
    fn find(
        &mut self,
        store: &dyn Store,
        key: &DiscoveryKey,
    ) -> Result<Option<Arc<dyn CoreStore>>, StorageError> {
        match store.open_core(key) {
            Err(StorageError::Damaged(damage)) => {
                let Some(rootless) = store.open_rootless(key)? else {
                    return Err(damage.into());
                };
                self.lost = Some((rootless.fork, rootless.length));
                Ok(Some(rootless.log))
            }
            found => found,
        }
    }

    /// What key pairs of names follow from; made where the store has none and a log may be made.
    fn primary_key(&self, store: &dyn Store) -> Result<Option<PrimaryKey>, OpenError> {
        let stored = store.secret()?;
        let makes = self.if_missing == IfMissing::Create && store.access() == Access::ReadWrite;
        if stored.is_some() || !makes {
            return Ok(stored.as_ref().map(PrimaryKey::from));
        }
        let key = PrimaryKey::random(&*self.runtime).map_err(OpenError::Randomness)?;
        store.set_secret(key.secret())?;
        Ok(Some(key))
    }

    /// Puts an empty log in the place of a stored one: the same if it was named, else a new one.
    fn replace(
        &mut self,
        store: &dyn Store,
        mut named: Option<Named>,
        old: Auth,
    ) -> Result<(Arc<dyn CoreStore>, CoreKey), OpenError> {
        self.lost = None;
        if let Some(named) = &mut named {
            let stored = || -> Result<Option<Verifier>, OpenError> {
                Ok(match old.manifest {
                    Some(manifest) => Some(Verifier::new(old.key, manifest)?),
                    None if old.compat => Some(Verifier::compat(PublicKey(*old.key.as_bytes()))),
                    None => None,
                })
            };
            named.verifier = named
                .verifier
                .take()
                .map_or_else(stored, |told| Ok(Some(told)))?;
            if let (None, Some(secret)) = (&self.identity.key_pair, &old.secret_key) {
                let key = old.key;
                let pair = KeyPair::from_secret_key(secret);
                self.identity.key_pair = Some(pair.map_err(|_| OpenError::SecretKey { key })?);
            }
        }
        let named = match named {
            Some(named) => named,
            None => self.name_new()?,
        };
        store.delete_core(&old.key.discovery_key())?;
        self.create_first(store, named)
    }

    /// A log that nobody has had yet.
    fn name_new(&mut self) -> Result<Named, OpenError> {
        self.identity.key_pair = Some(random_key_pair(&*self.runtime)?);
        let named = self.identity.resolve()?;
        named.ok_or(OpenError::Missing { key: None })
    }

    /// Makes the log, which is the store's default if there is no other.
    fn create_first(
        &mut self,
        store: &dyn Store,
        named: Named,
    ) -> Result<(Arc<dyn CoreStore>, CoreKey), OpenError> {
        let key = named.key;
        self.created.clone_from(&named.verifier);
        let log = self.create(store, named)?;
        if self.home.is_none() && store.default_core()?.is_none() {
            store.set_default_core(&key.discovery_key())?;
        }
        Ok((log, key))
    }

    /// Stores the user data that the builder was given, as far as it is not there.
    fn store_user_data(&self, log: &dyn CoreStore) -> Result<(), OpenError> {
        let mut batch = Batch::new();
        let mut is_new = false;
        for (key, value) in &self.user_data {
            if is_reserved(key) {
                return Err(OpenError::ReservedUserData { name: key.clone() });
            }
            if log.user_data(key)?.as_ref() != Some(value) {
                batch.set_user_data(key, Some(value.clone()));
                is_new = true;
            }
        }
        if is_new {
            log.commit(batch, self.durability)?.wait()?;
        }
        Ok(())
    }

    fn create(&self, store: &dyn Store, named: Named) -> Result<Arc<dyn CoreStore>, OpenError> {
        let verifier = named.verifier;
        let auth = Auth {
            key: named.key,
            manifest: verifier.as_ref().and_then(Verifier::shared_manifest),
            secret_key: match self.alias {
                Some(_) => None,
                None => self.identity.key_pair.as_ref().map(KeyPair::secret_key),
            },
            encryption: self.cipher.as_ref().map(|cipher| cipher.scheme()),
            compat: verifier.as_ref().is_some_and(Verifier::is_compat),
        };
        Ok(store.create_core(CoreRecord {
            discovery_key: named.key.discovery_key(),
            auth,
            alias: self.alias.clone(),
        })?)
    }

    /// Who may sign: as stored, or as the builder was told, which is then stored.
    fn authority(
        &mut self,
        log: &dyn CoreStore,
        auth: &Auth,
        store: &dyn Store,
    ) -> Result<Authority, OpenError> {
        if let Some(verifier) = self.created.take() {
            return Ok(verifier.into());
        }
        if let Some(manifest) = &auth.manifest {
            return Ok(Verifier::new(auth.key, manifest.clone())?.into());
        }
        let compat = Verifier::compat(PublicKey(*auth.key.as_bytes()));
        if auth.compat || compat.verify(&log.head()?).is_ok() {
            return Ok(compat.into());
        }
        let told = self.identity.resolve()?.and_then(|named| named.verifier);
        let Some(verifier) = told.filter(|verifier| verifier.key() == auth.key) else {
            return Ok(Authority::KeyOnly(auth.key));
        };
        if let (Some(manifest), Access::ReadWrite) = (verifier.manifest(), store.access()) {
            let mut batch = Batch::new();
            batch.set_manifest(manifest.clone());
            log.commit(batch, Durability::Os)?.wait()?;
        }
        Ok(verifier.into())
    }

    /// Who signs.
    fn writer(
        &self,
        store: &dyn Store,
        log: &dyn CoreStore,
        auth: &Auth,
        authority: &Authority,
    ) -> Result<Option<Writer>, OpenError> {
        let Some(pair) = self.signer(store, log, auth, authority)? else {
            return Ok(None);
        };
        // An empty log is about to be written.
        let is_empty = log.head()?.length() == Length::ZERO;
        Ok(Some(if is_empty {
            pair.into()
        } else {
            Writer::new(&pair)
        }))
    }

    /// The key pair that signs: the one given, else the one stored, else the one that follows from the
    /// log's name.
    fn signer(
        &self,
        store: &dyn Store,
        log: &dyn CoreStore,
        auth: &Auth,
        authority: &Authority,
    ) -> Result<Option<KeyPair>, OpenError> {
        let key = auth.key;
        let stored = auth.secret_key.as_ref().map(|secret: &SecretKey| {
            KeyPair::from_secret_key(secret).map_err(|_| OpenError::SecretKey { key })
        });
        let Some(pair) = self
            .identity
            .key_pair
            .clone()
            .map(Ok)
            .or(stored)
            .transpose()?
        else {
            let derived = derived_pair(store, log)?;
            return Ok(derived.filter(|pair| check_signs(authority, pair.public_key()).is_ok()));
        };
        check_signs(authority, pair.public_key())?;
        Ok(Some(pair))
    }
}

/// The key pair that follows from the name of a log, where it has one.
fn derived_pair(store: &dyn Store, log: &dyn CoreStore) -> Result<Option<KeyPair>, OpenError> {
    let (Some(alias), Some(secret)) = (log.alias()?, store.secret()?) else {
        return Ok(None);
    };
    Ok(Some(PrimaryKey::from(&secret).key_pair_of(&alias)))
}

/// Records the name of a log that was stored before it was opened by it, unless it has another.
fn name(
    store: &dyn Store,
    log: &dyn CoreStore,
    key: &CoreKey,
    alias: Alias,
) -> Result<(), OpenError> {
    if store.access() == Access::ReadWrite && log.alias()?.is_none() {
        store.set_name(&key.discovery_key(), alias)?;
    }
    Ok(())
}

/// Notes in the store that a log is encrypted, where it does not say so yet; says whether it is.
pub(crate) fn mark_encrypted(
    log: &dyn CoreStore,
    store: &dyn Store,
    cipher: Option<&Cipher>,
    length: Length,
) -> Result<bool, OpenError> {
    let auth = log.auth()?;
    let key = auth.key;
    let writes = || Ok::<_, OpenError>(auth.secret_key.is_some() || log.alias()?.is_some());
    match (auth.encryption, cipher.map(Cipher::scheme)) {
        (stored, None) => return Ok(stored.is_some()),
        (Some(stored), Some(given)) if stored == given => return Ok(true),
        (Some(_), Some(_)) => return Err(OpenError::OtherEncryption { key }),
        // Its writer here has written plain text.
        (None, Some(_)) if length > Length::ZERO && writes()? => {
            return Err(OpenError::NotEncrypted { key });
        }
        (None, Some(given)) if store.access() == Access::ReadWrite => {
            let mut batch = Batch::new();
            batch.set_encryption(given);
            log.commit(batch, Durability::Os)?.wait()?;
        }
        (None, Some(_)) => {}
    }
    Ok(true)
}

fn once<T>(value: Option<T>) -> OnceLock<T> {
    value.map_or_else(OnceLock::new, OnceLock::from)
}

/// Whether the holder of a key may sign.
pub(crate) fn check_signs(authority: &Authority, public_key: PublicKey) -> Result<(), OpenError> {
    let tree = Head::empty().signed_tree();
    let verifier = authority.verifier();
    if verifier.is_some_and(|verifier| verifier.signable(&public_key, &tree).is_ok()) {
        return Ok(());
    }
    Err(OpenError::NotASigner {
        key: authority.key(),
        public_key,
    })
}

fn random_seed(runtime: &dyn Runtime) -> Result<u64, OpenError> {
    let mut seed = [0; 8];
    runtime
        .fill_random(&mut seed)
        .map_err(OpenError::Randomness)?;
    Ok(u64::from_le_bytes(seed))
}

fn random_key_pair(runtime: &dyn Runtime) -> Result<KeyPair, OpenError> {
    let mut seed = zeroize::Zeroizing::new([0; 32]);
    runtime
        .fill_random(&mut *seed)
        .map_err(OpenError::Randomness)?;
    Ok(KeyPair::from_seed(&seed))
}
