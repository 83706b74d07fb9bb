//! Branches of a log: making, finding, moving and deleting them.
//!
//! A branch is a log with a number of its own, known by its name to the log that it left. Owns that
//! list, and which branches a cut of their log concerns. Knows nothing of how a branch is read.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hc_merkle::{Head, Length, Node, NodeIndex, flat};

use super::commit::{Commit, Effects};
use super::core::CoreHandle;
use super::lookups::Lookups;
use super::state::{Core, Facts};
use super::{Engine, Registry};
use crate::batch::{Batch, BatchError};
use crate::durability::{Durability, Ticket};
use crate::error::StorageError;
use crate::index::bad_entry;
use crate::limits::MAX_BRANCH_NAME_LEN;
use crate::lock::{lock, read, write};
use crate::record::entry::{CoreId, Entry, HeadRecord, Origin};
use crate::store::CoreStore;

impl Core {
    /// A branch that nothing is known of but its number and its log.
    pub(crate) fn branch_of(parent: &Self, id: CoreId) -> Self {
        Self::new(id, parent.identity, Facts::empty(), HeadRecord::EMPTY)
    }
}

impl Registry {
    /// A branch was made.
    pub(crate) fn note_branch(&mut self, id: CoreId) {
        self.branches.as_mut().map(|all| all.insert(id));
    }

    /// Whether there is a branch, as far as anybody asked.
    pub(crate) fn may_have_branches(&self) -> bool {
        self.branches.as_ref().is_none_or(|all| !all.is_empty())
    }

    pub(crate) fn forget_branch(&mut self, id: CoreId) {
        self.branches.as_mut().map(|all| all.remove(&id));
    }
}

impl Engine {
    /// The branches that there are, of whatever log.
    fn all_branches(&self) -> Result<BTreeSet<CoreId>, StorageError> {
        let mut registry = lock(&self.registry);
        if let Some(all) = &registry.branches {
            return Ok(all.clone());
        }
        // not by all numbers that may have been given: a log that is damaged may say any
        let indexed = self.indexed_branches();
        let mut all = indexed.map_err(|error| self.distrust(error))?;
        for (id, core) in &registry.dirty {
            let state = read(&core.state);
            if state.deleted {
                all.remove(id);
            } else if state.lineage.is_some() {
                all.insert(*id);
            }
        }
        registry.branches = Some(all.clone());
        Ok(all)
    }

