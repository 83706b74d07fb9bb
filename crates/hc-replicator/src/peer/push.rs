//! Blocks that nobody asked for, both ways. Knows nothing of who decides what is pushed.
//!
//! What is pushed goes out under number 0, with the tree that spans it where the peer's does not. A peer
//! that has been brought to a length is taken to be there, so that one push follows from the other
//! without a round trip. A tree is proven as far as the log goes by then, which may be further than was
//! meant: so a push waits until it is known where the one before, or the answer to a request, has led.

use alloc::collections::VecDeque;

use hc_merkle::proof::{BlockRequest, Proof, Request as Wanted, UpgradeProof, UpgradeRequest};
use hc_merkle::{BlockIndex, Fork, Length, NodeIndex};
use hc_protocol::message::{Data, RequestId};

use crate::config::PushPolicy;
use crate::error::{Fault, Rejection};
use crate::input::Reply;
use crate::limits::{PUSH_REJECTIONS, PUSHES, PUSHES_WAITING};
use crate::output::{Effect, Notice};
use crate::peer::{Applying, Peer, Task};
use crate::shared::Shared;

/// Number of what was not asked for: pushes, and proofs of a conflict with the question for them.
pub(crate) const UNASKED: RequestId = RequestId(0);

/// What one peer pushed and what was pushed to it.
#[derive(Debug, Default)]
pub(crate) struct Pushing {
    /// Fork and length that it has been brought to by what was sent to it.
    sent: (Fork, Length),
    /// Longer trees for it that are being proven.
    upgrades: usize,
    /// Blocks that wait until none is.
    waiting: VecDeque<BlockIndex>,
    /// Blocks that it pushed and that are being checked.
    checking: usize,
    /// Pushes of its that did not hold.
    rejected: u32,
}

impl Peer {
    /// Pushes a block, if the peer takes such, does not have it, and can tie it to its tree.
    pub(crate) fn push(&mut self, shared: &mut Shared, index: BlockIndex) {
        if !self.may_push(shared, index) {
            return;
        }
        if self.pushing.upgrades == 0 {
            self.push_now(shared, index);
        } else if self.pushing.waiting.len() < PUSHES_WAITING {
            self.pushing.waiting.push_back(index);
        }
    }

    /// Pushes what had to wait, as far as that goes.
    pub(crate) fn push_waiting(&mut self, shared: &mut Shared) {
        while self.pushing.upgrades == 0 {
            let Some(index) = self.pushing.waiting.pop_front() else {
                return;
            };
            if self.may_push(shared, index) {
                self.push_now(shared, index);
            }
        }
    }

    fn may_push(&self, shared: &Shared, index: BlockIndex) -> bool {
        let takes = self
            .same_fork(shared)
            .is_some_and(|remote| remote.allow_push && remote.downloading);
        let at = index.get();
        takes
            && self.uploads(shared)
            && self.room
            && shared.view.blocks.get(at)
            && !self.blocks.get(at)
    }

    fn push_now(&mut self, shared: &mut Shared, index: BlockIndex) {
        let Some(length) = self.length(shared) else {
            return;
        };
        let view = &shared.view;
        let start = self.pushed_to(shared, Length::new(length));
        let beyond = index.get() >= start.get();
        let block = BlockRequest {
            index,
            nodes: hc_merkle::max_missing_nodes(
                start,
                NodeIndex::new(index.get().saturating_mul(2)),
            ),
        };
        let request = Wanted {
            block: Some(block),
            upgrade: beyond.then(|| UpgradeRequest {
                start,
                length: Length::new(view.length.get() - start.get()),
            }),
            manifest: start == Length::ZERO && shared.gives_manifest(),
            ..Wanted::default()
        };
        let fork = view.fork;
        let upgrade = self.begins_upgrade(beyond);
        shared.run(
            self,
            Task::Push { upgrade },
            Effect::Prove { fork, request },
        );
    }

    /// A proof is being made, with a longer tree or without. Says which.
    pub(crate) fn begins_upgrade(&mut self, upgrade: bool) -> bool {
        self.pushing.upgrades += usize::from(upgrade);
        upgrade
    }

    /// A proof has been made, or cannot be.
    pub(crate) fn ends_upgrade(&mut self, upgrade: bool) {
        self.pushing.upgrades -= usize::from(upgrade);
    }

    /// A proof is sent: it leads the peer so far.
    pub(crate) fn leads(&mut self, shared: &Shared, proof: &Proof) {
        let Some(upgrade) = &proof.upgrade else {
            return;
        };
        if proof.fork == shared.view.fork {
            let end = self.pushed_to(shared, end_of(upgrade));
            self.pushing.sent = (proof.fork, end);
        }
    }

