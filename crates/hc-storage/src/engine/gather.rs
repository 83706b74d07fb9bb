//! What is still needed of some segments, and the segment that it is written to. Knows nothing of which
//! segments are worth it.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use hc_bitfield::{Bitfield, RangeSet};
use hc_merkle::NodeIndex;
use hc_merkle::manifest::Manifest;

use super::Engine;
use super::lookups::{Lookups, Whereabouts};
use super::state::{Core, State};
use crate::batch::BatchError;
use crate::disk::{DiskFile, fault};
use crate::error::{Action, DamageKind, IndexError, StorageError};
use crate::index::nodes::NodePage;
use crate::lock::read;
use crate::log::frame::Draft;
use crate::log::recover;
use crate::log::scan::{Frame, Located};
use crate::log::segment::{self, Header};
use crate::log::{Locator, Lsn, PlacedNode, place_nodes};
use crate::record::entry::{BlockSlot, CoreId, Entry, HeadRecord, Identity};
use crate::record::{Alias, EncryptionScheme, Hints, Topic};

/// Nodes, ranges or blocks that are put into one frame, or looked up at once.
const STEP: usize = 1024;

/// Bytes of blocks or user data that are put into one frame.
const FRAME_BYTES: usize = 256 << 10;

/// What some segments say, one after the other.
#[derive(Debug)]
pub(crate) struct Gathered {
    pub(crate) cores: BTreeMap<CoreId, OfCore>,
    /// The log meant where none is named, as it was named last; number 0 where none is.
    pub(crate) default: Option<CoreId>,
    /// The first frame in them, and the first behind them.
    pub(crate) first: Lsn,
    pub(crate) next: Lsn,
}

/// What they say of one log.
#[derive(Debug, Default)]
pub(crate) struct OfCore {
    create: Option<Identity>,
    delete: bool,
    /// Blocks and nodes from here on were taken away from what older segments say.
    truncate: Option<u64>,
    /// Blocks that were taken away from what older segments say.
    clears: RangeSet,
    nodes: BTreeMap<NodeIndex, PlacedNode>,
    blocks: BTreeMap<u64, Locator>,
    head: Option<HeadRecord>,
    manifest: Option<Manifest>,
    encryption: Option<EncryptionScheme>,
    hints: Option<Hints>,
    user_data: BTreeMap<String, Option<Bytes>>,
    alias: Option<Alias>,
    group: Option<Topic>,
    active: Option<u64>,
}

impl Default for Gathered {
    fn default() -> Self {
        Self {
            cores: BTreeMap::new(),
            default: None,
            first: Lsn(u64::MAX),
            next: Lsn::default(),
        }
    }
}

impl Gathered {
    pub(crate) fn absorb(&mut self, frame: Frame) {
        for located in frame.located() {
            self.default = located.entry.default.or(self.default);
            if located.entry.core != CoreId::STORE {
                let of_core = self.cores.entry(located.entry.core).or_default();
                of_core.absorb(located);
            }
        }
    }
}

impl OfCore {
    pub(crate) const fn is_deleted(&self) -> bool {
        self.delete
    }

    fn absorb(&mut self, located: Located) {
        let Located {
            entry,
            blocks,
            nodes,
        } = located;
        self.create = entry.create.or(self.create.take());
        self.delete |= entry.delete;
        if let Some(length) = entry.truncate {
            self.truncate = Some(self.truncate.map_or(length, |other| other.min(length)));
            self.nodes.retain(|index, _| index.end().get() <= length);
            self.blocks.split_off(&length);
        }
        let nodes = nodes.into_iter().map(|node| (node.node.index, node));
        self.nodes.extend(nodes);
        for (block, at) in blocks {
            self.blocks.insert(block, at);
            self.clears.remove(block..block.saturating_add(1));
        }
        self.head = entry.head.or(self.head.take());
        for range in entry.clears {
            let cleared: Vec<u64> = self
                .blocks
                .range(range.clone())
                .map(|(at, _)| *at)
                .collect();
            for block in cleared {
                self.blocks.remove(&block);
            }
            self.clears.insert(range);
        }
        self.manifest = entry.manifest.or(self.manifest.take());
        self.encryption = entry.encryption.or(self.encryption);
        self.hints = entry.hints.or(self.hints);
        self.user_data.extend(entry.user_data);
        self.alias = entry.alias.or(self.alias.take());
        self.group = self.group.or(entry.group);
    }

