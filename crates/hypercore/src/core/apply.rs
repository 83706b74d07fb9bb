//! Storing what peers sent: whatever has arrived by the time the lane is free is verified together,
//! tied to the tree by one read, committed and published as one batch.
//!
//! Knows nothing of connections; whoever brought something here pumps until it is done.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use hc_merkle::proof::{Batch as Proofs, Confirmed, Proof};
use hc_merkle::{Authority, Node, NodeIndex, ProofError};
use hc_replicator::{Effect, Input, Rejection, Reply, Ticket};
use hc_storage::{Batch, Durability, StorageError};

use super::Core;
use super::lane::Guard;
use super::publish::{CommitError, Staged};
use crate::limits::{APPLY_BATCH, APPLY_BATCH_BYTES};
use crate::sync::Mutex;
use crate::view::View;

/// What waits to be verified and stored.
#[derive(Debug, Default)]
pub(crate) struct ApplyQueue(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    jobs: VecDeque<(Ticket, Effect)>,
    bytes: usize,
}

impl ApplyQueue {
    /// Adds what changes the log, or is compared with it: its turn comes.
    pub(crate) fn push(&self, ticket: Ticket, effect: Effect) {
        let mut waiting = self.0.lock();
        waiting.bytes = waiting.bytes.saturating_add(weight(&effect));
        waiting.jobs.push_back((ticket, effect));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.lock().jobs.is_empty()
    }

    /// Bytes of blocks in it.
    pub(crate) fn bytes(&self) -> usize {
        self.0.lock().bytes
    }

    /// What is next: proofs to verify together, up to [`APPLY_BATCH`] and [`APPLY_BATCH_BYTES`], or
    /// something else by itself.
    fn take(&self) -> Next {
        let mut waiting = self.0.lock();
        let most = waiting.jobs.len().min(APPLY_BATCH);
        let mut taken = (Vec::with_capacity(most), Vec::with_capacity(most));
        let mut bytes = 0_usize;
        while taken.0.len() < APPLY_BATCH && bytes < APPLY_BATCH_BYTES {
            let by_itself =
                |(_, effect): &(Ticket, Effect)| !matches!(effect, Effect::Apply { .. });
            if !taken.0.is_empty() && waiting.jobs.front().is_some_and(by_itself) {
                break;
            }
            let Some((ticket, effect)) = waiting.jobs.pop_front() else {
                break;
            };
            let weight = weight(&effect);
            bytes = bytes.saturating_add(weight);
            waiting.bytes = waiting.bytes.saturating_sub(weight);
            match effect {
                Effect::Apply { data } => {
                    taken.0.push(ticket);
                    taken.1.push(data);
                }
                effect => return Next::Other(ticket, effect),
            }
        }
        Next::Proofs(taken.0, taken.1)
    }

    /// Gives back its memory where nothing waits: room for a few is some KiB, and most logs are done.
    pub(crate) fn rest(&self) {
        let mut waiting = self.0.lock();
        if waiting.jobs.is_empty() {
            waiting.jobs = VecDeque::new();
        }
    }

    /// Takes out all that waits.
    fn take_all(&self) -> Vec<Ticket> {
        let waiting = std::mem::take(&mut *self.0.lock());
        waiting.jobs.into_iter().map(|(ticket, _)| ticket).collect()
    }
}

/// What is to be done next.
#[allow(clippy::large_enum_variant)] // moved once
enum Next {
    Proofs(Vec<Ticket>, Vec<Proof>),
    Other(Ticket, Effect),
}

fn weight(effect: &Effect) -> usize {
    let block = match effect {
        Effect::Apply { data } => data.block.as_ref(),
        _ => None,
    };
    block.map_or(0, |block| block.value.len())
}

impl Core {
    /// Works until the queue is empty, or the log is closed.
    pub(crate) async fn pump(self: Arc<Self>) {
        while !self.apply.is_empty() {
            let Ok(guard) = self.lane.lock().await else {
                self.refuse_all();
                break;
            };
            if self.durability < Durability::Disk {
                self.apply_now(guard);
            } else {
                let core = self.clone();
                self.block_on_disk(move || core.apply_now(guard)).await;
            }
        }
        if self.conflict().is_some() {
            // The handles are closed already; what the store says on the way is nobody's to hear.
            self.close().await.ok();
        }
    }

    /// Verifies, stores, publishes and answers one batch. Answers even if nobody polls the one who
    /// brought it any more.
    fn apply_now(&self, guard: Guard) {
        let (tickets, proofs) = match self.apply.take() {
            Next::Proofs(tickets, proofs) => (tickets, proofs),
            Next::Other(ticket, Effect::CheckConflict { data }) => {
                return self.check_conflict(guard, ticket, data);
            }
            Next::Other(ticket, step) => return self.follow_fork(guard, ticket, step),
        };
        let (tickets, proofs, repeated) = self.set_repeated_aside(tickets, proofs);
        let asked = Asked { tickets, repeated };
        if let Err(error) = self.apply_proofs(guard, proofs, &asked) {
            if let CommitError::Storage(error) = error {
                self.fail(error);
            }
            self.feed(asked.answer(std::iter::repeat(Reply::Failed)));
        }
    }

