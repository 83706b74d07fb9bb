//! What is damaged, and dropping it: blocks that are not what was written are cleared, so that peers can
//! be asked for them; frames that are not whole are left out of the log; a log whose tree has holes at
//! its roots starts again from nothing, unless its secret key is here; secret keys are mended or set aside.
//!
//! Knows nothing of signatures: `verify`, above, ties blocks to those.

use std::sync::Arc;

use hc_bitfield::RangeSet;
use hc_merkle::{BlockIndex, DiscoveryKey};

use super::Engine;
use super::collect::Effort;
use super::commit::Commit;
use super::core::CoreHandle;
use super::state::Core;
use crate::batch::Batch;
use crate::durability::Durability;
use crate::error::{Damage, DamageKind, StorageError};
use crate::lock::{lock, read};
use crate::log::{Gap, recover};
use crate::record::entry::{Entry, HeadRecord};
use crate::store::{CoreRead, CoreStore, Repaired};

impl Engine {
    /// What is known to be damaged in the log, and among the secret keys.
    pub(crate) fn damage(&self) -> Vec<Damage> {
        let gaps = lock(&self.gaps);
        let in_log = gaps.iter().map(|gap| self.damage_of(gap));
        in_log.chain(self.secrets.damage()).collect()
    }

    fn damage_of(&self, gap: &Gap) -> Damage {
        let kind = DamageKind::Frame;
        recover::damage(&*self.disk, gap.segment, gap.start.into(), kind)
    }

    /// A log that is signed here takes no more appends where some of it may be lost: they would be
    /// signed a second time at the same length.
    pub(crate) fn check_unharmed(&self, core: &Core) -> Result<(), StorageError> {
        let gaps = lock(&self.gaps);
        match gaps.iter().find(|gap| gap.first < gap.next) {
            Some(gap) if self.is_signed_here(core) => Err(StorageError::AppendsLost {
                core: core.identity.discovery_key,
                damage: self.damage_of(gap),
            }),
            _ => Ok(()),
        }
    }

    /// Whether the secret key of a log is here, or the secret that the keys of named logs come from.
    fn is_signed_here(&self, core: &Core) -> bool {
        let derived =
            || read(&core.state).facts.alias.is_some() && self.secrets.of_store().is_some();
        self.secrets.key(&core.identity.discovery_key).is_some() || derived()
    }

    /// Drops what is damaged.
    pub(crate) fn repair(
        self: &Arc<Self>,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Repaired, StorageError> {
        self.check_writable()?;
        let mut done = Repaired::default();
        let names = self.all_named().map_err(|error| self.distrust(error))?;
        let mut looked = 0;
        for name in names.into_keys() {
            let Some(core) = self.named_as_is(&name)? else {
                continue;
            };
            if !read(&core.state).resolved && self.is_rootless(&core)? {
                if self.is_signed_here(&core) {
                    done.suspect.push(name);
                } else {
                    self.reset(&core)?;
                    done.reset.push(name);
                }
                continue;
            }
            let handle = CoreHandle {
                engine: Arc::clone(self),
                core,
            };
            let bad = handle.bad_blocks(&mut looked, progress)?;
            if bad.is_empty() {
                continue;
            }
            let mut batch = Batch::new();
            for range in bad.iter() {
                batch.clear(BlockIndex::new(range.start)..BlockIndex::new(range.end));
            }
            handle.commit(batch, Durability::Disk)?.wait()?;
            done.blocks.push((name, bad));
        }
        self.drop_gaps(&mut done)?;
        let keys = self.secrets.repair()?;
        done.corrected_keys = keys.corrected;
        done.lost_keys = keys.set_aside;
        Ok(done)
    }

    /// Leaves out of the log what was passed over in it.
    fn drop_gaps(&self, done: &mut Repaired) -> Result<(), StorageError> {
        let gaps = lock(&self.gaps).clone();
        if gaps.is_empty() {
            return Ok(());
        }
        for gap in &gaps {
            done.frames += gap.next.0.saturating_sub(gap.first.0);
        }
        let names = self.all_named().map_err(|error| self.distrust(error))?;
        for name in names.into_keys().filter(|_| done.frames > 0) {
            let core = self.named_as_is(&name)?;
            let signed = core.is_some_and(|core| self.is_signed_here(&core));
            if signed && !done.suspect.contains(&name) {
                done.suspect.push(name);
            }
        }
        self.collect(Effort::Repair, &mut |_| {})?;
        lock(&self.gaps).clear();
        self.finish_segment()
    }

    pub(crate) fn named_as_is(
        &self,
        name: &DiscoveryKey,
    ) -> Result<Option<Arc<Core>>, StorageError> {
        let mut registry = lock(&self.registry);
        let found = self.find(&registry, name);
        let found = found.map_err(|error| self.distrust(error))?;
        let Some((id, _)) = found else {
            return Ok(None);
        };
        let core = self.core_as_is(&mut registry, id);
        core.map_err(|error| self.distrust(error))
    }

    /// Whether a root of the head is not there.
    pub(crate) fn is_rootless(&self, core: &Core) -> Result<bool, StorageError> {
        match self.resolve_head(core) {
            Ok(()) => Ok(false),
            Err(StorageError::Damaged(_)) => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Starts a log again from nothing; who it is, and what users put to it, stays.
    fn reset(&self, core: &Arc<Core>) -> Result<(), StorageError> {
        let _writer = lock(&core.writer);
        let mut entry = Entry::new(core.id);
        entry.truncate = Some(0);
        entry.head = Some(HeadRecord::EMPTY);
        let effects = self.effects(core, &entry)?;
        let mut commit = Commit::bare(Arc::clone(core), entry, effects);
        commit.head = Some(hc_merkle::Head::empty());
        let placed = self.commit(vec![commit], Durability::Disk)?;
        self.ticket(&placed, Durability::Disk).wait()
    }
}

impl CoreHandle {
    /// Blocks that are stored and are not what was written.
    fn bad_blocks(
        &self,
        looked: &mut u64,
        progress: &mut dyn FnMut(u64),
    ) -> Result<RangeSet, StorageError> {
        let mut bad = RangeSet::new();
        for range in self.bitfield()?.ranges(0..u64::MAX) {
            for block in range {
                match self.block(BlockIndex::new(block)) {
                    Err(StorageError::BlockDamaged { .. }) => {
                        bad.insert(block..block.saturating_add(1));
                    }
                    read => drop(read?),
                }
                *looked += 1;
                if looked.is_multiple_of(256) {
                    progress(*looked);
                }
            }
        }
        progress(*looked);
        Ok(bad)
    }
}
