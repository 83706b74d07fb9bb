//! The store of the default engine, as its users hold it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use hc_merkle::DiscoveryKey;

use super::collect::Effort;
use super::commit::{Commit, Effects};
use super::core::CoreHandle;
use super::open::StoreOptions;
use super::state::{Core, Facts};
use super::{Engine, Space};
use crate::batch::Batch;
use crate::disk::fault;
use crate::durability::{Durability, Ticket};
use crate::error::{Action, Damage, OpenError, StorageError};
use crate::lock::{lock, read};
use crate::log::segment;
use crate::record::entry::{CoreId, Entry, HeadRecord, Identity};
use crate::record::{
    ActiveCore, Alias, CoreEntry, CoreRecord, NamedCore, NamespaceId, StoreSecret, Topic,
};
use crate::store::{Access, CoreStore, Repaired, Rootless, Store, Usage};

/// A store in a directory.
///
/// Dropped without [`close`](Store::close), it closes with its last handle; what then goes wrong goes
/// unsaid.
#[derive(Debug)]
pub struct DiskStore(pub(super) Arc<Engine>);

impl DiskStore {
    /// Opens the store in a directory for reading and writing, or makes one there.
    ///
    /// # Errors
    /// [`OpenError`] says what is in the way, and where.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        StoreOptions::default().create(true).open(path)
    }

    /// Opens the store in a directory for reading, beside whoever writes to it.
    ///
    /// The index is the writer's alone, so this takes a copy of it into the system's temporary directory, or
    /// where the log is short, or the index of no use, makes one from the log: some four seconds for a million
    /// blocks. [`refresh`](Store::refresh) takes in what was written since.
    ///
    /// # Errors
    /// [`OpenError`] says what is in the way, and where.
    pub fn open_read_only(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        StoreOptions::default().read_only().open(path)
    }

    pub(crate) fn new(engine: Arc<Engine>) -> Self {
        Self(engine)
    }

    fn handle(&self, core: Arc<Core>) -> Arc<dyn CoreStore> {
        Arc::new(CoreHandle {
            engine: Arc::clone(&self.0),
            core,
        })
    }

    fn find(&self, key: &DiscoveryKey) -> Result<Option<Arc<Core>>, StorageError> {
        self.0.look(|| {
            let mut registry = lock(&self.0.registry);
            let found = self
                .0
                .find(&registry, key)
                .map_err(|error| self.0.distrust(error))?;
            match found {
                Some((id, _)) => self.0.core(&mut registry, id),
                None => Ok(None),
            }
        })
    }

    /// Writes entries about the store itself, or about logs that are not open.
    fn write(&self, commits: Vec<Commit>) -> Result<(), StorageError> {
        let level = self.0.options.lasting();
        let placed = self.0.commit(commits, level)?;
        self.0.ticket(&placed, level).wait()
    }
}

impl Store for DiskStore {
    fn create_core(&self, record: CoreRecord) -> Result<Arc<dyn CoreStore>, StorageError> {
        let engine = &self.0;
        engine.check_writable()?;
        let CoreRecord {
            discovery_key,
            auth,
            alias,
        } = record;
        let _creating = lock(&engine.creating);
        if self.find(&discovery_key)?.is_some() {
            return Err(StorageError::CoreExists { key: discovery_key });
        }
        if let Some(alias) = &alias {
            engine.check_name(alias)?;
        }
        if let Some(secret) = auth.secret_key {
            engine.secrets.set(discovery_key, secret)?;
        }
        let id = CoreId(lock(&engine.registry).next_id);
        let identity = Identity {
            discovery_key,
            key: auth.key,
            compat: auth.compat,
        };
        let core = Core::new(id, identity, Facts::empty(), HeadRecord::EMPTY);
        let core = Arc::new(core);
        let mut entry = Entry::new(id);
        entry.create = Some(identity);
        entry.manifest = auth.manifest.map(Arc::unwrap_or_clone);
        entry.encryption = auth.encryption;
        entry.alias = alias;
        let commit = Commit::bare(Arc::clone(&core), entry, Effects::default());
        self.write(vec![commit])?;
        Ok(self.handle(core))
    }

    fn open_core(&self, key: &DiscoveryKey) -> Result<Option<Arc<dyn CoreStore>>, StorageError> {
        self.0.check_open()?;
        Ok(self.find(key)?.map(|core| self.handle(core)))
    }

    fn open_rootless(&self, key: &DiscoveryKey) -> Result<Option<Rootless>, StorageError> {
        self.0.check_open()?;
        let Some(core) = self.0.named_as_is(key)? else {
            return Ok(None);
        };
        if read(&core.state).resolved || !self.0.is_rootless(&core)? {
            return Ok(None);
        }
        let (fork, length) = read(&core.state).at();
        Ok(Some(Rootless {
            log: self.handle(core),
            fork,
            length,
        }))
    }

