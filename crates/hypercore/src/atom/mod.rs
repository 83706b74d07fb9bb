//! Atoms: changes to several logs of one store that become visible together, or not at all.
//!
//! Owns which drafts belong together. A draft is a [`Line`] that is kept in memory; what it comes to is
//! written by `flush`.

mod flush;

use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, Weak};

use hc_merkle::{CoreKey, Fork, Length};
use hc_storage::{Batch, Overlay, StorageError, Store};

use crate::branch::{Branch, MergeError, MergePlan, Merged, plan_merge};
use crate::core::Core;
use crate::core::together::Turns;
use crate::hypercore::{Appended, Hypercore};
use crate::line::{Backing, Line, LineStaged, LineState, Place};
use crate::session::Handle;
use crate::sync::{Gate, Mutex};

pub use self::flush::AtomError;

/// Changes to several logs of one store, and to their branches, that are written together.
///
/// Each log gets a [`Draft`], which shows the log with the changes; nobody else sees them. Then
/// [`flush`](Self::flush) writes all of them in one batch, and signs what has to be signed: either all
/// logs have changed, or none has. What was not flushed goes with the atom.
///
/// ```
/// # futures_lite::future::block_on(async {
/// use hypercore::{Atom, Hypercore, Storage};
/// # use hypercore::MemoryStore;
/// # use std::sync::Arc;
/// let store = Storage::open(Arc::new(MemoryStore::new()));
/// let names = Hypercore::builder(store.clone()).seed(&[1; 32]).open().await?;
/// let texts = Hypercore::builder(store).seed(&[2; 32]).open().await?;
///
/// let atom = Atom::new(&names);
/// let (name, text) = (atom.draft(&names)?, atom.draft(&texts)?);
/// name.append("hello").await?;
/// text.append("hello, world").await?;
/// assert_eq!(text.get(0).await?, "hello, world");
/// assert_eq!(texts.length().get(), 0); // not yet
///
/// atom.flush().await?;
/// assert_eq!(names.length().get() + texts.length().get(), 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
pub struct Atom {
    store: Arc<dyn Store>,
    entries: Mutex<Vec<Arc<Entry>>>,
    /// Never closed: an atom ends when it is dropped.
    gate: Gate,
}

/// A draft, and where it goes.
struct Entry {
    line: Arc<LineState>,
    target: Target,
    /// How the target is written and signed.
    handle: Handle,
    base: Mutex<Base>,
    /// The branches that were merged into it, and up to where.
    taken: Mutex<Vec<Taken>>,
    /// It is in this atom and in no other.
    _enlisted: Arc<()>,
}

/// What a draft is a draft of.
#[derive(Clone)]
enum Target {
    Log(Arc<Core>),
    Branch(Arc<LineState>),
}

/// Where the target was when the draft began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Base {
    key: CoreKey,
    fork: Fork,
    length: Length,
    /// Of a branch, which may be cut without a later fork.
    epoch: u64,
}

/// A branch that was merged into a draft.
#[derive(Clone)]
struct Taken {
    branch: Arc<LineState>,
    /// When, by the branch.
    epoch: u64,
    /// When, by the draft.
    drafted: u64,
    length: Length,
}

/// A log or branch as it is to be; see [`Atom::draft`]. All it can do that a
/// [`Branch`](crate::Branch) can, too, is in [`Line`].
///
/// A clone is another handle of the same draft. What becomes of it is the atom's: once that is dropped, a
/// draft goes nowhere.
pub struct Draft {
    line: Line,
    /// Until the atom is dropped.
    entry: Weak<Entry>,
}

impl Atom {
    /// An atom over the store of a log: over all logs that were opened in it through the same
    /// [`Storage`](crate::Storage).
    #[must_use]
    pub fn new(log: &Hypercore) -> Self {
        Self {
            store: log.core.store.clone(),
            entries: Mutex::default(),
            gate: Gate::default(),
        }
    }

    /// A draft of a log as it is now. It inherits how this handle waits, signs and encrypts.
    ///
    /// # Errors
    /// [`AtomError::OtherStore`], [`AtomError::Taken`] where there is a draft of it in an atom,
    /// [`AtomError::Closed`].
    pub fn draft(&self, log: &Hypercore) -> Result<Draft, AtomError> {
        if log.is_closed() {
            return Err(AtomError::Closed);
        }
        self.enlist(Target::Log(log.core.clone()), log.handle())
    }

    /// A draft of a branch as it is now.
    ///
    /// # Errors
    /// As [`draft`](Self::draft).
    pub fn draft_of_branch(&self, branch: &Branch) -> Result<Draft, AtomError> {
        if branch.is_closed() {
            return Err(AtomError::Closed);
        }
        self.enlist(Target::Branch(branch.state.clone()), branch.handle())
    }

