//! Moving what is newer than the index there.
//!
//! 1. Note where the log ends, and set aside what the index lacks.
//! 2. Bring the log to the device up to there.
//! 3. Record beside the log, on the device, that it reaches so far.
//! 4. Apply one batch with all changed pages and the noted place.
//! 5. Bring the index to the device.
//!
//! Only then does the index speak for that part of the log.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use hc_bitfield::{Bitfield, PageIndex, PageRef};
use hc_merkle::{CoreKey, DiscoveryKey};

use super::core_entry;
use super::lookups::Sources;
use super::names::{NamedId, group_key, group_value, name_key};
use super::overlay::Overlay;
use super::state::{Core, Dirty, Facts, Lineage};
use super::{Engine, Space};
use crate::error::{IndexError, IoFault, StorageError};
use crate::index::nodes::NodePage;
use crate::index::page::LocatorPage;
use crate::index::{self, Changes, Index, IndexExt, bad_entry};
use crate::lock::{lock, write};
use crate::log::mark::{self, Mark, Recorded};
use crate::log::{Gap, PlacedNode, Position};
use crate::record::Alias;
use crate::record::entry::{CoreId, HeadRecord};
use crate::record::varint;
use crate::store::Access;

/// Bits of a page of the bitfield.
const PAGE_BITS: u64 = hc_bitfield::limits::PAGE_BITS;

/// Bytes of a long value that are put into one entry. An entry of several KiB would make sled put it
/// into a file of its own.
pub(crate) const CHUNK: usize = 4096;

/// What one checkpoint writes.
struct Cut {
    at: Position,
    /// The frame before that, where this handle writes.
    last: Option<Mark>,
    cores: Vec<Frozen>,
    names: BTreeMap<DiscoveryKey, Option<(CoreId, CoreKey)>>,
    aliases: BTreeMap<Alias, Option<NamedId>>,
    /// `None` for segments that are no more.
    space: Vec<(u32, Option<Space>)>,
    gaps: Vec<Gap>,
    default: Option<CoreId>,
    next_id: u64,
    /// Blocks and nodes, and bytes of log.
    amount: (usize, u64),
}

/// One log as it was when the checkpoint began.
struct Frozen {
    core: Arc<Core>,
    deleted: bool,
    overlay: Arc<Overlay>,
    lineage: Option<Box<Lineage>>,
    facts: Facts,
    record: HeadRecord,
    resolved: bool,
    indexed_bits: Bitfield,
    dirty: Dirty,
}

impl Engine {
    /// Whether the index lacks enough for a checkpoint to be due.
    pub(crate) fn is_pressed(&self, factor: usize) -> bool {
        let entries = self.pressure.entries.load(Ordering::Relaxed);
        let bytes = self.pressure.bytes.load(Ordering::Relaxed);
        entries >= self.options.checkpoint_entries.saturating_mul(factor)
            || bytes >= self.options.checkpoint_bytes.saturating_mul(factor as u64)
    }

    /// Writes everything that the index lacks to it. After an error the store takes no more writes.
    pub(crate) fn checkpoint(&self) -> Result<(), StorageError> {
        let mut done = lock(&self.checkpointing);
        let end = match self.access {
            Access::ReadWrite => None,
            Access::ReadOnly => Some(*lock(&self.read_to)),
        };
        let cut = self.freeze(end)?;
        if let Some(last) = cut.last {
            self.log.sync(last.lsn)?;
            if let Err(error) = self.record(last) {
                let error = Arc::new(StorageError::Io(error));
                self.log.fail(Arc::clone(&error));
                return Err(StorageError::Poisoned { cause: error });
            }
            self.punch()?;
        }
        if cut.at == *done && cut.cores.is_empty() && cut.space.is_empty() {
            return Ok(());
        }
        if let Err(error) = self.write_cut(&cut) {
            if self.access == Access::ReadOnly {
                self.take_back(cut);
                return Err(error.into());
            }
            let error = Arc::new(self.distrust(error));
            self.log.fail(Arc::clone(&error));
            return Err(StorageError::Poisoned { cause: error });
        }
        *done = cut.at;
        self.thaw(&cut);
        Ok(())
    }

