//! The engine that keeps everything in memory: what the others are measured against, and what tests
//! and short-lived logs run on. Knows no file.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::{ControlFlow, Range};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard};

use bytes::Bytes;
use hc_bitfield::Bitfield;
use hc_merkle::{BlockIndex, DiscoveryKey, Head, Length, Node, NodeIndex, SecretKey};

use crate::batch::Batch;
use crate::durability::{Durability, Ticket};
use crate::error::StorageError;
use crate::lock::{read, write};
use crate::record::{
    ActiveCore, Alias, Auth, CoreEntry, CoreRecord, Hints, Moment, NamedCore, NamespaceId,
    StoreSecret, Topic,
};
use crate::store::{Access, CoreRead, CoreStore, Store, Usage};

/// A store in memory. All its handles fail once it is closed.
#[derive(Debug, Default)]
pub struct MemoryStore(Arc<RwLock<Shelf>>);

#[derive(Debug, Default)]
struct Shelf {
    cores: BTreeMap<DiscoveryKey, Arc<MemoryCore>>,
    default: Option<DiscoveryKey>,
    names: BTreeMap<Alias, DiscoveryKey>,
    secret: Option<StoreSecret>,
    /// How often any log has changed.
    changes: Arc<AtomicU64>,
    closed: bool,
}

/// A log in memory.
struct MemoryCore {
    key: DiscoveryKey,
    shelf: Arc<RwLock<Shelf>>,
    changes: Arc<AtomicU64>,
    state: RwLock<State>,
}

#[derive(Clone)]
struct State {
    auth: Auth,
    head: Head,
    bitfield: Bitfield,
    hints: Hints,
    blocks: BTreeMap<u64, Bytes>,
    nodes: BTreeMap<u64, Node>,
    user_data: BTreeMap<String, Bytes>,
    alias: Option<Alias>,
    group: Option<Topic>,
    active: Option<Moment>,
    deleted: bool,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn shelf(&self) -> Result<RwLockReadGuard<'_, Shelf>, StorageError> {
        let shelf = read(&self.0);
        if shelf.closed {
            Err(StorageError::Closed)
        } else {
            Ok(shelf)
        }
    }

    fn shelf_mut(&self) -> Result<RwLockWriteGuard<'_, Shelf>, StorageError> {
        let shelf = write(&self.0);
        if shelf.closed {
            Err(StorageError::Closed)
        } else {
            Ok(shelf)
        }
    }
}

impl Store for MemoryStore {
    fn create_core(&self, record: CoreRecord) -> Result<Arc<dyn CoreStore>, StorageError> {
        let key = record.discovery_key;
        let mut shelf = self.shelf_mut()?;
        if shelf.cores.contains_key(&key) {
            return Err(StorageError::CoreExists { key });
        }
        let mut state = State::new(record.auth);
        if let Some(alias) = record.alias {
            shelf.check_name(&alias)?;
            shelf.names.insert(alias.clone(), key);
            state.alias = Some(alias);
        }
        let state = RwLock::new(state);
        let core = Arc::new(MemoryCore {
            key,
            shelf: Arc::clone(&self.0),
            changes: Arc::clone(&shelf.changes),
            state,
        });
        shelf.cores.insert(key, Arc::clone(&core));
        Ok(core)
    }

    fn open_core(&self, key: &DiscoveryKey) -> Result<Option<Arc<dyn CoreStore>>, StorageError> {
        let core = self.shelf()?.cores.get(key).cloned();
        Ok(core.map(|core| core as Arc<dyn CoreStore>))
    }

    fn cores(&self) -> Result<Vec<CoreEntry>, StorageError> {
        Ok(self.shelf()?.cores.values().map(entry).collect())
    }

    fn default_core(&self) -> Result<Option<DiscoveryKey>, StorageError> {
        Ok(self.shelf()?.default)
    }

    fn set_default_core(&self, key: &DiscoveryKey) -> Result<(), StorageError> {
        let mut shelf = self.shelf_mut()?;
        if !shelf.cores.contains_key(key) {
            return Err(StorageError::NoCore { key: *key });
        }
        shelf.default = Some(*key);
        Ok(())
    }

