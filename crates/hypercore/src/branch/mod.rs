//! Branches: named, persistent continuations of a log that nobody has signed yet.
//!
//! Owns opening, listing and deleting them. What a branch can do like a draft is a [`Line`]'s.

mod merge;
mod rebase;

use std::fmt;
use std::future::IntoFuture;
use std::ops::Deref;
use std::sync::Arc;

use hc_merkle::{Fork, Length, Truncation, Verifier};
use hc_storage::{Access, CoreStore, StorageError};
use thiserror::Error;

pub use self::merge::{Merge, MergeError, Merged};
pub(crate) use self::merge::{MergePlan, inherit, plan_merge};
pub use self::rebase::{Move, RebaseError};
use crate::builder::IfMissing;
use crate::core::Core;
use crate::core::together::Turns;
use crate::error::InfoError;
use crate::hypercore::Hypercore;
use crate::line::{Backing, Line, LineState, Place};
use crate::rt::BoxFuture;
use crate::session::Handle;
use crate::write::TruncateError;

/// A branch of a log: a continuation of it under a name, kept in its store, that nobody has signed.
///
/// It is what the log is up to the length where it [left](Line::inherited) it, and what was appended to it
/// from there on. It can be written to by whoever only reads the log, too. In the end it
/// [goes into the log](Self::merge), as a whole or in parts; or it is [deleted](Hypercore::delete_branch).
///
/// What the log clears is gone for the branch as well. What the log *cuts* stays the branch's: both have
/// then gone different ways, and the branch does not go into the log before it was cut too, or
/// [caught up](Self::catch_up).
///
/// A clone is another handle of the same branch. All it can do that a [`Draft`](crate::Draft) can, too, is
/// in [`Line`].
///
/// ```
/// # futures_lite::future::block_on(async {
/// use hypercore::{Hypercore, Merged, Storage};
///
/// let log = Hypercore::builder(Storage::memory()).open().await?;
/// log.append("a").await?;
///
/// let draft = log.branch("draft").await?;
/// draft.append_batch(["b", "c"]).await?;
/// assert_eq!(draft.get(0).await?, "a");
/// assert_eq!(log.length().get(), 1); // nobody else sees it
///
/// assert!(matches!(draft.merge().await?, Merged::Done(_)));
/// assert_eq!(log.get(2).await?, "c");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
pub struct Branch {
    line: Line,
    name: Arc<str>,
}

impl Branch {
    /// Its name among the branches of its log.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Up to where it is what is signed: what it has of the log, as far as the log still has that.
    ///
    /// # Errors
    /// [`InfoError`] where the store can not be read.
    pub fn signed_length(&self) -> Result<Length, InfoError> {
        let log = self.state.place().core.view.load().head.length();
        Ok(self.inherited()?.min(log))
    }
}

impl Deref for Branch {
    type Target = Line;

    fn deref(&self) -> &Line {
        &self.line
    }
}

impl Clone for Branch {
    /// Another handle of the same branch. Closed from the start if this one is.
    fn clone(&self) -> Self {
        Self {
            line: self.line.duplicate(),
            name: self.name.clone(),
        }
    }
}

impl fmt::Debug for Branch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.line.fmt(f)
    }
}