    /// The first of some logs that is a branch or has some: what each of those has may hang on what was
    /// once said of the other. Where one had a branch, or is gone and may have had one, that may have gone
    /// to another log since.
    pub(crate) fn shared_of<'c>(
        &self,
        ids: impl Iterator<Item = &'c CoreId>,
    ) -> Result<Option<CoreId>, StorageError> {
        let mut had_branches = false;
        for id in ids {
            let Some(core) = self.loaded(*id)? else {
                had_branches = true;
                continue;
            };
            let state = read(&core.state);
            if state.is_in_family() {
                return Ok(Some(*id));
            }
            had_branches |= state.deleted || state.facts.had_branches;
        }
        if !had_branches {
            return Ok(None);
        }
        Ok(self.all_branches()?.first().copied())
    }

    /// The branches that may have blocks of a log by now: its own, and those that went elsewhere, of which
    /// nobody knows where they came from.
    pub(crate) fn heirs_of(&self, core: &Core) -> Result<BTreeSet<CoreId>, StorageError> {
        if !read(&core.state).facts.had_branches {
            return Ok(BTreeSet::new());
        }
        let mut heirs = self.all_branches()?;
        heirs.remove(&core.id);
        Ok(heirs)
    }

    /// The handle of a log of this store.
    pub(crate) fn own_handle<'a>(
        &self,
        core: &'a dyn CoreStore,
    ) -> Result<&'a CoreHandle, StorageError> {
        let handle = core.as_any().downcast_ref::<CoreHandle>();
        handle
            .filter(|handle| std::ptr::eq(&*handle.engine, self))
            .ok_or(StorageError::OtherStore)
    }

    /// The log or branch with a number, which there must be; the roots of its head may be missing.
    pub(crate) fn member(&self, id: CoreId) -> Result<Arc<Core>, StorageError> {
        let found = self.core_as_is(&mut lock(&self.registry), id)?;
        found.ok_or_else(|| bad_entry(&*self.index).into())
    }

    fn branch_id(handle: &CoreHandle, name: &str) -> Result<Option<CoreId>, StorageError> {
        handle.read(|state| Ok(state.facts.branches.get(name).copied()))
    }

    pub(crate) fn find_branch(
        self: &Arc<Self>,
        parent: &CoreHandle,
        name: &str,
    ) -> Result<Option<CoreHandle>, StorageError> {
        let Some(id) = Self::branch_id(parent, name)? else {
            return Ok(None);
        };
        let core = self.core(&mut lock(&self.registry), id);
        let core = core.and_then(|core| core.ok_or_else(|| bad_entry(&*self.index).into()));
        let core = core.map_err(|error| self.doubt(error))?;
        Ok(Some(CoreHandle {
            engine: Arc::clone(self),
            core,
        }))
    }

    /// The branches of a log that read it past a length, and how far they do.
    pub(crate) fn branches_past(
        &self,
        core: &Core,
        length: u64,
    ) -> Result<Vec<(Arc<Core>, u64)>, StorageError> {
        let branches = Arc::clone(&read(&core.state).facts.branches);
        let mut past = Vec::new();
        for id in branches.values() {
            let branch = self.member(*id)?;
            let inherited = read(&branch.state)
                .lineage
                .as_ref()
                .map_or(0, |lineage| lineage.length);
            if inherited > length {
                past.push((branch, inherited));
            }
        }
        Ok(past)
    }

    pub(crate) fn create_branch(
        self: &Arc<Self>,
        parent: &CoreHandle,
        name: &str,
        head: &Head,
    ) -> Result<CoreHandle, StorageError> {
        self.check_writable()?;
        if name.len() > MAX_BRANCH_NAME_LEN {
            return Err(BatchError::NameTooLong { len: name.len() }.into());
        }
        let _creating = lock(&self.creating);
        let placed = Core::writing(&[&parent.core], || {
            if parent.lineage_of()?.is_some() {
                return Err(StorageError::BranchOfBranch);
            }
            if Self::branch_id(parent, name)?.is_some() {
                return Err(StorageError::BranchExists { name: name.into() });
            }
            parent.check_roots(head.roots())?;
            let core = Arc::new(Core::branch_of(&parent.core, self.next_id()));
            let mut entry = Entry::new(core.id);
            entry.branch = Some(Origin {
                parent: parent.core.id,
                name: name.into(),
                length: head.length().get(),
            });
            entry.head = Some(HeadRecord::of(head));
            let effects = Effects {
                parent: Some(Arc::clone(&parent.core)),
                ..Effects::default()
            };
            let mut commit = Commit::bare(Arc::clone(&core), entry, effects);
            commit.head = Some(head.clone());
            let placed = self.commit(vec![commit], self.options.lasting())?;
            Ok((core, placed))
        });
        let (core, placed) = placed?;
        self.ticket(&placed, self.options.lasting()).wait()?;
        Ok(CoreHandle {
            engine: Arc::clone(self),
            core,
        })
    }

    pub(crate) fn delete_branch(
        &self,
        parent: &CoreHandle,
        name: &str,
    ) -> Result<bool, StorageError> {
        self.check_writable()?;
        let _creating = lock(&self.creating);
        let placed = Core::writing(&[&parent.core], || {
            let Some(id) = Self::branch_id(parent, name)? else {
                return Ok(None);
            };
            let commit = self.deletion(self.member(id)?)?;
            self.commit(vec![commit], self.options.lasting()).map(Some)
        });
        match placed.map_err(|error| self.doubt(error))? {
            None => Ok(false),
            Some(placed) => {
                self.ticket(&placed, self.options.lasting()).wait()?;
                Ok(true)
            }
        }
    }

    /// What deletes a log or branch.
    pub(crate) fn deletion(&self, core: Arc<Core>) -> Result<Commit, StorageError> {
        let mut entry = Entry::new(core.id);
        entry.delete = true;
        let effects = self.effects(&core, &entry)?;
        Ok(Commit::bare(core, entry, effects))
    }

    /// Makes a branch one of another log, which has the same tree up to `shared`; then carries out a
    /// batch on it.
    pub(crate) fn move_branch(
        &self,
        branch: &CoreHandle,
        parent: &CoreHandle,
        shared: Length,
        batch: Batch,
        level: Durability,
    ) -> Result<Ticket, StorageError> {
        self.check_writable()?;
        let placed = Core::writing(&[&branch.core, &parent.core], || {
            let name = branch.lineage_of()?.ok_or(BatchError::NotABranch)?;
            if parent.lineage_of()?.is_some() {
                return Err(StorageError::BranchOfBranch);
            }
            let taken = Self::branch_id(parent, &name)?;
            if taken.is_some_and(|id| id != branch.core.id) {
                return Err(StorageError::BranchExists {
                    name: name.to_string(),
                });
            }
            let length = branch.read(|state| Ok(state.facts.head.length()))?;
            if shared > length {
                return Err(BatchError::InheritsPastEnd { shared, length }.into());
            }
            let roots = branch.roots_at(shared)?;
            parent.check_roots(&roots)?;
            if let Some(head) = batch.head.as_ref().filter(|_| batch.inherit.is_some()) {
                parent.check_roots(head.roots())?;
            }
            let mut commit = branch.prepare(batch)?;
            commit.entry.branch = Some(Origin {
                parent: parent.core.id,
                name,
                length: shared.get(),
            });
            commit.effects = self.effects(&branch.core, &commit.entry)?;
            self.commit(vec![commit], level)
        });
        let placed = placed.map_err(|error| self.doubt(error))?;
        self.relieve()?;
        Ok(self.ticket(&placed, level))
    }

    /// Adds a branch to the list of its log, or takes it off.
    pub(crate) fn note_branch(&self, parent: &Arc<Core>, name: &Arc<str>, branch: Option<CoreId>) {
        {
            let mut state = write(&parent.state);
            let branches: &mut BTreeMap<_, _> = Arc::make_mut(&mut state.facts.branches);
            match branch {
                Some(id) => branches.insert(Arc::clone(name), id),
                None => branches.remove(name),
            };
            state.facts.had_branches = true;
            state.dirty.any = true;
            state.dirty.branches.insert(Arc::clone(name));
        }
        let mut registry = lock(&self.registry);
        registry.dirty.insert(parent.id, Arc::clone(parent));
    }

    fn next_id(&self) -> CoreId {
        CoreId(lock(&self.registry).next_id)
    }
}