    fn find_named(&self, alias: &Alias) -> Result<Option<CoreEntry>, StorageError> {
        let shelf = self.shelf()?;
        let found = shelf.names.get(alias);
        Ok(found.and_then(|name| shelf.cores.get(name)).map(entry))
    }

    fn named(&self, namespace: Option<NamespaceId>) -> Result<Vec<NamedCore>, StorageError> {
        let shelf = self.shelf()?;
        let wanted = |alias: &Alias| namespace.is_none_or(|wanted| wanted == alias.namespace);
        let names = shelf.names.iter().filter(|(alias, _)| wanted(alias));
        let named = names.filter_map(|(alias, name)| {
            let entry = entry(shelf.cores.get(name)?);
            Some(NamedCore {
                alias: alias.clone(),
                discovery_key: entry.discovery_key,
                key: entry.key,
            })
        });
        Ok(named.collect())
    }

    fn set_name(&self, key: &DiscoveryKey, alias: Alias) -> Result<(), StorageError> {
        let mut shelf = self.shelf_mut()?;
        let core = shelf.cores.get(key).cloned();
        let core = core.ok_or(StorageError::NoCore { key: *key })?;
        let mut state = write(&core.state);
        match &state.alias {
            Some(known) if *known == alias => return Ok(()),
            Some(_) => {
                return Err(StorageError::OtherName {
                    key: *key,
                    name: alias.name,
                });
            }
            None => {}
        }
        shelf.check_name(&alias)?;
        shelf.names.insert(alias.clone(), *key);
        state.alias = Some(alias);
        Ok(())
    }

    fn group(&self, topic: &Topic) -> Result<Vec<ActiveCore>, StorageError> {
        let shelf = self.shelf()?;
        let active = |core: &Arc<MemoryCore>| {
            let state = read(&core.state);
            Some(ActiveCore {
                discovery_key: core.key,
                key: state.auth.key,
                at: state.active.filter(|_| state.group == Some(*topic))?,
            })
        };
        let mut found: Vec<_> = shelf.cores.values().filter_map(active).collect();
        found.sort_by_key(|core| std::cmp::Reverse(core.at));
        Ok(found)
    }

    fn secret(&self) -> Result<Option<StoreSecret>, StorageError> {
        Ok(self.shelf()?.secret.clone())
    }

    fn set_secret(&self, secret: StoreSecret) -> Result<(), StorageError> {
        let mut shelf = self.shelf_mut()?;
        match &shelf.secret {
            Some(kept) if *kept != secret => Err(StorageError::OtherSecret),
            _ => {
                shelf.secret = Some(secret);
                Ok(())
            }
        }
    }

    fn delete_core(&self, key: &DiscoveryKey) -> Result<bool, StorageError> {
        let mut shelf = self.shelf_mut()?;
        let Some(core) = shelf.cores.remove(key) else {
            return Ok(false);
        };
        shelf.names.retain(|_, named| named != key);
        if shelf.default == Some(*key) {
            shelf.default = None;
        }
        write(&core.state).deleted = true;
        Ok(true)
    }

    fn usage(&self) -> Result<Usage, StorageError> {
        let live = self
            .shelf()?
            .cores
            .values()
            .map(|core| read(&core.state).byte_len())
            .sum();
        Ok(Usage {
            total: live,
            live,
            ..Usage::default()
        })
    }

    fn sync(&self, _level: Durability) -> Result<(), StorageError> {
        self.shelf().map(drop)
    }

    fn refresh(&self) -> Result<bool, StorageError> {
        self.shelf().map(|_| false)
    }

    fn close(&self) -> Result<(), StorageError> {
        write(&self.0).closed = true;
        Ok(())
    }

    fn access(&self) -> Access {
        Access::ReadWrite
    }
}

fn entry(core: &Arc<MemoryCore>) -> CoreEntry {
    CoreEntry {
        discovery_key: core.key,
        key: read(&core.state).auth.key,
    }
}