    /// Records that the log is on the device up to a frame, unless it is known to reach further: reading
    /// it again from the start passes places that it left behind long ago.
    fn record(&self, last: Mark) -> Result<(), IoFault> {
        let mut recorded = lock(&self.recorded);
        if recorded.is_some_and(|known| known.lsn >= last.lsn) {
            return Ok(());
        }
        let new = Recorded {
            store: self.id,
            mark: last,
        };
        mark::write(&*self.disk, &new)?;
        *recorded = Some(last);
        Ok(())
    }

    /// `end`: where the log ends, where this handle does not write it.
    fn freeze(&self, end: Option<Position>) -> Result<Cut, StorageError> {
        let _closed = write(&self.gate);
        let (at, last) = match end {
            Some(end) => (end, None),
            None => (self.log.flush()?, self.log.last()),
        };
        let amount = (
            self.pressure.entries.swap(0, Ordering::Relaxed),
            self.pressure.bytes.swap(0, Ordering::Relaxed),
        );
        let mut registry = lock(&self.registry);
        let mut cores = Vec::with_capacity(registry.dirty.len());
        for core in registry.dirty.values() {
            let mut state = write(&core.state);
            let overlay = Arc::new(*state.active.take().unwrap_or_default());
            state.frozen = Some(Arc::clone(&overlay));
            let bits = state.facts.bitfield.clone();
            cores.push(Frozen {
                core: Arc::clone(core),
                deleted: state.deleted,
                overlay,
                lineage: state.lineage.clone(),
                facts: state.facts.clone(),
                record: state.record.clone(),
                resolved: state.resolved,
                indexed_bits: std::mem::replace(&mut state.indexed_bits, bits),
                dirty: std::mem::take(&mut state.dirty),
            });
        }
        let dirty_space = std::mem::take(&mut registry.dirty_space);
        let space = |number| (number, registry.space.get(&number).copied());
        Ok(Cut {
            at,
            last,
            cores,
            names: registry.names.clone(),
            aliases: registry.aliases.clone(),
            space: dirty_space.into_iter().map(space).collect(),
            gaps: lock(&self.gaps).clone(),
            default: registry.default,
            next_id: registry.next_id,
            amount,
        })
    }

    fn write_cut(&self, cut: &Cut) -> Result<(), IndexError> {
        let mut changes = Changes::new();
        for frozen in &cut.cores {
            if frozen.deleted {
                self.index
                    .scan(index::keys_of_core(frozen.core.id), &mut |key, _| {
                        changes.push((key.to_vec(), None));
                        Ok(())
                    })?;
                let key = core_entry::key(frozen.core.id);
                put_long(&*self.index, &mut changes, &key, None)?;
                if let Some(member) = &frozen.facts.membership {
                    changes.push((group_key(&member.topic, frozen.core.id), None));
                }
            } else {
                frozen.write(self.sources(), &mut changes)?;
            }
        }
        for (name, named) in &cut.names {
            let key = index::named_key(CoreId::STORE, index::DISCOVERY, name.as_bytes());
            let value = named.map(|(id, key)| {
                let mut value = Vec::new();
                varint::put(&mut value, id.0);
                value.extend_from_slice(key.as_bytes());
                value
            });
            put(&mut changes, key, value);
        }
        for (alias, named) in &cut.aliases {
            let value = named.as_ref().map(NamedId::encode);
            put(&mut changes, name_key(alias), value);
        }
        for (number, space) in &cut.space {
            let key = index::page_key(CoreId::STORE, index::SEGMENT, u64::from(*number));
            let value = space.map(|space| {
                let mut value = Vec::new();
                varint::put(&mut value, space.data);
                varint::put(&mut value, space.live);
                value
            });
            put(&mut changes, key, value);
        }
        self.write_gaps(&cut.gaps, &mut changes)?;
        let value = self.store_record(cut);
        put(
            &mut changes,
            index::key(CoreId::STORE, index::STORE),
            Some(value),
        );
        self.index.apply(changes)?;
        self.pages.forget();
        self.index.flush()
    }

