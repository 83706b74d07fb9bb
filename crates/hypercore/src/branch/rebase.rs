//! Giving a branch another basis: its log as that is now, or another log.

use std::future::IntoFuture;
use std::sync::Arc;

use hc_merkle::{CoreKey, Fork, Length, Node, TruncateError, Verifier, flat};
use hc_storage::{Batch, Durability, StorageError};
use thiserror::Error;

use super::merge::turns;
use super::{Branch, BranchError};
use crate::core::Core;
use crate::core::lane::LaneError;
use crate::core::publish::CommitError;
use crate::core::together::{Part, Turns, commit_together};
use crate::hypercore::{Appended, Hypercore};
use crate::line::{Backing, LineStaged, LineState, Place};
use crate::rt::BoxFuture;
use crate::session::Handle;

/// Why a branch was not given another basis. Every error leaves it as it was, but for
/// [`InDoubt`](Self::InDoubt).
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RebaseError {
    /// The log is not that long.
    #[error("length {length} is past the end of the log, at {present}")]
    PastEnd {
        /// What the branch was to be.
        length: Length,
        /// What the log has.
        present: Length,
    },
    /// The stored tree does not lead to that length: it has not been fetched.
    #[error("the tree: {0}")]
    Tree(TruncateError),
    /// The other log does not begin as the branch does.
    #[error("log {key:?} has other blocks than the branch")]
    Diverged {
        /// The other log.
        key: CoreKey,
    },
    /// The other log is in another store.
    #[error("log {key:?} is in another store")]
    OtherStore {
        /// The other log.
        key: CoreKey,
    },
    /// The fork can not be counted on.
    #[error("there is no fork above {present}")]
    LastFork {
        /// The fork that the branch is on.
        present: Fork,
    },
    /// One of the handles was closed.
    #[error("the log is closed")]
    Closed,
    /// A write, this or an earlier one, ended without saying whether it was stored: open the log
    /// again to know.
    #[error("a write ended in doubt; open the log again")]
    InDoubt,
    /// The store refused. It may have a branch of the same name for the other log.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl From<TruncateError> for RebaseError {
    fn from(error: TruncateError) -> Self {
        match error {
            TruncateError::Longer { length, present } => Self::PastEnd { length, present },
            other => Self::Tree(other),
        }
    }
}

impl From<BranchError> for RebaseError {
    fn from(error: BranchError) -> Self {
        match error {
            BranchError::Tree(error) => error.into(),
            BranchError::Storage(error) => Self::Storage(error),
            _ => Self::Closed,
        }
    }
}

impl Branch {
    /// Makes the branch what its log is at a length; what it had of its own is dropped.
    ///
    /// ```
    /// # futures_lite::future::block_on(async {
    /// # use hypercore::{Hypercore, Storage};
    /// # let log = Hypercore::builder(Storage::memory()).open().await?;
    /// let draft = log.branch("draft").await?;
    /// draft.append("mine").await?;
    /// log.append_batch(["a", "b"]).await?;
    /// draft.catch_up(2).await?;
    /// assert_eq!(draft.get(0).await?, "a");
    /// assert_eq!(draft.tree_hash(), log.head().tree_hash());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`RebaseError`].
    pub async fn catch_up(&self, length: u64) -> Result<Appended, RebaseError> {
        let mut handle = self.handle();
        let (turns, place) = turns(&self.state, &mut handle).await?;
        let staged = reset(&place, &place.core, Length::new(length))?;
        let caught_up = Appended::at(&staged.next.head);
        let Backing::Stored(log) = place.backing.clone() else {
            return Err(StorageError::from(hc_storage::BatchError::NotABranch).into());
        };
        let line = self.state.clone();
        let parts = vec![Part::Line { line, log, staged }];
        let level = place.core.durability;
        commit_together(&place.core, turns, parts, level, || {}).await?;
        Ok(caught_up)
    }

    /// Makes the branch one of another log of the same store, which begins as the branch does: with what
    /// its manifest fixes, or with more: a future to await. What the branch has past that it keeps.
    ///
    /// Reads that wait go on with the other log. Handles of the branch stay; those who listen to it hear
    /// [`Event::Migrate`](crate::Event::Migrate). Snapshots show what they showed. Blocks are not encrypted
    /// again: who opens the branch anew reads those before the other log's own with the old log's key.
    ///
    /// ```
    /// # futures_lite::future::block_on(async {
    /// use hypercore::manifest::{Manifest, Prologue};
    /// # use hypercore::{Hypercore, KeyPair, MemoryStore, Storage};
    /// # use std::sync::Arc;
    /// let store = Storage::open(Arc::new(MemoryStore::new()));
    /// let old = Hypercore::builder(store.clone()).open().await?;
    /// old.append_batch(["a", "b"]).await?;
    /// let draft = old.branch("draft").await?;
    /// draft.append("c").await?;
    ///
    /// // another log with other signers, that begins as the old one
    /// let (head, pair) = (old.head(), KeyPair::from_seed(&[7; 32]));
    /// let fixed = Prologue { hash: head.tree_hash(), length: head.length() };
    /// let manifest = Manifest::single(pair.public_key()).with_prologue(fixed);
    /// let new = Hypercore::builder(store).manifest(manifest).key_pair(pair).open().await?;
    /// new.copy_prologue(&old).await?;
    ///
    /// draft.move_to(&new).await?;
    /// draft.merge().await?;
    /// assert_eq!(new.get(2).await?, "c");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn move_to(&self, log: &Hypercore) -> Move {
        Move {
            line: self.state.clone(),
            handle: self.handle(),
            target: log.handle(),
            length: None,
        }
    }
}

