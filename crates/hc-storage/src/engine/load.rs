//! Finding logs by name or number, and reading them from the index. Knows nothing of the log's frames.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use hc_bitfield::{Bitfield, PageIndex};
use hc_merkle::{CoreKey, DiscoveryKey};

use super::checkpoint::long_value;
use super::core_entry::{self, Owner};
use super::lookups::{Lookups, Seen};
use super::state::{Core, Lineage};
use super::{Engine, Registry};
use crate::error::{Damage, DamageKind, IndexError, StorageError};
use crate::index::{self, Index, IndexExt, bad_entry};
use crate::lock::{lock, read, write};
use crate::log::segment;
use crate::record::cursor::Cursor;
use crate::record::entry::CoreId;

impl Engine {
    /// Number and key of the log of a name.
    pub(crate) fn find(
        &self,
        registry: &Registry,
        name: &DiscoveryKey,
    ) -> Result<Option<(CoreId, CoreKey)>, IndexError> {
        if let Some(named) = registry.names.get(name) {
            return Ok(*named);
        }
        if let Some(found) = registry.found.filter(|it| it.entry.discovery_key == *name) {
            return Ok(Some((found.id, found.entry.key)));
        }
        let key = index::named_key(CoreId::STORE, index::DISCOVERY, name.as_bytes());
        let Some(value) = self.index.value(&key)? else {
            return Ok(None);
        };
        decode_named(&value)
            .map(Some)
            .ok_or_else(|| bad_entry(&*self.index))
    }

    /// Numbers and keys of all logs, by name.
    pub(crate) fn all_named(
        &self,
    ) -> Result<BTreeMap<DiscoveryKey, (CoreId, CoreKey)>, IndexError> {
        let registry = lock(&self.registry);
        let mut all = BTreeMap::new();
        let keys = index::keys_of(CoreId::STORE, index::DISCOVERY);
        self.index.values(keys, &mut |key, value| {
            let name = DiscoveryKey(key.get(9..)?.try_into().ok()?);
            all.insert(name, decode_named(&value)?);
            Some(())
        })?;
        for (name, named) in &registry.names {
            match named {
                Some(named) => all.insert(*name, *named),
                None => all.remove(name),
            };
        }
        Ok(all)
    }

    /// The log with a number, from memory or else from the index.
    pub(crate) fn core(
        &self,
        registry: &mut Registry,
        id: CoreId,
    ) -> Result<Option<Arc<Core>>, StorageError> {
        let core = self.core_as_is(registry, id)?;
        if let Some(core) = &core
            && !read(&core.state).resolved
        {
            self.resolve_head(core)?;
        }
        Ok(core)
    }

    /// As [`core`](Self::core), but that the roots of its head may be missing.
    pub(crate) fn core_as_is(
        &self,
        registry: &mut Registry,
        id: CoreId,
    ) -> Result<Option<Arc<Core>>, IndexError> {
        if let Some(core) = registry.dirty.get(&id) {
            return Ok(Some(Arc::clone(core)));
        }
        if let Some(core) = registry.cores.get(&id).and_then(std::sync::Weak::upgrade) {
            return Ok(Some(core));
        }
        let Some(core) = self.load(registry, id)?.map(Arc::new) else {
            return Ok(None);
        };
        registry.cores.insert(id, Arc::downgrade(&core));
        Ok(Some(core))
    }

    /// The branches that are in the index.
    pub(crate) fn indexed_branches(&self) -> Result<BTreeSet<CoreId>, IndexError> {
        let mut all = BTreeSet::new();
        let keys = index::keys_of(CoreId::STORE, index::CORE);
        self.index.scan(keys, &mut |key, _| {
            all.extend(core_entry::id_of(key));
            Ok(())
        })?;
        let mut branches = BTreeSet::new();
        for id in all {
            let Some(entry) = long_value(&*self.index, &core_entry::key(id))? else {
                continue;
            };
            let stored = core_entry::decode(&entry).ok_or_else(|| bad_entry(&*self.index))?;
            if matches!(stored.owner, Owner::Branch(..)) {
                branches.insert(id);
            }
        }
        Ok(branches)
    }

