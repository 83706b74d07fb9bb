//! Commits: what a batch is in the log, what it does beyond its own log, and how both become visible.
//!
//! Owns the way from batches to one frame and from a frame's entries to the state of logs, which a store
//! that is opened goes too. Knows nothing of segments.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use hc_merkle::{BlockIndex, Head, Length, Node};

use super::core::CoreHandle;
use super::lookups::{Lookups, Seen};
use super::state::{Core, Kept, Removed, State};
use super::{Engine, Registry};
use crate::batch::{Batch, BatchError};
use crate::durability::{Durability, Ticket};
use crate::error::StorageError;
use crate::lock::{lock, read, write};
use crate::log::Locator;
use crate::log::committer::{Placed, Syncing};
use crate::log::frame::Draft;
use crate::record::Topic;
use crate::record::entry::{BlockSlot, CoreId, Entry, HeadRecord, NodesAt};
use crate::store::Access;

/// What is written about one log: an entry, its blocks, the head after it, and what else it does.
#[derive(Debug)]
pub(crate) struct Commit {
    pub(crate) core: Arc<Core>,
    pub(crate) entry: Box<Entry>,
    pub(crate) blocks: Vec<(BlockIndex, Bytes)>,
    pub(crate) head: Option<Head>,
    pub(crate) effects: Effects,
}

/// What an entry does besides what it says, found out before it is written.
#[derive(Debug, Default)]
pub(crate) struct Effects {
    pub(crate) removed: Removed,
    /// The branches that keep what is cut from their log.
    pub(crate) heirs: Vec<Heir>,
    /// What a branch takes along from the log that it leaves.
    pub(crate) along: Kept,
    /// The log that it becomes a branch of.
    pub(crate) parent: Option<Arc<Core>>,
}

/// A branch of which the log is cut.
#[derive(Debug)]
pub(crate) struct Heir {
    pub(crate) branch: Arc<Core>,
    pub(crate) kept: Kept,
}

/// Who may have the blocks too that are taken away from a log.
#[derive(Debug, Clone, Copy)]
struct Sharing {
    /// Somebody has.
    shared: bool,
    had_branches: bool,
}

impl Commit {
    /// An entry without blocks.
    pub(crate) fn bare(core: Arc<Core>, entry: Entry, effects: Effects) -> Self {
        Self {
            core,
            entry: Box::new(entry),
            blocks: Vec::new(),
            head: None,
            effects,
        }
    }
}

impl CoreHandle {
    /// Checks a batch, and reads what has to be known before it can be written. Only for who writes to
    /// the log.
    pub(crate) fn prepare(&self, batch: Batch) -> Result<Commit, StorageError> {
        // A head in place of one whose roots are lost appends nothing.
        if batch.head.is_some() && read(&self.core.state).resolved {
            self.engine.check_unharmed(&self.core)?;
        }
        let mut commit = self.see(|seen| {
            let mut commit = self.commit_of(seen.state, batch)?;
            if let Some(head) = &commit.head {
                self.add_roots(seen, head, &mut commit.entry)?;
            }
            Ok(commit)
        })?;
        let effects = self.engine.effects(&self.core, &commit.entry);
        commit.effects = effects.map_err(|error| self.engine.doubt(error))?;
        Ok(commit)
    }

    fn commit_of(&self, state: &State, batch: Batch) -> Result<Commit, StorageError> {
        state.check_batch(&batch)?;
        if batch.inherit.is_some() && state.lineage.is_none() {
            return Err(BatchError::NotABranch.into());
        }
        let inherit = batch.inherit.map(Length::get);
        let mut clears = batch.clears;
        clears.extend(inherit.map(|length| 0..length));
        clears.retain(|range| range.start < range.end);
        let blocks = slots(&batch.blocks)?;
        let entry = Entry {
            truncate: batch.truncate.map(Length::get),
            inherit,
            nodes: batch.nodes,
            blocks,
            head: batch.head.as_ref().map(HeadRecord::of),
            clears,
            manifest: batch.manifest,
            encryption: batch.encryption,
            hints: batch.hints,
            user_data: batch.user_data,
            group: self.group_of(state, batch.group)?,
            ..Entry::new(self.core.id)
        };
        Ok(Commit {
            core: Arc::clone(&self.core),
            entry: Box::new(entry),
            blocks: batch.blocks,
            head: batch.head,
            effects: Effects::default(),
        })
    }

    /// The group that a log joins now.
    fn group_of(&self, state: &State, joins: Option<Topic>) -> Result<Option<Topic>, StorageError> {
        match (&state.facts.membership, joins) {
            (_, Some(_)) if state.lineage.is_some() => Err(BatchError::GroupOfBranch.into()),
            (Some(known), Some(topic)) if known.topic != topic => Err(StorageError::OtherGroup {
                key: self.core.identity.discovery_key,
            }),
            (Some(_), Some(_)) => Ok(None),
            (_, joins) => Ok(joins),
        }
    }