    fn write_gaps(&self, gaps: &[Gap], changes: &mut Changes) -> Result<(), IndexError> {
        let mut stale = BTreeSet::new();
        let keys = index::keys_of(CoreId::STORE, index::GAP);
        self.index.scan(keys, &mut |key, _| {
            stale.insert(key.to_vec());
            Ok(())
        })?;
        for gap in gaps {
            let at = u64::from(gap.segment) << 32 | u64::from(gap.start);
            let key = index::page_key(CoreId::STORE, index::GAP, at);
            let mut value = Vec::new();
            for field in [gap.segment, gap.start, gap.end] {
                value.extend_from_slice(&field.to_le_bytes());
            }
            for lsn in [gap.first, gap.next] {
                value.extend_from_slice(&lsn.0.to_le_bytes());
            }
            stale.remove(&key);
            put(changes, key, Some(value));
        }
        changes.extend(stale.into_iter().map(|key| (key, None)));
        Ok(())
    }

    fn store_record(&self, cut: &Cut) -> Vec<u8> {
        let mut value = Vec::new();
        varint::put(&mut value, crate::index::FORMAT_VERSION);
        value.extend_from_slice(&self.id.0);
        value.push(u8::from(cut.last.is_some()));
        if let Some(last) = &cut.last {
            last.encode(&mut value);
        }
        varint::put(&mut value, cut.next_id);
        varint::put(&mut value, cut.default.map_or(0, |core| core.0));
        value
    }

    /// Has what the index could not be told above it again, where this handle only reads: nothing came to
    /// it meanwhile.
    fn take_back(&self, cut: Cut) {
        let mut registry = lock(&self.registry);
        for frozen in cut.cores {
            let mut state = write(&frozen.core.state);
            state.frozen = None;
            state.active = Arc::into_inner(frozen.overlay).map(Box::new);
            state.indexed_bits = frozen.indexed_bits;
            state.dirty = frozen.dirty;
        }
        let numbers = cut.space.iter().map(|(number, _)| *number);
        registry.dirty_space.extend(numbers);
        let (entries, bytes) = cut.amount;
        self.pressure.entries.fetch_add(entries, Ordering::Relaxed);
        self.pressure.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Lets go of what the index has now.
    fn thaw(&self, cut: &Cut) {
        let mut registry = lock(&self.registry);
        for frozen in &cut.cores {
            let mut state = write(&frozen.core.state);
            state.frozen = None;
            if !state.dirty.any {
                registry.dirty.remove(&frozen.core.id);
            }
        }
        registry
            .names
            .retain(|name, named| cut.names.get(name) != Some(&*named));
        registry
            .aliases
            .retain(|alias, named| cut.aliases.get(alias) != Some(&*named));
        registry.cores.retain(|_, core| core.strong_count() > 0);
    }
}

impl Frozen {
    fn write(&self, sources: Sources<'_>, changes: &mut Changes) -> Result<(), IndexError> {
        let (id, index) = (self.core.id, sources.index);
        put_long(index, changes, &core_entry::key(id), Some(&self.entry()))?;
        if let Some(member) = self.facts.membership.as_deref() {
            let value = group_value(&self.core, member);
            put(changes, group_key(&member.topic, id), value);
        }
        for name in &self.dirty.branches {
            let branch = self.facts.branches.get(name);
            let key = index::named_key(id, index::BRANCHES, name.as_bytes());
            let value = branch.map(|branch| {
                let mut value = Vec::new();
                varint::put(&mut value, branch.0);
                value
            });
            put(changes, key, value);
        }
        for name in &self.dirty.user_data {
            let value = self.facts.user_data.get(name).map(AsRef::as_ref);
            put_long(index, changes, &user_key(id, name), value)?;
        }
        self.write_locators(index, changes)?;
        self.write_nodes(sources, changes)?;
        self.write_bits(changes);
        Ok(())
    }