impl CoreHandle {
    /// The name of a branch.
    fn lineage_of(&self) -> Result<Option<Arc<str>>, StorageError> {
        self.read(|state| {
            let lineage = state.lineage.as_ref();
            Ok(lineage.map(|lineage| Arc::clone(&lineage.name)))
        })
    }

    /// The roots of the tree at a length, as this log has them.
    fn roots_at(&self, length: Length) -> Result<Vec<Node>, StorageError> {
        let indexes: Vec<NodeIndex> = flat::full_roots(length).collect();
        self.see(|seen| {
            let mut lookups = self.lookups_through(seen);
            let mut roots = Vec::with_capacity(indexes.len());
            for index in indexes {
                let found = lookups.node(index).map_err(|e| self.engine.distrust(e))?;
                roots.push(found.ok_or(BatchError::OtherTree)?);
            }
            Ok(roots)
        })
    }

    /// Whether this log has some roots of a tree.
    pub(crate) fn check_roots(&self, roots: &[Node]) -> Result<(), StorageError> {
        self.see(|seen| {
            let length = seen.state.facts.head.length();
            let mut lookups = Lookups::through(self.core.id, seen, self.engine.sources());
            for root in roots {
                let found = lookups.node(root.index);
                let found = found.map_err(|error| self.engine.distrust(error))?;
                if root.index.end() > length || found != Some(*root) {
                    return Err(BatchError::OtherTree.into());
                }
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error;

    use super::*;
    use crate::engine::StoreOptions;
    use crate::fault::FaultDisk;
    use crate::log::frame::Draft;
    use crate::store::Store;

    #[test]
    fn a_number_that_no_log_has_does_not_cost_as_many_looks() -> Result<(), Box<dyn Error>> {
        let disk = FaultDisk::new();
        let options = StoreOptions::default().create(true).background(false);
        let store = disk.open(options)?;
        let entry = Entry {
            delete: true,
            ..Entry::new(CoreId(u64::MAX - 1))
        };
        let mut body = Draft::body_buffer(1);
        Entry::encode_all(std::iter::once(&entry), &mut body);
        let frame = Draft::new(body, std::iter::empty()).ok_or("too long")?;
        store.0.log.append(frame, Durability::Os)?;
        store.close()?;
        disk.delete_index();
        let store = disk.open(options)?;
        assert_eq!(lock(&store.0.registry).next_id, u64::MAX);
        store.compact(&mut |_| {})?;
        assert!(store.0.all_branches()?.is_empty());
        Ok(())
    }
}