    fn cores(&self) -> Result<Vec<CoreEntry>, StorageError> {
        self.0.check_open()?;
        let all = self.0.all_named().map_err(|error| self.0.distrust(error))?;
        let entry = |(discovery_key, (_, key))| CoreEntry { discovery_key, key };
        Ok(all.into_iter().map(entry).collect())
    }

    fn default_core(&self) -> Result<Option<DiscoveryKey>, StorageError> {
        self.0.check_open()?;
        let mut registry = lock(&self.0.registry);
        let Some(id) = registry.default else {
            return Ok(None);
        };
        let core = self.0.core_as_is(&mut registry, id);
        let core = core.map_err(|error| self.0.distrust(error))?;
        Ok(core.map(|core| core.identity.discovery_key))
    }

    fn set_default_core(&self, key: &DiscoveryKey) -> Result<(), StorageError> {
        self.0.check_writable()?;
        let core = self.find(key)?.ok_or(StorageError::NoCore { key: *key })?;
        let _writer = lock(&core.writer);
        let mut entry = Entry::new(core.id);
        entry.default = Some(core.id);
        self.write(vec![Commit::bare(
            Arc::clone(&core),
            entry,
            Effects::default(),
        )])
    }

    fn find_named(&self, alias: &Alias) -> Result<Option<CoreEntry>, StorageError> {
        self.0.check_open()?;
        let mut registry = lock(&self.0.registry);
        let found = self.0.find_alias(&registry, alias);
        let found = found.map_err(|error| self.0.distrust(error))?;
        registry.found = found.or(registry.found);
        Ok(found.map(|named| named.entry))
    }

    fn named(&self, namespace: Option<NamespaceId>) -> Result<Vec<NamedCore>, StorageError> {
        self.0.check_open()?;
        let found = self.0.named(namespace);
        found.map_err(|error| self.0.distrust(error))
    }

    fn set_name(&self, key: &DiscoveryKey, alias: Alias) -> Result<(), StorageError> {
        self.0.check_writable()?;
        let _creating = lock(&self.0.creating);
        let core = self.find(key)?.ok_or(StorageError::NoCore { key: *key })?;
        let _writer = lock(&core.writer);
        match &read(&core.state).facts.alias {
            Some(known) if **known == alias => return Ok(()),
            Some(_) => {
                return Err(StorageError::OtherName {
                    key: *key,
                    name: alias.name,
                });
            }
            None => {}
        }
        self.0.check_name(&alias)?;
        let mut entry = Entry::new(core.id);
        entry.alias = Some(alias);
        let commit = Commit::bare(Arc::clone(&core), entry, Effects::default());
        self.write(vec![commit])
    }

    fn group(&self, topic: &Topic) -> Result<Vec<ActiveCore>, StorageError> {
        self.0.check_open()?;
        let found = self.0.active_in(topic);
        found.map_err(|error| self.0.distrust(error))
    }

    fn secret(&self) -> Result<Option<StoreSecret>, StorageError> {
        self.0.check_open()?;
        Ok(self.0.secrets.of_store())
    }

    fn set_secret(&self, secret: StoreSecret) -> Result<(), StorageError> {
        self.0.check_writable()?;
        let _creating = lock(&self.0.creating);
        match self.0.secrets.of_store() {
            Some(kept) if kept == secret => Ok(()),
            Some(_) => Err(StorageError::OtherSecret),
            None => {
                // one that was kept, and can not be read now, is not to be replaced unnoticed
                let is_log = |key: &DiscoveryKey| self.find(key).is_ok_and(|log| log.is_some());
                if let Some(damage) = self.0.secrets.unreadable(is_log) {
                    return Err(damage.into());
                }
                Ok(self.0.secrets.set_of_store(&secret)?)
            }
        }
    }

    fn delete_core(&self, key: &DiscoveryKey) -> Result<bool, StorageError> {
        let engine = &self.0;
        engine.check_writable()?;
        let _creating = lock(&engine.creating);
        let Some(core) = self.find(key)? else {
            return Ok(false);
        };
        Core::writing(&[&core], || {
            let branches = Arc::clone(&read(&core.state).facts.branches);
            let mut all = Vec::with_capacity(branches.len() + 1);
            for id in branches.values() {
                all.push(engine.member(*id)?);
            }
            all.push(Arc::clone(&core));
            let deletions = all.into_iter().map(|core| engine.deletion(core));
            self.write(deletions.collect::<Result<_, _>>()?)
        })
        .map_err(|error| engine.doubt(error))?;
        engine.secrets.forget(key)?;
        Ok(true)
    }

