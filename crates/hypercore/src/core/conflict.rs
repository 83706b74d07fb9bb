//! A log that was signed twice: found by comparing a proof of somebody's whole log with ours, and then
//! frozen, here and in the store, for good.
//!
//! Knows nothing of how peers are told.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use hc_merkle::proof::{Proof, Remote, Request, UpgradeRequest};
use hc_merkle::{Fork, Length, Node, NodeIndex, ProofError, flat};
use hc_replicator::{Input, Reply, Ticket};
use hc_storage::{Batch, CONFLICT_KEY, CoreRead, Durability, StorageError};
use thiserror::Error;

use super::Core;
use super::apply::judge;
use super::lane::Guard;
use super::publish::Staged;
use crate::error::Closed;
use crate::event::Event;
use crate::remote_proof::RemoteProof;
use crate::view::View;

/// Two histories were signed under one key, on one fork: whoever holds the key broke the promise that a
/// log only grows. Neither history can be trusted to be the one that others see, so the log is frozen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("two conflicting signatures exist for length {length} of fork {fork}")]
pub struct Conflict {
    /// A length at which the two histories differ.
    pub length: Length,
    /// The fork that both are on.
    pub fork: Fork,
}

impl Conflict {
    /// The conflict that a stored log is frozen for.
    pub(super) fn stored(log: &dyn CoreRead) -> Result<Option<Self>, StorageError> {
        // a length, then the other side's proof as `RemoteProof::to_bytes` writes it
        let Some(value) = log.user_data(CONFLICT_KEY)? else {
            return Ok(None);
        };
        // Whatever else it says, it says that the log is frozen.
        let length = value.first_chunk().copied().map(u64::from_le_bytes);
        let proof = RemoteProof::from_bytes(value.get(8..).unwrap_or_default());
        Ok(Some(Self {
            length: Length::new(length.unwrap_or(0)),
            fork: proof.map_or(Fork::ZERO, |proof| proof.fork()),
        }))
    }
}

/// Whether a log is frozen, and since when.
#[derive(Debug)]
pub(super) struct Frozen {
    conflict: OnceLock<Conflict>,
    at_open: bool,
}

impl Frozen {
    /// What the store says of it when it is opened.
    pub(super) fn at_open(stored: Option<Conflict>) -> Self {
        Self {
            at_open: stored.is_some(),
            conflict: stored.map(OnceLock::from).unwrap_or_default(),
        }
    }
}

impl Core {
    /// The conflict that the log is frozen for, if it is.
    pub(crate) fn conflict(&self) -> Option<Conflict> {
        self.frozen.conflict.get().copied()
    }

    /// It was frozen already when it was opened, to be read: it is never replicated.
    pub(crate) fn was_opened_frozen(&self) -> bool {
        self.frozen.at_open
    }

    /// Why a handle of it is of no use any more.
    pub(crate) fn closed<E: From<Closed>>(&self) -> E {
        Closed(self.conflict()).into()
    }

    /// Compares a proof of a whole log with this one, and answers.
    pub(super) fn check_conflict(&self, guard: Guard, ticket: Ticket, theirs: Proof) {
        let view = self.view.load();
        let reply = match self.differs_at(&view, &theirs) {
            Ok(Ok(Some(length))) => return self.seal_off(guard, ticket, &view, (length, theirs)),
            Ok(Ok(None)) => Reply::Consistent,
            Ok(Err(error)) => judge(&Err(error)),
            Err(error) => {
                tracing::warn!(%error, "two histories were not compared");
                Reply::Failed
            }
        };
        drop(guard);
        self.feed([Input::Completed { ticket, reply }]);
    }

    /// The length at which a proof shows another history than the one that is stored. `None` where it is
    /// the same, or ours is not known at that length.
    fn differs_at(
        &self,
        view: &View,
        theirs: &Proof,
    ) -> Result<Result<Option<Length>, ProofError>, StorageError> {
        let remote = match Remote::verify(theirs.clone(), &view.authority) {
            Ok(remote) => remote,
            Err(error) => return Ok(Err(error)),
        };
        let length = remote.asked.length();
        let comparable = remote.asked.fork() == view.head.fork() && length <= view.head.length();
        if !comparable {
            return Ok(Ok(None));
        }
        let ours = self.roots_at(view, length)?;
        let pairs = ours.iter().zip(remote.asked.roots());
        let known = ours.iter().all(Option::is_some);
        let same = |(ours, theirs): (&Option<Node>, &Node)| {
            ours.is_some_and(|ours| ours.hash == theirs.hash)
        };
        let differs = known && !pairs.into_iter().all(same);
        Ok(Ok(differs.then_some(length)))
    }

    fn roots_at(&self, view: &View, length: Length) -> Result<Vec<Option<Node>>, StorageError> {
        let indexes = flat::roots_at(length);
        let mut nodes = self.nodes(&indexes)?;
        let of_head = |index: NodeIndex| {
            let mut roots = view.head.roots().iter();
            roots.find(|root| root.index == index).copied()
        };
        for (node, index) in nodes.iter_mut().zip(indexes) {
            *node = node.or_else(|| of_head(index));
        }
        Ok(nodes)
    }

    /// Notes it in the store, tells the machine and whoever listens, and closes all handles.
    fn seal_off(
        &self,
        guard: Guard,
        ticket: Ticket,
        view: &View,
        (length, theirs): (Length, Proof),
    ) {
        let fork = view.head.fork();
        let request = Request {
            upgrade: Some(UpgradeRequest {
                start: Length::ZERO,
                length,
            }),
            ..Request::default()
        };
        let ours = match self.prove(fork, &request) {
            Reply::Proof(proof) => Some(proof),
            _ => None,
        };
        let shown = |proof: &Proof| Arc::new(RemoteProof::of(self.discovery_key, proof.clone()));
        let event = Event::Conflict {
            conflict: Conflict { length, fork },
            ours: ours.as_ref().map(shown),
            theirs: shown(&theirs),
        };
        let mut value = length.get().to_le_bytes().to_vec();
        value.append(&mut RemoteProof::of(self.discovery_key, theirs.clone()).to_bytes());
        let mut batch = Batch::new();
        batch.set_user_data(CONFLICT_KEY, Some(Bytes::from(value)));
        let staged = Staged {
            batch,
            ..Staged::on(view)
        };
        self.frozen.conflict.set(Conflict { length, fork }).ok();
        let level = self.durability.max(Durability::Os);
        if let Err(error) = self.commit_now(guard, staged, level) {
            tracing::error!(?error, "that the log is frozen was not stored");
        }
        tracing::error!(log = ?self.discovery_key, %length, %fork, "the log was signed twice");
        let reply = Reply::Conflict {
            ours: ours.map(Box::new),
            theirs: Box::new(theirs),
        };
        self.feed([Input::Completed { ticket, reply }]);
        self.shut_gates();
        self.hub.emit(&event);
    }
}
