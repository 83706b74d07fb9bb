//! One log of the default engine, in memory: its head, its bits, and what is newer than the index.
//!
//! Owns how an entry changes a log. Knows nothing of frames or of when a checkpoint is due.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;
use std::sync::{Arc, Mutex, RwLock, Weak};

use bytes::Bytes;
use hc_bitfield::Bitfield;
use hc_merkle::manifest::Manifest;
use hc_merkle::{Head, Node, NodeIndex};

use super::overlay::{Lookup, Overlay};
use crate::error::IndexError;
use crate::index::page::{LocatorPage, NodePage};
use crate::index::{self, Index, IndexExt, bad_entry};
use crate::lock::lock;
use crate::log::Locator;
use crate::log::committer::Placed;
use crate::record::entry::{CoreId, Entry, HeadRecord, Identity};
use crate::record::{Alias, EncryptionScheme, Hints, Moment, Topic};

/// A log. There is one of these for each log that is open or has changes that the index lacks.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) id: CoreId,
    pub(crate) identity: Identity,
    /// Held from before a commit is checked until it is visible.
    pub(crate) writer: Mutex<()>,
    pub(crate) state: RwLock<State>,
}

/// What a log is at the moment.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) deleted: bool,
    pub(crate) facts: Facts,
    /// What was last written. The roots in `facts.head` are missing of it while the log is read back.
    pub(crate) record: HeadRecord,
    /// The bits that the index has.
    pub(crate) indexed_bits: Bitfield,
    pub(crate) active: Overlay,
    /// What a checkpoint is writing.
    pub(crate) frozen: Option<Arc<Overlay>>,
    pub(crate) dirty: Dirty,
    pub(crate) snapshots: Vec<Weak<Pinned>>,
}

/// What is kept of a log in memory; a snapshot has a clone of it.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    pub(crate) head: Head,
    pub(crate) bitfield: Bitfield,
    pub(crate) hints: Hints,
    pub(crate) manifest: Option<Manifest>,
    pub(crate) encryption: Option<EncryptionScheme>,
    pub(crate) user_data: Arc<BTreeMap<String, Bytes>>,
    pub(crate) alias: Option<Arc<Alias>>,
    pub(crate) membership: Option<Arc<Membership>>,
}

/// The group of a log.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Membership {
    pub(crate) topic: Topic,
    /// When the head last changed, if it has since the log joined.
    pub(crate) active: Option<Moment>,
}

/// Which of the facts are newer than the index.
#[derive(Debug, Default)]
pub(crate) struct Dirty {
    pub(crate) any: bool,
    pub(crate) auth: bool,
    pub(crate) user_data: BTreeSet<String>,
}

/// A log as it was, and what has been cut from it since.
#[derive(Debug)]
pub(crate) struct Pinned {
    pub(crate) facts: Facts,
    saved: Mutex<Saved>,
}

#[derive(Debug)]
struct Saved {
    blocks: HashMap<u64, Locator>,
    nodes: HashMap<u64, Node>,
    /// The live log has other nodes, or none, past this length.
    cut: u64,
}

/// What a commit takes away.
#[derive(Debug, Default)]
pub(crate) struct Removed {
    pub(crate) blocks: Vec<(u64, Locator)>,
    pub(crate) nodes: Vec<Node>,
}

impl Core {
    pub(crate) fn new(id: CoreId, identity: Identity, facts: Facts, record: HeadRecord) -> Self {
        let state = State {
            deleted: false,
            indexed_bits: facts.bitfield.clone(),
            facts,
            record,
            active: Overlay::default(),
            frozen: None,
            dirty: Dirty::default(),
            snapshots: Vec::new(),
        };
        Self {
            id,
            identity,
            writer: Mutex::default(),
            state: RwLock::new(state),
        }
    }
}

impl Facts {
    pub(crate) fn empty() -> Self {
        Self {
            head: Head::empty(),
            bitfield: Bitfield::new(),
            hints: Hints::default(),
            manifest: None,
            encryption: None,
            user_data: Arc::default(),
            alias: None,
            membership: None,
        }
    }
}

