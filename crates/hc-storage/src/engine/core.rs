//! A handle on one log of the default engine: commits and reads.

use std::ops::{ControlFlow, Range};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use hc_bitfield::Bitfield;
use hc_merkle::{BlockIndex, Head, Length, Node, NodeIndex, SecretKey};

use super::Engine;
use super::snapshot::CoreSnapshot;
use super::state::{Core, Facts, Lookups, Pinned, Removed, State};
use crate::batch::{Batch, BatchError};
use crate::durability::{Durability, Ticket};
use crate::error::StorageError;
use crate::lock::{lock, read, write};
use crate::log::Locator;
use crate::log::committer::{Placed, Syncing};
use crate::log::frame::Draft;
use crate::record::entry::{BlockSlot, Entry, HeadRecord};
use crate::record::{Alias, Auth, Hints, Topic};
use crate::store::{CoreRead, CoreStore};

/// Most bytes that one read of several blocks takes from a segment.
const RUN_BYTES: u64 = 1 << 20;

/// Most blocks that are looked up at once.
const RUN_BLOCKS: usize = 256;

/// A log, as its users hold it.
#[derive(Debug)]
pub(crate) struct CoreHandle {
    pub(crate) engine: Arc<Engine>,
    pub(crate) core: Arc<Core>,
}

impl CoreHandle {
    pub(crate) fn read<T>(
        &self,
        look: impl FnOnce(&State) -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        self.engine.check_open()?;
        let state = read(&self.core.state);
        if state.deleted {
            return Err(StorageError::CoreDeleted {
                key: self.core.identity.discovery_key,
            });
        }
        look(&state)
    }

    pub(crate) fn lookups<'a>(&'a self, state: &'a State) -> Lookups<'a> {
        Lookups::new(self.core.id, state, &*self.engine.index)
    }

    pub(crate) fn auth_of(&self, facts: &Facts) -> Auth {
        let identity = &self.core.identity;
        Auth {
            key: identity.key,
            manifest: facts.manifest.clone(),
            secret_key: self.engine.secrets.key(&identity.discovery_key),
            encryption: facts.encryption,
            compat: identity.compat,
        }
    }

    /// The bytes at a locator, if they are those that were written.
    pub(crate) fn block_at(&self, block: u64, at: &Locator) -> Result<Bytes, StorageError> {
        self.engine
            .log
            .read_block(at)?
            .ok_or_else(|| self.damaged(block, at))
    }

    fn damaged(&self, block: u64, at: &Locator) -> StorageError {
        StorageError::BlockDamaged {
            core: self.core.identity.discovery_key,
            block: BlockIndex::new(block),
            segment: at.segment,
            offset: at.offset,
        }
    }

    /// Visits the blocks that `find` gives, a few hundred at a time, until it gives none.
    pub(crate) fn visit_blocks(
        &self,
        mut range: Range<u64>,
        find: impl Fn(Range<u64>, usize) -> Result<Vec<(u64, Locator)>, StorageError>,
        visit: &mut dyn FnMut(BlockIndex, Bytes) -> ControlFlow<()>,
    ) -> Result<(), StorageError> {
        loop {
            let found = find(range.clone(), RUN_BLOCKS)?;
            let Some((last, _)) = found.last() else {
                return Ok(());
            };
            range.start = last.saturating_add(1);
            let mut rest = found.as_slice();
            while !rest.is_empty() {
                let (run, after) = rest.split_at(run_len(rest));
                if self.visit_run(run, visit)?.is_break() {
                    return Ok(());
                }
                rest = after;
            }
        }
    }

