//! An index that is a map in memory: for stores that are read beside their writer, and for tests.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::RwLock;

use bytes::Bytes;

use super::{Changes, Index, Visit};
use crate::error::IndexError;
use crate::lock::{read, write};

/// A map in memory.
#[derive(Debug, Default)]
pub(crate) struct MemoryIndex(RwLock<BTreeMap<Vec<u8>, Bytes>>);

impl MemoryIndex {
    pub(crate) fn new(entries: BTreeMap<Vec<u8>, Bytes>) -> Self {
        Self(RwLock::new(entries))
    }

    pub(crate) fn entries(&self) -> BTreeMap<Vec<u8>, Bytes> {
        read(&self.0).clone()
    }
}

impl Index for MemoryIndex {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, IndexError> {
        Ok(read(&self.0).get(key).cloned())
    }

    fn scan(&self, keys: RangeInclusive<Vec<u8>>, visit: Visit<'_>) -> Result<(), IndexError> {
        for (key, value) in read(&self.0).range(keys) {
            visit(key, value.clone())?;
        }
        Ok(())
    }

    fn apply(&self, changes: Changes) -> Result<(), IndexError> {
        let mut entries = write(&self.0);
        for (key, value) in changes {
            match value {
                Some(value) => entries.insert(key, Bytes::from(value)),
                None => entries.remove(&key),
            };
        }
        Ok(())
    }

    fn flush(&self) -> Result<(), IndexError> {
        Ok(())
    }

    fn size(&self) -> Result<u64, IndexError> {
        Ok(read(&self.0)
            .iter()
            .map(|(key, value)| (key.len() + value.len()) as u64)
            .sum())
    }

    fn path(&self) -> &Path {
        Path::new("memory")
    }
}
