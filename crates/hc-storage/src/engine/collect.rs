//! Giving back the space of what was cleared, cut or replaced: what is still needed of some segments is
//! written to one that takes their place, and they are removed.
//!
//! 1. Read the segments, and look up which of their blocks, nodes and facts are still those of the log.
//! 2. Write these to a file, in frames of its own; what would have been taken away from older segments
//!    is said there too.
//! 3. Bring the log to the device, so that whatever made the rest void is there; then the file; give it
//!    its name.
//! 4. Point the index to the blocks in it, and have a checkpoint made, for several of them together.
//! 5. Remove the segments that they stand for.
//!
//! A crash before the name leaves things as they were; after it, both are there, and the one that was
//! collected counts. Appends go on meanwhile: a log is held only while a thousand of its blocks are
//! pointed elsewhere. Knows nothing of how a segment is laid out inside a frame.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Engine;
use super::choose::{Piece, grain, is_urgent, next_run, through, worthwhile};
use super::collector::Pace;
use super::gather::{Gathered, Moves, Output, nodes_still_there, still_there, whole_pages};
use super::lookups::Lookups;
use super::state::Core;
use crate::disk::fault;
use crate::durability::Durability;
use crate::error::{Action, OpenError, StorageError};
use crate::index::nodes::NodePage;
use crate::lock::{lock, read, write};
use crate::log::frame::Draft;
use crate::log::recover::{self, Extent};
use crate::log::scan::{Next, Scanner};
use crate::log::segment::{self, Collected, Header};
use crate::log::{Locator, Lsn, PlacedNode};
use crate::record::entry::{CoreId, Entry};
use crate::store::Access;

/// Blocks of one log that are pointed elsewhere at once, or nodes that are looked up.
const STEP: usize = 1024;

/// Segments' worth of bytes that are collected before the index is told and what they stand for is removed.
const RUNS: u64 = 2;

/// How much is collected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effort {
    /// Segments of which a third is void, while a third is void of all of them.
    Urgent,
    /// Segments of which a third is void, at a bounded rate of bytes read and written while no more than a
    /// quarter is void of everything.
    Worthwhile,
    /// Everything there is, at once.
    Everything,
    /// As that, and what is damaged is left out.
    Repair,
}

/// What became of segments that were to be collected.
enum Done {
    /// Another stands for them, of so many bytes.
    Collected(u64),
    /// They are left as they are: for good, or as long as a log is shared with branches.
    Nothing(Option<CoreId>),
}

/// What the collector remembers.
#[derive(Debug, Default)]
pub(crate) struct Collecting {
    /// Segments that others stand for of which the index does not know yet.
    replaced: BTreeSet<u32>,
    /// Bytes in those others.
    copied: u64,
    /// Segments that are of no more use, but for snapshots that may still read them.
    doomed: BTreeSet<u32>,
    /// Segments that cannot be collected: something in them is damaged.
    spared: BTreeSet<u32>,
    /// Segments that cannot be collected as long as a log has branches, or is one.
    shared: BTreeMap<u32, CoreId>,
    /// Runs of which one is to be spared, to be tried one by one.
    doubtful: BTreeSet<u32>,
}

impl Collecting {
    pub(crate) fn may_go(&self, number: u32) -> bool {
        !self.spared.contains(&number) && !self.shared.contains_key(&number)
    }

    pub(crate) fn goes_alone(&self, number: u32) -> bool {
        self.doubtful.contains(&number)
    }

    /// Leaves a segment alone from now on, or as long as a log is `shared`; of several, has each tried by
    /// itself. Returns where to go on, of the places before and behind them.
    fn spare(&mut self, numbers: Vec<u32>, around: Range<u32>, shared: Option<CoreId>) -> u32 {
        if let [one] = numbers.as_slice() {
            match shared {
                Some(core) => drop(self.shared.insert(*one, core)),
                None => drop(self.spared.insert(*one)),
            }
            return around.end;
        }
        self.doubtful.extend(numbers);
        around.start
    }
}

impl Engine {
    /// Collects what is urgent, where no thread does.
    pub(crate) fn collect_here(&self) {
        if self.options.collect && !self.collector.is_running() {
            // what goes wrong here costs nothing but space; a write that goes wrong says so itself
            let _ = self.collect(Effort::Urgent, &mut |_| {});
        }
    }

