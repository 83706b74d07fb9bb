//! The engine that keeps everything in memory: what the others are measured against, and what tests
//! and short-lived logs run on. Knows no file.

mod overlay;
mod shelf;
mod state;

use std::any::Any;

use std::fmt;
use std::ops::{Bound, ControlFlow, Range};
use std::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard};

use bytes::Bytes;
use hc_bitfield::Bitfield;
use hc_merkle::{BlockIndex, DiscoveryKey, Head, Length, Node, NodeIndex, SecretKey, flat};

pub use self::overlay::{Changes, Overlay};
use self::shelf::Shelf;
use self::state::{Origin, State, View};
use crate::batch::{Batch, BatchError};
use crate::durability::{Durability, Ticket};
use crate::error::StorageError;
use crate::limits::MAX_BRANCH_NAME_LEN;
use crate::lock::{read, write};
use crate::record::{
    ActiveCore, Alias, Auth, CoreEntry, CoreRecord, Hints, Lineage, NamedCore, NamespaceId,
    StoreSecret, Topic, between,
};
use crate::store::{Access, CoreRead, CoreStore, Store, Usage};

/// A store in memory. All its handles fail once it is closed.
#[derive(Debug, Default)]
pub struct MemoryStore(Arc<RwLock<Shelf>>);

/// The number of a log or branch; never used again.
type Id = u64;

/// A log in memory, as its users hold it.
#[derive(Debug)]
struct MemoryCore {
    id: Id,
    key: DiscoveryKey,
    /// Of a branch.
    name: Option<Arc<str>>,
    shelf: Arc<RwLock<Shelf>>,
}

/// A log as it was.
#[derive(Debug)]
struct MemorySnapshot {
    own: Arc<State>,
    below: Option<Arc<State>>,
    shelf: Arc<RwLock<Shelf>>,
}

/// Whatever shows a log.
trait Look: fmt::Debug + Send + Sync {
    fn look<T>(&self, look: impl FnOnce(View<'_>) -> T) -> Result<T, StorageError>;
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn handle(&self, id: Id, key: DiscoveryKey) -> Arc<dyn CoreStore> {
        Arc::new(MemoryCore {
            id,
            key,
            name: None,
            shelf: Arc::clone(&self.0),
        })
    }
}

fn open(shelf: &RwLock<Shelf>) -> Result<RwLockReadGuard<'_, Shelf>, StorageError> {
    let shelf = read(shelf);
    if shelf.closed {
        Err(StorageError::Closed)
    } else {
        Ok(shelf)
    }
}

fn open_mut(shelf: &RwLock<Shelf>) -> Result<RwLockWriteGuard<'_, Shelf>, StorageError> {
    let shelf = write(shelf);
    if shelf.closed {
        Err(StorageError::Closed)
    } else {
        Ok(shelf)
    }
}

impl Store for MemoryStore {
    fn create_core(&self, record: CoreRecord) -> Result<Arc<dyn CoreStore>, StorageError> {
        let key = record.discovery_key;
        let mut shelf = open_mut(&self.0)?;
        if shelf.names.contains_key(&key) {
            return Err(StorageError::CoreExists { key });
        }
        let mut state = State::new(record.auth);
        if let Some(alias) = record.alias {
            shelf.check_name(&alias)?;
            shelf.aliases.insert(alias.clone(), key);
            state.alias = Some(alias);
        }
        let id = shelf.add(state);
        shelf.names.insert(key, id);
        Ok(self.handle(id, key))
    }

    fn open_core(&self, key: &DiscoveryKey) -> Result<Option<Arc<dyn CoreStore>>, StorageError> {
        let id = open(&self.0)?.names.get(key).copied();
        Ok(id.map(|id| self.handle(id, *key)))
    }

    fn cores(&self) -> Result<Vec<CoreEntry>, StorageError> {
        let shelf = open(&self.0)?;
        let entries = shelf.names.keys().filter_map(|key| shelf.entry(key));
        Ok(entries.collect())
    }

    fn default_core(&self) -> Result<Option<DiscoveryKey>, StorageError> {
        Ok(open(&self.0)?.default)
    }

