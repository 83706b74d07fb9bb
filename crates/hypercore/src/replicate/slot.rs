//! One log of one connection, and the channel it has there. Knows nothing of frames.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use hc_merkle::DiscoveryKey;
use hc_protocol::mux::ChannelId;
use hc_replicator::{Input, PeerId};

use super::Peer;
use super::swarm::next_peer;
use crate::core::Core;
use crate::rt::BoxFuture;

/// One log that is offered.
pub(super) struct Slot {
    pub(super) core: Arc<Core>,
    pub(super) peering: Option<Peering>,
    /// The first peering, as long as the handshake is not done: an update waits for it.
    pub(super) expected: Option<PeerId>,
    /// How often interest had begun when its channel was last opened: a channel that has gone is
    /// opened again when it begins anew.
    pub(super) activations: u64,
    /// Until when it stays though neither side wants it.
    pub(super) leaves: Option<Instant>,
    /// Stores what the remote sent.
    pump: Option<BoxFuture<()>>,
}

/// A channel for a log.
#[derive(Clone, Copy)]
pub(super) struct Peering {
    pub(super) peer: Peer,
    pub(super) channel: ChannelId,
    /// The remote has opened its side, and knows the key.
    pub(super) open: bool,
}

impl Peering {
    pub(super) fn id(&self) -> PeerId {
        PeerId(self.peer.id)
    }
}

impl Slot {
    /// A log without a channel. `expected`: one will be opened once the handshake is done.
    pub(super) fn new(core: Arc<Core>, expected: bool) -> Self {
        let expected = expected.then(next_peer);
        if let Some(peer) = expected {
            core.feed([Input::PeerExpected { peer }]);
        }
        Self {
            core,
            peering: None,
            expected,
            activations: 0,
            leaves: None,
            pump: None,
        }
    }

    pub(super) fn discovery_key(&self) -> DiscoveryKey {
        self.core.discovery_key
    }

    /// When it is to be looked at next.
    pub(super) fn due(&self) -> Option<Instant> {
        let machine = self.core.machine_due();
        machine.into_iter().chain(self.leaves).min()
    }

    /// Its time is over, and nothing of it waits to be stored.
    pub(super) fn has_left(&self, now: Instant) -> bool {
        self.leaves.is_some_and(|at| at <= now) && self.pump.is_none()
    }

    /// Whether its log has no more to do with anyone. A log that is found to be signed twice is so once
    /// its gate is shut, and no sooner: before that, its peers are yet to be shown both sides.
    pub(super) fn is_closed(&self) -> bool {
        self.core.gate.is_closed() || self.core.was_opened_frozen()
    }

    /// Stores what the remotes sent, as far as that goes without waiting.
    pub(super) fn pump(&mut self, cx: &mut Context<'_>) -> Pumped {
        if self.pump.is_none() && !self.core.apply.is_empty() {
            self.pump = Some(Box::pin(self.core.clone().pump()));
        }
        let Some(pump) = &mut self.pump else {
            return Pumped::Idle;
        };
        if pump.as_mut().poll(cx) == Poll::Pending {
            return Pumped::Waiting;
        }
        self.pump = None;
        Pumped::Done
    }

    /// Whether anything is being stored.
    pub(super) fn is_pumping(&self) -> bool {
        self.pump.is_some()
    }
}

/// How far storing went.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Pumped {
    /// There was nothing to store.
    Idle,
    /// Something is being stored.
    Waiting,
    /// Something was stored.
    Done,
}