    /// The roots of a head are stored with it, unless they are.
    fn add_roots(
        &self,
        seen: &Seen<'_>,
        head: &Head,
        entry: &mut Entry,
    ) -> Result<(), StorageError> {
        let old = seen.state.facts.head.roots();
        let cut = entry.truncate.unwrap_or(u64::MAX);
        let old = old.get(..old.partition_point(|root| root.index.end().get() <= cut));
        let mut lookups = self.lookups_through(seen);
        let mut missing = Vec::new();
        for root in other_roots(head, old.unwrap_or_default(), &entry.nodes) {
            let found = lookups
                .node(root.index)
                .map_err(|error| self.engine.distrust(error))?;
            if root.index.end().get() > cut || found != Some(*root) {
                missing.push(*root);
            }
        }
        // one that the search missed, where nodes are out of order, is written twice
        entry.nodes.append(&mut missing);
        Ok(())
    }
}

/// The roots of a head that are neither at the front of those of another nor among some nodes, which are in
/// the order of their indexes.
pub(crate) fn other_roots<'a>(
    head: &'a Head,
    known: &[Node],
    nodes: &[Node],
) -> impl Iterator<Item = &'a Node> {
    let pairs = head.roots().iter().zip(known);
    let same = pairs.take_while(|(root, known)| root == known).count();
    let others = head.roots().iter().skip(same);
    others.filter(move |root| {
        let found = nodes.binary_search_by_key(&root.index, |node| node.index);
        !found.is_ok_and(|place| nodes.get(place) == Some(root))
    })
}

/// What is written of blocks besides their bytes.
pub(crate) fn slots(blocks: &[(BlockIndex, Bytes)]) -> Result<Vec<BlockSlot>, BatchError> {
    blocks.iter().map(slot).collect()
}

pub(crate) fn slot((index, bytes): &(BlockIndex, Bytes)) -> Result<BlockSlot, BatchError> {
    let too_long = |_| BatchError::BlockTooLong {
        block: *index,
        len: bytes.len(),
    };
    let len = u32::try_from(bytes.len()).map_err(too_long)?;
    Ok(BlockSlot {
        index: index.get(),
        len,
        crc: crc32c::crc32c(bytes),
    })
}

impl Engine {
    /// Checks a batch and writes it.
    pub(crate) fn commit_batch(
        &self,
        handle: &CoreHandle,
        mut batch: Batch,
        level: Durability,
    ) -> Result<Ticket, StorageError> {
        self.make_way(batch.byte_len())?;
        let placed = match handle.add(&mut batch, level)? {
            Some(placed) => placed,
            None => Core::writing(&[&handle.core], || {
                self.commit(vec![handle.prepare(batch)?], level)
            })?,
        };
        self.relieve()?;
        Ok(self.ticket(&placed, level))
    }

    /// Checks batches and writes them as one.
    pub(crate) fn commit_batches(
        &self,
        batches: Vec<(&CoreHandle, Batch)>,
        level: Durability,
    ) -> Result<Ticket, StorageError> {
        self.make_way(batches.iter().map(|(_, batch)| batch.byte_len()).sum())?;
        let cores: Vec<_> = batches.iter().map(|(handle, _)| &handle.core).collect();
        let placed = Core::writing(&cores, || {
            check_together(&batches)?;
            let commits = batches
                .into_iter()
                .map(|(handle, batch)| handle.prepare(batch))
                .collect::<Result<_, _>>()?;
            self.commit(commits, level)
        })?;
        self.relieve()?;
        Ok(self.ticket(&placed, level))
    }

    /// Waits until there is room for so many bytes.
    fn make_way(&self, len: usize) -> Result<(), StorageError> {
        self.check_writable()?;
        if self.is_pressed(4) {
            self.checkpoint()?;
        }
        self.hold_back(len as u64);
        Ok(())
    }

    /// Writes entries as one frame and makes them visible.
    pub(crate) fn commit(
        &self,
        mut commits: Vec<Commit>,
        level: Durability,
    ) -> Result<Placed, StorageError> {
        let _open = read(&self.gate);
        let mut body = Draft::body_buffer(commits.iter().map(Commit::front_len).sum());
        let nodes = Entry::encode_all(commits.iter().map(|commit| &*commit.entry), &mut body);
        let blocks = commits.iter_mut().map(|commit| &mut commit.blocks);
        let blocks = blocks.flat_map(std::mem::take).map(|(_, bytes)| bytes);
        let placed = self.put(body, blocks, level)?;
        let mut at = placed;
        for (commit, nodes) in commits.into_iter().zip(nodes) {
            let data = commit.entry.data_len();
            let nodes = nodes.and_then(|nodes| placed.start.checked_add(nodes));
            self.apply(commit, &at, nodes);
            at.data = at
                .data
                .saturating_add(u32::try_from(data).unwrap_or(u32::MAX));
        }
        Ok(placed)
    }

