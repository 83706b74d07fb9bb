//! Databases that version 11 of the reference wrote: a store of many logs in one folder `db`.
//!
//! Owns what keys and values say together. They are only read, with a reader of our own. Nothing is
//! verified here but the checksums of the database: that is done on the way into a store. Drafts that the
//! reference keeps beside a log, under names of their own, are not signed, and are left out.

mod keys;
mod rocks;
#[cfg(test)]
mod tests;
mod values;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use hc_bitfield::Bitfield;
use hc_encoding::{Decode, Reader};
use hc_merkle::flat::roots_at;
use hc_merkle::limits::MAX_LENGTH;
use hc_merkle::{BlockIndex, DiscoveryKey, Head, Length, Node, NodeIndex, Verifier};
use hc_storage::{Alias, Auth, EncryptionScheme};
use zeroize::Zeroizing;

use crate::error::{BadFile, FileFault, SourceError};
use crate::limits::MAX_DEPENDENCIES;
use crate::source::{Source, set_bits};
use rocks::Database;
use values::{CoreAuth, CoreHead, CorePlace, Dependency, StoreHead};

/// The column family that the reference keeps everything in.
const FAMILY: &str = "corestore";

/// Blocks that a page of a bitfield speaks of.
const PAGE_BITS: u64 = 32 << 10;

/// A store of version 11.
#[derive(Debug, Clone)]
pub struct V11Store {
    path: PathBuf,
    database: Arc<Database>,
}

/// A log that a store of version 11 has.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct V11Entry {
    /// What the store knows it by.
    pub discovery_key: DiscoveryKey,
    /// What the store calls it, if it has a name.
    pub alias: Option<Alias>,
}

/// One log of a store of version 11.
#[derive(Debug)]
pub struct V11Log {
    store: V11Store,
    alias: Option<Alias>,
    data: u64,
    /// Where its first blocks are, if they are elsewhere.
    dependencies: Vec<Dependency>,
    auth: Auth,
    head: Head,
    bitfield: Bitfield,
}

/// Reads a record that no checksum vouches for, as a fuzz target does that cannot guess one.
#[doc(hidden)]
pub fn probe(choice: u8, bytes: &Bytes) {
    let mut reader = Reader::over(bytes);
    match choice % 10 {
        0 => drop(StoreHead::decode(&mut reader)),
        1 => drop(CorePlace::decode(&mut reader)),
        2 => drop(CoreAuth::decode(&mut reader)),
        3 => drop(CoreHead::decode(&mut reader)),
        4 => drop(keys::user_data_name(bytes)),
        5 => drop(keys::page(bytes)),
        choice => rocks::probe(choice, bytes),
    }
}

/// Whether there is a store of version 11 in a directory.
#[must_use]
pub fn is_store(dir: impl AsRef<Path>) -> bool {
    database_in(dir.as_ref()).is_some()
}

fn database_in(dir: &Path) -> Option<PathBuf> {
    let below = dir.join("db");
    [below, dir.to_path_buf()]
        .into_iter()
        .find(|dir| dir.join("CURRENT").is_file())
}

