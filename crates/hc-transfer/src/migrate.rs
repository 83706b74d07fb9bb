//! From a directory that the reference wrote into a store: all its logs, their names and keys, and the
//! secret that these follow from.

use std::path::{Path, PathBuf};

use hc_merkle::{CoreKey, DiscoveryKey};
use hc_storage::{Alias, StorageError, Store, StoreSecret};
use zeroize::Zeroizing;

use crate::copy::{Copied, CopyError, CopyOptions, copy};
use crate::error::{BadFile, SourceError};
use crate::proofs::ProveError;
use crate::source::{Progress, Source};
use crate::v10::{self, V10Log};
use crate::v11::{self, V11Store};

/// A directory that the reference wrote.
#[derive(Debug)]
pub struct Legacy {
    kind: Kind,
    primary_key: Option<Zeroizing<[u8; 32]>>,
}

#[derive(Debug)]
enum Kind {
    /// Directories of logs.
    V10(Vec<PathBuf>),
    V11(V11Store, Vec<DiscoveryKey>),
}

/// A log that was taken over from a directory of the reference.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Migrated {
    /// What was copied.
    pub copied: Copied,
    /// What the reference called it.
    pub alias: Option<Alias>,
}

impl Legacy {
    /// Finds out what is in a directory: one log of version 10, a corestore of version 10, or a store of
    /// version 11. No process should write to it meanwhile.
    ///
    /// # Errors
    /// [`BadFile`] where there is none of these, or the database cannot be opened.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self, BadFile> {
        let dir = dir.as_ref();
        if v11::is_store(dir) {
            let store = V11Store::open(dir)?;
            let default = store.default_log()?;
            let mut logs: Vec<_> = store.logs()?.iter().map(|log| log.discovery_key).collect();
            // The one that is meant where none is named comes first, and so is meant here too.
            logs.sort_by_key(|key| Some(*key) != default);
            return Ok(Self {
                primary_key: store.primary_key()?,
                kind: Kind::V11(store, logs),
            });
        }
        Ok(Self {
            kind: Kind::V10(v10::logs(dir)?),
            primary_key: v10::primary_key(dir)?,
        })
    }

    /// Which version of the reference wrote it.
    #[must_use]
    pub fn version(&self) -> u32 {
        match self.kind {
            Kind::V10(_) => 10,
            Kind::V11(..) => 11,
        }
    }

    /// How many logs it has.
    #[must_use]
    pub fn len(&self) -> usize {
        match &self.kind {
            Kind::V10(logs) => logs.len(),
            Kind::V11(_, logs) => logs.len(),
        }
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// One of its logs; `None` past the last one, and where nothing but the discovery key is known.
    ///
    /// # Errors
    /// [`BadFile`] says which file is not what it should be, and where.
    pub fn log(&self, number: usize) -> Result<Option<Box<dyn Source>>, BadFile> {
        Ok(match &self.kind {
            Kind::V10(logs) => match logs.get(number) {
                Some(dir) => Some(Box::new(V10Log::open(dir)?)),
                None => None,
            },
            Kind::V11(store, logs) => match logs.get(number) {
                Some(key) => store.log(key)?.map(|log| Box::new(log) as Box<dyn Source>),
                None => None,
            },
        })
    }

    /// Puts the secret that the key pairs of named logs follow from into a store that has none. `false`
    /// where there is none, or the store has another.
    ///
    /// # Errors
    /// What writing may return.
    pub fn migrate_primary_key(&self, store: &dyn Store) -> Result<bool, StorageError> {
        let Some(key) = &self.primary_key else {
            return Ok(false);
        };
        let secret = StoreSecret::from_bytes(**key);
        if let Some(other) = store.secret()? {
            return Ok(other == secret);
        }
        store.set_secret(secret)?;
        Ok(true)
    }

    /// Copies one of its logs into a store, as [`copy`] does. `None` where there is no such log, or it is
    /// not the one that `only` names.
    ///
    /// # Errors
    /// As [`copy`].
    ///
    /// ```no_run
    /// use hc_storage::DiskStore;
    /// use hc_transfer::{CopyOptions, Legacy};
    ///
    /// let (legacy, store) = (Legacy::open("old")?, DiskStore::open("new")?);
    /// legacy.migrate_primary_key(&store)?;
    /// for number in 0..legacy.len() {
    ///     legacy.migrate(number, &store, None, &CopyOptions::default(), &mut |_| {})?;
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn migrate(
        &self,
        number: usize,
        store: &dyn Store,
        only: Option<&CoreKey>,
        options: &CopyOptions,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Option<Migrated>, CopyError> {
        let file = |error| CopyError::from(ProveError::Source(SourceError::File(error)));
        let Some(source) = self.log(number).map_err(file)? else {
            return Ok(None);
        };
        let key = source.auth()?.key;
        if only.is_some_and(|only| *only != key) {
            return Ok(None);
        }
        let copied = copy(&*source, store, options, progress)?;
        let alias = source.alias()?;
        Ok(Some(Migrated { copied, alias }))
    }
}
