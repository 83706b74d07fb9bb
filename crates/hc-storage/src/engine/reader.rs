//! A store that is read beside whoever writes to it: opening it, and taking in what was written since.
//!
//! Owns where its index comes from. Somebody else's log changes while it is read: segments are collected, and
//! what was to be read in one is in another then, which is looked for again. Knows nothing of how an entry is
//! carried out, or of how an index is copied.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::commit::Commit;
use super::open::{StoreOptions, build, check_foreign, floor, is_there, open_error};
use super::replay::Replayed;
use super::{Engine, REBUILD};
use crate::disk::{Disk, fault};
use crate::error::{Action, DamageKind, OpenError, StorageError};
use crate::index::spill::SpillIndex;
use crate::index::{Index, IndexHost};
use crate::lock::{lock, read};
use crate::log::committer::Placed;
use crate::log::mark::{self, Mark};
use crate::log::recover::{self, Extent};
use crate::log::{Position, segment};
use crate::record::entry::Entry;
use crate::store::Access;

/// How often to look again at most, while segments come and go.
const TRIES: u32 = 32;

/// How often at most to take in what was collected because of one thing that is not where it was.
pub(crate) const LOOKS: u32 = 8;

/// Times as much as a checkpoint is made for that may wait for one, as long as none can be made.
const MOST_PUT_OFF: usize = 16;

/// Opens a store to read it: with a copy of its index where there is one and the log is long, else by reading
/// the log.
pub(super) fn open_to_read(
    disk: &Arc<dyn Disk>,
    host: &dyn IndexHost,
    options: StoreOptions,
) -> Result<Arc<Engine>, OpenError> {
    let mut tries = 0..TRIES;
    loop {
        let before = segments(&**disk)?;
        // that nothing changed says that it does not pass
        let mut again = |error: &OpenError| {
            let passes = is_passing(error) && tries.next().is_some();
            Ok::<_, OpenError>(passes && segments(&**disk)? != before)
        };
        match with_copy(disk, host, options) {
            Ok(Some(engine)) => return Ok(engine),
            Err(error) if again(&error)? => continue,
            // what is in the way of that may be in the way of reading the log too, which says so
            Ok(None) | Err(_) => {}
        }
        match with_log(disk, options) {
            Err(error) if again(&error)? => {}
            opened => return opened,
        }
    }
}

/// What there is of the log, which others change.
fn segments(disk: &dyn Disk) -> Result<BTreeSet<u32>, OpenError> {
    let listed = disk.list(segment::DIR);
    let names = listed.map_err(fault(disk, Action::List, segment::DIR))?;
    let numbers = names.iter().flatten();
    Ok(numbers.filter_map(|name| segment::number(name)).collect())
}

/// Whether it may be that a segment was collected while it was looked for or read.
fn is_passing(error: &OpenError) -> bool {
    match error {
        OpenError::Index(_) => true,
        OpenError::Damaged(damage) => damage.kind == DamageKind::Missing,
        _ => false,
    }
}

/// The same of a store that is open.
fn may_pass(error: &StorageError) -> bool {
    match error {
        StorageError::Index(_) => true,
        StorageError::Damaged(damage) => damage.kind == DamageKind::Missing,
        _ => false,
    }
}

fn with_log(disk: &Arc<dyn Disk>, options: StoreOptions) -> Result<Arc<Engine>, OpenError> {
    let (extent, recorded) = find_log(disk)?;
    let index: Arc<dyn Index> = Arc::new(SpillIndex::default());
    let engine = build(Arc::clone(disk), index, &extent, recorded, options)?;
    engine.replay(extent.start, None, &extent, floor(recorded))?;
    Ok(engine)
}

/// `None` where the log is to be read without an index.
fn with_copy(
    disk: &Arc<dyn Disk>,
    host: &dyn IndexHost,
    options: StoreOptions,
) -> Result<Option<Arc<Engine>>, OpenError> {
    let is_distrusted = options.rebuild || is_there(&**disk, REBUILD)?;
    if is_distrusted || !is_long(&**disk, options.copy_index_from)? {
        return Ok(None);
    }
    // in this order: what an index speaks of is in the log
    let Some(index) = host.copy()? else {
        return Ok(None);
    };
    let (extent, recorded) = find_log(disk)?;
    let engine = build(Arc::clone(disk), index, &extent, recorded, options)?;
    engine.from_index(&extent)?;
    engine.settle(&extent).map_err(open_error)?;
    Ok(Some(engine))
}