impl V11Store {
    /// Opens the store in a directory. No process should write to it meanwhile.
    ///
    /// # Errors
    /// [`BadFile`] says which file is not what it should be, and where.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self, BadFile> {
        let dir = dir.as_ref();
        let what = "a store of version 11";
        let absent = || BadFile::new(dir, 0, FileFault::Absent { what });
        let path = database_in(dir).ok_or_else(absent)?;
        let database = Arc::new(Database::open(&path, FAMILY)?);
        Ok(Self { path, database })
    }

    /// All its logs, in the order of their discovery keys.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn logs(&self) -> Result<Vec<V11Entry>, BadFile> {
        let mut found = Vec::new();
        for (key, value) in self.database.scan(keys::cores())? {
            let place = self.decode::<CorePlace>(&value, "the place of a log")?;
            let discovery_key = keys::discovery_key(&key);
            found.push(V11Entry {
                discovery_key: discovery_key.ok_or_else(|| self.malformed("the key of a log"))?,
                alias: place.alias,
            });
        }
        Ok(found)
    }

    /// The log that is meant where none is named, if the store says so.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn default_log(&self) -> Result<Option<DiscoveryKey>, BadFile> {
        Ok(self.head()?.and_then(|head| head.default))
    }

    /// The secret that the key pairs of its named logs follow from.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn primary_key(&self) -> Result<Option<Zeroizing<[u8; 32]>>, BadFile> {
        Ok(self.head()?.and_then(|head| head.seed))
    }

    /// A log; `None` where the store does not have it.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn log(&self, discovery_key: &DiscoveryKey) -> Result<Option<V11Log>, BadFile> {
        let Some(place) =
            self.get::<CorePlace>(&keys::core(discovery_key), "the place of a log")?
        else {
            return Ok(None);
        };
        if place.version == 0 {
            let what = "a log whose blocks are still in files of version 10";
            return Err(BadFile::new(&self.path, 0, FileFault::Unsupported { what }));
        }
        let auth = self.get::<CoreAuth>(&keys::auth(place.core), "the identity of a log")?;
        let Some(auth) = auth else { return Ok(None) };
        if auth.key.discovery_key() != *discovery_key {
            return Err(self.malformed("the identity of a log"));
        }
        let mut log = V11Log {
            store: self.clone(),
            alias: place.alias,
            data: place.data,
            dependencies: self.dependencies(place.data)?,
            auth: self.auth(auth)?,
            head: Head::empty(),
            bitfield: Bitfield::new(),
        };
        if let Some(head) = self.get::<CoreHead>(&keys::head(place.data), "the head of a log")? {
            log.head = log.read_head(&head)?;
        }
        log.bitfield = self.bitfield(place.data)?;
        log.bitfield.unset_range(log.head.length().get()..u64::MAX);
        Ok(Some(log))
    }

    fn head(&self) -> Result<Option<StoreHead>, BadFile> {
        self.get(&keys::store_head(), "the head of a store")
    }

    fn auth(&self, stored: CoreAuth) -> Result<Auth, BadFile> {
        let verifier = match stored.manifest {
            Some(manifest) => Some(
                Verifier::new(stored.key, manifest)
                    .map_err(|_| self.malformed("the manifest of a log"))?,
            ),
            None => None,
        };
        Ok(Auth {
            key: stored.key,
            manifest: verifier.as_ref().and_then(Verifier::shared_manifest),
            secret_key: stored.secret_key,
            encryption: stored.encrypted.then_some(EncryptionScheme::REFERENCE),
            compat: verifier.as_ref().is_some_and(Verifier::is_compat),
        })
    }

    fn dependencies(&self, data: u64) -> Result<Vec<Dependency>, BadFile> {
        chain(data, &self.path, |data| {
            self.get(&keys::dependency(data), "what a log is built upon")
        })
    }

    fn bitfield(&self, data: u64) -> Result<Bitfield, BadFile> {
        let mut bits = Bitfield::new();
        for (key, page) in self.database.scan(keys::bitfield(data))? {
            let malformed = || self.malformed("a page of a bitfield");
            let (number, kind) = keys::page(&key).ok_or_else(malformed)?;
            let start = number.checked_mul(PAGE_BITS).ok_or_else(malformed)?;
            if page.len() as u64 * 8 > PAGE_BITS || start >= MAX_LENGTH.get() {
                return Err(malformed());
            }
            if kind == 0 {
                set_bits(&mut bits, start, &page);
            }
        }
        Ok(bits)
    }

    fn get<T: for<'a> Decode<'a>>(
        &self,
        key: &[u8],
        what: &'static str,
    ) -> Result<Option<T>, BadFile> {
        let value = self.database.get(key)?;
        value.map(|value| self.decode(&value, what)).transpose()
    }

    fn decode<T: for<'a> Decode<'a>>(
        &self,
        value: &Bytes,
        what: &'static str,
    ) -> Result<T, BadFile> {
        T::decode(&mut Reader::over(value)).map_err(|_| self.malformed(what))
    }

    fn malformed(&self, what: &'static str) -> BadFile {
        BadFile::new(&self.path, 0, FileFault::Malformed { what })
    }
}