impl State {
    /// Carries out an entry that was placed in the log. Returns the locators of blocks that the entry
    /// itself has more than once.
    pub(crate) fn apply(&mut self, mut entry: Entry, placed: &Placed) -> Vec<Locator> {
        let (segment, data) = (placed.segment, placed.data);
        self.join(&mut entry, Moment(placed.lsn.0));
        self.dirty.any = true;
        self.dirty.auth |= entry.create.is_some();
        if entry.delete {
            self.deleted = true;
        }
        if let Some(length) = entry.truncate {
            self.active.truncate(length);
            self.facts.bitfield.unset_range(length..u64::MAX);
        }
        for node in entry.nodes {
            self.active.nodes.insert(node.index.get(), node);
        }
        let mut repeated = Vec::new();
        let mut offset = data;
        for slot in &entry.blocks {
            let locator = Locator {
                segment,
                offset,
                len: slot.len,
                crc: slot.crc,
            };
            let old = self.active.locators.insert(slot.index, locator);
            repeated.extend(old.filter(|old| old.segment == segment && old.offset >= data));
            offset = offset.saturating_add(slot.len);
        }
        self.set_bits(&entry.blocks);
        if let Some(head) = entry.head {
            self.record = head;
        }
        for range in entry.clears {
            self.active.drop_blocks(range.clone());
            self.facts.bitfield.unset_range(range);
        }
        self.apply_facts(
            entry.manifest,
            entry.encryption,
            entry.hints,
            entry.user_data,
        );
        repeated
    }

    /// What an entry says of the log's name and group.
    fn join(&mut self, entry: &mut Entry, now: Moment) {
        if let Some(alias) = entry.alias.take() {
            self.dirty.auth = true;
            self.facts.alias = Some(Arc::new(alias));
        }
        let membership = &mut self.facts.membership;
        if let (Some(topic), None) = (entry.group, &membership) {
            let active = None;
            *membership = Some(Arc::new(Membership { topic, active }));
        }
        if let (Some(membership), true) = (membership, entry.head.is_some()) {
            Arc::make_mut(membership).active = Some(now);
        }
    }

    fn set_bits(&mut self, slots: &[crate::record::entry::BlockSlot]) {
        for run in slots.chunk_by(|a, b| a.index.checked_add(1) == Some(b.index)) {
            if let Some((first, last)) = run.first().zip(run.last()) {
                self.facts
                    .bitfield
                    .set_range(first.index..last.index.saturating_add(1));
            }
        }
    }

    fn apply_facts(
        &mut self,
        manifest: Option<Manifest>,
        encryption: Option<EncryptionScheme>,
        hints: Option<Hints>,
        user_data: Vec<(String, Option<Bytes>)>,
    ) {
        self.dirty.auth |= manifest.is_some() || encryption.is_some();
        let facts = &mut self.facts;
        facts.manifest = manifest.or(facts.manifest.take());
        facts.encryption = encryption.or(facts.encryption);
        facts.hints = hints.unwrap_or(facts.hints);
        for (key, value) in user_data {
            self.dirty.user_data.insert(key.clone());
            let all = Arc::make_mut(&mut facts.user_data);
            match value {
                Some(value) => all.insert(key, Bytes::copy_from_slice(&value)),
                None => all.remove(&key),
            };
        }
    }

    /// Keeps what is about to be taken away for those snapshots that show it.
    pub(crate) fn pin(&mut self, removed: &Removed, truncate: Option<u64>) {
        self.snapshots.retain(|snapshot| match snapshot.upgrade() {
            Some(pinned) => {
                pinned.keep(removed, truncate);
                true
            }
            None => false,
        });
    }

    /// The ranges of blocks that an entry takes away or replaces.
    pub(crate) fn replaced(&self, entry: &Entry) -> Vec<Range<u64>> {
        let cut = entry.truncate.map(|length| length..u64::MAX);
        let mut ranges: Vec<Range<u64>> = cut.iter().chain(&entry.clears).cloned().collect();
        let kept = cut.map_or(u64::MAX, |cut| cut.start);
        let stored = |slot: &&crate::record::entry::BlockSlot| {
            slot.index < kept && self.facts.bitfield.get(slot.index)
        };
        ranges.extend(
            entry
                .blocks
                .iter()
                .filter(stored)
                .map(|slot| slot.index..slot.index + 1),
        );
        ranges
    }
}

/// Looks into overlays and index; keeps the page it looked at last.
pub(crate) struct Lookups<'a> {
    id: CoreId,
    state: &'a State,
    index: &'a dyn Index,
    locators: Option<(u64, Option<Bytes>)>,
    nodes: Option<(u64, Option<Bytes>)>,
}

impl<'a> Lookups<'a> {
    pub(crate) fn new(id: CoreId, state: &'a State, index: &'a dyn Index) -> Self {
        Self {
            id,
            state,
            index,
            locators: None,
            nodes: None,
        }
    }

    /// The locator of a block whose bit is set.
    pub(crate) fn locator(&mut self, block: u64) -> Result<Locator, IndexError> {
        let layers = [Some(&self.state.active), self.state.frozen.as_deref()];
        for layer in layers.into_iter().flatten() {
            if let Some(locator) = layer.locators.get(&block) {
                return Ok(*locator);
            }
        }
        let page = LocatorPage::of(block);
        let bytes = load(
            self.index,
            &mut self.locators,
            self.id,
            index::LOCATORS,
            page,
        )?;
        let found = bytes
            .and_then(|bytes| LocatorPage::find(bytes, block))
            .flatten();
        found.ok_or_else(|| bad_entry(self.index))
    }

