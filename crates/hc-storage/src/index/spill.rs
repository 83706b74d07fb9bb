//! A private index for stores that are read beside their writer: in memory while it is small, then in a
//! temporary directory that goes with it.

use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::RwLock;

use bytes::Bytes;

use super::memory::MemoryIndex;
use super::private::PrivateIndex;
use super::{Changes, Index, Visit};
use crate::error::IndexError;
use crate::lock::{read, write};

/// Bytes of changes that are kept in memory.
const MAX_IN_MEMORY: u64 = 64 << 20;

/// An index that nobody else sees.
#[derive(Debug, Default)]
pub(crate) struct SpillIndex(RwLock<Backing>);

#[derive(Debug)]
enum Backing {
    Memory { index: MemoryIndex, applied: u64 },
    Disk(PrivateIndex),
}

impl Default for Backing {
    fn default() -> Self {
        Self::Memory {
            index: MemoryIndex::default(),
            applied: 0,
        }
    }
}

impl Backing {
    fn index(&self) -> &dyn Index {
        match self {
            Self::Memory { index, .. } => index,
            Self::Disk(index) => index,
        }
    }

    /// Moves everything to disk, where there is too much of it.
    fn grow(&mut self, changes: &Changes) -> Result<(), IndexError> {
        let Self::Memory {
            index: memory,
            applied,
        } = self
        else {
            return Ok(());
        };
        for (key, value) in changes {
            *applied += (key.len() + value.as_ref().map_or(0, Vec::len)) as u64;
        }
        if *applied <= MAX_IN_MEMORY {
            return Ok(());
        }
        let index = PrivateIndex::open(PrivateIndex::directory()?)?;
        for (key, value) in memory.entries() {
            index.apply(vec![(key, Some(value.to_vec()))])?;
        }
        *self = Self::Disk(index);
        Ok(())
    }
}

impl Index for SpillIndex {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, IndexError> {
        read(&self.0).index().get(key)
    }

    fn scan(&self, keys: RangeInclusive<Vec<u8>>, visit: Visit<'_>) -> Result<(), IndexError> {
        read(&self.0).index().scan(keys, visit)
    }

    fn apply(&self, changes: Changes) -> Result<(), IndexError> {
        let mut backing = write(&self.0);
        backing.grow(&changes)?;
        backing.index().apply(changes)
    }

    fn flush(&self) -> Result<(), IndexError> {
        Ok(())
    }

    fn size(&self) -> Result<u64, IndexError> {
        read(&self.0).index().size()
    }

    fn path(&self) -> &Path {
        Path::new("private index")
    }
}
