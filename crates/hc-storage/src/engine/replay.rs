//! Reading the log into a store: carrying out its entries from a position on, and cutting what a crash
//! left behind them. Where frames are damaged and others behind them are not, it goes on with those.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use super::Engine;
use super::commit::Commit;
use super::open::open_error;
use super::state::{Core, Facts};
use crate::disk::fault;
use crate::error::{Action, Damage, DamageKind, OpenError, StorageError};
use crate::lock::{lock, read};
use crate::log::committer::Placed;
use crate::log::mark::Mark;
use crate::log::recover::{self, Extent};
use crate::log::scan::{Frame, Next, Scanner};
use crate::log::{Gap, Lsn, Position, segment};
use crate::record::entry::{CoreId, Entry, HeadRecord};
use crate::store::Access;

/// Logs that entries were about.
#[derive(Debug, Default)]
pub(crate) struct Replayed {
    /// Held weakly: a log that nobody holds is read from the index when it is opened.
    touched: BTreeMap<CoreId, Weak<Core>>,
    /// Those of which the log does not say who they are, and where it names them first. Each is deleted
    /// further on, and what was collected does not have the rest; or else frames are missing.
    orphans: BTreeMap<CoreId, Mark>,
    /// Those that are there no more, unless they are named.
    pub(crate) unnamed: BTreeSet<CoreId>,
    gaps: Vec<Gap>,
}

impl Engine {
    /// Reads the log from a position to its end. `behind`: the frame before the position. `known`: frames
    /// below it were on the device. Where this handle only reads, somebody else may be writing, whose
    /// unfinished frame at the end is not ours to cut.
    pub(crate) fn replay(
        self: &Arc<Self>,
        from: Position,
        behind: Option<Mark>,
        extent: &Extent,
        known: Lsn,
    ) -> Result<(), OpenError> {
        let mut replayed = Replayed::default();
        self.replay_frames(from, behind, extent, known, &mut replayed)?;
        self.finish_replay(&mut replayed)
    }

    /// As [`replay`](Self::replay), but that it is not [finished](Self::finish_replay): another call may go on
    /// from where one met an error.
    pub(crate) fn replay_frames(
        self: &Arc<Self>,
        from: Position,
        behind: Option<Mark>,
        extent: &Extent,
        known: Lsn,
        replayed: &mut Replayed,
    ) -> Result<(), OpenError> {
        let writes = self.access == Access::ReadWrite;
        let mut scanner = Scanner::new(&self.disk, from, extent)?;
        let mut last = behind;
        let torn = loop {
            match scanner.next(known) {
                Ok(Next::Frame(frame)) => self.replay_frame(*frame, replayed)?,
                Ok(Next::End { torn }) => break torn,
                Err(OpenError::Damaged(damage)) => match scanner.skip()? {
                    Some(gap) => replayed.gaps.push(gap),
                    None => return Err(damage.into()),
                },
                Err(error) => return Err(error),
            }
            *lock(&self.read_to) = scanner.position();
            if !scanner.is_in_collected() {
                last = scanner.last().or(last);
            }
            if !writes {
                self.ease().map_err(open_error)?;
            } else if self.is_pressed(1) {
                self.continue_at(scanner.position(), last)?;
                self.checkpoint().map_err(open_error)?;
            }
        };
        let end = scanner.position();
        *lock(&self.read_to) = end;
        if writes {
            if torn {
                self.cut(end)?;
            }
            self.continue_at(end, last)?;
        }
        Ok(())
    }

    /// Has heads show what was read, and damage named. May be called again after an error.
    pub(crate) fn finish_replay(&self, replayed: &mut Replayed) -> Result<(), OpenError> {
        if let (Some(mark), true) = (replayed.orphans.values().next(), replayed.gaps.is_empty())
            && lock(&self.gaps).is_empty()
        {
            let kind = DamageKind::FrameContent;
            return Err(recover::damage(&*self.disk, mark.segment, mark.start.into(), kind).into());
        }
        lock(&self.gaps).append(&mut replayed.gaps);
        for core in replayed.touched.values().filter_map(Weak::upgrade) {
            if read(&core.state).deleted {
                continue;
            }
            match self.resolve_head(&core) {
                // said when that log is opened; the others are none the worse for it
                Err(StorageError::Damaged(Damage {
                    kind: DamageKind::Root,
                    ..
                })) => {}
                resolved => resolved.map_err(open_error)?,
            }
        }
        Ok(())
    }