    /// Writes a frame, while the gate is open: what it says is then made visible.
    pub(crate) fn put(
        &self,
        body: Vec<u8>,
        blocks: impl Iterator<Item = Bytes>,
        level: Durability,
    ) -> Result<Placed, StorageError> {
        let draft = Draft::new(body, blocks).ok_or(BatchError::TooManyOperations)?;
        let len = draft.frame_len();
        let placed = self.log.append(draft, level)?;
        if level == Durability::Buffered && !self.worker.ask_flush() {
            self.log.flush()?;
        }
        self.pressure.bytes.fetch_add(len, Ordering::Relaxed);
        if self.log.unsynced() >= u64::from(self.options.segment_len) / 8 {
            self.worker.ask_sync();
        }
        if self.log.is_full() {
            self.worker.ask_finish();
        }
        Ok(placed)
    }

    /// Finds out what an entry does besides what it says.
    pub(crate) fn effects(&self, core: &Arc<Core>, entry: &Entry) -> Result<Effects, StorageError> {
        let parent = match &entry.branch {
            Some(origin) => Some(self.member(origin.parent)?),
            None => None,
        };
        let branches = match entry.truncate {
            Some(length) => self.branches_past(core, length)?,
            None => Vec::new(),
        };
        let state = read(&core.state);
        let mut ranges = state.replaced(entry);
        if entry.delete {
            ranges.push(0..u64::MAX);
        }
        let mut removed = Removed::default();
        if !ranges.is_empty() {
            let mut lookups = Lookups::new(core.id, &state, self.sources());
            removed.blocks = lookups.stored(&ranges)?;
            let wanted = state.is_pinned() || !branches.is_empty();
            if let Some(length) = entry.truncate.filter(|_| wanted) {
                removed.nodes = match lookups.nodes_past(length) {
                    // beside a writer, who collected them: a snapshot lacks what was cut before that
                    Err(_) if self.access == Access::ReadOnly => Vec::new(),
                    nodes => nodes?,
                };
            }
        }
        let heir = |(branch, length)| Heir {
            branch,
            kept: Kept::below(length, &removed),
        };
        let heirs = branches.into_iter().map(heir).collect();
        let mut along = Kept::default();
        if let Some((origin, lineage)) = entry.branch.as_ref().zip(state.lineage.as_ref()) {
            let below = read(&lineage.parent.state);
            let mut lookups = Lookups::new(lineage.parent.id, &below, self.sources());
            let kept = entry.truncate.unwrap_or(u64::MAX).min(lineage.length);
            along.blocks = lookups.stored(std::slice::from_ref(&(origin.length..kept)))?;
            along.nodes = lookups.nodes_past(origin.length)?;
            along.nodes.retain(|node| node.index.end().get() <= kept);
        }
        Ok(Effects {
            removed,
            heirs,
            along,
            parent,
        })
    }

    /// Makes an entry visible that is in the log, its nodes at `nodes`.
    pub(crate) fn apply(&self, commit: Commit, placed: &Placed, nodes: NodesAt) {
        let Commit {
            core,
            mut entry,
            head,
            effects,
            ..
        } = commit;
        self.note_names(&core, &entry);
        let (truncate, data) = (entry.truncate, entry.data_len());
        let cleared: u64 = entry
            .blocks
            .iter()
            .filter(|slot| entry.clears.iter().any(|range| range.contains(&slot.index)))
            .map(|slot| u64::from(slot.len))
            .sum();
        let removed = effects.removed.blocks.len();
        let entries = entry.blocks.len() + entry.nodes.len() + effects.kept_entries() + removed;
        let (deleted, origin) = (entry.delete, entry.branch.clone());
        let (left, repeated, sharing) = {
            // in this order everywhere: branches, then their log
            let heirs = effects.heirs.iter();
            let mut heirs: Vec<_> = heirs
                .map(|heir| (write(&heir.branch.state), &heir.kept))
                .collect();
            let mut state = write(&core.state);
            let shared = state.is_pinned() || state.lineage.is_some();
            let sharing = Sharing {
                shared,
                had_branches: state.facts.had_branches,
            };
            state.pin(&effects.removed, truncate);
            if let Some(length) = truncate {
                for (heir, kept) in &mut heirs {
                    heir.outlive(kept, length);
                }
            }
            state.keep(&effects.along);
            let left = state.lineage.clone();
            let parent = effects.parent.as_ref();
            let repeated = state.apply(&mut entry, parent, placed, nodes);
            if let Some(head) = head {
                state.resolve(head);
            }
            (left, repeated, sharing)
        };
        if let Some(left) = left.filter(|_| deleted || origin.is_some()) {
            self.note_branch(&left.parent, &left.name, None);
        }
        if let Some((origin, parent)) = origin.zip(effects.parent.as_ref()) {
            self.note_branch(parent, &origin.name, Some(core.id));
        }
        self.pressure.entries.fetch_add(entries, Ordering::Relaxed);
        let mut registry = lock(&self.registry);
        if deleted {
            registry.forget_branch(core.id);
        } else if effects.parent.is_some() {
            registry.note_branch(core.id);
        }
        registry.note_data(placed.segment, data);
        if cleared > 0 {
            let space = registry.space_of(placed.segment);
            space.live = space.live.saturating_sub(cleared);
        }
        self.note_space(&mut registry, &effects, &repeated, sharing);
        let heirs = effects.heirs.iter().map(|heir| &heir.branch);
        for core in heirs.chain([&core]) {
            registry.note_changed(core);
        }
    }