    fn set_default_core(&self, key: &DiscoveryKey) -> Result<(), StorageError> {
        let mut shelf = open_mut(&self.0)?;
        if !shelf.names.contains_key(key) {
            return Err(StorageError::NoCore { key: *key });
        }
        shelf.default = Some(*key);
        Ok(())
    }

    fn find_named(&self, alias: &Alias) -> Result<Option<CoreEntry>, StorageError> {
        let shelf = open(&self.0)?;
        Ok(shelf.aliases.get(alias).and_then(|key| shelf.entry(key)))
    }

    fn named(&self, namespace: Option<NamespaceId>) -> Result<Vec<NamedCore>, StorageError> {
        let shelf = open(&self.0)?;
        let wanted = |alias: &Alias| namespace.is_none_or(|wanted| wanted == alias.namespace);
        let names = shelf.aliases.iter().filter(|(alias, _)| wanted(alias));
        let named = names.filter_map(|(alias, key)| {
            let entry = shelf.entry(key)?;
            Some(NamedCore {
                alias: alias.clone(),
                discovery_key: entry.discovery_key,
                key: entry.key,
            })
        });
        Ok(named.collect())
    }

    fn set_name(&self, key: &DiscoveryKey, alias: Alias) -> Result<(), StorageError> {
        let mut shelf = open_mut(&self.0)?;
        let id = shelf.names.get(key).copied();
        let id = id.ok_or(StorageError::NoCore { key: *key })?;
        match shelf.logs.get(&id).and_then(|log| log.alias.as_ref()) {
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
        shelf.aliases.insert(alias.clone(), *key);
        if let Some(log) = shelf.logs.get_mut(&id) {
            Arc::make_mut(log).alias = Some(alias);
        }
        Ok(())
    }

    fn group(&self, topic: &Topic) -> Result<Vec<ActiveCore>, StorageError> {
        let shelf = open(&self.0)?;
        let active = |(key, id): (&DiscoveryKey, &Id)| {
            let log = shelf.logs.get(id)?;
            Some(ActiveCore {
                discovery_key: *key,
                key: log.auth.key,
                at: log.active.filter(|_| log.group == Some(*topic))?,
            })
        };
        let mut found: Vec<_> = shelf.names.iter().filter_map(active).collect();
        found.sort_by_key(|core| std::cmp::Reverse(core.at));
        Ok(found)
    }

    fn secret(&self) -> Result<Option<StoreSecret>, StorageError> {
        Ok(open(&self.0)?.secret.clone())
    }

    fn set_secret(&self, secret: StoreSecret) -> Result<(), StorageError> {
        let mut shelf = open_mut(&self.0)?;
        match &shelf.secret {
            Some(kept) if *kept != secret => Err(StorageError::OtherSecret),
            _ => {
                shelf.secret = Some(secret);
                Ok(())
            }
        }
    }

    fn delete_core(&self, key: &DiscoveryKey) -> Result<bool, StorageError> {
        let mut shelf = open_mut(&self.0)?;
        let Some(id) = shelf.names.remove(key) else {
            return Ok(false);
        };
        shelf.aliases.retain(|_, named| named != key);
        if shelf.default == Some(*key) {
            shelf.default = None;
        }
        if let Some(log) = shelf.logs.remove(&id) {
            for branch in log.branches.values() {
                shelf.logs.remove(branch);
            }
        }
        Ok(true)
    }

    fn commit_all(
        &self,
        batches: Vec<(Arc<dyn CoreStore>, Batch)>,
        _level: Durability,
    ) -> Result<Ticket, StorageError> {
        let mut shelf = open_mut(&self.0)?;
        let mut own = Vec::with_capacity(batches.len());
        for (core, batch) in batches {
            let core = core.as_any().downcast_ref::<MemoryCore>();
            let core = core.filter(|core| Arc::ptr_eq(&core.shelf, &self.0));
            let core = core.ok_or(StorageError::OtherStore)?;
            shelf.check(core, &batch)?;
            own.push((core.id, batch));
        }
        shelf.check_together(&own)?;
        for (id, batch) in own {
            shelf.apply(id, batch);
        }
        Ok(Ticket::reached())
    }

    fn usage(&self) -> Result<Usage, StorageError> {
        let live = open(&self.0)?.logs.values().map(|log| log.byte_len()).sum();
        Ok(Usage {
            total: live,
            live,
            ..Usage::default()
        })
    }

    fn sync(&self, _level: Durability) -> Result<(), StorageError> {
        open(&self.0).map(drop)
    }

    fn refresh(&self) -> Result<bool, StorageError> {
        open(&self.0).map(|_| false)
    }

    fn close(&self) -> Result<(), StorageError> {
        write(&self.0).closed = true;
        Ok(())
    }

    fn access(&self) -> Access {
        Access::ReadWrite
    }
}

impl Look for MemoryCore {
    fn look<T>(&self, look: impl FnOnce(View<'_>) -> T) -> Result<T, StorageError> {
        Ok(look(open(&self.shelf)?.view(self)?))
    }
}

impl Look for MemorySnapshot {
    fn look<T>(&self, look: impl FnOnce(View<'_>) -> T) -> Result<T, StorageError> {
        drop(open(&self.shelf)?);
        Ok(look(View::new(&self.own, self.below.as_deref())))
    }
}

impl<L: Look> CoreRead for L {
    fn auth(&self) -> Result<Auth, StorageError> {
        self.look(|view| view.below.map_or(view.own, |(_, below)| below).auth.clone())
    }