    /// Carries out what a frame says.
    fn replay_frame(&self, frame: Frame, replayed: &mut Replayed) -> Result<(), OpenError> {
        let mark = frame.mark;
        let mut placed = Placed {
            lsn: mark.lsn,
            segment: mark.segment,
            start: mark.start,
            data: frame.data,
        };
        let len = u64::from(mark.end).saturating_sub(frame.data.into());
        for (mut entry, nodes) in frame.entries {
            // a log that is deleted further on, with the branch that went to it
            if let Some(origin) = &entry.branch
                && self
                    .core_as_is(&mut lock(&self.registry), origin.parent)?
                    .is_none()
            {
                replayed.orphans.entry(origin.parent).or_insert(mark);
                entry.branch = None;
            }
            let data = u32::try_from(entry.data_len()).unwrap_or(u32::MAX);
            match self.replayed(&entry)? {
                Some(core) => {
                    replayed.orphans.remove(&core.id);
                    replayed.unnamed.remove(&core.id);
                    replayed.touched.insert(core.id, Arc::downgrade(&core));
                    let effects = self.effects(&core, &entry).map_err(open_error)?;
                    // who writes may collect the segment while this handle only reads
                    let nodes = nodes.filter(|_| self.access == Access::ReadWrite);
                    self.apply(Commit::bare(core, entry, effects), &placed, nodes);
                }
                None => self.note_orphan(&entry, &mark, replayed),
            }
            placed.data = placed.data.saturating_add(data);
        }
        self.pressure.bytes.fetch_add(len, Ordering::Relaxed);
        Ok(())
    }

    /// The log that an entry is about: one that there is, or one that begins with it. One that was
    /// collected may name a log that is known.
    fn replayed(&self, entry: &Entry) -> Result<Option<Arc<Core>>, OpenError> {
        let mut registry = lock(&self.registry);
        let found = self.core_as_is(&mut registry, entry.core)?;
        if found.is_some() {
            return Ok(found);
        }
        if let Some(identity) = entry.create {
            let core = Core::new(entry.core, identity, Facts::empty(), HeadRecord::EMPTY);
            return Ok(Some(Arc::new(core)));
        }
        let Some(origin) = &entry.branch else {
            return Ok(None);
        };
        let parent = self.core_as_is(&mut registry, origin.parent)?;
        Ok(parent.map(|parent| Arc::new(Core::branch_of(&parent, entry.core))))
    }

    /// An entry about the store itself, or about a log of which nothing is known.
    fn note_orphan(&self, entry: &Entry, mark: &Mark, replayed: &mut Replayed) {
        let mut registry = lock(&self.registry);
        registry.note_default(entry);
        registry.next_id = registry.next_id.max(entry.core.0.saturating_add(1));
        let data = entry.data_len();
        if data > 0 {
            registry.space_of(mark.segment).data += data;
        }
        if entry.delete {
            replayed.orphans.remove(&entry.core);
        } else if entry.core != CoreId::STORE {
            replayed.orphans.entry(entry.core).or_insert(*mark);
        }
    }

    /// Drops what a crash left behind the last whole frame.
    fn cut(&self, end: Position) -> Result<(), OpenError> {
        let name = segment::name(end.segment);
        let opened = self.disk.open(&name, true);
        let Some(file) = opened.map_err(fault(&*self.disk, Action::Open, &name))? else {
            return Ok(());
        };
        file.set_len(end.offset.into())
            .map_err(fault(&*self.disk, Action::Truncate, &name))?;
        Ok(file
            .sync()
            .map_err(fault(&*self.disk, Action::Sync, &name))?)
    }

    /// Lets the log go on from here, on the device up to here.
    fn continue_at(&self, end: Position, last: Option<Mark>) -> Result<(), OpenError> {
        let name = segment::name(end.segment);
        let opened = self.disk.open(&name, true);
        let file = opened.map_err(fault(&*self.disk, Action::Open, &name))?;
        let missing = || recover::damage(&*self.disk, end.segment, 0, DamageKind::Missing);
        let file = file.ok_or_else(missing)?;
        file.sync()
            .map_err(fault(&*self.disk, Action::Sync, &name))?;
        self.log.continue_at(end, last, file);
        Ok(())
    }
}
