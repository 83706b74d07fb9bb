//! Answering what peers ask, from the view and the store: plan, one read, assemble.
//!
//! What the page cache serves is read right here: handing it to another thread would cost more than
//! the read.

use hc_merkle::proof::{Plan, Planner, Request};
use hc_merkle::{BlockIndex, Fork, Length, PlanError, Verifier, drive, flat};
use hc_replicator::{Effect, Reply};
use hc_storage::StorageError;

use super::replies::Replies;
use super::router::Router;
use crate::core::Core;
use crate::limits::ANSWERS_PER_POLL;

/// Why there is no proof.
enum NoProof {
    Plan(PlanError),
    Storage(StorageError),
}

impl From<PlanError> for NoProof {
    fn from(error: PlanError) -> Self {
        Self::Plan(error)
    }
}

impl From<StorageError> for NoProof {
    fn from(error: StorageError) -> Self {
        Self::Storage(error)
    }
}

impl Core {
    /// The proof that answers a request, made from what is stored.
    pub(crate) fn prove(&self, fork: Fork, request: &Request) -> Reply {
        match self.try_prove(fork, request) {
            Ok(reply) => reply,
            Err(NoProof::Plan(error)) if error.is_invalid_request() => Reply::Invalid,
            Err(NoProof::Plan(_)) => Reply::NotAvailable,
            Err(NoProof::Storage(error)) => {
                tracing::warn!(%error, "a request was not answered");
                Reply::Failed
            }
        }
    }

    fn try_prove(&self, fork: Fork, request: &Request) -> Result<Reply, NoProof> {
        let view = self.view.load();
        if view.lost.is_some() {
            return Ok(Reply::NotAvailable);
        }
        let verifier = view.authority.verifier();
        let planner = Planner::new(&view.head, request, verifier.and_then(Verifier::prologue))?;
        let plan: Plan = drive(planner, |indexes| self.nodes(indexes))??;
        let nodes = self.nodes(plan.nodes())?;
        let block = match plan.request().block {
            Some(block) => self.log.block(BlockIndex::new(block.index.get()))?,
            None => None,
        };
        let proof = plan.assemble(&nodes, block, verifier.and_then(Verifier::manifest))?;
        // What was read belongs together only if nothing was cut meanwhile.
        let cut = self.view.load().cuts.shortest_since(view.epoch).is_some();
        if cut || view.head.fork() != fork {
            return Ok(Reply::NotAvailable);
        }
        Ok(Reply::Proof(proof))
    }

    /// Whether all roots of the tree at this length are stored.
    pub(super) fn can_upgrade_from(&self, fork: Fork, length: Length) -> Reply {
        let view = self.view.load();
        if view.head.fork() != fork || length > view.head.length() {
            return Reply::Upgradeable(false);
        }
        let roots: Vec<_> = flat::full_roots(length).collect();
        match self.nodes(&roots) {
            Ok(roots) => Reply::Upgradeable(roots.iter().all(Option::is_some)),
            Err(error) => {
                tracing::warn!(%error, "roots were not read");
                Reply::Failed
            }
        }
    }
}

impl Router {
    /// Proves what was asked for as long as there is room to send it, and others have not waited for too
    /// long.
    pub(super) fn prove(&mut self, unsent: usize, replies: &mut Replies) -> bool {
        let mut unsent = unsent.saturating_add(self.outbox.bytes());
        let mut progress = false;
        while unsent < self.room.limit() && !self.has_answered_enough() {
            let Some((at, (peer, ticket, effect))) = self.unproven.pop() else {
                break;
            };
            progress = true;
            let slot = self.slots.get(&at);
            let slot = slot.filter(|_| self.by_peer.contains_key(&peer));
            let (Some(slot), Effect::Prove { fork, request }) = (slot, effect) else {
                continue;
            };
            self.answered += 1;
            let reply = slot.core.prove(fork, &request);
            if let Reply::Proof(proof) = &reply {
                let block = proof.block.as_ref().map_or(0, |block| block.value.len());
                unsent = unsent.saturating_add(block);
            }
            replies.add(at, ticket, reply);
        }
        progress
    }

    /// Whether others are to have a turn before anything more is answered.
    pub(super) fn has_answered_enough(&self) -> bool {
        self.answered >= ANSWERS_PER_POLL
    }
}