    /// Leaves what the log still is, and what it takes away from older segments, if there are any.
    pub(crate) fn still_needed(
        mut self,
        engine: &Engine,
        core: &Core,
        oldest: bool,
    ) -> Result<Self, StorageError> {
        if oldest {
            self.truncate = None;
            self.clears = RangeSet::new();
        }
        let distrust = |error| engine.distrust(error);
        let sources = engine.sources();
        let all = std::mem::take(&mut self.nodes).into_values();
        for nodes in &chunks(all) {
            let state = read(&core.state);
            let mut lookups = Lookups::new(core.id, &state, sources);
            for node in nodes {
                if lookups.has(node).map_err(distrust)? {
                    self.nodes.insert(node.node.index, *node);
                }
            }
        }
        let all = std::mem::take(&mut self.blocks).into_iter();
        for blocks in &chunks(all) {
            let state = read(&core.state);
            let mut lookups = Lookups::new(core.id, &state, sources);
            for (block, at) in blocks {
                if state.facts.bitfield.get(*block)
                    && lookups.locator(*block).map_err(distrust)? == *at
                {
                    self.blocks.insert(*block, *at);
                }
            }
        }
        self.keep_facts(&read(&core.state), oldest);
        Ok(self)
    }

    fn keep_facts(&mut self, state: &State, oldest: bool) {
        let facts = &state.facts;
        self.head = self.head.take().filter(|head| *head == state.record);
        self.manifest = self
            .manifest
            .take()
            .filter(|it| facts.manifest.as_deref() == Some(it));
        self.encryption = self.encryption.filter(|it| facts.encryption == Some(*it));
        self.hints = self.hints.filter(|it| facts.hints == *it);
        self.alias = self
            .alias
            .take()
            .filter(|it| facts.alias.as_deref() == Some(it));
        if self.head.is_some() || self.group.is_some() {
            let member = facts.membership.as_ref();
            self.active = member.map(|member| member.active.map_or(0, |at| at.0.saturating_add(1)));
        }
        self.user_data
            .retain(|key, value| match (&*value, facts.user_data.get(key)) {
                (Some(value), Some(now)) => value == now,
                (None, None) => !oldest,
                _ => false,
            });
    }
}

/// A few at a time.
fn chunks<T>(all: impl Iterator<Item = T>) -> Vec<Vec<T>> {
    let mut chunks: Vec<Vec<T>> = Vec::new();
    for item in all {
        match chunks.last_mut().filter(|chunk| chunk.len() < STEP) {
            Some(chunk) => chunk.push(item),
            None => chunks.push(vec![item]),
        }
    }
    chunks
}

/// A segment that is being collected.
#[derive(Debug)]
pub(crate) struct Output {
    file: Arc<dyn DiskFile>,
    number: u32,
    at: u64,
    lsn: Lsn,
    pub(crate) moves: BTreeMap<CoreId, Moves>,
    /// Bytes of the blocks in it.
    pub(crate) data: u64,
}

/// Where the blocks and nodes of one log are in a segment.
#[derive(Debug, Default)]
pub(crate) struct Moves {
    pub(crate) blocks: Vec<(u64, Locator)>,
    pub(crate) nodes: Vec<PlacedNode>,
}

impl Output {
    pub(crate) fn create(engine: &Engine, number: u32, first: Lsn) -> Result<Self, StorageError> {
        let disk = &*engine.disk;
        let file = disk.create(segment::NEW);
        Ok(Self {
            file: file.map_err(fault(disk, Action::Create, segment::NEW))?,
            number,
            at: segment::HEADER_LEN.into(),
            lsn: first,
            moves: BTreeMap::new(),
            data: 0,
        })
    }

    /// Bytes so far.
    pub(crate) const fn len(&self) -> u64 {
        self.at
    }

