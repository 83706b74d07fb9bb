//! A handle on one log of the default engine, or on a branch of one: how it is read.

use std::any::Any;
use std::ops::{Bound, ControlFlow, Range};
use std::sync::Arc;

use bytes::Bytes;
use hc_bitfield::Bitfield;
use hc_merkle::{BlockIndex, Head, Length, Node, NodeIndex, SecretKey};

use super::Engine;
use super::lookups::{Lookups, Seen, merged};
use super::reader::LOOKS;
use super::snapshot::CoreSnapshot;
use super::state::{Core, Facts, Pinned, State};
use crate::batch::Batch;
use crate::durability::{Durability, Ticket};
use crate::error::StorageError;
use crate::lock::{read, write};
use crate::log::Locator;
use crate::record::{Alias, Auth, Hints, Lineage, Topic, between};
use crate::store::{CoreRead, CoreStore};

/// Most bytes that one read of several blocks takes from a segment.
const RUN_BYTES: u64 = 1 << 20;

/// Most blocks that are looked up at once.
const RUN_BLOCKS: usize = 256;

/// A log, as its users hold it.
#[derive(Debug, Clone)]
pub(crate) struct CoreHandle {
    pub(crate) engine: Arc<Engine>,
    pub(crate) core: Arc<Core>,
}

impl CoreHandle {
    /// Looks at what the log has itself.
    pub(crate) fn read<T>(
        &self,
        look: impl FnOnce(&State) -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        self.engine.check_open()?;
        let state = read(&self.core.state);
        self.core.check_there(&state)?;
        look(&state)
    }