    fn enlist(&self, target: Target, handle: Handle) -> Result<Draft, AtomError> {
        let key = handle.core.key;
        if !Arc::ptr_eq(&self.store, &handle.core.store) {
            return Err(AtomError::OtherStore { key });
        }
        let enlisted = match &target {
            Target::Log(core) => core.enlisted.enter(),
            Target::Branch(line) => line.enlisted.enter(),
        };
        let enlisted = enlisted.ok_or(AtomError::Taken { key })?;
        let (place, base) = target.begin()?;
        let line = Arc::new(LineState::new(None, place));
        let entry = Arc::new(Entry {
            line: line.clone(),
            target,
            base: Mutex::new(base),
            taken: Mutex::default(),
            _enlisted: enlisted,
            handle,
        });
        self.entries.lock().push(entry.clone());
        let line = Line::new(line, &entry.handle.defaults);
        let entry = Arc::downgrade(&entry);
        Ok(Draft { line, entry })
    }
}

impl Target {
    /// A draft that has nothing of its own yet, and where the target is.
    fn begin(&self) -> Result<(Place, Base), StorageError> {
        let (core, stored, below, epoch) = match self {
            Self::Log(core) => {
                let below = Arc::new(core.freeze()?);
                (core.clone(), below.stored.clone(), Some(below), 0)
            }
            Self::Branch(line) => {
                let place = line.place();
                let stored = line.freeze()?.stored;
                (place.core.clone(), stored, None, place.epoch)
            }
        };
        let overlay = Arc::new(Overlay::new(stored)?);
        let backing = Backing::Buffered { overlay, below };
        let head = backing.read().head()?;
        let base = Base {
            key: core.key,
            fork: head.fork(),
            length: head.length(),
            epoch,
        };
        Ok((Place::new(core, backing, head), base))
    }

    /// Where the target is now.
    fn now(&self) -> Base {
        match self {
            Self::Log(core) => {
                let view = core.view.load();
                Base {
                    key: core.key,
                    fork: view.head.fork(),
                    length: view.head.length(),
                    epoch: 0,
                }
            }
            Self::Branch(line) => {
                let place = line.place();
                Base {
                    key: place.core.key,
                    fork: place.head.fork(),
                    length: place.head.length(),
                    epoch: place.epoch,
                }
            }
        }
    }
}

impl Draft {
    /// Takes what a branch of the log has of its own into the draft, with the rules of
    /// [`Branch::merge`]. With the next [flush](Atom::flush) log and branch change together.
    ///
    /// ```
    /// # futures_lite::future::block_on(async {
    /// # use hypercore::{Atom, Hypercore, Storage};
    /// # let log = Hypercore::builder(Storage::memory()).open().await?;
    /// let branch = log.branch("draft").await?;
    /// branch.append("a").await?;
    ///
    /// let atom = Atom::new(&log);
    /// let draft = atom.draft(&log)?;
    /// draft.merge(&branch).await?;
    /// draft.set_user_data("state", "merged").await?;
    /// assert_eq!(log.length().get(), 0);
    /// atom.flush().await?;
    /// assert_eq!(log.get(0).await?, "a");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`MergeError`]; the draft is then as it was.
    pub async fn merge(&self, branch: &Branch) -> Result<Merged, MergeError> {
        let entry = self.entry.upgrade().ok_or(MergeError::Closed)?;
        if self.is_closed() || branch.is_closed() {
            return Err(MergeError::Closed);
        }
        let (line, other) = (&self.line.state, &branch.state);
        let lanes = [line.lane.clone(), other.lane.clone()];
        let mut turns = Turns::take(lanes, &self.line.gate).await?;
        let (place, from) = (line.place(), other.place());
        let key = from.core.key;
        let of_log = matches!(&entry.target, Target::Log(core) if Arc::ptr_eq(core, &from.core));
        if !of_log {
            return Err(MergeError::OtherLog { key });
        }
        let (inherited, base) = (place.backing.inherited()?, *entry.base.lock());
        if inherited < base.length {
            // its blocks are another fork's than the branch's
            return Err(MergeError::Truncated { length: inherited });
        }
        let length = from.head.length();
        let nodes = |indexes: &[_]| place.backing.nodes(indexes);
        let change = match plan_merge(&from, &place.head, nodes, length)? {
            MergePlan::Not(merged) => return Ok(merged),
            MergePlan::Nothing => return Ok(Merged::Done(Appended::at(&place.head))),
            MergePlan::Same(change) => change,
            MergePlan::Longer(draft) => draft.seal_unsigned(),
        };
        let mut staged = LineStaged::on(&place);
        if let Some(head) = change.head() {
            staged.next.head = head.clone();
        }
        let merged = Merged::Done(Appended::at(&staged.next.head));
        staged.batch = Batch::from_change(&change);
        let guard = turns.remove(&line.lane)?;
        let level = hc_storage::Durability::Buffered;
        line.commit(guard, staged, level).await?;
        entry.taken.lock().push(Taken {
            branch: other.clone(),
            epoch: from.epoch,
            drafted: place.epoch,
            length,
        });
        Ok(merged)
    }
}

impl Deref for Draft {
    type Target = Line;

    fn deref(&self) -> &Line {
        &self.line
    }
}

impl Clone for Draft {
    /// Another handle of the same draft. Closed from the start if this one is.
    fn clone(&self) -> Self {
        Self {
            line: self.line.duplicate(),
            entry: self.entry.clone(),
        }
    }
}

impl fmt::Debug for Draft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.line.fmt(f)
    }
}

impl fmt::Debug for Atom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Atom")
            .field("drafts", &self.entries.lock().len())
            .finish_non_exhaustive()
    }
}
