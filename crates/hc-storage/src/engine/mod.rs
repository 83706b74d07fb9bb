//! The default engine: the commit log, the index under it, and what is between the two.
//!
//! Owns which logs there are, and the order of locks: the writers of logs (by number), the gate, the
//! registry, the states of branches, the states of their logs. Commits pass the gate together; a
//! checkpoint closes it for the moment it takes to note where the log ends and to set aside what the index
//! lacks.

mod addition;
#[cfg(test)]
mod beside;
mod branch;
mod checkpoint;
mod choose;
mod collect;
mod collector;
mod commit;
mod core;
mod core_entry;
mod gather;
mod holes;
mod key_record;
mod load;
mod lookups;
mod names;
mod open;
mod overlay;
mod pages;
mod reader;
mod repair;
mod replay;
mod secrets;
mod snapshot;
mod state;
mod store;
mod stretches;
mod table;
mod throttle;
mod worker;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, RwLock, Weak};

use hc_merkle::{CoreKey, DiscoveryKey};

pub use self::open::StoreOptions;
pub(crate) use self::open::open;
pub use self::store::DiskStore;

use self::collect::Collecting;
use self::collector::Collector;
use self::holes::Holes;
use self::names::NamedId;
use self::pages::Pages;
use self::secrets::Secrets;
use self::state::Core;
use self::stretches::Stretches;
use self::throttle::Throttle;
use self::worker::Worker;
use crate::disk::{Disk, LockGuard};
use crate::error::{IndexError, StorageError};
use crate::index::Index;
use crate::log::committer::Log;
use crate::log::mark::Mark;
use crate::log::segment::{self, StoreId};
use crate::log::{Gap, Position};
use crate::record::Alias;
use crate::record::entry::{CoreId, Entry};
use crate::store::Access;

/// A file that says that the index is not to be trusted.
pub(crate) const REBUILD: &str = "REBUILD";

/// A store that is open.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) index: Arc<dyn Index>,
    pub(crate) pages: Pages,
    pub(crate) stretches: Stretches,
    pub(crate) log: Arc<Log>,
    pub(crate) id: StoreId,
    pub(crate) access: Access,
    pub(crate) options: StoreOptions,
    pub(crate) secrets: Secrets,
    /// Held while a log is made or deleted.
    pub(crate) creating: Mutex<()>,
    pub(crate) registry: Mutex<Registry>,
    pub(crate) gate: RwLock<()>,
    /// Held by the one checkpoint that may run; how far the last one came.
    pub(crate) checkpointing: Mutex<Position>,
    /// What is recorded of the end of the log.
    pub(crate) recorded: Mutex<Option<Mark>>,
    /// How far the log was read, where this handle only reads.
    pub(crate) read_to: Mutex<Position>,
    /// What of the log is damaged and was passed over.
    pub(crate) gaps: Mutex<Vec<Gap>>,
    pub(crate) pressure: Pressure,
    pub(crate) throttle: Throttle,
    pub(crate) worker: Worker,
    /// Held by the one who collects.
    pub(crate) collecting: Mutex<Collecting>,
    pub(crate) collector: Collector,
    pub(crate) closed: AtomicBool,
    pub(crate) lock: Mutex<Option<LockGuard>>,
}

/// How much the index lacks.
#[derive(Debug, Default)]
pub(crate) struct Pressure {
    pub(crate) entries: AtomicUsize,
    pub(crate) bytes: AtomicU64,
    /// How many times as much it has to be before the next checkpoint, where this handle only reads.
    pub(crate) put_off: AtomicUsize,
}