    /// Looks at all that is seen of the log: of a branch, with what is below.
    pub(crate) fn see<T>(
        &self,
        look: impl FnOnce(&Seen<'_>) -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        self.read(|state| {
            let Some(lineage) = &state.lineage else {
                let parent = None;
                return look(&Seen { state, parent });
            };
            // in this order everywhere: a branch, then its log
            let below = read(&lineage.parent.state);
            let parent = Some((lineage.parent.id, &*below, lineage.length));
            look(&Seen { state, parent })
        })
    }

    /// The log that a branch is one of; a log itself.
    fn root(&self) -> Self {
        Self {
            engine: Arc::clone(&self.engine),
            core: self.core.family(),
        }
    }

    pub(crate) fn lookups<'a>(&'a self, state: &'a State) -> Lookups<'a> {
        Lookups::new(self.core.id, state, self.engine.sources())
    }

    pub(crate) fn lookups_through<'a>(&'a self, seen: &Seen<'a>) -> Lookups<'a> {
        Lookups::through(self.core.id, seen, self.engine.sources())
    }

    pub(crate) fn auth_of(&self, facts: &Facts) -> Auth {
        let identity = &self.core.identity;
        Auth {
            key: identity.key,
            manifest: facts.manifest.clone(),
            secret_key: self.engine.secrets.key(&identity.discovery_key),
            encryption: facts.encryption,
            compat: identity.compat,
        }
    }

    /// The bytes of a block, if they are those that were written, from where `find` says that it is:
    /// it may be collected while it is read, and so be elsewhere when asked again.
    fn read_block(
        &self,
        block: u64,
        find: impl Fn() -> Result<Option<Locator>, StorageError>,
    ) -> Result<Option<Bytes>, StorageError> {
        let Some(mut at) = find()? else {
            return Ok(None);
        };
        let mut looks = 0..LOOKS;
        loop {
            if let Some(bytes) = self.engine.log.read_block(&at)? {
                return Ok(Some(bytes));
            }
            let Some(now) = find()? else { return Ok(None) };
            if now != at {
                at = now;
            } else if looks.next().is_none() || !self.engine.look_again()? {
                return Err(self.damaged(block, &at));
            }
        }
    }

    fn damaged(&self, block: u64, at: &Locator) -> StorageError {
        StorageError::BlockDamaged {
            core: self.core.family().identity.discovery_key,
            block: BlockIndex::new(block),
            segment: at.segment,
            offset: at.offset,
        }
    }

    /// Visits the blocks that `find` gives, a few hundred at a time, until it gives none.
    pub(crate) fn visit_blocks(
        &self,
        mut range: Range<u64>,
        find: impl Fn(Range<u64>, usize) -> Result<Vec<(u64, Locator)>, StorageError>,
        visit: &mut dyn FnMut(BlockIndex, Bytes) -> ControlFlow<()>,
    ) -> Result<(), StorageError> {
        loop {
            let found = find(range.clone(), RUN_BLOCKS)?;
            let Some((last, _)) = found.last() else {
                return Ok(());
            };
            range.start = last.saturating_add(1);
            let mut rest = found.as_slice();
            while !rest.is_empty() {
                let (run, after) = rest.split_at(run_len(rest));
                if self.visit_run(run, &find, visit)?.is_break() {
                    return Ok(());
                }
                rest = after;
            }
        }
    }

    /// Visits blocks that lie side by side, with one read.
    fn visit_run(
        &self,
        run: &[(u64, Locator)],
        find: impl Fn(Range<u64>, usize) -> Result<Vec<(u64, Locator)>, StorageError>,
        visit: &mut dyn FnMut(BlockIndex, Bytes) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, StorageError> {
        let Some((first, last)) = run.first().zip(run.last()) else {
            return Ok(ControlFlow::Continue(()));
        };
        let start = first.1.offset;
        let len = last.1.end().saturating_sub(start.into());
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        let bytes = self.engine.log.read(first.1.segment, start, len)?;
        for (block, at) in run {
            let from = (at.offset - start) as usize;
            let part = from..from.saturating_add(at.len as usize);
            let whole = part.end <= bytes.len();
            let mut part = if whole {
                bytes.slice(part)
            } else {
                Bytes::new()
            };
            if !crate::log::files::is_whole(at, &part) {
                let again = || {
                    let found = find(*block..block.saturating_add(1), 1)?;
                    Ok(found.first().map(|(_, at)| *at))
                };
                match self.read_block(*block, again)? {
                    Some(bytes) => part = bytes,
                    None => continue,
                }
            }
            if visit(BlockIndex::new(*block), part).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }
}

/// How many blocks at the front lie side by side in one segment.
fn run_len(found: &[(u64, Locator)]) -> usize {
    let mut len = 1;
    let mut bytes = found.first().map_or(0, |(_, at)| u64::from(at.len));
    for pair in found.windows(2) {
        let [(_, a), (_, b)] = pair else { break };
        bytes = bytes.saturating_add(b.len.into());
        if a.segment != b.segment || a.end() != u64::from(b.offset) || bytes > RUN_BYTES {
            break;
        }
        len += 1;
    }
    len
}

/// The first blocks of a range that are stored, at most `limit`, and where they are.
pub(crate) fn locate(
    bits: &Bitfield,
    range: Range<u64>,
    limit: usize,
    mut locator: impl FnMut(u64) -> Result<Locator, StorageError>,
) -> Result<Vec<(u64, Locator)>, StorageError> {
    let mut found = Vec::new();
    for block in bits.ranges(range).flatten().take(limit) {
        found.push((block, locator(block)?));
    }
    Ok(found)
}

impl CoreRead for CoreHandle {
    fn auth(&self) -> Result<Auth, StorageError> {
        self.read(|_| Ok(()))?;
        let root = self.root();
        root.read(|state| Ok(root.auth_of(&state.facts)))
    }

    fn head(&self) -> Result<Head, StorageError> {
        self.read(|state| Ok(state.facts.head.clone()))
    }

    fn bitfield(&self) -> Result<Bitfield, StorageError> {
        self.see(|seen| Ok(seen.bitfield()))
    }

    fn hints(&self) -> Result<Hints, StorageError> {
        self.read(|state| Ok(state.facts.hints))
    }

    fn block(&self, index: BlockIndex) -> Result<Option<Bytes>, StorageError> {
        let block = index.get();
        self.read_block(block, || {
            self.see(|seen| {
                if !seen.has(block) {
                    return Ok(None);
                }
                let found = self.lookups_through(seen).locator(block);
                found.map(Some).map_err(|error| self.engine.distrust(error))
            })
        })
    }

    fn blocks(
        &self,
        range: Range<BlockIndex>,
        visit: &mut dyn FnMut(BlockIndex, Bytes) -> ControlFlow<()>,
    ) -> Result<(), StorageError> {
        let find = |range, limit| {
            self.see(|seen| {
                let mut lookups = self.lookups_through(seen);
                locate(&seen.bitfield(), range, limit, |block| {
                    lookups
                        .locator(block)
                        .map_err(|error| self.engine.distrust(error))
                })
            })
        };
        self.visit_blocks(range.start.get()..range.end.get(), find, visit)
    }

    fn nodes(
        &self,
        indexes: &[NodeIndex],
        out: &mut Vec<Option<Node>>,
    ) -> Result<(), StorageError> {
        let before = out.len();
        self.engine.look(|| {
            out.truncate(before);
            self.see(|seen| {
                let mut lookups = self.lookups_through(seen);
                for index in indexes {
                    let found = lookups.node(*index);
                    out.push(found.map_err(|error| self.engine.distrust(error))?);
                }
                Ok(())
            })
        })
    }

    fn user_data(&self, key: &str) -> Result<Option<Bytes>, StorageError> {
        self.read(|state| Ok(state.facts.user_data.get(key).cloned()))
    }

    fn lineage(&self) -> Result<Option<Lineage>, StorageError> {
        self.read(|state| {
            let lineage = state.lineage.as_ref();
            Ok(lineage.map(|lineage| Lineage {
                length: Length::new(lineage.length),
                cut: lineage.cut,
            }))
        })
    }

    fn alias(&self) -> Result<Option<Alias>, StorageError> {
        self.read(|state| Ok(state.facts.alias.as_deref().cloned()))
    }

    fn group(&self) -> Result<Option<Topic>, StorageError> {
        self.read(|state| Ok(state.facts.membership.as_ref().map(|group| group.topic)))
    }

    fn user_data_between(
        &self,
        bounds: (Bound<&str>, Bound<&str>),
    ) -> Result<Vec<(String, Bytes)>, StorageError> {
        self.read(|state| Ok(between(&state.facts.user_data, bounds)))
    }
}

impl CoreStore for CoreHandle {
    fn commit(&self, batch: Batch, level: Durability) -> Result<Ticket, StorageError> {
        self.engine.commit_batch(self, batch, level)
    }

    fn set_secret_key(&self, secret: Option<SecretKey>) -> Result<(), StorageError> {
        self.engine.check_writable()?;
        self.read(|_| Ok(()))?;
        let name = self.core.family().identity.discovery_key;
        match secret {
            Some(secret) => self.engine.secrets.set(name, secret)?,
            None => self.engine.secrets.forget(&name)?,
        }
        Ok(())
    }

    fn snapshot(&self) -> Result<Arc<dyn CoreRead>, StorageError> {
        self.engine.check_open()?;
        // nothing moves between a branch and its log meanwhile
        Core::writing(&[&self.core], || {
            self.pin().map(|pinned| Arc::new(pinned) as _)
        })
    }

    fn branches(&self) -> Result<Vec<String>, StorageError> {
        self.read(|state| {
            let names = state.facts.branches.keys();
            Ok(names.map(ToString::to_string).collect())
        })
    }

    fn open_branch(&self, name: &str) -> Result<Option<Arc<dyn CoreStore>>, StorageError> {
        let branch = self.engine.find_branch(self, name)?;
        Ok(branch.map(|branch| Arc::new(branch) as _))
    }

    fn create_branch(&self, name: &str, head: &Head) -> Result<Arc<dyn CoreStore>, StorageError> {
        Ok(Arc::new(self.engine.create_branch(self, name, head)?))
    }

    fn delete_branch(&self, name: &str) -> Result<bool, StorageError> {
        self.engine.delete_branch(self, name)
    }

    fn move_to(
        &self,
        parent: &dyn CoreStore,
        shared: Length,
        batch: Batch,
        level: Durability,
    ) -> Result<Ticket, StorageError> {
        let parent = self.engine.own_handle(parent)?;
        self.engine.move_branch(self, parent, shared, batch, level)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl CoreHandle {
    /// The log as it is now, and below a branch the log that it left.
    fn pin(&self) -> Result<CoreSnapshot, StorageError> {
        let (live, lineage) = (self.clone(), self.lineage()?);
        let parent = self.read(|state| Ok(state.lineage.clone()))?;
        let parent = match parent {
            Some(lineage) => {
                let parent = Self {
                    engine: Arc::clone(&self.engine),
                    core: lineage.parent,
                };
                Some((lineage.length, Arc::new(parent.pin()?)))
            }
            None => None,
        };
        let mut state = write(&self.core.state);
        self.core.check_there(&state)?;
        let pinned = Arc::new(Pinned::new(state.facts.clone()));
        state
            .snapshots
            .retain(|snapshot| snapshot.strong_count() > 0);
        state.snapshots.push(Arc::downgrade(&pinned));
        let own = &pinned.facts.bitfield;
        let bits = match &parent {
            Some((length, parent)) => merged(own, &parent.bits, *length),
            None => own.clone(),
        };
        Ok(CoreSnapshot {
            live,
            pinned,
            parent,
            lineage,
            bits,
        })
    }
}