    /// Gives back what can be given back.
    pub(crate) fn collect(
        &self,
        effort: Effort,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), StorageError> {
        let mut collecting = lock(&self.collecting);
        self.check_writable()?;
        if effort != Effort::Repair && !lock(&self.gaps).is_empty() {
            self.collector.set_stuck(u64::MAX);
            return Ok(());
        }
        let all = matches!(effort, Effort::Everything | Effort::Repair);
        if all || self.is_tail_void() {
            self.finish_segment()?;
        }
        let paced = effort == Effort::Worthwhile;
        let rate = paced.then_some(self.options.collect_rate);
        let mut pace = Pace::new(self, rate, progress);
        self.remove_replaced(&mut collecting)?;
        self.unspare(&mut collecting)?;
        let mut from = 0;
        loop {
            let extent = self.extent()?;
            let pieces = self.pieces(&extent, &collecting, effort)?;
            let live = lock(&self.registry).space_of_all().live;
            let limit = self.options.segment_len;
            let len = if all { limit } else { grain(live, limit) };
            let run = match effort {
                Effort::Urgent if !is_urgent(&pieces) => &[],
                Effort::Urgent | Effort::Worthwhile => worthwhile(&pieces, len.into()),
                Effort::Everything | Effort::Repair => next_run(&pieces, from, len.into()),
            };
            let Some((first, last)) = run.first().zip(run.last()) else {
                return self.remove_replaced(&mut collecting);
            };
            let around = segment::place(first.number)..last.through.saturating_add(1);
            from = around.end;
            let numbers: Vec<u32> = run.iter().map(|piece| piece.number).collect();
            let held = self.collector.held();
            self.collector.hold(run.iter().map(Piece::needed).sum());
            let done = self.collect_run(&extent, &numbers, effort, &mut pace);
            self.collector.set_held(held);
            match done {
                Ok(Done::Collected(copied)) => {
                    // there until they are removed
                    self.collector.hold(run.iter().map(|piece| piece.len).sum());
                    collecting.replaced.extend(numbers);
                    collecting.copied = collecting.copied.saturating_add(copied);
                }
                Ok(Done::Nothing(shared)) => from = collecting.spare(numbers, around, shared),
                Err(error) => {
                    // what is left of it is void, and the next to try makes it anew
                    let _ = self.disk.remove(segment::NEW);
                    if !matches!(error, StorageError::Damaged(_)) {
                        return Err(error);
                    }
                    from = collecting.spare(numbers, around, None);
                }
            }
            // a checkpoint costs about as much after one run as after several
            if collecting.copied >= u64::from(len) * RUNS || self.burden().is_heavy() {
                self.remove_replaced(&mut collecting)?;
            }
        }
    }

    /// Has the index know what was collected, and removes what that stands for.
    fn remove_replaced(&self, collecting: &mut Collecting) -> Result<(), StorageError> {
        if !collecting.replaced.is_empty() {
            self.checkpoint()?;
            collecting.doomed.append(&mut collecting.replaced);
            collecting.copied = 0;
        }
        self.remove_doomed(collecting)?;
        // what a snapshot keeps is not waited for
        self.collector.set_held(0);
        Ok(())
    }

    /// Has segments tried again that may be collected now.
    fn unspare(&self, collecting: &mut Collecting) -> Result<(), StorageError> {
        for (number, core) in std::mem::take(&mut collecting.shared) {
            if self.shared_of([core].iter())?.is_some() {
                collecting.shared.insert(number, core);
            }
        }
        Ok(())
    }

    fn extent(&self) -> Result<Extent, StorageError> {
        let found = recover::extent(&*self.disk)?;
        Ok(found.ok_or(StorageError::Rewound)?.extent)
    }

    /// Begins a segment, so that the one before it can be collected.
    pub(crate) fn finish_segment(&self) -> Result<(), StorageError> {
        {
            let _open = read(&self.gate);
            self.log.begin_segment();
            let mut body = Draft::body_buffer(1);
            let nothing = Entry::new(CoreId::STORE);
            Entry::encode_all(std::iter::once(&nothing), &mut body);
            let draft = Draft::new(body, std::iter::empty());
            let draft = draft.ok_or(crate::BatchError::TooManyOperations)?;
            self.log.append(draft, Durability::Os)?;
        }
        self.checkpoint()
    }