    /// The length that a peer is at, or will be once it has what was sent to it.
    fn pushed_to(&self, shared: &Shared, length: Length) -> Length {
        let (fork, sent) = self.pushing.sent;
        if fork == shared.view.fork {
            length.max(sent.min(shared.view.length))
        } else {
            length
        }
    }

    /// Where an upgrade that a peer asked for begins by the time it arrives: what was pushed meanwhile
    /// comes first.
    pub(crate) fn after_pushes(
        &self,
        shared: &Shared,
        mut asked: UpgradeRequest,
    ) -> UpgradeRequest {
        let end = asked.start.get().saturating_add(asked.length.get());
        let start = self.pushed_to(shared, asked.start);
        if (asked.start.get()..end).contains(&start.get()) {
            asked.start = start;
            asked.length = Length::new(end - start.get());
        }
        asked
    }

    /// What is to be pushed has been proven, or cannot be.
    pub(crate) fn on_push_proven(&mut self, shared: &mut Shared, reply: Reply) {
        let takes = self
            .same_fork(shared)
            .is_some_and(|remote| remote.allow_push);
        if let (true, Reply::Proof(proof)) = (takes, reply) {
            self.count_upload(shared, &proof);
            self.leads(shared, &proof);
            shared.stats.pushed += 1;
            self.stats.pushed += 1;
            shared.send(self, Data { id: UNASKED, proof });
        }
    }

    /// A block that was not asked for. Taken where it is new and our side takes such.
    pub(crate) fn on_push(&mut self, shared: &mut Shared, proof: Proof) {
        let Some(block) = &proof.block else { return };
        let (index, bytes) = (block.index.get(), block.value.len() as u64);
        let coming = self.pushing.checking > 0;
        let ours = shared.view.length;
        let ties = match &proof.upgrade {
            Some(upgrade) => upgrade.start <= ours || coming,
            None => index < ours.get() || coming,
        };
        let takes = shared.takes_pushes()
            && self.policy.downloads
            && proof.fork == shared.view.fork
            && ties
            && is_plain(&proof)
            && !shared.view.blocks.get(index)
            && !shared.flights.is_answered(index)
            && self.pushing.checking < PUSHES;
        if !takes {
            return;
        }
        shared.taken.set(index);
        shared.demands.started(index);
        let task = Applying {
            block: Some(index),
            bytes,
            asked: false,
            leans_on: None,
            upgrade: proof.upgrade.is_some(),
            from: None,
            seek: None,
            elapsed: None,
        };
        self.pushing.checking += 1;
        self.applying += 1;
        shared.under_way += 1;
        self.check(shared, task, proof);
    }

    /// What was pushed has been checked. That it does not hold may be nobody's fault: what came before it
    /// may have been lost. It costs the channel only when it happens again and again.
    pub(crate) fn on_push_checked(&mut self, shared: &mut Shared, reply: &Reply) {
        self.pushing.checking -= 1;
        match reply {
            Reply::Applied => {
                shared.stats.pushes_taken += 1;
                self.stats.pushes_taken += 1;
            }
            Reply::Rejected(rejection) => self.reject_push(shared, *rejection),
            _ => {}
        }
    }

    fn reject_push(&mut self, shared: &mut Shared, rejection: Rejection) {
        let fault = Fault::BadData(rejection);
        self.pushing.rejected += 1;
        if self.pushing.rejected >= PUSH_REJECTIONS {
            self.fault(shared, fault);
        } else {
            shared.notify(Notice::InvalidData {
                peer: self.id,
                fault,
            });
        }
    }
}

impl Shared {
    /// Whether peers may send what they were not asked for. Not once our side has lost interest.
    pub(crate) fn takes_pushes(&self) -> bool {
        self.config.push == PushPolicy::Accept && self.interested
    }
}

/// Where the proof of a longer tree leads: past what was asked for, if the log is longer.
fn end_of(upgrade: &UpgradeProof) -> Length {
    let asked = upgrade.start.get().saturating_add(upgrade.length.get());
    let further = upgrade.additional_nodes.iter();
    let further = further.map(|node| node.index.end().get()).max();
    Length::new(asked.max(further.unwrap_or(0)))
}

/// Whether an answer has only what is ever asked for.
pub(crate) fn is_plain(proof: &Proof) -> bool {
    proof.hash.is_none() && proof.seek.is_none()
}
