//! One log of the default engine, in memory: its head, its bits, and what is newer than the index. A
//! branch is a log like others, but that it reads what is below some length from the log that it left.
//!
//! Owns how an entry changes a log. Knows nothing of frames or of when a checkpoint is due.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;
use std::sync::{Arc, LazyLock, Mutex, RwLock, Weak};

use bytes::Bytes;
use hc_bitfield::Bitfield;
use hc_merkle::manifest::Manifest;
use hc_merkle::{Fork, Head, Length, Node, NodeIndex};

use super::overlay::{Lookup, Overlay};
use crate::batch::Batch;
use crate::error::StorageError;
use crate::lock::{lock, read};
use crate::log::committer::Placed;
use crate::log::{Locator, PlacedNode, place_nodes};
use crate::record::entry::{BlockSlot, CoreId, Entry, HeadRecord, Identity, NodesAt};
use crate::record::{Alias, EncryptionScheme, Hints, Moment, Topic};

/// A log. There is one of these for each log that is open or has changes that the index lacks.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) id: CoreId,
    pub(crate) identity: Identity,
    /// Held from before a commit to the log or a branch of it is checked until it is visible.
    pub(crate) writer: Mutex<()>,
    pub(crate) state: RwLock<State>,
}

/// What a log is at the moment.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) deleted: bool,
    /// Of a branch: where it comes from.
    pub(crate) lineage: Option<Box<Lineage>>,
    pub(crate) facts: Facts,
    /// What was last written.
    pub(crate) record: HeadRecord,
    /// Whether that is the head in `facts`, whose roots are missing while the log is read back.
    pub(crate) resolved: bool,
    /// The bits that the index has.
    pub(crate) indexed_bits: Bitfield,
    /// What was written since; none of most logs that are open.
    pub(crate) active: Option<Box<Overlay>>,
    /// What a checkpoint is writing.
    pub(crate) frozen: Option<Arc<Overlay>>,
    pub(crate) dirty: Dirty,
    pub(crate) snapshots: Vec<Weak<Pinned>>,
}

/// The log that a branch reads what is below some length from.
#[derive(Debug, Clone)]
pub(crate) struct Lineage {
    pub(crate) parent: Arc<Core>,
    pub(crate) name: Arc<str>,
    pub(crate) length: u64,
    /// Whether the log was cut below what the branch had of it, so that the branch keeps that itself.
    pub(crate) cut: bool,
}

/// What is kept of a log in memory; a snapshot has a clone of it.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    pub(crate) head: Head,
    pub(crate) bitfield: Bitfield,
    pub(crate) hints: Hints,
    pub(crate) manifest: Option<Arc<Manifest>>,
    pub(crate) encryption: Option<EncryptionScheme>,
    pub(crate) user_data: Arc<BTreeMap<String, Bytes>>,
    /// The branches of the log.
    pub(crate) branches: Arc<BTreeMap<Arc<str>, CoreId>>,
    /// Whether there ever were any.
    pub(crate) had_branches: bool,
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
    pub(crate) user_data: BTreeSet<String>,
    pub(crate) branches: BTreeSet<Arc<str>>,
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

/// What a commit that takes nothing away adds to a log.
#[derive(Debug)]
pub(crate) struct Gain<'a> {
    pub(crate) nodes: &'a [Node],
    pub(crate) nodes_at: NodesAt,
    pub(crate) blocks: &'a [BlockSlot],
    /// With what is written of it.
    pub(crate) head: Option<(Head, HeadRecord)>,
}

/// What a commit takes away.
#[derive(Debug, Default)]
pub(crate) struct Removed {
    pub(crate) blocks: Vec<(u64, Locator)>,
    pub(crate) nodes: Vec<Node>,
}

/// What a branch has to have itself when its log does not have it any more.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    pub(crate) blocks: Vec<(u64, Locator)>,
    pub(crate) nodes: Vec<Node>,
}

impl Kept {
    /// What is below a length, of what is taken away.
    pub(crate) fn below(length: u64, removed: &Removed) -> Self {
        let blocks = removed.blocks.iter().filter(|(block, _)| *block < length);
        let nodes = removed.nodes.iter();
        Self {
            blocks: blocks.copied().collect(),
            nodes: nodes
                .filter(|node| node.index.end().get() <= length)
                .copied()
                .collect(),
        }
    }
}

