//! The index on a disk that fails on command: batches are whole, and lost from some point on unless they
//! were flushed. Knows nothing of what is in an entry.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use super::{Dice, FaultDisk};
use crate::error::{IndexError, IndexFault};
use crate::index::memory::MemoryIndex;
use crate::index::{Changes, Index, IndexHost, Visit, engine_fault};
use crate::lock::lock;

type Entries = BTreeMap<Vec<u8>, Bytes>;

#[derive(Debug, Default, Clone)]
pub(super) struct IndexContent {
    pub(super) entries: Entries,
    synced: Entries,
    pending: Vec<Changes>,
}

impl IndexContent {
    fn apply(entries: &mut Entries, changes: &Changes) {
        for (key, value) in changes {
            match value {
                Some(value) => entries.insert(key.clone(), Bytes::copy_from_slice(value)),
                None => entries.remove(key),
            };
        }
    }

    /// Batches are whole, and lost from some point on.
    pub(super) fn survivor(&self, dice: &mut Dice) -> Self {
        let mut entries = self.synced.clone();
        let kept = dice.roll(self.pending.len() as u64 + 1);
        for changes in self.pending.iter().take(usize::try_from(kept).unwrap_or(0)) {
            Self::apply(&mut entries, changes);
        }
        Self {
            synced: entries.clone(),
            entries,
            pending: Vec::new(),
        }
    }
}

#[derive(Debug)]
pub(super) struct FaultIndexHost(pub(super) FaultDisk);

#[derive(Debug)]
struct FaultIndex(FaultDisk);

impl FaultIndex {
    fn whole(&self, act: impl FnOnce(&mut IndexContent)) -> Result<(), IndexError> {
        let done = self.0.whole(|state| {
            act(&mut state.index);
            Ok(())
        });
        done.map_err(|error| engine_fault(self.path(), IndexFault::Io(error.kind())))
    }
}

impl IndexHost for FaultIndexHost {
    fn open(&self) -> Result<Arc<dyn Index>, IndexError> {
        Ok(Arc::new(FaultIndex(self.0.clone())))
    }

    fn copy(&self) -> Result<Option<Arc<dyn Index>>, IndexError> {
        let entries = lock(&self.0.0.state).index.entries.clone();
        Ok(Some(Arc::new(MemoryIndex::new(entries))))
    }

    fn discard(&self) -> Result<(), IndexError> {
        FaultIndex(self.0.clone()).whole(|index| *index = IndexContent::default())
    }
}

impl Index for FaultIndex {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, IndexError> {
        Ok(lock(&self.0.0.state).index.entries.get(key).cloned())
    }

    fn scan(&self, keys: RangeInclusive<Vec<u8>>, visit: Visit<'_>) -> Result<(), IndexError> {
        let found: Vec<_> = lock(&self.0.0.state)
            .index
            .entries
            .range(keys)
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        found
            .into_iter()
            .try_for_each(|(key, value)| visit(&key, value))
    }

    fn apply(&self, changes: Changes) -> Result<(), IndexError> {
        self.whole(|index| {
            IndexContent::apply(&mut index.entries, &changes);
            index.pending.push(changes);
        })
    }

    fn flush(&self) -> Result<(), IndexError> {
        self.whole(|index| {
            index.synced = index.entries.clone();
            index.pending.clear();
        })
    }

    fn size(&self) -> Result<u64, IndexError> {
        let state = lock(&self.0.0.state);
        let len = |(key, value): (&Vec<u8>, &Bytes)| (key.len() + value.len()) as u64;
        Ok(state.index.entries.iter().map(len).sum())
    }

    fn path(&self) -> &Path {
        Path::new("faulty/index")
    }
}