    /// Whether half of the segment that is written to is void, and that is much.
    fn is_tail_void(&self) -> bool {
        let Some(mark) = self.log.last() else {
            return false;
        };
        let registry = lock(&self.registry);
        let space = registry.space.get(&mark.segment).copied();
        let void = space.unwrap_or_default().void();
        let much = grain(registry.space_of_all().live, self.options.segment_len);
        void > much.into() && void.saturating_mul(2) >= mark.end.into()
    }

    /// Collects segments that follow each other into one, unless that cannot be done.
    fn collect_run(
        &self,
        extent: &Extent,
        numbers: &[u32],
        effort: Effort,
        pace: &mut Pace<'_>,
    ) -> Result<Done, StorageError> {
        let Some((first, last)) = numbers.first().zip(numbers.last()) else {
            return Ok(Done::Nothing(None));
        };
        let round = numbers.iter().map(|number| segment::round(*number)).max();
        let place = segment::place(*first);
        let Some(number) = segment::numbered(place, round.unwrap_or(0) + 1) else {
            // no more rounds: it is as good as it gets
            return Ok(Done::Nothing(None));
        };
        let lenient = effort == Effort::Repair;
        let mut gathered = self.gather(numbers, lenient, pace)?;
        let ids: Vec<CoreId> = gathered.cores.keys().copied().collect();
        if let Some(shared) = self.shared_of(ids.iter())? {
            return Ok(Done::Nothing(Some(shared)));
        }
        let oldest = extent.segments.first() == Some(first);
        let mut output = Output::create(self, number, gathered.first)?;
        for id in &ids {
            let Some(of_core) = gathered.cores.remove(id) else {
                continue;
            };
            let core = self.loaded(*id)?;
            let live = core.filter(|core| !read(&core.state).deleted);
            match live {
                Some(core) => {
                    let still = of_core.still_needed(self, &core, oldest)?;
                    output.write_core(self, *id, still, lenient, &mut |bytes| pace.step(bytes))?;
                }
                None if of_core.is_deleted() && !oldest => output.write_deletion(self, *id)?,
                None => {}
            }
        }
        if let Some(default) = gathered.default {
            let there = self.loaded(default)?;
            let there = there.is_some_and(|core| !read(&core.state).deleted);
            output.write_default(self, if there { default } else { CoreId::STORE })?;
        }
        let len = u32::try_from(output.len());
        let header = Header {
            number,
            store: self.id,
            first: gathered.first,
            collected: Some(Collected {
                next: gathered.next,
                through: through(extent, *last),
                len: len.map_err(|_| crate::BatchError::TooManyOperations)?,
            }),
        };
        // a branch that was made meanwhile may have what its log lost before that was looked up
        if let Some(shared) = self.shared_of(ids.iter())? {
            let removed = self.disk.remove(segment::NEW);
            removed.map_err(fault(&*self.disk, Action::Remove, segment::NEW))?;
            return Ok(Done::Nothing(Some(shared)));
        }
        let written = output.finish(self, header)?;
        // counted with the others from here on
        self.collector.release(written.data);
        let places = place..through(extent, *last).saturating_add(1);
        let go_on = &mut || pace.step(0);
        self.take_over(number, &places, written.data, &written.moves, go_on)?;
        Ok(Done::Collected(written.len()))
    }

    /// Everything that some segments say.
    fn gather(
        &self,
        numbers: &[u32],
        lenient: bool,
        pace: &mut Pace<'_>,
    ) -> Result<Gathered, StorageError> {
        let mut gathered = Gathered::default();
        for number in numbers {
            let mut scanner = Scanner::of_segment(&self.disk, self.id, *number, lenient)?;
            gathered.first = gathered.first.min(scanner.position().lsn);
            loop {
                match scanner.next(Lsn::default()) {
                    Ok(Next::Frame(frame)) => {
                        // the bytes of its blocks are not read
                        let len = frame.data.saturating_sub(frame.mark.start);
                        gathered.absorb(*frame);
                        pace.step(len.into())?;
                    }
                    Ok(Next::End { .. }) => break,
                    Err(OpenError::Damaged(damage)) => {
                        if !lenient {
                            return Err(damage.into());
                        }
                        if scanner.skip()?.is_none() {
                            break;
                        }
                    }
                    Err(error) => return Err(error.into()),
                }
            }
            gathered.next = self.next_of(*number, &scanner)?;
        }
        Ok(gathered)
    }

