//! Merging: what a branch has of its own goes into the log that it left.
//!
//! The blocks are hashed again onto the log's own tree, so that a branch that has gone another way shows.
//! Log and branch change in one batch.

use std::error::Error as StdError;
use std::future::IntoFuture;
use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;
use hc_merkle::{
    BlockIndex, Change, CoreKey, Draft, Head, Length, Node, NodeIndex, RejoinError, Rejoined,
    SignError, SignatureError, Truncation,
};
use hc_storage::{Batch, Durability, StorageError};
use thiserror::Error;

use super::Branch;
use crate::core::Seal;
use crate::core::lane::LaneError;
use crate::core::publish::Staged;
use crate::core::together::{Part, Turns, commit_together};
use crate::hypercore::Appended;
use crate::line::{Backing, LineStaged, LineState, Place};
use crate::rt::BoxFuture;
use crate::session::Handle;
use crate::signer::ExternalSigner;

/// What became of a [merge](Branch::merge).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Merged {
    /// The log has it, and stands here.
    Done(Appended),
    /// Nothing was merged: the log has grown past what was to be merged.
    Ahead {
        /// Length of the log.
        length: Length,
    },
    /// Nothing was merged: the log has other blocks than the branch.
    Diverged,
}

/// Why nothing was merged. Every error leaves log and branch as they were, but for
/// [`InDoubt`](Self::InDoubt).
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum MergeError {
    /// The log would grow, and nobody here can sign that; or nobody knows yet who may.
    #[error("the log is not writable here")]
    NotWritable,
    /// The log was truncated below where the branch left it.
    #[error("the log was truncated below the branch, to {length}")]
    Truncated {
        /// What both still have.
        length: Length,
    },
    /// It is a branch of another log.
    #[error("it is a branch of log {key:?}")]
    OtherLog {
        /// Of which.
        key: CoreKey,
    },
    /// The branch is not that long.
    #[error("length {length} is past the end of the branch, at {present}")]
    PastEnd {
        /// What was to be merged.
        length: Length,
        /// What there is.
        present: Length,
    },
    /// A block of the branch was cleared.
    #[error("block {index} of the branch is not stored")]
    MissingBlock {
        /// Which.
        index: BlockIndex,
    },
    /// The log would have more blocks or bytes than can be counted.
    #[error(transparent)]
    TooLong(hc_merkle::AppendError),
    /// The stored tree of the log does not lead to where the branch left it.
    #[error("the tree: {0}")]
    Tree(#[from] hc_merkle::TruncateError),
    /// There was no signature.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// The external signer failed or refused.
    #[error("the signer: {0}")]
    Signer(Box<dyn StdError + Send + Sync>),
    /// The signature that was given, or that the external signer made, is not one over the longer log.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// One of the handles was closed.
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

/// What is to be merged; see [`Branch::merge`].
#[derive(Debug)]
#[must_use = "nothing is merged unless it is awaited"]
pub struct Merge {
    line: Arc<LineState>,
    handle: Handle,
    length: Option<Length>,
    seal: Seal,
    level: Durability,
}

impl Branch {
    /// Takes what the branch has of its own into the log that it left: a future that says what became of
    /// it. The log takes the blocks as they are, and the branch has them of the log from then on.
    ///
    /// Where the log has gone on since the branch left it, but the same way, only the rest is new. Where the
    /// log is as long already, nobody has to sign: a reader merges what it wrote itself that way, and
    /// needs not fetch it.
    ///
    /// ```
    /// # futures_lite::future::block_on(async {
    /// # use hypercore::{Hypercore, Merged, Storage};
    /// # let log = Hypercore::builder(Storage::memory()).open().await?;
    /// let (one, two) = (log.branch("one").await?, log.branch("two").await?);
    /// one.append_batch(["a", "b"]).await?;
    /// two.append("c").await?;
    ///
    /// // one block now, the other later
    /// assert!(matches!(one.merge().length(1).await?, Merged::Done(_)));
    /// assert_eq!(log.length().get(), 1);
    /// assert!(matches!(one.merge().await?, Merged::Done(_)));
    ///
    /// // the log is longer than this one by now
    /// assert_eq!(two.merge().await?, Merged::Ahead { length: log.length() });
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn merge(&self) -> Merge {
        let handle = self.handle();
        Merge {
            line: self.state.clone(),
            level: handle.core.durability,
            handle,
            length: None,
            seal: Seal::Own,
        }
    }
}

impl Merge {
    /// Merges the branch up to a length; what is above stays its own.
    pub fn length(mut self, length: u64) -> Self {
        self.length = Some(Length::new(length));
        self
    }

    /// Who signs, instead of who signs for the log.
    pub fn signer(mut self, signer: impl ExternalSigner + 'static) -> Self {
        self.seal = Seal::By(Arc::new(signer));
        self
    }

    /// The signature, which was made before: over the log as it will be, as it stands in proofs.
    pub fn signature(mut self, signature: impl Into<Bytes>) -> Self {
        self.seal = Seal::Given(signature.into());
        self
    }

    /// What it has to survive before it is acknowledged, instead of what the log was opened with.
    pub fn durability(mut self, level: Durability) -> Self {
        self.level = level;
        self
    }

    async fn run(self) -> Result<Merged, MergeError> {
        let Self {
            line,
            mut handle,
            length,
            seal,
            level,
        } = self;
        let (mut turns, place) = turns(&line, &mut handle).await?;
        let core = &place.core;
        let view = core.view.load();
        let present = place.head.length();
        let length = length.unwrap_or(present);
        if length > present {
            return Err(MergeError::PastEnd { length, present });
        }
        let plan = plan_merge(&place, &view.head, |indexes| core.nodes(indexes), length)?;
        let mut learned = None;
        let change = match plan {
            MergePlan::Not(merged) => return Ok(merged),
            MergePlan::Nothing => return Ok(Merged::Done(Appended::at(&view.head))),
            MergePlan::Same(change) => change,
            MergePlan::Longer(draft) => {
                let verifier = handle.verifier(&view).ok_or(MergeError::NotWritable)?;
                if !handle.may_write(&seal) {
                    return Err(MergeError::NotWritable);
                }
                let guard = turns.remove(&core.lane)?;
                let sealed = core.seal(&handle, guard, &verifier, draft, &seal).await?;
                turns.insert(&core.lane, sealed.0);
                learned = Some(verifier);
                sealed.1
            }
        };
        let mut staged = Staged::on(&view);
        staged.gain(&change);
        staged.batch = Batch::from_change(&change);
        if let Some(verifier) = learned {
            staged.learn(verifier);
        }
        let merged = Merged::Done(Appended::at(&staged.next.head));
        let parts = vec![
            Part::Log {
                core: core.clone(),
                staged,
                regrown: None,
            },
            inherit(&line, &place, length)?,
        ];
        commit_together(core, turns, parts, level, || {}).await?;
        Ok(merged)
    }
}

impl IntoFuture for Merge {
    type Output = Result<Merged, MergeError>;
    type IntoFuture = BoxFuture<Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

/// The turns of a branch and of its log; the handle is then one of that log.
pub(super) async fn turns(
    line: &Arc<LineState>,
    handle: &mut Handle,
) -> Result<(Turns, Arc<Place>), LaneError> {
    loop {
        let core = line.place().core.clone();
        if core.gate.is_closed() {
            return Err(LaneError::Closed);
        }
        let lanes = [core.lane.clone(), line.lane.clone()];
        let turns = Turns::take(lanes, &handle.gate).await?;
        let place = line.place();
        // it may have gone to another log meanwhile
        if Arc::ptr_eq(&place.core, &core) {
            handle.core = core;
            return Ok((turns, place));
        }
    }
}

/// What a merge comes to.
pub(crate) enum MergePlan {
    Not(Merged),
    /// The log has all of it, and stores it.
    Nothing,
    /// The log has all of it, but perhaps not all blocks.
    Same(Change),
    /// The log grows.
    Longer(Draft),
}

/// Plans to take a branch up to `length` into what stands at `head`, which is what the branch left or
/// something that goes on from there. Only for who holds both lanes.
pub(crate) fn plan_merge(
    place: &Place,
    head: &Head,
    nodes: impl FnOnce(&[NodeIndex]) -> Result<Vec<Option<Node>>, StorageError>,
    length: Length,
) -> Result<MergePlan, MergeError> {
    let stored = place.backing.read();
    let lineage = stored.lineage()?;
    let inherited = lineage.map_or(Length::ZERO, |lineage| lineage.length);
    if lineage.is_some_and(|lineage| lineage.cut) || head.length() < inherited {
        let length = inherited.min(head.length());
        return Err(MergeError::Truncated { length });
    }
    if head.length() > length {
        let length = head.length();
        return Ok(MergePlan::Not(Merged::Ahead { length }));
    }
    if length <= inherited {
        return Ok(MergePlan::Nothing);
    }
    let mut blocks = Vec::new();
    let range = BlockIndex::new(inherited.get())..BlockIndex::new(length.get());
    stored.blocks(range, &mut |index, block| {
        let expected = inherited.get().saturating_add(blocks.len() as u64);
        if index.get() != expected {
            return ControlFlow::Break(());
        }
        blocks.push(block);
        ControlFlow::Continue(())
    })?;
    let reached = inherited.get().saturating_add(blocks.len() as u64);
    if reached < length.get() {
        let index = BlockIndex::new(reached);
        return Err(MergeError::MissingBlock { index });
    }
    let truncation = Truncation::new(head, inherited, head.fork())?;
    let draft = truncation.apply(&nodes(truncation.nodes())?)?;
    match draft.rejoin(head, blocks) {
        Ok(Rejoined::Same(change)) => Ok(MergePlan::Same(change)),
        Ok(Rejoined::Longer(draft)) => Ok(MergePlan::Longer(draft)),
        Err(RejoinError::Diverged) => Ok(MergePlan::Not(Merged::Diverged)),
        Err(RejoinError::Ahead { length }) => Ok(MergePlan::Not(Merged::Ahead { length })),
        Err(RejoinError::TooLong(error)) => Err(MergeError::TooLong(error)),
        Err(_) => Ok(MergePlan::Not(Merged::Diverged)),
    }
}

/// What the branch has is the log's up to a length.
pub(crate) fn inherit(
    line: &Arc<LineState>,
    place: &Place,
    length: Length,
) -> Result<Part, StorageError> {
    let Backing::Stored(log) = &place.backing else {
        return Err(hc_storage::BatchError::NotABranch.into());
    };
    let mut staged = LineStaged::on(place);
    staged.batch.inherit(length);
    Ok(Part::Line {
        line: line.clone(),
        log: log.clone(),
        staged,
    })
}
