//! Two signed heads that do not go together: a peer whose data does not verify is asked for a proof of
//! its whole log before it is let go, and whoever sees a conflict tells everybody. Knows nothing of
//! signatures.

use hc_merkle::Length;
use hc_merkle::proof::{Proof, Request as Wanted, UpgradeRequest};
use hc_protocol::message::{Data, Request};

use crate::error::{Fault, Rejection};
use crate::id::PeerId;
use crate::input::Reply;
use crate::limits::{CONFLICT_CHECKS, CONFLICT_PATIENCE};
use crate::machine::Replicator;
use crate::output::{Effect, Hangup, Notice};
use crate::peer::push::UNASKED;
use crate::peer::{Peer, Task};
use crate::shared::Shared;
use crate::timer::Timer;

/// Proofs of one peer that are compared with our log at once: both sides of a conflict.
const AT_ONCE: usize = 2;

/// What is known of a peer's honesty.
#[derive(Debug, Default)]
pub(crate) struct Honesty {
    /// What it did, while it is asked for a proof of its log.
    doubt: Option<Fault>,
    /// Proofs that are being compared with our log.
    checking: usize,
    /// How many were.
    checks: u32,
}

impl Peer {
    /// Data that it sent does not hold. It lies, or the log was signed twice: in that case it can prove
    /// its own log, and that is asked for, and nothing else any more.
    pub(crate) fn doubt(&mut self, shared: &mut Shared, rejection: Rejection) {
        if self.honesty.doubt.is_some() {
            return;
        }
        let fault = Fault::BadData(rejection);
        let theirs = self.length(shared).unwrap_or(0);
        let length = shared.view.length.get().min(theirs);
        if length == 0 || rejection == Rejection::Malformed {
            self.fault(shared, fault);
            return;
        }
        shared.notify(Notice::InvalidData {
            peer: self.id,
            fault,
        });
        self.shunned = true;
        self.honesty.doubt = Some(fault);
        self.take_back_requests(shared);
        let late = shared.now.after(CONFLICT_PATIENCE);
        shared.timers.set(Timer::Doubt(self.id), late);
        let want = Wanted {
            upgrade: Some(UpgradeRequest {
                start: Length::ZERO,
                length: Length::new(length),
            }),
            ..Wanted::default()
        };
        let request = Request {
            id: UNASKED,
            fork: shared.view.fork,
            want,
            priority: 0,
        };
        shared.send(self, request);
    }

    /// Nothing speaks for it.
    pub(crate) fn end_doubt(&mut self, shared: &mut Shared) {
        if let Some(fault) = self.honesty.doubt.take() {
            shared.timers.unset(Timer::Doubt(self.id));
            shared.hang_up(self.id, Hangup::Fault(fault));
        }
    }

    /// Takes a proof of a whole log that speaks for a conflict; gives back what is something else.
    pub(crate) fn testimony(&mut self, shared: &mut Shared, proof: Proof) -> Option<Proof> {
        let view = &shared.view;
        let of_ours = proof.fork == view.fork
            && proof.upgrade.as_ref().is_some_and(|upgrade| {
                upgrade.start == Length::ZERO && upgrade.length <= view.length
            });
        if !of_ours || view.length == Length::ZERO {
            self.end_doubt(shared);
            return Some(proof);
        }
        let honesty = &mut self.honesty;
        if honesty.checking < AT_ONCE && honesty.checks < CONFLICT_CHECKS {
            honesty.checking += 1;
            honesty.checks += 1;
            shared.run(
                self,
                Task::CheckConflict,
                Effect::CheckConflict { data: proof },
            );
        }
        None
    }
}

impl Replicator {
    /// A proof of a peer's log was compared with ours.
    pub(crate) fn conflict_checked(&mut self, id: PeerId, reply: Reply) {
        if let Reply::Conflict { ours, theirs } = reply {
            self.freeze(Some(id), ours.as_deref(), &theirs);
        } else if let Some(peer) = self.peers.get_mut(&id) {
            peer.honesty.checking -= 1;
            peer.end_doubt(&mut self.shared);
        }
    }

    /// The same, of a peer that is gone: who sees a conflict says so and goes.
    pub(crate) fn late_testimony(&mut self, reply: Reply) {
        if let Reply::Conflict { ours, theirs } = reply {
            self.freeze(None, ours.as_deref(), &theirs);
        }
    }

    /// The log was signed twice: shows everybody both sides of it, and has no more to do with anyone.
    /// (The reference shows its own side alone, so that who is on it never hears.)
    fn freeze(&mut self, from: Option<PeerId>, ours: Option<&Proof>, theirs: &Proof) {
        let shared = &mut self.shared;
        shared.frozen = true;
        for peer in self.peers.values_mut() {
            let shown = if peer.length(shared).is_none_or(|length| length == 0) {
                [None, None]
            } else {
                [ours, Some(theirs).filter(|_| Some(peer.id) != from)]
            };
            for proof in shown.into_iter().flatten().cloned() {
                shared.send(peer, Data { id: UNASKED, proof });
            }
            shared.hang_up(peer.id, Hangup::Conflict);
        }
    }
}