    fn head(&self) -> Result<Head, StorageError> {
        self.look(|view| view.own.head.clone())
    }

    fn bitfield(&self) -> Result<Bitfield, StorageError> {
        self.look(|view| view.bitfield())
    }

    fn hints(&self) -> Result<Hints, StorageError> {
        self.look(|view| view.own.hints)
    }

    fn block(&self, index: BlockIndex) -> Result<Option<Bytes>, StorageError> {
        self.look(|view| view.block(index.get()))
    }

    fn blocks(
        &self,
        range: Range<BlockIndex>,
        visit: &mut dyn FnMut(BlockIndex, Bytes) -> ControlFlow<()>,
    ) -> Result<(), StorageError> {
        // one at a time, so that `visit` may call back into the log
        let mut next = range.start.get();
        while next < range.end.get() {
            let first = self.look(|view| view.first(next..range.end.get()))?;
            let Some((index, bytes)) = first else { break };
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
        self.look(|view| out.extend(indexes.iter().map(|index| view.node(*index))))
    }

    fn user_data(&self, key: &str) -> Result<Option<Bytes>, StorageError> {
        self.look(|view| view.own.user_data.get(key).cloned())
    }

    fn user_data_between(
        &self,
        bounds: (Bound<&str>, Bound<&str>),
    ) -> Result<Vec<(String, Bytes)>, StorageError> {
        self.look(|view| between(&view.own.user_data, bounds))
    }

    fn lineage(&self) -> Result<Option<Lineage>, StorageError> {
        self.look(|view| view.own.origin.as_ref().map(|origin| origin.lineage))
    }

    fn alias(&self) -> Result<Option<Alias>, StorageError> {
        self.look(|view| view.own.alias.clone())
    }

    fn group(&self) -> Result<Option<Topic>, StorageError> {
        self.look(|view| view.own.group)
    }
}

impl MemoryCore {
    fn handle(&self, id: Id, name: &str) -> Arc<dyn CoreStore> {
        Arc::new(Self {
            id,
            key: self.key,
            name: Some(name.into()),
            shelf: Arc::clone(&self.shelf),
        })
    }
}

impl CoreStore for MemoryCore {
    fn commit(&self, batch: Batch, _level: Durability) -> Result<Ticket, StorageError> {
        let mut shelf = open_mut(&self.shelf)?;
        shelf.check(self, &batch)?;
        shelf.apply(self.id, batch);
        Ok(Ticket::reached())
    }

    fn set_secret_key(&self, secret: Option<SecretKey>) -> Result<(), StorageError> {
        let mut shelf = open_mut(&self.shelf)?;
        let parent = shelf.log(self)?.origin.as_ref().map(|origin| origin.parent);
        if let Some(log) = shelf.logs.get_mut(&parent.unwrap_or(self.id)) {
            Arc::make_mut(log).auth.secret_key = secret;
        }
        Ok(())
    }