/// Why a branch was not opened, made or deleted.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BranchError {
    /// The log has no such branch, and none was to be made.
    #[error("the log has no branch {name:?}")]
    Missing {
        /// Its name.
        name: String,
    },
    /// It was to begin past the end of the log.
    #[error("length {length} is past the end, at {present}")]
    PastEnd {
        /// Where it was to begin.
        length: Length,
        /// What there is.
        present: Length,
    },
    /// It was to begin below what the manifest fixes.
    #[error("length {length} is below the prologue of the log, of {prologue} blocks")]
    BelowPrologue {
        /// Where it was to begin.
        length: Length,
        /// Length of the fixed beginning.
        prologue: Length,
    },
    /// The stored tree does not lead to that length: it has not been fetched.
    #[error("the tree: {0}")]
    Tree(#[from] hc_merkle::TruncateError),
    /// It exists, and was not cut to where it was to begin.
    #[error(transparent)]
    Truncate(#[from] TruncateError),
    /// The handle was closed.
    #[error("the log is closed")]
    Closed,
    /// A write, this or an earlier one, ended without saying whether it was stored: open the log
    /// again to know.
    #[error("a write ended in doubt; open the log again")]
    InDoubt,
    /// The store refused.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// A branch that is to be opened; see [`Hypercore::branch`].
#[derive(Debug)]
#[must_use = "nothing is opened unless it is awaited"]
pub struct OpenBranch {
    handle: Handle,
    name: Arc<str>,
    at: Option<Length>,
    if_missing: IfMissing,
}

impl OpenBranch {
    /// Begins at an earlier length of the log. A branch that there is already, and is longer, is cut to
    /// that length, on the fork that it is on.
    pub fn at(mut self, length: u64) -> Self {
        self.at = Some(Length::new(length));
        self
    }

    /// What to do where the log has no such branch; [`IfMissing::Create`] by default.
    pub fn if_missing(mut self, what: IfMissing) -> Self {
        self.if_missing = what;
        self
    }

    async fn run(self) -> Result<Branch, BranchError> {
        let (core, name) = (&self.handle.core, &self.name);
        let (state, is_new) = self.find_or_create().await?;
        core.lines.insert(name.clone(), &state);
        let branch = Branch {
            line: Line::new(state, &self.handle.defaults),
            name: name.clone(),
        };
        let present = branch.length();
        match self.at.filter(|_| !is_new) {
            Some(length) if length > present => Err(BranchError::PastEnd { length, present }),
            Some(length) if length < present => {
                let fork = branch.fork().get();
                branch.truncate_on_fork(length.get(), fork).await?;
                Ok(branch)
            }
            _ => Ok(branch),
        }
    }

    /// The branch, and whether it was made.
    async fn find_or_create(&self) -> Result<(Arc<LineState>, bool), BranchError> {
        let (core, name) = (&self.handle.core, &self.name);
        // two who open the same one come one after the other
        let _turn = core.enter(&self.handle.gate).await?;
        if let Some(state) = core.lines.get(name) {
            return Ok((state, false));
        }
        if let Some(log) = core.log.open_branch(name)? {
            return Ok((self.line(log)?, false));
        }
        if self.if_missing == IfMissing::Fail || core.store.access() == Access::ReadOnly {
            return Err(BranchError::Missing {
                name: name.to_string(),
            });
        }
        let view = core.view.load();
        let present = view.head.length();
        let length = self.at.unwrap_or(present);
        if length > present {
            return Err(BranchError::PastEnd { length, present });
        }
        let prologue = view.authority.verifier().and_then(Verifier::prologue);
        let prologue = prologue.map(|prologue| prologue.length.min(present));
        if let Some(prologue) = prologue.filter(|prologue| length < *prologue) {
            return Err(BranchError::BelowPrologue { length, prologue });
        }
        let head = core.head_at(length, view.head.fork())?;
        let (log, called) = (core.log.clone(), name.clone());
        let create = core.block_on_disk(move || log.create_branch(&called, &head));
        let log = create.await.ok_or(BranchError::InDoubt)??;
        Ok((self.line(log)?, true))
    }

    fn line(&self, log: Arc<dyn CoreStore>) -> Result<Arc<LineState>, StorageError> {
        let head = log.head()?;
        let place = Place::new(self.handle.core.clone(), Backing::Stored(log), head);
        Ok(Arc::new(LineState::new(Some(self.name.clone()), place)))
    }
}

impl IntoFuture for OpenBranch {
    type Output = Result<Branch, BranchError>;
    type IntoFuture = BoxFuture<Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

impl Core {
    /// The unsigned head that the log has at a length, given a fork. Only for who holds the lane.
    pub(crate) fn head_at(
        &self,
        length: Length,
        fork: Fork,
    ) -> Result<hc_merkle::Head, BranchError> {
        let view = self.view.load();
        let truncation = Truncation::new(&view.head, length, fork)?;
        let nodes = self.nodes(truncation.nodes())?;
        Ok(truncation.apply(&nodes)?.head())
    }
}

impl Hypercore {
    /// A branch of the log: a future that opens it, or makes it from the present log. It inherits how this
    /// handle waits, signs and encrypts.
    ///
    /// ```
    /// # futures_lite::future::block_on(async {
    /// # use hypercore::{Hypercore, Storage};
    /// # let log = Hypercore::builder(Storage::memory()).open().await?;
    /// log.append_batch(["a", "b"]).await?;
    /// let other = log.branch("other").at(1).await?;
    /// other.append("c").await?;
    /// assert_eq!(other.get(1).await?, "c");
    /// assert_eq!(log.get(1).await?, "b");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn branch(&self, name: &str) -> OpenBranch {
        OpenBranch {
            handle: self.handle(),
            name: name.into(),
            at: None,
            if_missing: IfMissing::Create,
        }
    }

    /// The names of all branches of the log, open or not, in order.
    ///
    /// # Errors
    /// [`InfoError`] where the store can not be read.
    pub fn branches(&self) -> Result<Vec<String>, InfoError> {
        Ok(self.core.log.branches()?)
    }

    /// Deletes a branch with all that it has itself; `false` where there is none. Handles of it fail from
    /// then on.
    ///
    /// ```
    /// # futures_lite::future::block_on(async {
    /// # use hypercore::{Hypercore, Storage};
    /// # let log = Hypercore::builder(Storage::memory()).open().await?;
    /// log.branch("draft").await?.append("a").await?;
    /// assert_eq!(log.branches()?, ["draft"]);
    /// assert!(log.delete_branch("draft").await?);
    /// assert!(log.branches()?.is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`BranchError`].
    pub async fn delete_branch(&self, name: &str) -> Result<bool, BranchError> {
        let line = self.core.lines.get(name);
        let lanes = line.iter().map(|line| &line.lane).chain([&self.core.lane]);
        let _turns = Turns::take(lanes.cloned(), &self.gate).await?;
        let (log, called) = (self.core.log.clone(), name.to_owned());
        let delete = self
            .core
            .block_on_disk(move || log.delete_branch(&called))
            .await;
        let deleted = delete.ok_or(BranchError::InDoubt)??;
        self.core.lines.remove(name);
        Ok(deleted)
    }
}
