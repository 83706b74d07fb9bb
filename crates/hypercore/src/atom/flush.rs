//! Flushing: what the drafts of an atom have come to is planned, signed, written as one batch, and
//! published in one step.

use std::error::Error as StdError;
use std::sync::Arc;

use bytes::Bytes;
use hc_merkle::{
    BlockIndex, Change, CoreKey, Draft, Head, Length, Node, NodeIndex, SignError, SignatureError,
    Truncation,
};
use hc_storage::{Batch, Changes, Durability, StorageError};
use thiserror::Error;

use super::{Atom, Entry, Target};
use crate::branch::inherit;
use crate::core::publish::Staged;
use crate::core::together::{Part, Turns, commit_together};
use crate::core::{Core, Seal};
use crate::line::{Backing, LineStaged, LineState};
use crate::signer::SealError;

/// Why an atom did not do what was asked. Every error leaves logs, branches and drafts as they were, but
/// for [`InDoubt`](Self::InDoubt).
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AtomError {
    /// The log is in another store than the atom.
    #[error("log {key:?} is in another store")]
    OtherStore {
        /// Which.
        key: CoreKey,
    },
    /// There is a draft of the log or branch already, in this atom or another.
    #[error("a draft of log {key:?} is in an atom")]
    Taken {
        /// Which, or whose branch it is.
        key: CoreKey,
    },
    /// The log or branch has changed since the draft of it began, or the branch was moved to another log.
    /// The draft cannot be flushed any more.
    #[error("log {key:?} has changed since the draft of it began")]
    Moved {
        /// Which, or whose branch it is.
        key: CoreKey,
    },
    /// The log would change, and nobody here can sign that; or nobody knows yet who may.
    #[error("log {key:?} is not writable here")]
    NotWritable {
        /// Which.
        key: CoreKey,
    },
    /// A block of a draft was cleared.
    #[error("block {index} of the draft is not stored")]
    MissingBlock {
        /// Which.
        index: BlockIndex,
    },
    /// A log would have more blocks or bytes than can be counted.
    #[error(transparent)]
    TooLong(#[from] hc_merkle::AppendError),
    /// The stored tree does not lead to the length that a log is to be cut to.
    #[error("the tree: {0}")]
    Tree(#[from] hc_merkle::TruncateError),
    /// There was no signature.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// The external signer failed or refused.
    #[error("the signer: {0}")]
    Signer(Box<dyn StdError + Send + Sync>),
    /// The signature that the external signer made is not one over the changed log.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// One of the logs was closed.
    #[error("the log is closed")]
    Closed,
    /// A write, this or an earlier one, ended without saying whether it was stored: open the logs
    /// again to know.
    #[error("a write ended in doubt; open the log again")]
    InDoubt,
    /// The store refused.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl AtomError {
    fn of_seal(error: SealError, key: CoreKey) -> Self {
        match error {
            SealError::NotWritable => Self::NotWritable { key },
            SealError::Sign(error) => Self::Sign(error),
            SealError::Signer(error) => Self::Signer(error),
            SealError::Signature(error) => Self::Signature(error),
            SealError::Closed => Self::Closed,
        }
    }
}

impl Atom {
    /// Writes what the drafts have come to, all of it or nothing, and has all logs that grow or are cut
    /// signed. The drafts go on from there, and can be flushed again.
    ///
    /// # Errors
    /// [`AtomError`]; [`AtomError::Moved`] where a log or branch has changed meanwhile by other hands.
    pub async fn flush(&self) -> Result<(), AtomError> {
        let entries = self.entries.lock().clone();
        let Some(first) = entries.first() else {
            return Ok(());
        };
        let mut turns = self.turns(&entries).await?;
        let mut parts = Vec::new();
        let mut level = Durability::Buffered;
        for entry in &entries {
            if *entry.base.lock() != entry.target.now() {
                let key = entry.handle.core.key;
                return Err(AtomError::Moved { key });
            }
            level = level.max(entry.handle.core.durability);
            entry.plan(&mut turns, &mut parts).await?;
        }
        if parts.is_empty() {
            return Ok(());
        }
        let core = first.handle.core.clone();
        let after = move || entries.iter().for_each(|entry| entry.go_on());
        commit_together(&core, turns, parts, level, after).await?;
        Ok(())
    }

    /// The turns of all drafts, of what they are drafts of, and of the branches that were merged.
    async fn turns(&self, entries: &[Arc<Entry>]) -> Result<Turns, AtomError> {
        loop {
            let lanes = entries.iter().flat_map(|entry| entry.lanes());
            let turns = Turns::take(lanes, &self.gate).await?;
            // another branch may have been merged meanwhile
            let mut lanes = entries.iter().flat_map(|entry| entry.lanes());
            if lanes.all(|lane| turns.has(&lane)) {
                return Ok(turns);
            }
        }
    }
}

impl Entry {
    fn lanes(&self) -> Vec<Arc<crate::core::lane::Lane>> {
        let mut lanes = vec![self.line.lane.clone()];
        lanes.push(match &self.target {
            Target::Log(core) => core.lane.clone(),
            Target::Branch(line) => line.lane.clone(),
        });
        let taken = self.taken.lock();
        lanes.extend(taken.iter().map(|taken| taken.branch.lane.clone()));
        lanes
    }

    fn changes(&self) -> Option<Changes> {
        match &self.line.place().backing {
            Backing::Buffered { overlay, .. } => Some(overlay.changes()),
            Backing::Stored(_) => None,
        }
    }

    /// What has to be written for this draft.
    async fn plan(&self, turns: &mut Turns, parts: &mut Vec<Part>) -> Result<(), AtomError> {
        let Some(changes) = self.changes() else {
            return Ok(());
        };
        match &self.target {
            Target::Log(core) => self.plan_log(core, changes, turns, parts).await,
            Target::Branch(line) => plan_branch(line, changes, parts),
        }
    }

    async fn plan_log(
        &self,
        core: &Arc<Core>,
        changes: Changes,
        turns: &mut Turns,
        parts: &mut Vec<Part>,
    ) -> Result<(), AtomError> {
        let key = core.key;
        if core.gate.is_closed() {
            return Err(AtomError::Closed);
        }
        let view = core.view.load();
        let before = view.head.length();
        let mut staged = Staged::on(&view);
        let draft = redraft(&view.head, |indexes| core.nodes(indexes), &changes)?;
        let is_changed = draft.is_some() || !changes.user_data.is_empty();
        let mut regrown = None;
        if let Some(draft) = draft {
            let handle = &self.handle;
            let not_writable = || AtomError::NotWritable { key };
            let verifier = handle.verifier(&view).ok_or_else(not_writable)?;
            if !handle.may_write(&Seal::Own) {
                return Err(not_writable());
            }
            let guard = turns.remove(&core.lane)?;
            let sealed = core.seal(handle, guard, &verifier, draft, &Seal::Own);
            let sealed = sealed.await.map_err(|error| AtomError::of_seal(error, key));
            let (guard, change): (_, Change) = sealed?;
            turns.insert(&core.lane, guard);
            staged.gain(&change);
            staged.batch = Batch::from_change(&change);
            staged.learn(verifier);
            let length = staged.next.head.length();
            let grows = length > changes.shared && changes.shared < before;
            regrown = grows.then_some(length);
        }
        // a log that is cut, or only begins a fork, leaves its branches what they have
        if changes.shared >= before && changes.head.fork() == view.head.fork() {
            self.inherit_taken(&staged, parts)?;
        }
        set_user_data(&mut staged.batch, changes.user_data);
        if is_changed {
            parts.push(Part::Log {
                core: core.clone(),
                staged,
                regrown,
            });
        }
        Ok(())
    }

    /// The branches that were merged have of the log what they gave it.
    fn inherit_taken(&self, staged: &Staged, parts: &mut Vec<Part>) -> Result<(), AtomError> {
        let mut lengths: Vec<(Arc<LineState>, Length)> = Vec::new();
        let draft = self.line.place();
        for taken in self.taken.lock().iter() {
            let place = taken.branch.place();
            // not if one of both went another way meanwhile, or if the log has not got all blocks
            let inherited = place.backing.inherited()?;
            let blocks = inherited.get()..taken.length.get();
            let cut = draft.cuts.shortest_since(taken.drafted);
            let same = place.epoch == taken.epoch
                && inherited < taken.length
                && cut.is_none_or(|cut| cut >= taken.length);
            if !same || staged.next.have.any_unset(blocks) {
                continue;
            }
            let known = |(branch, _): &&mut (Arc<LineState>, _)| Arc::ptr_eq(branch, &taken.branch);
            match lengths.iter_mut().find(known) {
                Some((_, length)) => *length = taken.length.max(*length),
                None => lengths.push((taken.branch.clone(), taken.length)),
            }
        }
        for (branch, length) in lengths {
            parts.push(inherit(&branch, &branch.place(), length)?);
        }
        Ok(())
    }

    /// The draft goes on from what was written. Where that cannot be read, the next flush says that the
    /// log has moved on.
    fn go_on(&self) {
        self.taken.lock().clear();
        if let Ok((place, base)) = self.target.begin() {
            *self.base.lock() = base;
            self.line.publish(place, None);
        }
    }
}

fn plan_branch(
    line: &Arc<LineState>,
    changes: Changes,
    parts: &mut Vec<Part>,
) -> Result<(), AtomError> {
    let place = line.place();
    let Backing::Stored(log) = &place.backing else {
        return Ok(());
    };
    let mut staged = LineStaged::on(&place);
    let draft = redraft(
        &place.head,
        |indexes| place.backing.nodes(indexes),
        &changes,
    )?;
    if draft.is_none() && changes.user_data.is_empty() {
        return Ok(());
    }
    if let Some(draft) = draft {
        if changes.shared < place.head.length() {
            staged.cut(changes.shared);
        }
        staged.next.head = draft.head();
        staged.batch = Batch::from_change(&draft.seal_unsigned());
    }
    set_user_data(&mut staged.batch, changes.user_data);
    parts.push(Part::Line {
        line: line.clone(),
        log: log.clone(),
        staged,
    });
    Ok(())
}

fn set_user_data(batch: &mut Batch, user_data: Vec<(String, Option<Bytes>)>) {
    for (key, value) in user_data {
        batch.set_user_data(key, value);
    }
}

/// What was done on top of a head, done again on what it was made for; `None` where that is nothing.
fn redraft(
    head: &Head,
    nodes: impl FnOnce(&[NodeIndex]) -> Result<Vec<Option<Node>>, StorageError>,
    changes: &Changes,
) -> Result<Option<Draft>, AtomError> {
    let own = changes
        .head
        .length()
        .get()
        .saturating_sub(changes.shared.get());
    if own != changes.blocks.len() as u64 {
        let index = BlockIndex::new(changes.shared.get());
        return Err(AtomError::MissingBlock { index });
    }
    let is_cut = changes.shared < head.length() || changes.head.fork() != head.fork();
    if !is_cut && own == 0 {
        return Ok(None);
    }
    let mut draft = if is_cut {
        let truncation = Truncation::new(head, changes.shared, changes.head.fork())?;
        truncation.apply(&nodes(truncation.nodes())?)?
    } else {
        Draft::new(head)
    };
    draft.append(changes.blocks.iter().cloned())?;
    Ok(Some(draft))
}