/// Which logs there are, as far as the index does not say so.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    pub(crate) cores: HashMap<CoreId, Weak<Core>>,
    /// Those with changes that the index lacks.
    pub(crate) dirty: BTreeMap<CoreId, Arc<Core>>,
    /// Logs created since the last checkpoint, and those deleted (`None`).
    pub(crate) names: BTreeMap<DiscoveryKey, Option<(CoreId, CoreKey)>>,
    /// Names given since the last checkpoint, and those taken back (`None`).
    pub(crate) aliases: BTreeMap<Alias, Option<NamedId>>,
    /// The log that was last found by its name: who asks for a name opens it next.
    pub(crate) found: Option<NamedId>,
    pub(crate) default: Option<CoreId>,
    pub(crate) next_id: u64,
    /// The branches that there are, once somebody asked.
    pub(crate) branches: Option<BTreeSet<CoreId>>,
    pub(crate) space: BTreeMap<u32, Space>,
    pub(crate) dirty_space: BTreeSet<u32>,
    pub(crate) holes: Holes,
}

/// Bytes of blocks in a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Space {
    /// Those that take space: all that were written, but for what was given back.
    pub(crate) data: u64,
    /// Those that are stored.
    pub(crate) live: u64,
}

impl Space {
    pub(crate) const fn void(self) -> u64 {
        self.data.saturating_sub(self.live)
    }
}

impl Registry {
    /// Of all segments together.
    pub(crate) fn space_of_all(&self) -> Space {
        let spaces = self.space.values();
        spaces.fold(Space::default(), |all, space| Space {
            data: all.data.saturating_add(space.data),
            live: all.live.saturating_add(space.live),
        })
    }

    pub(crate) fn space_of(&mut self, segment: u32) -> &mut Space {
        self.dirty_space.insert(segment);
        self.space.entry(segment).or_default()
    }

    /// Notes bytes of blocks that were written to a segment and are stored.
    pub(crate) fn note_data(&mut self, segment: u32, len: u64) {
        if len > 0 {
            let space = self.space_of(segment);
            space.data = space.data.saturating_add(len);
            space.live = space.live.saturating_add(len);
        }
    }

    /// Notes that a log has changes that the index lacks.
    pub(crate) fn note_changed(&mut self, core: &Arc<Core>) {
        let dirty = self.dirty.entry(core.id);
        dirty.or_insert_with(|| Arc::clone(core));
    }

    /// Forgets the segments for whose places one stands.
    pub(crate) fn forget_space(&mut self, number: u32, places: &Range<u32>) {
        let gone = |other: &u32| *other != number && places.contains(&segment::place(*other));
        let gone: Vec<u32> = self.space.keys().copied().filter(gone).collect();
        for other in gone {
            self.space.remove(&other);
            self.dirty_space.insert(other);
        }
    }

    /// Whether nothing is read from the segments for whose places one stands.
    pub(crate) fn is_settled(&self, number: u32, places: &Range<u32>) -> bool {
        let inside = |other: &&u32| places.contains(&segment::place(**other));
        let mut known = self.space.keys().filter(inside);
        known.next() == Some(&number) && known.next().is_none()
    }

    /// Which log is meant where none is named, after an entry.
    pub(crate) fn note_default(&mut self, entry: &Entry) {
        if entry.delete {
            self.default = self.default.filter(|id| *id != entry.core);
        }
        if let Some(named) = entry.default {
            self.default = Some(named).filter(|id| *id != CoreId::STORE);
        }
    }
}

impl Engine {
    pub(crate) fn check_open(&self) -> Result<(), StorageError> {
        if self.closed.load(Ordering::Acquire) {
            Err(StorageError::Closed)
        } else {
            Ok(())
        }
    }

    pub(crate) fn check_writable(&self) -> Result<(), StorageError> {
        self.check_open()?;
        match self.access {
            Access::ReadWrite => self.log.check(),
            Access::ReadOnly => Err(StorageError::ReadOnly),
        }
    }

    /// Notes that the index is of no use, so that the next to open the store makes it again.
    pub(crate) fn distrust(&self, error: IndexError) -> StorageError {
        if self.access == Access::ReadWrite {
            // if even this cannot be written, the next to open it comes upon the same entry
            let _ = self
                .disk
                .create(REBUILD)
                .and_then(|_| self.disk.sync_dir(""));
        }
        StorageError::Index(error)
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // whoever wants to know whether this succeeds calls `close`
        let _ = self.close();
    }
}