/// Whether the log has so many bytes.
fn is_long(disk: &dyn Disk, least: u64) -> Result<bool, OpenError> {
    let mut len = 0u64;
    for number in segments(disk)? {
        let name = segment::name(number);
        let opened = disk.open(&name, false);
        if let Some(file) = opened.map_err(fault(disk, Action::Open, &name))? {
            let more = file.len().map_err(fault(disk, Action::Read, &name))?;
            len = len.saturating_add(more);
        }
        if len >= least {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Where the log is, and how far it is known to reach.
fn find_log(disk: &Arc<dyn Disk>) -> Result<(Extent, Option<Mark>), OpenError> {
    let (found, recorded) = recover::find(disk)?;
    let missing = || OpenError::Missing {
        path: disk.root().to_path_buf(),
    };
    let Some(found) = found else {
        check_foreign(&**disk)?;
        return Err(missing());
    };
    if found.unfinished == Some(found.extent.start.segment) {
        return Err(missing());
    }
    Ok((found.extent, recorded))
}

impl Engine {
    /// Reads what a writer added since, and says whether there was anything. What the writer collected
    /// meanwhile is found where it is now.
    pub(crate) fn read_on(self: &Arc<Self>) -> Result<bool, StorageError> {
        let _one = lock(&self.creating);
        let from = *lock(&self.read_to);
        let mut replayed = Replayed::default();
        let mut tries = 0..TRIES;
        loop {
            let before = segments(&*self.disk)?;
            match self.read_more(&mut replayed) {
                Err(error)
                    if may_pass(&error)
                        && tries.next().is_some()
                        && segments(&*self.disk)? != before => {}
                done => break done?,
            }
        }
        Ok(lock(&self.read_to).lsn > from.lsn)
    }

    fn read_more(self: &Arc<Self>, replayed: &mut Replayed) -> Result<(), StorageError> {
        // in this order: what is recorded is in the log, but it may be recorded after the log was listed
        let recorded = mark::read(&*self.disk)?;
        let found = recover::extent(&*self.disk)?;
        let found = found.filter(|found| found.extent.store == self.id);
        let extent = found.ok_or(StorageError::Rewound)?.extent;
        let from = *lock(&self.read_to);
        self.settle_before(&extent, from.segment)?;
        let start = self.restart(from, &extent, replayed)?;
        let known = floor(recorded.map(|recorded| recorded.mark));
        self.replay_frames(start, None, &extent, known, replayed)?;
        let placed = nowhere(*lock(&self.read_to));
        while let Some(id) = replayed.unnamed.pop_first() {
            if let Some(core) = self.loaded(id)? {
                self.apply(self.deletion(core)?, &placed, None);
            }
        }
        self.settle(&extent)?;
        Ok(self.finish_replay(replayed)?)
    }

    /// Where to read on: from the position, or from the start of what was made of its segment.
    fn restart(
        &self,
        at: Position,
        extent: &Extent,
        replayed: &mut Replayed,
    ) -> Result<Position, StorageError> {
        let number = extent.at_place(segment::place(at.segment));
        let number = number.ok_or(StorageError::Rewound)?;
        if number != at.segment {
            if segment::round(number) <= segment::round(at.segment) {
                return Err(StorageError::Rewound);
            }
            // all that is in it is counted when it is read
            lock(&self.registry).space_of(number).data = 0;
            let header = recover::read_header(&*self.disk, number, false)?;
            let start = Position {
                segment: number,
                offset: segment::HEADER_LEN,
                lsn: header.map_or(at.lsn, |header| header.first),
            };
            if extent.segments.first() == Some(&number) {
                self.start_over(start, replayed)?;
            }
            return Ok(start);
        }
        let name = segment::name(number);
        let opened = self.disk.open(&name, false);
        let file = opened.map_err(fault(&*self.disk, Action::Open, &name))?;
        // it was there when the log was listed
        let gone = || recover::damage(&*self.disk, number, 0, DamageKind::Missing);
        let len = file.ok_or_else(gone)?.len();
        let len = len.map_err(fault(&*self.disk, Action::Read, &name))?;
        if u64::from(at.offset) <= len {
            Ok(at)
        } else {
            Err(StorageError::Rewound)
        }
    }

    /// Has all be void that was read so far. The first segment stands for it, and says what there still is, but
    /// not what went.
    fn start_over(&self, start: Position, replayed: &mut Replayed) -> Result<(), StorageError> {
        let placed = nowhere(start);
        for (id, _) in self.all_named()?.into_values() {
            let Some(core) = self.loaded(id)? else {
                continue;
            };
            let mut entry = Entry::new(id);
            entry.truncate = Some(0);
            {
                let facts = &read(&core.state).facts;
                let keys = facts.user_data.keys().cloned();
                entry.user_data = keys.map(|key| (key, None)).collect();
                replayed.unnamed.insert(id);
                replayed.unnamed.extend(facts.branches.values());
            }
            let effects = self.effects(&core, &entry)?;
            self.apply(Commit::bare(core, entry, effects), &placed, None);
        }
        Ok(())
    }

    /// Makes a checkpoint where one is due. Beside a writer, what a page of the index has may have to be read in
    /// a segment that is gone, until what took it away was read too: so one that cannot be made is put off.
    pub(crate) fn ease(&self) -> Result<(), StorageError> {
        let put_off = &self.pressure.put_off;
        let factor = put_off.load(Ordering::Relaxed).max(1);
        if !self.is_pressed(factor) {
            return Ok(());
        }
        match self.checkpoint() {
            Err(StorageError::Index(_))
                if self.access == Access::ReadOnly && factor < MOST_PUT_OFF =>
            {
                put_off.store(factor * 2, Ordering::Relaxed);
                Ok(())
            }
            done => {
                put_off.store(1, Ordering::Relaxed);
                done
            }
        }
    }

    /// On a store that is read beside its writer: takes in what that collected.
    pub(crate) fn look_again(self: &Arc<Self>) -> Result<bool, StorageError> {
        if self.access == Access::ReadWrite {
            return Ok(false);
        }
        self.read_on()?;
        Ok(true)
    }

    /// Looks something up, and again where it was to be read in a segment that was collected meanwhile.
    pub(crate) fn look<T>(
        self: &Arc<Self>,
        mut look: impl FnMut() -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        let mut looks = 0..LOOKS;
        loop {
            match look() {
                Err(StorageError::Index(_)) if looks.next().is_some() && self.look_again()? => {}
                found => return found,
            }
        }
    }
}

/// Where an entry is that is in no frame.
const fn nowhere(at: Position) -> Placed {
    Placed {
        lsn: at.lsn,
        segment: at.segment,
        start: at.offset,
        data: at.offset,
    }
}