impl Shelf {
    fn check_name(&self, alias: &Alias) -> Result<(), StorageError> {
        alias.check()?;
        match self.names.get(alias) {
            Some(key) => Err(StorageError::NameTaken {
                name: alias.name.clone(),
                key: *key,
            }),
            None => Ok(()),
        }
    }
}

impl MemoryCore {
    fn open_shelf(&self) -> Result<(), StorageError> {
        if read(&self.shelf).closed {
            Err(StorageError::Closed)
        } else {
            Ok(())
        }
    }

    fn state(&self) -> Result<RwLockReadGuard<'_, State>, StorageError> {
        self.open_shelf()?;
        let state = read(&self.state);
        if state.deleted {
            Err(StorageError::CoreDeleted { key: self.key })
        } else {
            Ok(state)
        }
    }

    fn state_mut(&self) -> Result<RwLockWriteGuard<'_, State>, StorageError> {
        self.open_shelf()?;
        let state = write(&self.state);
        if state.deleted {
            Err(StorageError::CoreDeleted { key: self.key })
        } else {
            Ok(state)
        }
    }
}

impl CoreRead for MemoryCore {
    fn auth(&self) -> Result<Auth, StorageError> {
        self.state().map(|state| state.auth.clone())
    }

    fn head(&self) -> Result<Head, StorageError> {
        self.state().map(|state| state.head.clone())
    }

    fn bitfield(&self) -> Result<Bitfield, StorageError> {
        self.state().map(|state| state.bitfield.clone())
    }

    fn hints(&self) -> Result<Hints, StorageError> {
        self.state().map(|state| state.hints)
    }

    fn block(&self, index: BlockIndex) -> Result<Option<Bytes>, StorageError> {
        self.state()
            .map(|state| state.blocks.get(&index.get()).cloned())
    }