    /// Notes where blocks are void now, and where branches have some.
    fn note_space(
        &self,
        registry: &mut Registry,
        effects: &Effects,
        repeated: &[Locator],
        sharing: Sharing,
    ) {
        for at in effects.kept_blocks() {
            let space = registry.space_of(at.segment);
            space.live = space.live.saturating_add(at.len.into());
        }
        let removed = effects.removed.blocks.iter().map(|(_, at)| at);
        let void: u64 = removed.clone().map(|at| u64::from(at.len)).sum();
        self.pressure.bytes.fetch_add(void, Ordering::Relaxed);
        for at in removed.clone().chain(repeated) {
            let space = registry.space_of(at.segment);
            space.live = space.live.saturating_sub(at.len.into());
        }
        // a branch may have taken blocks along to another log
        let branches = sharing.had_branches && registry.may_have_branches();
        if !sharing.shared && !branches {
            self.note_void(&mut registry.holes, removed);
        }
    }

    /// Has a checkpoint made where one is due.
    pub(crate) fn relieve(&self) -> Result<(), StorageError> {
        let due = self.is_pressed(1) || self.throttle.take_crowded();
        if due && !self.worker.ask_checkpoint() {
            self.checkpoint()?;
            self.collector.ask();
            self.collect_here();
        }
        Ok(())
    }

    pub(crate) fn ticket(&self, placed: &Placed, level: Durability) -> Ticket {
        match level {
            Durability::Buffered | Durability::Os => Ticket::reached(),
            Durability::Disk => {
                let log = Arc::clone(&self.log);
                Ticket::pending(Arc::new(Syncing {
                    log,
                    lsn: placed.lsn,
                }))
            }
        }
    }

    /// Notes that the index is of no use, where that is the error.
    pub(crate) fn doubt(&self, error: StorageError) -> StorageError {
        match error {
            StorageError::Index(error) => self.distrust(error),
            other => other,
        }
    }
}

impl Commit {
    /// About how many bytes the entry and its small blocks take.
    fn front_len(&self) -> usize {
        let nodes = self.entry.nodes.len();
        front_len(nodes, &self.blocks)
    }
}

/// About how many bytes an entry with so many nodes takes, and those of its blocks that are copied.
pub(crate) fn front_len(nodes: usize, blocks: &[(BlockIndex, Bytes)]) -> usize {
    let copied = Draft::copied_len(blocks.iter().map(|(_, bytes)| bytes));
    64 + nodes * 40 + blocks.len() * 8 + copied
}

impl Effects {
    fn kept(&self) -> impl Iterator<Item = &Kept> {
        let heirs = self.heirs.iter().map(|heir| &heir.kept);
        heirs.chain([&self.along])
    }

    fn kept_entries(&self) -> usize {
        self.kept()
            .map(|kept| kept.blocks.len() + kept.nodes.len())
            .sum()
    }

    /// Where the blocks are that branches keep.
    fn kept_blocks(&self) -> impl Iterator<Item = &Locator> {
        self.kept().flat_map(|kept| &kept.blocks).map(|(_, at)| at)
    }
}

/// What one frame cannot hold: two batches for one log, or a cut of a log whose branches change too.
fn check_together(batches: &[(&CoreHandle, Batch)]) -> Result<(), BatchError> {
    let mut seen: Vec<CoreId> = Vec::with_capacity(batches.len());
    for (handle, batch) in batches {
        if seen.contains(&handle.core.id) {
            return Err(BatchError::Repeated);
        }
        seen.push(handle.core.id);
        let cuts = batch.truncate.is_some();
        let is_child = |(other, _): &&(&CoreHandle, Batch)| {
            let family = other.core.family().id;
            family == handle.core.id && other.core.id != family
        };
        if cuts && batches.iter().any(|other| is_child(&other)) {
            return Err(BatchError::CutWithBranch);
        }
    }
    Ok(())
}