    /// Visits blocks that lie side by side, with one read.
    fn visit_run(
        &self,
        run: &[(u64, Locator)],
        visit: &mut dyn FnMut(BlockIndex, Bytes) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, StorageError> {
        let Some((first, last)) = run.first().zip(run.last()) else {
            return Ok(ControlFlow::Continue(()));
        };
        let start = first.1.offset;
        let len = last.1.end().saturating_sub(start.into());
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        let bytes = self.engine.log.read(first.1.segment, start, len)?;
        for (block, at) in run {
            let from = (at.offset - start) as usize;
            let part = from..from.saturating_add(at.len as usize);
            let whole = part.end <= bytes.len();
            let part = if whole {
                bytes.slice(part)
            } else {
                Bytes::new()
            };
            if !crate::log::files::is_whole(at, &part) {
                return Err(self.damaged(*block, at));
            }
            if visit(BlockIndex::new(*block), part).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }
}

/// How many blocks at the front lie side by side in one segment.
fn run_len(found: &[(u64, Locator)]) -> usize {
    let mut len = 1;
    let mut bytes = found.first().map_or(0, |(_, at)| u64::from(at.len));
    for pair in found.windows(2) {
        let [(_, a), (_, b)] = pair else { break };
        bytes = bytes.saturating_add(b.len.into());
        if a.segment != b.segment || a.end() != u64::from(b.offset) || bytes > RUN_BYTES {
            break;
        }
        len += 1;
    }
    len
}

/// The first blocks of a range that are stored, at most `limit`, and where they are.
pub(crate) fn locate(
    bits: &Bitfield,
    range: Range<u64>,
    limit: usize,
    mut locator: impl FnMut(u64) -> Result<Locator, StorageError>,
) -> Result<Vec<(u64, Locator)>, StorageError> {
    let mut found = Vec::new();
    for block in bits.ranges(range).flatten().take(limit) {
        found.push((block, locator(block)?));
    }
    Ok(found)
}

impl CoreRead for CoreHandle {
    fn auth(&self) -> Result<Auth, StorageError> {
        self.read(|state| Ok(self.auth_of(&state.facts)))
    }

    fn head(&self) -> Result<Head, StorageError> {
        self.read(|state| Ok(state.facts.head.clone()))
    }

    fn bitfield(&self) -> Result<Bitfield, StorageError> {
        self.read(|state| Ok(state.facts.bitfield.clone()))
    }

    fn hints(&self) -> Result<Hints, StorageError> {
        self.read(|state| Ok(state.facts.hints))
    }

    fn block(&self, index: BlockIndex) -> Result<Option<Bytes>, StorageError> {
        let block = index.get();
        let at = self.read(|state| {
            if !state.facts.bitfield.get(block) {
                return Ok(None);
            }
            let found = self.lookups(state).locator(block);
            found.map(Some).map_err(|error| self.engine.distrust(error))
        })?;
        at.map(|at| self.block_at(block, &at)).transpose()
    }

    fn blocks(
        &self,
        range: Range<BlockIndex>,
        visit: &mut dyn FnMut(BlockIndex, Bytes) -> ControlFlow<()>,
    ) -> Result<(), StorageError> {
        let find = |range, limit| {
            self.read(|state| {
                let mut lookups = self.lookups(state);
                locate(&state.facts.bitfield, range, limit, |block| {
                    lookups
                        .locator(block)
                        .map_err(|error| self.engine.distrust(error))
                })
            })
        };
        self.visit_blocks(range.start.get()..range.end.get(), find, visit)
    }

    fn nodes(
        &self,
        indexes: &[NodeIndex],
        out: &mut Vec<Option<Node>>,
    ) -> Result<(), StorageError> {
        self.read(|state| {
            let mut lookups = self.lookups(state);
            for index in indexes {
                let found = lookups.node(*index);
                out.push(found.map_err(|error| self.engine.distrust(error))?);
            }
            Ok(())
        })
    }

    fn user_data(&self, key: &str) -> Result<Option<Bytes>, StorageError> {
        self.read(|state| Ok(state.facts.user_data.get(key).cloned()))
    }

    fn alias(&self) -> Result<Option<Alias>, StorageError> {
        self.read(|state| Ok(state.facts.alias.as_deref().cloned()))
    }

    fn group(&self) -> Result<Option<Topic>, StorageError> {
        self.read(|state| Ok(state.facts.membership.as_ref().map(|group| group.topic)))
    }
}

impl CoreStore for CoreHandle {
    fn commit(&self, batch: Batch, level: Durability) -> Result<Ticket, StorageError> {
        self.engine.check_writable()?;
        if self.engine.is_pressed(4) {
            self.engine.checkpoint()?;
        }
        let _writer = lock(&self.core.writer);
        let commit = self.prepare(batch)?;
        let placed = self.engine.commit(&self.core, commit, level)?;
        self.engine.relieve()?;
        Ok(self.engine.ticket(&placed, level))
    }

    fn set_secret_key(&self, secret: Option<SecretKey>) -> Result<(), StorageError> {
        self.engine.check_writable()?;
        self.read(|_| Ok(()))?;
        let name = self.core.identity.discovery_key;
        match secret {
            Some(secret) => self.engine.secrets.set(name, secret)?,
            None => self.engine.secrets.forget(&name)?,
        }
        Ok(())
    }

    fn snapshot(&self) -> Result<Arc<dyn CoreRead>, StorageError> {
        self.engine.check_open()?;
        let _writer = lock(&self.core.writer);
        let mut state = write(&self.core.state);
        if state.deleted {
            return Err(StorageError::CoreDeleted {
                key: self.core.identity.discovery_key,
            });
        }
        let pinned = Arc::new(Pinned::new(state.facts.clone()));
        state
            .snapshots
            .retain(|snapshot| snapshot.strong_count() > 0);
        state.snapshots.push(Arc::downgrade(&pinned));
        let live = Self {
            engine: Arc::clone(&self.engine),
            core: Arc::clone(&self.core),
        };
        Ok(Arc::new(CoreSnapshot { live, pinned }))
    }
}

/// An entry, its blocks, the head after it, and what it takes away.
#[derive(Debug)]
pub(crate) struct Commit {
    pub(crate) entry: Entry,
    pub(crate) blocks: Vec<Bytes>,
    pub(crate) head: Option<Head>,
    pub(crate) removed: Removed,
}

impl CoreHandle {
    /// Checks a batch, and reads what has to be known before it can be written.
    fn prepare(&self, batch: Batch) -> Result<Commit, StorageError> {
        self.read(|state| {
            let found = (state.facts.head.fork(), state.facts.head.length());
            if let Some(expected) = batch.base.filter(|expected| *expected != found) {
                return Err(StorageError::Stale { expected, found });
            }
            batch.check(found.0, found.1)?;
            let mut entry = Entry::new(self.core.id);
            entry.truncate = batch.truncate.map(Length::get);
            entry.blocks = batch.blocks.iter().map(slot).collect::<Result<_, _>>()?;
            entry.nodes = batch.nodes;
            entry.head = batch.head.as_ref().map(|head| HeadRecord {
                fork: head.fork(),
                length: head.length(),
                signature: head.signature().cloned(),
            });
            entry.clears = batch.clears;
            entry.clears.retain(|range| range.start < range.end);
            entry.manifest = batch.manifest;
            entry.encryption = batch.encryption;
            entry.hints = batch.hints;
            entry.user_data = batch.user_data;
            entry.group = self.group_of(state, batch.group)?;
            if let Some(head) = &batch.head {
                self.add_roots(state, head, &mut entry)?;
            }
            let removed = self.removed(state, &entry)?;
            let blocks = batch.blocks.into_iter().map(|(_, bytes)| bytes).collect();
            Ok(Commit {
                entry,
                blocks,
                head: batch.head,
                removed,
            })
        })
    }

    /// The group that a log joins now.
    fn group_of(&self, state: &State, joins: Option<Topic>) -> Result<Option<Topic>, StorageError> {
        match (&state.facts.membership, joins) {
            (Some(known), Some(topic)) if known.topic != topic => Err(StorageError::OtherGroup {
                key: self.core.identity.discovery_key,
            }),
            (Some(_), Some(_)) => Ok(None),
            (_, joins) => Ok(joins),
        }
    }

    /// The roots of a head are stored with it, unless they are.
    fn add_roots(&self, state: &State, head: &Head, entry: &mut Entry) -> Result<(), StorageError> {
        let old = state.facts.head.roots();
        let cut = entry.truncate.unwrap_or(u64::MAX);
        let mut lookups = self.lookups(state);
        let mut missing = Vec::new();
        for (at, root) in head.roots().iter().enumerate() {
            let kept = root.index.end().get() <= cut;
            let place = entry
                .nodes
                .binary_search_by_key(&root.index, |node| node.index);
            let new = place.is_ok_and(|place| entry.nodes.get(place) == Some(root));
            if new || (kept && old.get(at) == Some(root)) {
                continue;
            }
            let found = lookups
                .node(root.index)
                .map_err(|error| self.engine.distrust(error))?;
            if !kept || found != Some(*root) {
                missing.push(*root);
            }
        }
        // one that the search missed, where nodes are out of order, is written twice
        entry.nodes.append(&mut missing);
        Ok(())
    }

    fn removed(&self, state: &State, entry: &Entry) -> Result<Removed, StorageError> {
        let ranges = state.replaced(entry);
        let mut removed = Removed::default();
        if ranges.is_empty() {
            return Ok(removed);
        }
        let mut lookups = self.lookups(state);
        let distrust = |error| self.engine.distrust(error);
        removed.blocks = lookups.stored(&ranges).map_err(distrust)?;
        let pinned = state
            .snapshots
            .iter()
            .any(|snapshot| snapshot.strong_count() > 0);
        if let Some(length) = entry.truncate.filter(|_| pinned) {
            removed.nodes = lookups.nodes_past(length).map_err(distrust)?;
        }
        Ok(removed)
    }
}

fn slot((index, bytes): &(BlockIndex, Bytes)) -> Result<BlockSlot, BatchError> {
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
    /// Writes an entry and makes it visible.
    pub(crate) fn commit(
        &self,
        core: &Arc<Core>,
        commit: Commit,
        level: Durability,
    ) -> Result<Placed, StorageError> {
        let Commit {
            entry,
            blocks,
            head,
            removed,
        } = commit;
        let _open = read(&self.gate);
        let small: usize = blocks.iter().map(|block| block.len().min(16 << 10)).sum();
        let mut body =
            Draft::body_buffer(64 + entry.nodes.len() * 40 + entry.blocks.len() * 8 + small);
        entry.encode(&mut body);
        let draft = Draft::new(body, blocks.iter()).ok_or(BatchError::TooManyOperations)?;
        let len = draft.frame_len();
        let placed = self.log.append(draft, level)?;
        if level == Durability::Buffered && !self.worker.ask_flush() {
            self.log.flush()?;
        }
        self.apply(core, entry, &placed, head, &removed);
        self.pressure.bytes.fetch_add(len, Ordering::Relaxed);
        Ok(placed)
    }

    /// Makes an entry that is in the log visible.
    pub(crate) fn apply(
        &self,
        core: &Arc<Core>,
        entry: Entry,
        placed: &Placed,
        head: Option<Head>,
        removed: &Removed,
    ) {
        self.note_names(core, &entry);
        let entries = entry.blocks.len() + entry.nodes.len();
        let truncate = entry.truncate;
        let data: u64 = entry.blocks.iter().map(|slot| u64::from(slot.len)).sum();
        let cleared: u64 = entry
            .blocks
            .iter()
            .filter(|slot| entry.clears.iter().any(|range| range.contains(&slot.index)))
            .map(|slot| u64::from(slot.len))
            .sum();
        let repeated = {
            let mut state = write(&core.state);
            state.pin(removed, truncate);
            let repeated = state.apply(entry, placed);
            if let Some(head) = head {
                state.facts.head = head;
            }
            repeated
        };
        self.pressure.entries.fetch_add(entries, Ordering::Relaxed);
        let mut registry = lock(&self.registry);
        if data > 0 {
            let space = registry.space_of(placed.segment);
            space.data = space.data.saturating_add(data);
            space.live = space.live.saturating_add(data).saturating_sub(cleared);
        }
        for at in removed.blocks.iter().map(|(_, at)| at).chain(&repeated) {
            let space = registry.space_of(at.segment);
            space.live = space.live.saturating_sub(at.len.into());
        }
        registry
            .dirty
            .entry(core.id)
            .or_insert_with(|| Arc::clone(core));
    }

    /// Has a checkpoint made where one is due.
    pub(crate) fn relieve(&self) -> Result<(), StorageError> {
        if self.is_pressed(1) && !self.worker.ask_checkpoint() {
            self.checkpoint()?;
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
}