impl Core {
    /// A log of which the head in `facts` is the one in `record` if it is as long.
    pub(crate) fn new(id: CoreId, identity: Identity, facts: Facts, record: HeadRecord) -> Self {
        let state = State {
            resolved: facts.head.length() == record.length,
            deleted: false,
            lineage: None,
            indexed_bits: facts.bitfield.clone(),
            facts,
            record,
            active: None,
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

    /// An error where it was deleted.
    pub(crate) fn check_there(&self, state: &State) -> Result<(), StorageError> {
        match &state.lineage {
            _ if !state.deleted => Ok(()),
            Some(lineage) => Err(StorageError::NoBranch {
                name: lineage.name.to_string(),
            }),
            None => Err(StorageError::CoreDeleted {
                key: self.identity.discovery_key,
            }),
        }
    }

    /// The log whose writer also writes this one: a branch's parent, else itself.
    pub(crate) fn family(self: &Arc<Self>) -> Arc<Self> {
        self.parent().unwrap_or_else(|| Arc::clone(self))
    }

    /// The log that a branch is one of.
    fn parent(&self) -> Option<Arc<Self>> {
        let state = read(&self.state);
        state
            .lineage
            .as_ref()
            .map(|lineage| Arc::clone(&lineage.parent))
    }

    /// Runs a change while nobody else writes to the log and its branches.
    fn writing_alone<T>(self: &Arc<Self>, change: impl FnOnce() -> T) -> T {
        loop {
            let parent = self.parent();
            let _writer = lock(&parent.as_ref().unwrap_or(self).writer);
            // it may have gone to another log before this came to write
            let now = self.parent();
            if now.as_ref().map(Arc::as_ptr) == parent.as_ref().map(Arc::as_ptr) {
                return change();
            }
        }
    }

    /// Runs a change while nobody else writes to some logs and their branches.
    pub(crate) fn writing<T>(cores: &[&Arc<Self>], change: impl FnOnce() -> T) -> T {
        if let [core] = cores {
            return core.writing_alone(change);
        }
        loop {
            // by number, so that two who want the same do not wait for each other
            let families = cores.iter().map(|core| core.family());
            let families: BTreeMap<CoreId, Arc<Self>> =
                families.map(|family| (family.id, family)).collect();
            let _writers: Vec<_> = families
                .values()
                .map(|family| lock(&family.writer))
                .collect();
            // a branch may have gone to another log before this came to write
            if cores
                .iter()
                .all(|core| families.contains_key(&core.family().id))
            {
                return change();
            }
        }
    }
}

/// What most logs have none of: they share it.
static NO_USER_DATA: LazyLock<Arc<BTreeMap<String, Bytes>>> = LazyLock::new(Arc::default);
static NO_BRANCHES: LazyLock<Arc<BTreeMap<Arc<str>, CoreId>>> = LazyLock::new(Arc::default);

impl Facts {
    pub(crate) fn empty() -> Self {
        Self {
            head: Head::empty(),
            bitfield: Bitfield::new(),
            hints: Hints::default(),
            manifest: None,
            encryption: None,
            user_data: Arc::clone(&NO_USER_DATA),
            branches: Arc::clone(&NO_BRANCHES),
            had_branches: false,
            alias: None,
            membership: None,
        }
    }
}

impl State {
    /// The head that was last written, with its roots.
    pub(crate) fn resolve(&mut self, head: Head) {
        self.facts.head = head;
        self.resolved = true;
    }

    /// Fork and length of the head that was last written, whether its roots are here or not.
    pub(crate) fn at(&self) -> (Fork, Length) {
        (self.record.fork, self.record.length)
    }

    /// Whether it is a branch or has some: what each of those has may hang on what was once said of the
    /// other.
    pub(crate) fn is_in_family(&self) -> bool {
        !self.deleted && (self.lineage.is_some() || !self.facts.branches.is_empty())
    }

    /// Whether the log has a block itself.
    pub(crate) fn has(&self, block: u64) -> bool {
        self.facts.bitfield.get(block)
    }

    /// Checks whether a batch is one for the log as it is.
    pub(crate) fn check_batch(&self, batch: &Batch) -> Result<(), StorageError> {
        let found = self.at();
        if let Some(expected) = batch.base.filter(|expected| *expected != found) {
            return Err(StorageError::Stale { expected, found });
        }
        Ok(batch.check(found.0, found.1)?)
    }

    /// Whether anybody reads the log as it was.
    pub(crate) fn is_pinned(&self) -> bool {
        let held = |snapshot: &Weak<Pinned>| snapshot.strong_count() > 0;
        self.snapshots.iter().any(held)
    }

    /// Carries out an entry that was placed in the log, its nodes at `nodes`; `parent` is the log that it
    /// makes this one a branch of. Returns the locators of blocks that the entry itself has more than once.
    pub(crate) fn apply(
        &mut self,
        entry: &mut Entry,
        parent: Option<&Arc<Core>>,
        placed: &Placed,
        nodes: NodesAt,
    ) -> Vec<Locator> {
        self.join(entry, Moment(placed.lsn.0));
        if entry.delete {
            self.deleted = true;
        }
        if let Some((origin, parent)) = entry.branch.take().zip(parent) {
            self.lineage = Some(Box::new(Lineage {
                parent: Arc::clone(parent),
                name: origin.name,
                length: origin.length,
                cut: false,
            }));
        }
        if let Some(length) = entry.truncate {
            self.overlay().truncate(length);
            self.facts.bitfield.unset_range(length..u64::MAX);
            self.leave_below(|inherited| length <= inherited, length);
        }
        if let Some(length) = entry.inherit {
            self.leave_below(|_| true, length);
        }
        let repeated = self.add(&entry.nodes, &entry.blocks, placed, nodes);
        if let Some(head) = entry.head.take() {
            self.record = head;
            self.resolved = false;
        }
        for range in entry.clears.drain(..) {
            self.overlay().drop_blocks(range.clone());
            self.facts.bitfield.unset_range(range);
        }
        self.apply_facts(
            entry.manifest.take(),
            entry.encryption,
            entry.hints,
            std::mem::take(&mut entry.user_data),
        );
        repeated
    }

    /// Adds nodes and blocks that were placed in the log. Returns the locators of blocks that are there more
    /// than once.
    fn add(
        &mut self,
        nodes: &[Node],
        blocks: &[BlockSlot],
        placed: &Placed,
        first: NodesAt,
    ) -> Vec<Locator> {
        let (segment, data) = (placed.segment, placed.data);
        self.dirty.any = true;
        let overlay = self.overlay();
        overlay.nodes.extend(place_nodes(nodes, segment, first));
        let mut repeated = Vec::new();
        let mut offset = data;
        for slot in blocks {
            let locator = Locator {
                segment,
                offset,
                len: slot.len,
                crc: slot.crc,
            };
            let old = overlay.locators.insert(slot.index, locator);
            repeated.extend(old.filter(|old| old.segment == segment && old.offset >= data));
            offset = offset.saturating_add(slot.len);
        }
        self.set_bits(blocks);
        repeated
    }

    /// Adds nodes and blocks that the log lacks, and moves its head. Says whether it has changes since that
    /// the index lacks, where it had none before.
    pub(crate) fn gain(&mut self, gain: Gain<'_>, placed: &Placed) -> bool {
        let clean = !self.dirty.any;
        self.add(gain.nodes, gain.blocks, placed, gain.nodes_at);
        if let Some((head, record)) = gain.head {
            self.be_active(Moment(placed.lsn.0));
            self.record = record;
            self.resolve(head);
        }
        clean
    }

    /// What is newer than the index, to be added to.
    pub(crate) fn overlay(&mut self) -> &mut Overlay {
        self.active.get_or_insert_default()
    }

    /// What an entry says of the log's name and group.
    fn join(&mut self, entry: &mut Entry, now: Moment) {
        if let Some(alias) = entry.alias.take() {
            self.facts.alias = Some(Arc::new(alias));
        }
        let membership = &mut self.facts.membership;
        if let (Some(topic), None) = (entry.group, &membership) {
            let active = None;
            *membership = Some(Arc::new(Membership { topic, active }));
        }
        if entry.head.is_some() {
            self.be_active(now);
        }
        if let (Some(membership), Some(active)) = (&mut self.facts.membership, entry.active) {
            Arc::make_mut(membership).active = active.checked_sub(1).map(Moment);
        }
    }

    /// In its group, the log is the one whose head moved last.
    fn be_active(&mut self, now: Moment) {
        if let Some(membership) = &mut self.facts.membership {
            Arc::make_mut(membership).active = Some(now);
        }
    }

    /// On a branch: what is below `length` is the parent's, where `when` says so of what is now.
    fn leave_below(&mut self, when: impl FnOnce(u64) -> bool, length: u64) {
        if let Some(lineage) = &mut self.lineage
            && when(lineage.length)
        {
            lineage.length = length;
            lineage.cut = false;
        }
    }

    /// On a branch: takes what the parent is about to lose, or what it leaves behind there.
    pub(crate) fn keep(&mut self, kept: &Kept) {
        self.dirty.any |= !(kept.blocks.is_empty() && kept.nodes.is_empty());
        for (block, locator) in &kept.blocks {
            if !self.facts.bitfield.get(*block) {
                self.overlay().locators.insert(*block, *locator);
                self.facts.bitfield.set(*block);
            }
        }
        for node in &kept.nodes {
            let kept = PlacedNode {
                node: *node,
                place: None,
            };
            self.overlay().nodes.insert(kept);
        }
    }

    /// On a branch: the parent is cut to `length`.
    pub(crate) fn outlive(&mut self, kept: &Kept, length: u64) {
        self.keep(kept);
        if let Some(lineage) = &mut self.lineage
            && length < lineage.length
        {
            lineage.length = length;
            lineage.cut = true;
            self.dirty.any = true;
        }
    }

    fn set_bits(&mut self, slots: &[BlockSlot]) {
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
        let facts = &mut self.facts;
        facts.manifest = manifest.map(Arc::new).or(facts.manifest.take());
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
        let stored = |slot: &&BlockSlot| slot.index < kept && self.facts.bitfield.get(slot.index);
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

    /// Whether it has a block in a segment that the live log may not have there any more.
    pub(crate) fn reads(&self, segment: u32) -> bool {
        let saved = lock(&self.saved);
        saved.blocks.values().any(|at| at.segment == segment)
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
            Some(node) => Lookup::Found(PlacedNode {
                node: *node,
                place: None,
            }),
            None if end > saved.cut => Lookup::Cut,
            None => Lookup::Below,
        }
    }
}