    pub(crate) fn node(&mut self, node: NodeIndex) -> Result<Option<Node>, IndexError> {
        let layers = [Some(&self.state.active), self.state.frozen.as_deref()];
        for layer in layers.into_iter().flatten() {
            match layer.node(node) {
                Lookup::Found(node) => return Ok(Some(node)),
                Lookup::Cut => return Ok(None),
                Lookup::Below => {}
            }
        }
        let page = NodePage::of(node);
        match load(self.index, &mut self.nodes, self.id, index::NODES, page)? {
            None => Ok(None),
            Some(bytes) => NodePage::find(bytes, node).ok_or_else(|| bad_entry(self.index)),
        }
    }

    /// Blocks that are stored in some ranges, each once.
    pub(crate) fn stored(
        &mut self,
        ranges: &[Range<u64>],
    ) -> Result<Vec<(u64, Locator)>, IndexError> {
        let mut merged = hc_bitfield::RangeSet::new();
        for range in ranges.iter().filter(|range| range.start < range.end) {
            merged.insert(range.clone());
        }
        let mut found = Vec::new();
        for range in merged.iter() {
            for run in self.state.facts.bitfield.ranges(range) {
                for block in run {
                    found.push((block, self.locator(block)?));
                }
            }
        }
        Ok(found)
    }

    /// All nodes that reach past a length.
    pub(crate) fn nodes_past(&mut self, length: u64) -> Result<Vec<Node>, IndexError> {
        let mut indexes = BTreeSet::new();
        let layers = [Some(&self.state.active), self.state.frozen.as_deref()];
        for layer in layers.into_iter().flatten() {
            indexes.extend(layer.nodes.keys().map(|index| NodeIndex::new(*index)));
        }
        let first = index::page_key(self.id, index::NODES, length / crate::index::page::BLOCKS);
        let last = index::keys_of(self.id, index::NODES).into_inner().1;
        self.index.values(first..=last, &mut |key, value| {
            let page = NodePage::decode(&value, index::page_of(key)?)?;
            indexes.extend(page.nodes().map(|node| node.index));
            Some(())
        })?;
        let past = indexes
            .into_iter()
            .filter(|index| index.end().get() > length);
        let mut nodes = Vec::new();
        for index in past {
            nodes.extend(self.node(index)?);
        }
        Ok(nodes)
    }
}

/// The page, from the index unless it is the one in `held`.
fn load<'p>(
    from: &dyn Index,
    held: &'p mut Option<(u64, Option<Bytes>)>,
    id: CoreId,
    kind: u8,
    page: u64,
) -> Result<Option<&'p Bytes>, IndexError> {
    if held.as_ref().is_none_or(|(number, _)| *number != page) {
        *held = Some((page, from.value(&index::page_key(id, kind, page))?));
    }
    Ok(held.as_ref().and_then(|(_, bytes)| bytes.as_ref()))
}

impl Pinned {
    pub(crate) fn new(facts: Facts) -> Self {
        let saved = Saved {
            blocks: HashMap::new(),
            nodes: HashMap::new(),
            cut: u64::MAX,
        };
        Self {
            facts,
            saved: Mutex::new(saved),
        }
    }

    fn keep(&self, removed: &Removed, truncate: Option<u64>) {
        let mut saved = lock(&self.saved);
        for (block, locator) in &removed.blocks {
            if self.facts.bitfield.get(*block) {
                saved.blocks.entry(*block).or_insert(*locator);
            }
        }
        let Some(length) = truncate else { return };
        let cut = saved.cut.min(self.facts.head.length().get());
        for node in removed
            .nodes
            .iter()
            .filter(|node| node.index.end().get() <= cut)
        {
            saved.nodes.entry(node.index.get()).or_insert(*node);
        }
        saved.cut = saved.cut.min(length);
    }

    /// What was kept of a block.
    pub(crate) fn locator(&self, block: u64) -> Option<Locator> {
        lock(&self.saved).blocks.get(&block).copied()
    }

    /// What was kept of a node, or whether the live log still has it.
    pub(crate) fn node(&self, index: NodeIndex) -> Lookup {
        let end = index.end().get();
        if end > self.facts.head.length().get() {
            return Lookup::Cut;
        }
        let saved = lock(&self.saved);
        match saved.nodes.get(&index.get()) {
            Some(node) => Lookup::Found(*node),
            None if end > saved.cut => Lookup::Cut,
            None => Lookup::Below,
        }
    }
}