    fn load(&self, registry: &mut Registry, id: CoreId) -> Result<Option<Core>, IndexError> {
        let index = &*self.index;
        let Some(entry) = long_value(index, &core_entry::key(id))? else {
            return Ok(None);
        };
        let bad = || bad_entry(index);
        let mut stored = core_entry::decode(&entry).ok_or_else(bad)?;
        if stored.has_bits {
            load_bits(index, id, &mut stored.facts.bitfield)?;
        }
        if stored.has_user_data {
            stored.facts.user_data = Arc::new(load_user_data(index, id)?);
        }
        if stored.facts.had_branches {
            stored.facts.branches = Arc::new(load_branches(index, id)?);
        }
        let core = |identity| Core::new(id, identity, stored.facts, stored.record);
        match stored.owner {
            Owner::Log(identity) => Ok(Some(core(identity))),
            Owner::Branch(origin, cut) => {
                // a branch of a branch there is not
                let parent = self.core_as_is(registry, origin.parent)?.ok_or_else(bad)?;
                let core = core(parent.identity);
                write(&core.state).lineage = Some(Box::new(Lineage {
                    parent,
                    name: origin.name,
                    length: origin.length,
                    cut,
                }));
                Ok(Some(core))
            }
        }
    }

    /// Reads the roots of the head that was last written.
    pub(crate) fn resolve_head(&self, core: &Core) -> Result<(), StorageError> {
        let head = {
            let state = &*read(&core.state);
            let lineage = state.lineage.as_ref();
            let below = lineage.map(|lineage| (lineage, read(&lineage.parent.state)));
            let parent = below
                .as_ref()
                .map(|(lineage, below)| (lineage.parent.id, &**below, lineage.length));
            let seen = Seen { state, parent };
            let mut lookups = Lookups::through(core.id, &seen, self.sources());
            let count = state.record.length.get().count_ones();
            let mut roots = Vec::with_capacity(count as usize);
            for root in hc_merkle::flat::full_roots(state.record.length) {
                roots.push(lookups.node(root)?.ok_or_else(|| self.no_root())?);
            }
            let head = state.record.resolve(roots);
            head.ok_or_else(|| self.no_root())?
        };
        write(&core.state).resolve(head);
        Ok(())
    }

    fn no_root(&self) -> Damage {
        let path = self.disk.root().join(segment::DIR);
        Damage {
            path,
            offset: 0,
            kind: DamageKind::Root,
        }
    }
}

fn decode_named(value: &[u8]) -> Option<(CoreId, CoreKey)> {
    let mut cursor = Cursor::new(value);
    Some((CoreId(cursor.uint()?), CoreKey(cursor.array()?)))
}

fn load_branches(index: &dyn Index, id: CoreId) -> Result<BTreeMap<Arc<str>, CoreId>, IndexError> {
    let mut all = BTreeMap::new();
    index.values(index::keys_of(id, index::BRANCHES), &mut |key, value| {
        let name = std::str::from_utf8(key.get(9..)?).ok()?;
        all.insert(name.into(), CoreId(Cursor::new(&value).uint()?));
        Some(())
    })?;
    Ok(all)
}

/// Adds the pages past those that are stored without a gap.
fn load_bits(index: &dyn Index, id: CoreId, bits: &mut Bitfield) -> Result<(), IndexError> {
    let prefix = bits.contiguous_len();
    index.values(index::keys_of(id, index::BITS), &mut |key, value| {
        let page = PageIndex(index::page_of(key)?);
        match value.split_first()? {
            (1, []) => bits.set_range(page.bits()),
            (0, bytes) => bits.set_page(page, bytes.try_into().ok()?),
            _ => return None,
        }
        Some(())
    })?;
    bits.set_range(0..prefix);
    Ok(())
}

fn load_user_data(index: &dyn Index, id: CoreId) -> Result<BTreeMap<String, Bytes>, IndexError> {
    let mut all: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    index.values(index::keys_of(id, index::USER_DATA), &mut |key, chunk| {
        let named = key.get(9..)?.split_last_chunk::<4>()?.0;
        let (len, name) = named.split_first_chunk::<2>()?;
        if usize::from(u16::from_be_bytes(*len)) != name.len() {
            return None;
        }
        let name = String::from_utf8(name.to_vec()).ok()?;
        all.entry(name).or_default().extend_from_slice(&chunk);
        Some(())
    })?;
    Ok(all
        .into_iter()
        .map(|(name, value)| (name, Bytes::from(value)))
        .collect())
}