    fn snapshot(&self) -> Result<Arc<dyn CoreRead>, StorageError> {
        let shelf = open(&self.shelf)?;
        let own = Arc::clone(shelf.log(self)?);
        Ok(Arc::new(MemorySnapshot {
            below: shelf.below(&own).cloned(),
            own,
            shelf: Arc::clone(&self.shelf),
        }))
    }

    fn branches(&self) -> Result<Vec<String>, StorageError> {
        self.look(|view| {
            let names = view.own.branches.keys();
            names.map(ToString::to_string).collect()
        })
    }

    fn open_branch(&self, name: &str) -> Result<Option<Arc<dyn CoreStore>>, StorageError> {
        let id = self.look(|view| view.own.branches.get(name).copied())?;
        Ok(id.map(|id| self.handle(id, name)))
    }

    fn create_branch(&self, name: &str, head: &Head) -> Result<Arc<dyn CoreStore>, StorageError> {
        if name.len() > MAX_BRANCH_NAME_LEN {
            return Err(BatchError::NameTooLong { len: name.len() }.into());
        }
        let mut shelf = open_mut(&self.shelf)?;
        let view = shelf.view(self)?;
        if view.own.origin.is_some() {
            return Err(StorageError::BranchOfBranch);
        }
        if view.own.branches.contains_key(name) {
            return Err(StorageError::BranchExists { name: name.into() });
        }
        if !view.has_roots(head.roots()) {
            return Err(BatchError::OtherTree.into());
        }
        let mut branch = State::new(view.own.auth.clone());
        branch.head = head.clone();
        branch.origin = Some(Origin {
            parent: self.id,
            lineage: Lineage {
                length: head.length(),
                cut: false,
            },
        });
        let id = shelf.add(branch);
        if let Some(log) = shelf.logs.get_mut(&self.id) {
            Arc::make_mut(log).branches.insert(name.into(), id);
        }
        Ok(self.handle(id, name))
    }

    fn delete_branch(&self, name: &str) -> Result<bool, StorageError> {
        let mut shelf = open_mut(&self.shelf)?;
        shelf.log(self)?;
        let log = shelf.logs.get_mut(&self.id);
        let id = log.and_then(|log| Arc::make_mut(log).branches.remove(name));
        Ok(id.is_some_and(|id| shelf.logs.remove(&id).is_some()))
    }

    fn move_to(
        &self,
        parent: &dyn CoreStore,
        shared: Length,
        batch: Batch,
        _level: Durability,
    ) -> Result<Ticket, StorageError> {
        let parent = parent.as_any().downcast_ref::<Self>();
        let parent = parent.filter(|parent| Arc::ptr_eq(&parent.shelf, &self.shelf));
        let parent = parent.ok_or(StorageError::OtherStore)?;
        let mut shelf = open_mut(&self.shelf)?;
        shelf.check(self, &batch)?;
        let (view, target) = (shelf.view(self)?, shelf.view(parent)?);
        let name = self.name.clone().ok_or(BatchError::NotABranch)?;
        let origin = view.own.origin.clone().ok_or(BatchError::NotABranch)?;
        if target.own.origin.is_some() {
            return Err(StorageError::BranchOfBranch);
        }
        let taken = target.own.branches.get(&name);
        if taken.is_some_and(|id| *id != self.id) {
            return Err(StorageError::BranchExists {
                name: name.to_string(),
            });
        }
        let length = view.own.head.length();
        if shared > length {
            return Err(BatchError::InheritsPastEnd { shared, length }.into());
        }
        let roots = flat::full_roots(shared).map(|index| view.node(index));
        let roots: Option<Vec<Node>> = roots.collect();
        let reset = batch.head.as_ref().filter(|_| batch.inherit.is_some());
        let reset = reset.map_or(&[][..], Head::roots);
        if !roots.is_some_and(|roots| target.has_roots(&roots)) || !target.has_roots(reset) {
            return Err(BatchError::OtherTree.into());
        }
        shelf.rebase(self.id, name, &origin, parent.id, shared);
        shelf.apply(self.id, batch);
        Ok(Ticket::reached())
    }

    fn as_any(&self) -> &dyn Any {
        self
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