    /// Writes what is needed of a log, a block that is not whole as an error or, where `lenient`, not.
    pub(crate) fn write_core(
        &mut self,
        engine: &Engine,
        id: CoreId,
        mut needed: OfCore,
        lenient: bool,
        step: &mut dyn FnMut(u64) -> Result<(), StorageError>,
    ) -> Result<(), StorageError> {
        let mut entry = Entry::new(id);
        entry.create = needed.create;
        entry.truncate = needed.truncate;
        entry.head = needed.head.take();
        entry.manifest = needed.manifest.take();
        entry.encryption = needed.encryption;
        entry.hints = needed.hints;
        entry.alias = needed.alias.take();
        entry.group = needed.group;
        entry.active = needed.active;
        let nodes = std::mem::take(&mut needed.nodes).into_values();
        let nodes = chunks(nodes.map(|placed| placed.node));
        let clears = chunks(needed.clears.iter());
        for at in 0..nodes.len().max(clears.len()).max(1) {
            entry.nodes = nodes.get(at).cloned().unwrap_or_default();
            entry.clears = clears.get(at).cloned().unwrap_or_default();
            if entry != Entry::new(id) {
                step(self.put(engine, &entry, &[])?)?;
            }
            entry = Entry::new(id);
        }
        let mut bytes = 0;
        for (key, value) in std::mem::take(&mut needed.user_data) {
            bytes += key.len() + value.as_ref().map_or(0, Bytes::len);
            entry.user_data.push((key, value));
            if bytes >= FRAME_BYTES {
                bytes = 0;
                step(self.put(engine, &entry, &[])?)?;
                entry = Entry::new(id);
            }
        }
        if !entry.user_data.is_empty() {
            step(self.put(engine, &entry, &[])?)?;
        }
        self.write_blocks(engine, id, needed.blocks, lenient, step)
    }

    fn write_blocks(
        &mut self,
        engine: &Engine,
        id: CoreId,
        blocks: BTreeMap<u64, Locator>,
        lenient: bool,
        step: &mut dyn FnMut(u64) -> Result<(), StorageError>,
    ) -> Result<(), StorageError> {
        let (mut entry, mut parts, mut len) = (Entry::new(id), Vec::new(), 0);
        for (index, at) in blocks {
            let Some(bytes) = engine.log.read_block(&at)? else {
                // cleared meanwhile, and its bytes given back
                if lenient || !engine.is_at(id, index, &at)? {
                    continue;
                }
                let kind = DamageKind::Frame;
                return Err(
                    recover::damage(&*engine.disk, at.segment, at.offset.into(), kind).into(),
                );
            };
            len += bytes.len();
            entry.blocks.push(BlockSlot {
                index,
                len: at.len,
                crc: at.crc,
            });
            parts.push(bytes);
            if len >= FRAME_BYTES || parts.len() >= STEP {
                len = 0;
                step(self.put(engine, &entry, &std::mem::take(&mut parts))?)?;
                entry = Entry::new(id);
            }
        }
        if parts.is_empty() {
            return Ok(());
        }
        step(self.put(engine, &entry, &parts)?)
    }

    /// Says that a log was deleted, of which older segments know.
    pub(crate) fn write_deletion(
        &mut self,
        engine: &Engine,
        id: CoreId,
    ) -> Result<(), StorageError> {
        let mut entry = Entry::new(id);
        entry.delete = true;
        self.put(engine, &entry, &[]).map(drop)
    }

    /// Says which log is meant where none is named.
    pub(crate) fn write_default(
        &mut self,
        engine: &Engine,
        id: CoreId,
    ) -> Result<(), StorageError> {
        let mut entry = Entry::new(CoreId::STORE);
        entry.default = Some(id);
        self.put(engine, &entry, &[]).map(drop)
    }

