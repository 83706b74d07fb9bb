//! All logs in memory: their names, and how batches are checked and carried out. Knows no lock.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hc_merkle::{DiscoveryKey, Length};

use super::state::{Origin, State, View};
use super::{Id, MemoryCore};
use crate::batch::{Batch, BatchError};
use crate::error::StorageError;
use crate::record::{Alias, CoreEntry, Lineage, Moment, StoreSecret};

#[derive(Debug, Default)]
pub(super) struct Shelf {
    pub(super) names: BTreeMap<DiscoveryKey, Id>,
    pub(super) logs: BTreeMap<Id, Arc<State>>,
    pub(super) last: Id,
    pub(super) default: Option<DiscoveryKey>,
    pub(super) aliases: BTreeMap<Alias, DiscoveryKey>,
    pub(super) secret: Option<StoreSecret>,
    /// How often any log has changed.
    pub(super) changes: u64,
    pub(super) closed: bool,
}

impl Shelf {
    pub(super) fn add(&mut self, state: State) -> Id {
        self.last += 1;
        self.logs.insert(self.last, Arc::new(state));
        self.last
    }

    pub(super) fn entry(&self, key: &DiscoveryKey) -> Option<CoreEntry> {
        let log = self.logs.get(self.names.get(key)?)?;
        Some(CoreEntry {
            discovery_key: *key,
            key: log.auth.key,
        })
    }

    pub(super) fn check_name(&self, alias: &Alias) -> Result<(), StorageError> {
        alias.check()?;
        match self.aliases.get(alias) {
            Some(key) => Err(StorageError::NameTaken {
                name: alias.name.clone(),
                key: *key,
            }),
            None => Ok(()),
        }
    }

    pub(super) fn log(&self, core: &MemoryCore) -> Result<&Arc<State>, StorageError> {
        let gone = || match &core.name {
            Some(name) => StorageError::NoBranch {
                name: name.to_string(),
            },
            None => StorageError::CoreDeleted { key: core.key },
        };
        self.logs.get(&core.id).ok_or_else(gone)
    }

    /// The log that a branch left.
    pub(super) fn below(&self, log: &State) -> Option<&Arc<State>> {
        let origin = log.origin.as_ref()?;
        self.logs.get(&origin.parent)
    }

    pub(super) fn view(&self, core: &MemoryCore) -> Result<View<'_>, StorageError> {
        let own = self.log(core)?;
        Ok(View::new(own, self.below(own).map(|below| &**below)))
    }

    pub(super) fn check(&self, core: &MemoryCore, batch: &Batch) -> Result<(), StorageError> {
        let log = self.log(core)?;
        let found = (log.head.fork(), log.head.length());
        if let Some(expected) = batch.base.filter(|expected| *expected != found) {
            return Err(StorageError::Stale { expected, found });
        }
        if batch.inherit.is_some() && log.origin.is_none() {
            return Err(BatchError::NotABranch.into());
        }
        match (log.group, batch.group) {
            (_, Some(_)) if log.origin.is_some() => return Err(BatchError::GroupOfBranch.into()),
            (Some(old), Some(new)) if old != new => {
                return Err(StorageError::OtherGroup { key: core.key });
            }
            _ => {}
        }
        Ok(batch.check(found.0, found.1)?)
    }

    /// What one frame of the default engine could not hold.
    pub(super) fn check_together(&self, batches: &[(Id, Batch)]) -> Result<(), BatchError> {
        let ids: BTreeSet<Id> = batches.iter().map(|(id, _)| *id).collect();
        if ids.len() < batches.len() {
            return Err(BatchError::Repeated);
        }
        for (id, _) in batches.iter().filter(|(_, batch)| batch.truncate.is_some()) {
            let branches = self.logs.get(id).map(|log| log.branches.values());
            if branches.into_iter().flatten().any(|id| ids.contains(id)) {
                return Err(BatchError::CutWithBranch);
            }
        }
        Ok(())
    }

    pub(super) fn apply(&mut self, id: Id, batch: Batch) {
        let Some(mut log) = self.logs.remove(&id) else {
            return;
        };
        if let Some(length) = batch.truncate {
            for branch in log.branches.values() {
                if let Some(branch) = self.logs.get_mut(branch) {
                    Arc::make_mut(branch).outlive(&log, length);
                }
            }
        }
        self.changes += 1;
        Arc::make_mut(&mut log).apply(batch, Moment(self.changes));
        self.logs.insert(id, log);
    }

    /// Makes a branch one of another log.
    pub(super) fn rebase(
        &mut self,
        id: Id,
        name: Arc<str>,
        from: &Origin,
        parent: Id,
        shared: Length,
    ) {
        let old = self.logs.get(&from.parent).cloned();
        if let Some((branch, old)) = self.logs.get_mut(&id).zip(old) {
            let branch = Arc::make_mut(branch);
            branch.outlive(&old, shared);
            let lineage = Lineage {
                length: shared,
                cut: false,
            };
            branch.origin = Some(Origin { parent, lineage });
        }
        if let Some(old) = self.logs.get_mut(&from.parent) {
            Arc::make_mut(old).branches.remove(&name);
        }
        if let Some(new) = self.logs.get_mut(&parent) {
            Arc::make_mut(new).branches.insert(name, id);
        }
    }
}