    fn entry(&self) -> Vec<u8> {
        let head = self.resolved.then_some(&self.facts.head);
        core_entry::encode(
            &self.core.identity,
            self.lineage.as_deref(),
            &self.facts,
            &self.record,
            head,
        )
    }

    fn write_locators(&self, index: &dyn Index, changes: &mut Changes) -> Result<(), IndexError> {
        let id = self.core.id;
        let mut pages: BTreeMap<u64, LocatorPage> = BTreeMap::new();
        let page_in =
            |key: &[u8], value: &[u8]| Some((index::page_of(key)?, LocatorPage::decode(value)?));
        for range in self.overlay.dropped.iter() {
            let first = LocatorPage::of(range.start);
            let last = LocatorPage::of(range.end.saturating_sub(1));
            let keys = index::page_key(id, index::LOCATORS, first)
                ..=index::page_key(id, index::LOCATORS, last);
            index.values(keys, &mut |key, value| {
                let (number, stored) = page_in(key, &value)?;
                let page = pages.entry(number).or_insert(stored);
                let blocks = number * index::page::BLOCKS..(number + 1) * index::page::BLOCKS;
                for block in blocks.filter(|block| range.contains(block)) {
                    page.set(block, None);
                }
                Some(())
            })?;
        }
        for (block, locator) in self.overlay.locators.iter() {
            let number = LocatorPage::of(block);
            let page = match pages.entry(number) {
                std::collections::btree_map::Entry::Occupied(page) => page.into_mut(),
                std::collections::btree_map::Entry::Vacant(place) => {
                    let key = index::page_key(id, index::LOCATORS, number);
                    let stored = match index.value(&key)? {
                        Some(value) => {
                            LocatorPage::decode(&value).ok_or_else(|| bad_entry(index))?
                        }
                        None => LocatorPage::EMPTY,
                    };
                    place.insert(stored)
                }
            };
            page.set(block, Some(*locator));
        }
        for (number, page) in pages {
            put(
                changes,
                index::page_key(id, index::LOCATORS, number),
                page.encode(),
            );
        }
        Ok(())
    }

    /// One page after the other: all of them at once take as much memory as what they are made of.
    fn write_nodes(&self, sources: Sources<'_>, changes: &mut Changes) -> Result<(), IndexError> {
        let (id, index, floor) = (self.core.id, sources.index, self.overlay.floor);
        let key = |page| index::page_key(id, index::NODES, page);
        let of = |node: &&PlacedNode| NodePage::of(node.node.index);
        let mut nodes: Vec<&PlacedNode> = self.overlay.nodes.values().collect();
        nodes.sort_unstable_by_key(of);
        let mut cut: BTreeMap<u64, NodePage> = BTreeMap::new();
        if let Some(floor) = floor {
            let last = index::keys_of(id, index::NODES).into_inner().1;
            let keys = key(floor / index::page::BLOCKS)..=last;
            index.values(keys, &mut |key, value| {
                let number = index::page_of(key)?;
                cut.insert(number, NodePage::decode(&value, number)?);
                Some(())
            })?;
            for (number, page) in &mut cut {
                let first = nodes.partition_point(|node| of(node) < *number);
                let new = nodes.iter().skip(first).copied();
                let new = new.take_while(|node| of(node) == *number);
                page.drop_replaced(*number, Some(floor), new);
                page.truncate(*number, floor, |stretch| sources.nodes(stretch))?;
            }
        }
        for nodes in nodes.chunk_by(|a, b| of(a) == of(b)) {
            let Some(number) = nodes.first().map(of) else {
                continue;
            };
            let mut page = match cut.remove(&number) {
                Some(page) => page,
                None => match index.value(&key(number))? {
                    Some(value) => {
                        NodePage::decode(&value, number).ok_or_else(|| bad_entry(index))?
                    }
                    None => NodePage::default(),
                },
            };
            page.drop_replaced(number, floor, nodes.iter().copied());
            for node in nodes {
                page.loosen(node.node.index, |stretch| sources.nodes(stretch))?;
                page.set(**node);
            }
            put(changes, key(number), page.encode());
        }
        for (number, page) in cut {
            put(changes, key(number), page.encode());
        }
        Ok(())
    }

