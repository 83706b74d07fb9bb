//! An index that nobody else sees, in a directory of its own under the system's temporary one, with which it
//! goes. Nothing in it has to outlive the process.

use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;

use super::directory::Directory;
use super::sled::SledHost;
use super::{Changes, Index, IndexHost, Visit, engine_fault};
use crate::error::{IndexError, IndexFault};
use bytes::Bytes;

/// Where it is in its directory.
pub(super) const PRIVATE: &str = "index";

/// An index that nobody else sees.
#[derive(Debug)]
pub(super) struct PrivateIndex {
    index: Arc<dyn Index>,
    // after the index in it, so that it is removed last
    _directory: Directory,
}

impl PrivateIndex {
    /// A directory for one.
    pub(super) fn directory() -> Result<Directory, IndexError> {
        let made = Directory::new();
        made.map_err(|error| engine_fault(&std::env::temp_dir(), IndexFault::Io(error.kind())))
    }

    /// The one that is in a directory; an empty one where there is none.
    pub(super) fn open(directory: Directory) -> Result<Self, IndexError> {
        Ok(Self {
            index: SledHost::new(&directory.path().join(PRIVATE)).open()?,
            _directory: directory,
        })
    }
}

impl Index for PrivateIndex {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, IndexError> {
        self.index.get(key)
    }

    fn scan(&self, keys: RangeInclusive<Vec<u8>>, visit: Visit<'_>) -> Result<(), IndexError> {
        self.index.scan(keys, visit)
    }

    fn apply(&self, changes: Changes) -> Result<(), IndexError> {
        self.index.apply(changes)
    }

    fn flush(&self) -> Result<(), IndexError> {
        Ok(())
    }

    fn size(&self) -> Result<u64, IndexError> {
        self.index.size()
    }

    fn path(&self) -> &Path {
        self.index.path()
    }
}