    fn commit_all(
        &self,
        batches: Vec<(Arc<dyn CoreStore>, Batch)>,
        level: Durability,
    ) -> Result<Ticket, StorageError> {
        let cores: Vec<_> = batches.iter().map(|(core, _)| Arc::clone(core)).collect();
        let own = |(core, (_, batch)): (_, (_, Batch))| {
            let core: &Arc<dyn CoreStore> = core;
            Ok((self.0.own_handle(&**core)?, batch))
        };
        let batches = cores.iter().zip(batches).map(own);
        self.0
            .commit_batches(batches.collect::<Result<_, StorageError>>()?, level)
    }

    fn usage(&self) -> Result<Usage, StorageError> {
        self.0.check_open()?;
        let log = self.0.log_len()?;
        let index = self.0.index.size()?;
        let registry = lock(&self.0.registry);
        let Space { data, live } = registry.space_of_all();
        let total = log.saturating_add(index);
        Ok(Usage {
            total,
            log,
            index,
            live,
            // of an index that was made again nobody knows what holes there are
            dead: data.min(log).saturating_sub(live),
        })
    }

    fn delay(&self) -> Duration {
        self.0.owed(Instant::now())
    }

    fn compact(&self, progress: &mut dyn FnMut(u64)) -> Result<(), StorageError> {
        self.0.collect(Effort::Everything, progress)
    }

    fn damage(&self) -> Result<Vec<Damage>, StorageError> {
        self.0.check_open()?;
        Ok(self.0.damage())
    }

    fn repair(&self, progress: &mut dyn FnMut(u64)) -> Result<Repaired, StorageError> {
        self.0.repair(progress)
    }

    fn sync(&self, level: Durability) -> Result<(), StorageError> {
        self.0.check_open()?;
        if self.0.access == Access::ReadOnly || level == Durability::Buffered {
            return Ok(());
        }
        let end = self.0.log.flush()?;
        match end.lsn.0.checked_sub(1) {
            Some(last) if level == Durability::Disk => self.0.log.sync(crate::log::Lsn(last)),
            _ => Ok(()),
        }
    }

    fn refresh(&self) -> Result<bool, StorageError> {
        self.0.check_open()?;
        match self.0.access {
            Access::ReadWrite => Ok(false),
            Access::ReadOnly => self.0.read_on(),
        }
    }

    fn close(&self) -> Result<(), StorageError> {
        self.0.close()
    }

    fn access(&self) -> Access {
        self.0.access
    }
}

impl Engine {
    /// Brings everything to index and device, and lets go of the lock.
    pub(crate) fn close(&self) -> Result<(), StorageError> {
        if self.closed.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        self.worker.stop();
        self.collector.stop();
        // whoever collects ends soon
        drop(lock(&self.collecting));
        let done = match self.access {
            Access::ReadWrite => self.log.trim().and_then(|()| self.checkpoint()),
            Access::ReadOnly => Ok(()),
        };
        self.log.fail(Arc::new(StorageError::Closed));
        lock(&self.lock).take();
        done
    }

    /// What an entry means for the list of logs. Under the lock of the registry.
    pub(crate) fn note_names(&self, core: &Arc<Core>, entry: &Entry) {
        if !entry.is_about_names() {
            return;
        }
        let is_branch = read(&core.state).lineage.is_some();
        let mut registry = lock(&self.registry);
        let name = core.identity.discovery_key;
        if entry.create.is_some() {
            registry.next_id = registry.next_id.max(core.id.0.saturating_add(1));
            registry
                .names
                .insert(name, Some((core.id, core.identity.key)));
            registry.cores.insert(core.id, Arc::downgrade(core));
        }
        Self::note_aliases(&mut registry, core, entry);
        if entry.branch.is_some() {
            registry.next_id = registry.next_id.max(core.id.0.saturating_add(1));
            registry.cores.insert(core.id, Arc::downgrade(core));
        }
        if entry.delete && !is_branch {
            registry.names.insert(name, None);
            registry.found = None;
        }
        registry.note_default(entry);
    }

    fn log_len(&self) -> Result<u64, StorageError> {
        let listed = self.disk.list(segment::DIR);
        let names = listed.map_err(fault(&*self.disk, Action::List, segment::DIR))?;
        let mut total = 0u64;
        for number in names
            .iter()
            .flatten()
            .filter_map(|name| segment::number(name))
        {
            let name = segment::name(number);
            let opened = self.disk.open(&name, false);
            let Some(file) = opened.map_err(fault(&*self.disk, Action::Open, &name))? else {
                continue;
            };
            let len = file
                .allocated()
                .map_err(fault(&*self.disk, Action::Read, &name))?;
            total = total.saturating_add(len);
        }
        Ok(total)
    }
}