    /// Pages of bits past the contiguous ones, where they changed or are no longer contiguous.
    fn write_bits(&self, changes: &mut Changes) {
        let (bits, old) = (&self.facts.bitfield, &self.indexed_bits);
        let (prefix, old_prefix) = (bits.contiguous_len(), old.contiguous_len());
        let changed = bits.changed_pages(old);
        let mut pages: BTreeSet<u64> = changed.iter().flatten().collect();
        pages.extend(prefix / PAGE_BITS..old_prefix.div_ceil(PAGE_BITS));
        for number in pages {
            let range = PageIndex(number).bits();
            let value = if !bits.any_set(range.start.max(prefix)..range.end) {
                None
            } else {
                match bits.page(PageIndex(number)) {
                    PageRef::Empty => None,
                    PageRef::Full => Some(vec![1]),
                    page => Some([&[0], page.to_bytes().as_slice()].concat()),
                }
            };
            put(
                changes,
                index::page_key(self.core.id, index::BITS, number),
                value,
            );
        }
    }
}

/// The key of a piece of user data, before the number of its chunk.
pub(crate) fn user_key(id: CoreId, name: &str) -> Vec<u8> {
    let mut named = u16::try_from(name.len())
        .unwrap_or(u16::MAX)
        .to_be_bytes()
        .to_vec();
    named.extend_from_slice(name.as_bytes());
    index::named_key(id, index::USER_DATA, &named)
}

fn put(changes: &mut Changes, key: Vec<u8>, value: Option<Vec<u8>>) {
    let value = value.map(|value| index::seal(&key, value));
    changes.push((key, value));
}

/// Puts a value that may be long in numbered chunks, in place of those that are there.
fn put_long(
    index: &dyn Index,
    changes: &mut Changes,
    key: &[u8],
    value: Option<&[u8]>,
) -> Result<(), IndexError> {
    let chunk_key = |number: u32| [key, &number.to_be_bytes()].concat();
    let mut stale = BTreeSet::new();
    index.scan(chunk_key(0)..=chunk_key(u32::MAX), &mut |key, _| {
        stale.insert(key.to_vec());
        Ok(())
    })?;
    let chunks = value.map(|value| {
        if value.is_empty() {
            vec![value]
        } else {
            value.chunks(CHUNK).collect()
        }
    });
    for (number, chunk) in (0..).zip(chunks.unwrap_or_default()) {
        let key = chunk_key(number);
        stale.remove(&key);
        put(changes, key, Some(chunk.to_vec()));
    }
    changes.extend(stale.into_iter().map(|key| (key, None)));
    Ok(())
}

/// Puts the chunks of a long value together; `None` where there is none.
pub(crate) fn long_value(index: &dyn Index, key: &[u8]) -> Result<Option<Vec<u8>>, IndexError> {
    let mut value: Option<Vec<u8>> = None;
    for number in 0u32.. {
        let chunk = index.value(&[key, &number.to_be_bytes()].concat())?;
        let Some(chunk) = chunk else { break };
        value.get_or_insert_default().extend_from_slice(&chunk);
        if chunk.len() < CHUNK {
            break;
        }
    }
    Ok(value)
}