    fn blocks(
        &self,
        range: Range<BlockIndex>,
        visit: &mut dyn FnMut(BlockIndex, Bytes) -> ControlFlow<()>,
    ) -> Result<(), StorageError> {
        // one at a time, so that `visit` may call back into the log
        let mut next = range.start.get();
        while next < range.end.get() {
            let found = {
                let state = self.state()?;
                let first = state.blocks.range(next..range.end.get()).next();
                first.map(|(index, bytes)| (*index, bytes.clone()))
            };
            let Some((index, bytes)) = found else { break };
            next = index.saturating_add(1);
            if visit(BlockIndex::new(index), bytes).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn nodes(
        &self,
        indexes: &[NodeIndex],
        out: &mut Vec<Option<Node>>,
    ) -> Result<(), StorageError> {
        let state = self.state()?;
        out.extend(
            indexes
                .iter()
                .map(|index| state.nodes.get(&index.get()).copied()),
        );
        Ok(())
    }

    fn user_data(&self, key: &str) -> Result<Option<Bytes>, StorageError> {
        self.state().map(|state| state.user_data.get(key).cloned())
    }

    fn alias(&self) -> Result<Option<Alias>, StorageError> {
        self.state().map(|state| state.alias.clone())
    }

    fn group(&self) -> Result<Option<Topic>, StorageError> {
        self.state().map(|state| state.group)
    }
}

impl CoreStore for MemoryCore {
    fn commit(&self, batch: Batch, _level: Durability) -> Result<Ticket, StorageError> {
        let mut state = self.state_mut()?;
        let found = (state.head.fork(), state.head.length());
        if let Some(expected) = batch.base.filter(|expected| *expected != found) {
            return Err(StorageError::Stale { expected, found });
        }
        batch.check(found.0, found.1)?;
        let (old, new) = (state.group, batch.group);
        if new.is_some_and(|new| old.is_some_and(|old| old != new)) {
            return Err(StorageError::OtherGroup { key: self.key });
        }
        state.group = old.or(new);
        if batch.head.is_some() && state.group.is_some() {
            state.active = Some(Moment(self.changes.fetch_add(1, Ordering::Relaxed)));
        }
        state.apply(batch);
        Ok(Ticket::reached())
    }

    fn set_secret_key(&self, secret: Option<SecretKey>) -> Result<(), StorageError> {
        self.state_mut()?.auth.secret_key = secret;
        Ok(())
    }

    fn snapshot(&self) -> Result<Arc<dyn CoreRead>, StorageError> {
        let state = self.state()?.clone();
        let core = MemoryCore {
            key: self.key,
            shelf: Arc::clone(&self.shelf),
            changes: Arc::clone(&self.changes),
            state: RwLock::new(state),
        };
        Ok(Arc::new(core))
    }
}

impl State {
    fn new(auth: Auth) -> Self {
        Self {
            auth,
            head: Head::empty(),
            bitfield: Bitfield::new(),
            hints: Hints::default(),
            blocks: BTreeMap::new(),
            nodes: BTreeMap::new(),
            user_data: BTreeMap::new(),
            alias: None,
            group: None,
            active: None,
            deleted: false,
        }
    }

    fn byte_len(&self) -> u64 {
        self.blocks.values().map(|bytes| bytes.len() as u64).sum()
    }

    fn apply(&mut self, batch: Batch) {
        if let Some(length) = batch.truncate {
            self.truncate(length);
        }
        let roots = batch.head.iter().flat_map(Head::roots);
        for node in batch.nodes.iter().chain(roots) {
            self.nodes.insert(node.index.get(), *node);
        }
        for (index, bytes) in batch.blocks {
            // a copy, so that a small block does not keep a large network buffer alive
            self.blocks
                .insert(index.get(), Bytes::copy_from_slice(&bytes));
            self.bitfield.set(index.get());
        }
        if let Some(head) = batch.head {
            self.head = head;
        }
        for range in batch.clears.iter().filter(|range| range.start < range.end) {
            self.drop_blocks(range.clone());
        }
        self.auth.manifest = batch.manifest.or(self.auth.manifest.take());
        self.auth.encryption = batch.encryption.or(self.auth.encryption);
        self.hints = batch.hints.unwrap_or(self.hints);
        for (key, value) in batch.user_data {
            match value {
                Some(value) => self.user_data.insert(key, Bytes::copy_from_slice(&value)),
                None => self.user_data.remove(&key),
            };
        }
    }

    fn truncate(&mut self, length: Length) {
        self.drop_blocks(length.get()..u64::MAX);
        self.nodes
            .retain(|index, _| NodeIndex::new(*index).end() <= length);
    }

    fn drop_blocks(&mut self, range: Range<u64>) {
        let mut tail = self.blocks.split_off(&range.start);
        self.blocks.append(&mut tail.split_off(&range.end));
        self.bitfield.unset_range(range);
    }
}

impl fmt::Debug for MemoryCore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryCore")
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use hc_merkle::{CoreKey, Draft};

    use super::*;

    #[test]
    fn a_snapshot_keeps_what_is_cut_later() -> Result<(), Box<dyn std::error::Error>> {
        let store = MemoryStore::new();
        let (discovery_key, auth) = (DiscoveryKey([2; 32]), Auth::reader(CoreKey([1; 32])));
        let core = store.create_core(CoreRecord {
            discovery_key,
            auth,
            alias: None,
        })?;
        let mut draft = Draft::new(&core.head()?);
        draft.append([Bytes::from_static(b"a"), Bytes::from_static(b"b")])?;
        core.commit(Batch::from_change(&draft.seal_unsigned()), Durability::Os)?
            .wait()?;
        let snapshot = core.snapshot()?;
        let mut clear = Batch::new();
        clear.clear(BlockIndex::new(0)..BlockIndex::new(1));
        core.commit(clear, Durability::Os)?.wait()?;
        assert_eq!(core.block(BlockIndex::new(0))?, None);
        assert_eq!(
            snapshot.block(BlockIndex::new(0))?.as_deref(),
            Some(&b"a"[..])
        );
        assert_eq!(core.bitfield()?.count(0..2), 1);
        Ok(())
    }
}