    /// The first frame behind a segment.
    fn next_of(&self, number: u32, scanner: &Scanner<'_>) -> Result<Lsn, StorageError> {
        let extent = self.extent()?;
        let behind = extent.at_place(through(&extent, number).saturating_add(1));
        let header = match behind.filter(|behind| *behind != number) {
            Some(behind) => recover::read_header(&*self.disk, behind, false),
            None => Ok(None),
        };
        match header {
            Ok(Some(header)) => Ok(header.first),
            // one that is damaged goes on where this one ends, as far as can be told
            Ok(None) | Err(OpenError::Damaged(_)) => Ok(scanner.position().lsn),
            Err(error) => Err(error.into()),
        }
    }

    /// A log by its number, with or without the roots of its head; `None` where nothing is known of it.
    pub(crate) fn loaded(&self, id: CoreId) -> Result<Option<Arc<Core>>, StorageError> {
        let core = self.core_as_is(&mut lock(&self.registry), id);
        core.map_err(|error| self.distrust(error))
    }

    /// Whether a block is stored, and that at a place.
    pub(crate) fn is_at(&self, id: CoreId, block: u64, at: &Locator) -> Result<bool, StorageError> {
        let Some(core) = self.loaded(id)? else {
            return Ok(false);
        };
        let state = read(&core.state);
        if state.deleted || !state.has(block) {
            return Ok(false);
        }
        let found = Lookups::new(id, &state, self.sources()).locator(block);
        Ok(found.map_err(|error| self.distrust(error))? == *at)
    }

    /// Has blocks read from a segment instead of those whose places it stands for.
    fn take_over(
        &self,
        number: u32,
        places: &Range<u32>,
        data: u64,
        moves: &BTreeMap<CoreId, Moves>,
        go_on: &mut dyn FnMut() -> Result<(), StorageError>,
    ) -> Result<(), StorageError> {
        lock(&self.registry).space_of(number).data = data;
        for (id, moves) in moves {
            let Some(core) = self.loaded(*id)? else {
                continue;
            };
            self.repoint_all(&core, places, moves, go_on)?;
            // after it: what it loses from now on, they have from there
            for branch in self.heirs_of(&core)? {
                if let Some(branch) = self.loaded(branch)? {
                    self.repoint_all(&branch, places, moves, go_on)?;
                }
            }
        }
        lock(&self.registry).forget_space(number, places);
        Ok(())
    }

    fn repoint_all(
        &self,
        core: &Arc<Core>,
        places: &Range<u32>,
        moves: &Moves,
        go_on: &mut dyn FnMut() -> Result<(), StorageError>,
    ) -> Result<(), StorageError> {
        let (mut blocks, mut nodes) = (moves.blocks.as_slice(), moves.nodes.as_slice());
        while !(blocks.is_empty() && nodes.is_empty()) {
            let (some_blocks, rest) = blocks.split_at(blocks.len().min(STEP));
            let (some_nodes, other_nodes) = nodes.split_at(whole_pages(nodes, STEP));
            (blocks, nodes) = (rest, other_nodes);
            self.repoint(core, places, some_blocks.iter(), some_nodes.iter())?;
            self.ease()?;
            go_on()?;
        }
        Ok(())
    }