/// A branch that is to become one of another log; see [`Branch::move_to`].
#[derive(Debug)]
#[must_use = "nothing is moved unless it is awaited"]
pub struct Move {
    line: Arc<LineState>,
    handle: Handle,
    target: Handle,
    length: Option<Length>,
}

impl Move {
    /// Gives it this length: what is past it is dropped, and what is missing is the other log's.
    pub fn length(mut self, length: u64) -> Self {
        self.length = Some(Length::new(length));
        self
    }

    async fn run(self) -> Result<(), RebaseError> {
        let Self {
            line,
            mut handle,
            target,
            length,
        } = self;
        let target = target.core;
        let key = target.key;
        let (turns, place) = all_turns(&line, &mut handle, &target).await?;
        if !Arc::ptr_eq(&place.core.store, &target.store) {
            return Err(RebaseError::OtherStore { key });
        }
        let shared = shared_with(&place, &target)?.ok_or(RebaseError::Diverged { key })?;
        let present = place.head.length();
        let mut staged = match length {
            Some(length) if length < present => cut(&place, length)?,
            Some(length) if length > present && shared < present => {
                return Err(RebaseError::Diverged { key });
            }
            Some(length) if length > present => reset(&place, &target, length)?,
            _ => LineStaged::on(&place),
        };
        staged.next.core = target.clone();
        let Backing::Stored(log) = place.backing.clone() else {
            return Err(StorageError::from(hc_storage::BatchError::NotABranch).into());
        };
        let keeper = Hypercore::new(target.clone(), (*handle.defaults).clone());
        let level = target.durability;
        let old = place.core.clone();
        let write = move || -> Result<(), CommitError> {
            let moved = log.move_to(&*target.log, shared, staged.batch, level)?;
            if let Err(error) = moved.wait() {
                turns.poison();
                return Err(error.into());
            }
            if let Some(name) = &line.name {
                old.lines.remove(name);
                target.lines.insert(name.clone(), &line);
            }
            line.keep(keeper);
            line.publish(staged.next, staged.cut);
            drop(turns);
            Ok(())
        };
        if level < Durability::Disk {
            return Ok(write()?);
        }
        let written = place.core.block_on_disk(write).await;
        Ok(written.unwrap_or(Err(CommitError::InDoubt))?)
    }
}

impl IntoFuture for Move {
    type Output = Result<(), RebaseError>;
    type IntoFuture = BoxFuture<Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

/// The turns of a branch and of two logs: its own and another.
async fn all_turns(
    line: &Arc<LineState>,
    handle: &mut Handle,
    other: &Arc<Core>,
) -> Result<(Turns, Arc<Place>), LaneError> {
    loop {
        let core = line.place().core.clone();
        if core.gate.is_closed() || other.gate.is_closed() {
            return Err(LaneError::Closed);
        }
        let lanes = [core.lane.clone(), other.lane.clone(), line.lane.clone()];
        let turns = Turns::take(lanes, &handle.gate).await?;
        let place = line.place();
        if Arc::ptr_eq(&place.core, &core) {
            handle.core = core;
            return Ok((turns, place));
        }
    }
}

/// Up to where a branch and another log are known to be the same: as far as both go, or as far as the
/// manifest of the log fixes.
fn shared_with(place: &Place, other: &Core) -> Result<Option<Length>, RebaseError> {
    let view = other.view.load();
    let both = view.head.length().min(place.head.length());
    let prologue = view.authority.verifier().and_then(Verifier::prologue);
    let prologue = prologue.map(|prologue| prologue.length.min(both));
    for length in [Some(both), prologue].into_iter().flatten() {
        let indexes: Vec<_> = flat::full_roots(length).collect();
        let here = place.backing.nodes(&indexes)?;
        let roots: Option<Vec<Node>> = other.nodes(&indexes)?.into_iter().collect();
        if roots.is_some_and(|roots| here.into_iter().eq(roots.into_iter().map(Some))) {
            return Ok(Some(length));
        }
    }
    Ok(None)
}

/// The branch as a log is at a length.
fn reset(place: &Place, log: &Core, length: Length) -> Result<LineStaged, RebaseError> {
    let inherited = place.backing.inherited()?;
    let (present, fork) = (place.head.length(), place.head.fork());
    let kept = inherited.min(length);
    let next = fork.get().checked_add(1).map(Fork::new);
    let next = next.ok_or(RebaseError::LastFork { present: fork })?;
    let cuts = kept < present;
    let head = log.head_at(length, if cuts { next } else { fork })?;
    let mut staged = LineStaged::on(place);
    if cuts {
        staged.cut(kept);
    }
    staged.next.head = head.clone();
    staged.batch = Batch::reset((fork, present), head);
    Ok(staged)
}

/// The branch cut to a length.
fn cut(place: &Place, length: Length) -> Result<LineStaged, RebaseError> {
    let present = place.head.fork();
    let fork = present.get().checked_add(1).map(Fork::new);
    let fork = fork.ok_or(RebaseError::LastFork { present })?;
    let truncation = hc_merkle::Truncation::new(&place.head, length, fork)?;
    let draft = truncation.apply(&place.backing.nodes(truncation.nodes())?)?;
    let mut staged = LineStaged::on(place);
    staged.cut(length);
    staged.next.head = draft.head();
    staged.batch = Batch::from_change(&draft.seal_unsigned());
    Ok(staged)
}