    /// Writes a frame; returns its bytes.
    fn put(
        &mut self,
        engine: &Engine,
        entry: &Entry,
        blocks: &[Bytes],
    ) -> Result<u64, StorageError> {
        let too_long = BatchError::TooManyOperations;
        let mut body = Draft::body_buffer(64 + entry.nodes.len() * 40 + entry.blocks.len() * 8);
        let nodes = Entry::encode_all(std::iter::once(entry), &mut body);
        let draft = Draft::new(body, blocks.iter().cloned()).ok_or_else(|| too_long.clone())?;
        let (len, mut offset) = (draft.frame_len(), self.at + draft.data_offset());
        let (parts, _) = draft.seal(self.lsn, Lsn::default(), engine.id);
        let parts: Vec<&[u8]> = parts.iter().collect();
        let written = self.file.write_at(&parts, self.at);
        written.map_err(fault(&*engine.disk, Action::Write, segment::NEW))?;
        let start = u32::try_from(self.at).map_err(|_| too_long.clone())?;
        let nodes = nodes.into_iter().flatten().next();
        let nodes = nodes.and_then(|nodes| start.checked_add(nodes));
        let moves = self.moves.entry(entry.core).or_default();
        moves
            .nodes
            .extend(place_nodes(&entry.nodes, self.number, nodes));
        for slot in &entry.blocks {
            let at = Locator {
                segment: self.number,
                offset: u32::try_from(offset).map_err(|_| too_long.clone())?,
                len: slot.len,
                crc: slot.crc,
            };
            moves.blocks.push((slot.index, at));
            offset += u64::from(slot.len);
            self.data += u64::from(slot.len);
        }
        self.at += len;
        self.lsn = self.lsn.next();
        Ok(len)
    }

    /// Puts the segment in its place, on the device, after all that made the rest void.
    pub(crate) fn finish(self, engine: &Engine, header: Header) -> Result<Self, StorageError> {
        let (disk, name) = (&*engine.disk, segment::name(self.number));
        let written = self.file.write_at(&[&header.encode()], 0);
        written.map_err(fault(disk, Action::Write, segment::NEW))?;
        if let Some(last) = engine.log.last() {
            engine.log.sync(last.lsn)?;
        }
        let synced = self.file.sync();
        synced.map_err(fault(disk, Action::Sync, segment::NEW))?;
        let renamed = disk.rename(segment::NEW, &name);
        renamed.map_err(fault(disk, Action::Rename, segment::NEW))?;
        let synced = disk.sync_dir(segment::DIR);
        synced.map_err(fault(disk, Action::Sync, segment::DIR))?;
        Ok(self)
    }
}

/// Those of some blocks that are at a place which another one stands for: from where they go, and whereto.
pub(crate) fn still_there<'m>(
    lookups: &mut Lookups<'_>,
    places: &Range<u32>,
    bits: &Bitfield,
    blocks: impl Iterator<Item = &'m (u64, Locator)>,
) -> Result<Vec<(u64, Locator, Locator)>, IndexError> {
    let mut moved = Vec::new();
    for (block, to) in blocks.filter(|(block, _)| bits.get(*block)) {
        let from = lookups.locator(*block)?;
        if stands_for(&from, to, places) {
            moved.push((*block, from, *to));
        }
    }
    Ok(moved)
}

/// The same of nodes: where they go.
pub(crate) fn nodes_still_there<'m>(
    lookups: &mut Lookups<'_>,
    places: &Range<u32>,
    nodes: impl Iterator<Item = &'m PlacedNode>,
) -> Result<Vec<PlacedNode>, IndexError> {
    let mut moved = Vec::new();
    for to in nodes {
        let from = match lookups.whereabouts(to.node.index)? {
            Whereabouts::Known(from) if from.node == to.node => from.place,
            // what came after it was collected is elsewhere
            Whereabouts::In(stretch, _) => Some(stretch.place),
            _ => None,
        };
        if let (Some(from), Some(new)) = (from, to.place)
            && from.segment != new.segment
            && places.contains(&segment::place(from.segment))
        {
            moved.push(*to);
        }
    }
    Ok(moved)
}

/// Whether a block that was at one place is the one that is at the other now.
fn stands_for(from: &Locator, to: &Locator, places: &Range<u32>) -> bool {
    from.segment != to.segment
        && places.contains(&segment::place(from.segment))
        && (from.len, from.crc) == (to.len, to.crc)
}

/// How many nodes to look up at once, `least` at least and those of a page of the index together: then a page
/// is written without what is no more.
pub(crate) fn whole_pages(nodes: &[PlacedNode], least: usize) -> usize {
    let page = |node: &PlacedNode| NodePage::of(node.node.index);
    let Some(last) = nodes.get(..least).and_then(<[_]>::last).map(page) else {
        return nodes.len();
    };
    let rest = nodes.get(least..).unwrap_or_default();
    least + rest.iter().take_while(|node| page(node) == last).count()
}