    /// Points blocks and nodes elsewhere that are still where they were.
    fn repoint<'m>(
        &self,
        core: &Arc<Core>,
        places: &Range<u32>,
        blocks: impl Iterator<Item = &'m (u64, Locator)>,
        nodes: impl Iterator<Item = &'m PlacedNode>,
    ) -> Result<(), StorageError> {
        Core::writing(&[core], || {
            let _open = read(&self.gate);
            self.repoint_now(core, places, blocks, nodes)
        })
    }

    /// As [`repoint`](Self::repoint), while nobody else writes to the log.
    fn repoint_now<'m>(
        &self,
        core: &Arc<Core>,
        places: &Range<u32>,
        blocks: impl Iterator<Item = &'m (u64, Locator)>,
        nodes: impl Iterator<Item = &'m PlacedNode>,
    ) -> Result<(), StorageError> {
        let (moved, nodes) = {
            let mut state = write(&core.state);
            let mut lookups = Lookups::new(core.id, &state, self.sources());
            let bits = &state.facts.bitfield;
            let moved = still_there(&mut lookups, places, bits, blocks);
            let moved = moved.map_err(|error| self.distrust(error))?;
            let nodes = nodes_still_there(&mut lookups, places, nodes);
            let nodes = nodes.map_err(|error| self.distrust(error))?;
            if state.deleted || (moved.is_empty() && nodes.is_empty()) {
                return Ok(());
            }
            state.dirty.any = true;
            for (block, _, to) in &moved {
                state.overlay().locators.insert(*block, *to);
            }
            for node in &nodes {
                // who writes may collect this too while this handle only reads
                let place = node.place.filter(|_| self.access == Access::ReadWrite);
                state.overlay().nodes.insert(PlacedNode { place, ..*node });
            }
            (moved, nodes.len())
        };
        self.pressure
            .entries
            .fetch_add(moved.len() + nodes, Ordering::Relaxed);
        let mut registry = lock(&self.registry);
        for (_, from, to) in &moved {
            let len = u64::from(from.len);
            let left = registry.space_of(from.segment);
            left.live = left.live.saturating_sub(len);
            registry.space_of(to.segment).live += len;
        }
        let dirty = registry.dirty.entry(core.id);
        dirty.or_insert_with(|| Arc::clone(core));
        Ok(())
    }

    /// Brings what was collected, by whoever died over it or writes beside this handle, to the index.
    pub(crate) fn settle(&self, extent: &Extent) -> Result<(), StorageError> {
        self.settle_before(extent, u32::MAX)
    }

    /// The same of what stands for segments up to one.
    pub(crate) fn settle_before(&self, extent: &Extent, last: u32) -> Result<(), StorageError> {
        let places = |number: &u32| segment::place(*number) <= segment::place(last);
        let collected = extent.segments.iter().copied().filter(places);
        let mut settled = true;
        for number in collected.filter(|number| segment::round(*number) > 0) {
            let places = segment::place(number)..through(extent, number).saturating_add(1);
            if lock(&self.registry).is_settled(number, &places) {
                continue;
            }
            settled = false;
            let mut scanner = Scanner::of_segment(&self.disk, self.id, number, false)?;
            let mut data = 0u64;
            let mut moves: BTreeMap<CoreId, Moves> = BTreeMap::new();
            loop {
                match scanner.next(Lsn::default()) {
                    Ok(Next::Frame(frame)) => {
                        for located in frame.located() {
                            data += located.entry.data_len();
                            let moves = moves.entry(located.entry.core).or_default();
                            moves.blocks.extend(located.blocks);
                            moves.nodes.extend(located.nodes);
                        }
                    }
                    // damage was noted when it was read; blocks that it had are missed when they are
                    Err(OpenError::Damaged(_)) if scanner.skip()?.is_some() => {}
                    Ok(Next::End { .. }) | Err(OpenError::Damaged(_)) => break,
                    Err(error) => return Err(error.into()),
                }
            }
            for moves in moves.values_mut() {
                moves
                    .nodes
                    .sort_by_key(|node| NodePage::of(node.node.index));
            }
            self.take_over(number, &places, data, &moves, &mut || Ok(()))?;
        }
        match self.access {
            _ if settled => Ok(()),
            Access::ReadWrite => self.checkpoint(),
            // removes nothing that has to be settled before
            Access::ReadOnly => self.ease(),
        }
    }

    /// Removes segments that are of no more use, but for those that a snapshot may still read.
    fn remove_doomed(&self, collecting: &mut Collecting) -> Result<(), StorageError> {
        let doomed: Vec<u32> = collecting.doomed.iter().copied().collect();
        for number in doomed {
            if self.is_pinned(number) {
                continue;
            }
            self.log.forget(number);
            let name = segment::name(number);
            let removed = self.disk.remove(&name);
            removed.map_err(fault(&*self.disk, Action::Remove, &name))?;
            collecting.doomed.remove(&number);
        }
        Ok(())
    }

    /// Whether a snapshot has a block in a segment that the log does not have there any more.
    fn is_pinned(&self, number: u32) -> bool {
        let registry = lock(&self.registry);
        let cores: Vec<_> = registry
            .cores
            .values()
            .filter_map(std::sync::Weak::upgrade)
            .collect();
        drop(registry);
        cores.iter().any(|core| {
            let state = read(&core.state);
            let mut snapshots = state.snapshots.iter().filter_map(std::sync::Weak::upgrade);
            snapshots.any(|pinned| pinned.reads(number))
        })
    }
}
