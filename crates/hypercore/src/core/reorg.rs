//! Following a peer to a later fork: what it sent is verified and compared with what is stored, and once
//! it is known where the forks part, one batch cuts the log there and takes the later fork over.
//!
//! Knows nothing of who is asked for what: that is the machine's.

use std::sync::Arc;

use hc_merkle::proof::{Proof, Reorg};
use hc_merkle::{Authority, Fork, ProofError};
use hc_replicator::{Effect, Input, Reply, Ticket};
use hc_storage::{Batch, StorageError};

use super::Core;
use super::apply::judge;
use super::lane::Guard;
use super::publish::{CommitError, Staged};
use crate::event::Event;
use crate::view::View;

/// Why a fork is not followed, for now or at all.
enum NotFollowed {
    Proof(ProofError),
    Storage(StorageError),
    /// The search was begun with another head, or is another one.
    Stale,
}

impl From<ProofError> for NotFollowed {
    fn from(error: ProofError) -> Self {
        Self::Proof(error)
    }
}

impl From<StorageError> for NotFollowed {
    fn from(error: StorageError) -> Self {
        Self::Storage(error)
    }
}

impl Core {
    /// Does one step towards a later fork, and answers.
    pub(super) fn follow_fork(&self, guard: Guard, ticket: Ticket, step: Effect) {
        let view = self.view.load();
        let reorg = match step {
            Effect::ExamineFork { data } => self.examine(&view, data),
            Effect::AdoptFork { fork } => self.settled(&view, fork),
            _ => Err(NotFollowed::Stale),
        };
        let reply = match reorg {
            Ok(reorg) => match reorg.wanted() {
                None => return self.adopt(guard, ticket, &view, reorg),
                Some(wanted) => {
                    *self.reorg.lock() = Some(Box::new(reorg));
                    Reply::Wanted(wanted)
                }
            },
            Err(NotFollowed::Proof(error)) => judge(&Err(error)),
            Err(NotFollowed::Stale) => Reply::Stale,
            Err(NotFollowed::Storage(error)) => {
                tracing::warn!(%error, "a later fork was not compared");
                Reply::Failed
            }
        };
        drop(guard);
        self.feed([Input::Completed { ticket, reply }]);
    }

    /// Takes in a proof of a whole later fork, or one more hash of the one that is examined. What does
    /// not hold leaves the search where it was.
    fn examine(&self, view: &View, proof: Proof) -> Result<Reorg, NotFollowed> {
        let mut reorg = if proof.upgrade.is_some() {
            Reorg::new(&view.head, proof, &view.authority)?
        } else {
            let mut reorg = self.examined(view).ok_or(NotFollowed::Stale)?;
            if let Err(error) = reorg.update(proof) {
                *self.reorg.lock() = Some(Box::new(reorg));
                return Err(error.into());
            }
            reorg
        };
        let stored = self.nodes(reorg.expected())?;
        reorg.compare(&stored);
        Ok(reorg)
    }

    /// The fork that is examined, if the log is as it was when that began.
    fn examined(&self, view: &View) -> Option<Reorg> {
        let at = (view.head.fork(), view.head.length());
        let examined = self.reorg.lock().take();
        examined
            .filter(|reorg| reorg.base() == at)
            .map(|reorg| *reorg)
    }

    /// The fork that is examined, as far as it is known.
    fn settled(&self, view: &View, fork: Fork) -> Result<Reorg, NotFollowed> {
        let examined = self.examined(view);
        let mut reorg = examined
            .filter(|reorg| reorg.head().fork() == fork)
            .ok_or(NotFollowed::Stale)?;
        reorg.settle();
        Ok(reorg)
    }

    /// Cuts the log and takes the fork over, in one batch.
    fn adopt(&self, guard: Guard, ticket: Ticket, view: &View, reorg: Reorg) {
        let mut staged = Staged::on(view);
        if let Some(verifier) = reorg.learned() {
            staged.next.authority = Arc::new(Authority::Known(verifier.clone()));
        }
        staged.parted = Some(reorg.parted());
        let Some(change) = reorg.finish() else { return };
        let grows = !change.appended().is_empty();
        staged.gain(&change);
        staged.batch = Batch::from_change(&change);
        staged.answers = vec![Input::Completed {
            ticket,
            reply: Reply::Applied,
        }];
        let length = staged.next.head.length();
        if let Err(error) = self.commit_now(guard, staged, self.durability) {
            if let CommitError::Storage(error) = error {
                self.fail(error);
            }
            let reply = Reply::Failed;
            self.feed([Input::Completed { ticket, reply }]);
        } else if grows {
            // Cut first, then longer: two events of one change.
            self.hub.emit(&Event::Append { length });
        }
    }
}