    /// Several peers may have been asked for one block: what is here, or comes first in this batch, is
    /// neither verified nor written once more. Should the first not hold, it is asked for again.
    fn set_repeated_aside(
        &self,
        tickets: Vec<Ticket>,
        proofs: Vec<Proof>,
    ) -> (Vec<Ticket>, Vec<Proof>, Vec<Ticket>) {
        let view = self.view.load();
        let block = |proof: &Proof| Some(proof.block.as_ref()?.index.get());
        let blocks = (0..).zip(&proofs);
        let blocks = blocks.filter_map(|(at, proof)| Some((block(proof)?, at)));
        let mut blocks: Vec<(u64, usize)> = blocks.collect();
        blocks.sort_unstable();
        let (mut known, mut last) = (BTreeSet::new(), None);
        for (index, at) in blocks {
            if last.replace(index) == Some(index) || view.have.get(index) {
                known.insert(at);
            }
        }
        if known.is_empty() {
            return (tickets, proofs, Vec::new());
        }
        let (mut kept, mut repeated) = ((Vec::new(), Vec::new()), Vec::new());
        for (at, (ticket, proof)) in tickets.into_iter().zip(proofs).enumerate() {
            let only_block = proof.upgrade.is_none() && proof.fork == view.head.fork();
            if only_block && known.contains(&at) {
                repeated.push(ticket);
            } else {
                kept.0.push(ticket);
                kept.1.push(proof);
            }
        }
        (kept.0, kept.1, repeated)
    }

    /// Answers unless it fails: together with publishing, so that who waits for a block hears of its
    /// download first.
    fn apply_proofs(
        &self,
        guard: Guard,
        proofs: Vec<Proof>,
        asked: &Asked,
    ) -> Result<(), CommitError> {
        let view = self.view.load();
        if view.lost.is_some() {
            return self.mend(guard, &view, proofs, asked);
        }
        let batch = Proofs::verify(&view.head, &view.authority, proofs);
        let stored = self.nodes(batch.expected())?;
        let confirmed = batch.confirm(&stored);
        let answers = asked.answer(confirmed.outcomes.iter().map(judge));
        match stage(&view, &confirmed) {
            Some(mut staged) => {
                staged.answers = answers;
                self.commit_now(guard, staged, self.durability)
            }
            None => {
                drop(guard);
                self.feed(answers);
                Ok(())
            }
        }
    }

    /// Puts back the roots that the log has lost, with the first proof that brings them.
    fn mend(
        &self,
        guard: Guard,
        view: &View,
        proofs: Vec<Proof>,
        asked: &Asked,
    ) -> Result<(), CommitError> {
        let mut mended = None;
        let mut outcomes = Vec::with_capacity(proofs.len());
        for proof in proofs {
            if mended.is_some() {
                outcomes.push(Reply::Stale);
                continue;
            }
            match self.restored(view, proof)? {
                Ok(change) => {
                    mended = Some(change);
                    outcomes.push(Reply::Applied);
                }
                Err(error) => outcomes.push(judge(&Err(error))),
            }
        }
        let answers = asked.answer(outcomes);
        let Some(change) = mended else {
            drop(guard);
            self.feed(answers);
            return Ok(());
        };
        let mut staged = Staged::on(view);
        staged.restore(&change);
        staged.answers = answers;
        self.commit_now(guard, staged, self.durability)
    }

    /// Nodes from the store, in the order asked for.
    pub(crate) fn nodes(&self, indexes: &[NodeIndex]) -> Result<Vec<Option<Node>>, StorageError> {
        let mut nodes = Vec::with_capacity(indexes.len());
        if !indexes.is_empty() {
            self.log.nodes(indexes, &mut nodes)?;
        }
        Ok(nodes)
    }

    /// The log takes no more writes.
    fn refuse_all(&self) {
        let refused = self.apply.take_all().into_iter();
        self.feed(refused.map(|ticket| Input::Completed {
            ticket,
            reply: Reply::Failed,
        }));
    }
}

/// Who waits for one batch.
struct Asked {
    tickets: Vec<Ticket>,
    /// Those whose block comes with one of the others.
    repeated: Vec<Ticket>,
}

impl Asked {
    fn answer(&self, replies: impl IntoIterator<Item = Reply>) -> Vec<Input> {
        let repeated = self.repeated.iter().map(|ticket| (ticket, Reply::Stale));
        let all = self.tickets.iter().zip(replies).chain(repeated);
        all.map(|(ticket, reply)| Input::Completed {
            ticket: *ticket,
            reply,
        })
        .collect()
    }
}

/// What proofs that hold bring, ready to be written; `None` where that is nothing.
pub(crate) fn stage(view: &View, confirmed: &Confirmed) -> Option<Staged> {
    let change = confirmed.change.as_ref()?;
    let mut staged = Staged::on(view);
    staged.gain(change);
    staged.batch = Batch::from_change(change);
    if let Some(verifier) = &confirmed.learned {
        staged.next.authority = Arc::new(Authority::Known(verifier.clone()));
    }
    Some(staged)
}

pub(super) fn judge(outcome: &Result<(), ProofError>) -> Reply {
    match outcome {
        Ok(()) => Reply::Applied,
        Err(error) if !error.is_senders_fault() => Reply::Stale,
        Err(error) => {
            tracing::debug!(%error, "what a peer sent does not hold");
            Reply::Rejected(match error {
                ProofError::Signature(_) | ProofError::Manifest(_) => Rejection::Signature,
                ProofError::Checksum { .. } | ProofError::Head(_) | ProofError::Prologue => {
                    Rejection::Proof
                }
                _ => Rejection::Malformed,
            })
        }
    }
}