/// What a log is built upon, what that is built upon, and so on.
fn chain(
    mut data: u64,
    path: &Path,
    below: impl Fn(u64) -> Result<Option<Dependency>, BadFile>,
) -> Result<Vec<Dependency>, BadFile> {
    let mut found = Vec::new();
    while let Some(next) = below(data)? {
        data = next.data;
        found.push(next);
        if found.len() > MAX_DEPENDENCIES {
            let (what, len) = ("logs built upon each other", found.len() as u64);
            let limit = MAX_DEPENDENCIES as u64;
            let fault = FileFault::TooLong { what, len, limit };
            return Err(BadFile::new(path, 0, fault));
        }
    }
    Ok(found)
}

impl V11Log {
    fn read_head(&self, stored: &CoreHead) -> Result<Head, BadFile> {
        let malformed = || self.store.malformed("the head of a log");
        if stored.length == Length::ZERO {
            return Ok(Head::empty());
        }
        if stored.length > MAX_LENGTH {
            return Err(malformed());
        }
        let mut roots = Vec::new();
        for index in roots_at(stored.length) {
            roots.push(self.node(index)?.ok_or_else(malformed)?);
        }
        let head = Head::new(stored.fork, stored.length, roots).map_err(|_| malformed())?;
        Ok(if stored.signature.is_empty() {
            head
        } else {
            head.with_signature(stored.signature.clone())
        })
    }

    fn node(&self, index: NodeIndex) -> Result<Option<Node>, BadFile> {
        let holds = |dependency: &&Dependency| index.end().get() <= dependency.length;
        let data = self.dependencies.iter().find(holds);
        let data = data.map_or(self.data, |dependency| dependency.data);
        let found = self
            .store
            .get::<Node>(&keys::node(data, index.get()), "a node of a tree")?;
        match found {
            Some(node) if node.index != index => Err(self.store.malformed("a node of a tree")),
            found => Ok(found),
        }
    }
}

impl Source for V11Log {
    fn auth(&self) -> Result<Auth, SourceError> {
        Ok(self.auth.clone())
    }

    fn alias(&self) -> Result<Option<Alias>, SourceError> {
        Ok(self.alias.clone())
    }

    fn head(&self) -> Result<Head, SourceError> {
        Ok(self.head.clone())
    }

    fn bitfield(&self) -> Result<Bitfield, SourceError> {
        Ok(self.bitfield.clone())
    }

    fn nodes(&self, indexes: &[NodeIndex], out: &mut Vec<Option<Node>>) -> Result<(), SourceError> {
        for index in indexes {
            out.push(self.node(*index)?);
        }
        Ok(())
    }

    fn block(&self, index: BlockIndex) -> Result<Option<Bytes>, SourceError> {
        if !self.bitfield.get(index.get()) {
            return Ok(None);
        }
        let holds = |dependency: &&Dependency| index.get() < dependency.length;
        let data = self.dependencies.iter().find(holds);
        let data = data.map_or(self.data, |dependency| dependency.data);
        Ok(self.store.database.get(&keys::block(data, index.get()))?)
    }

    fn user_data(&self) -> Result<Vec<(String, Bytes)>, SourceError> {
        let mut all = Vec::new();
        for (key, value) in self.store.database.scan(keys::user_data(self.data))? {
            let malformed = || self.store.malformed("the name of user data");
            let name = keys::user_data_name(&key).ok_or_else(malformed)?;
            all.push((name, value));
        }
        Ok(all)
    }
}
