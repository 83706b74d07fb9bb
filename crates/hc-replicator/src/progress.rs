//! How things stand: with a peer, and with what is under way. Read only; knows nothing of who asks.

use core::ops::Range;
use core::time::Duration;

use hc_merkle::{BlockIndex, Length};
use hc_protocol::message::Sync;

use crate::id::PeerId;
use crate::machine::Replicator;
use crate::policy::PeerPolicy;
use crate::stats::Stats;

/// A peer as it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct PeerState {
    /// What it last said of itself.
    pub remote: Option<Sync>,
    /// How many blocks from the first one on it says it has without a hole.
    pub contiguous: Length,
    /// Requests under way to it: not answered, or answered and not stored yet.
    pub in_flight: usize,
    /// How many there may be at present.
    pub window: usize,
    /// How long an answer of its takes, smoothed; `None` before the first.
    pub latency: Option<Duration>,
    /// It is asked after others, for less, and others are asked for what it does not give: too many of
    /// its last answers were of no use, or it answers nothing.
    pub doubted: bool,
    /// It is asked for nothing more: it refused too much, or what it sent could not be stored.
    pub shunned: bool,
    /// Its outbox has room.
    pub room: bool,
    /// What is done with and for it.
    pub policy: PeerPolicy,
    /// What happened so far.
    pub stats: Stats,
}

impl Replicator {
    /// A peer as it stands, while it is there.
    #[must_use]
    pub fn peer_state(&self, peer: PeerId) -> Option<PeerState> {
        let peer = self.peers.get(&peer)?;
        Some(PeerState {
            remote: peer.remote,
            contiguous: Length::new(peer.blocks.contiguous_len()),
            in_flight: peer.requests.open() + peer.applying,
            window: peer.window(&self.shared),
            latency: peer.pace.smooth(),
            doubted: !peer.standing.is_good(),
            shunned: peer.shunned,
            room: peer.room,
            policy: peer.policy,
            stats: peer.stats,
        })
    }

    /// Bytes that a peer makes the machine hold, about: what it says it has, wants and asks for. 0 where it is
    /// not there.
    #[must_use]
    pub fn peer_memory(&self, peer: PeerId) -> usize {
        self.peers.get(&peer).map_or(0, |peer| {
            size_of_val(&**peer)
                + peer.blocks.memory()
                + peer.serving.memory()
                + peer.asking.memory()
        })
    }

    /// The blocks of a range that are under way, with each peer that was asked for one.
    pub fn under_way(&self, range: Range<u64>) -> impl Iterator<Item = (BlockIndex, PeerId)> + '_ {
        let flights = &self.shared.flights;
        flights.within(range).flat_map(move |index| {
            let asked = flights.asked(index);
            asked.map(move |asked| (BlockIndex::new(index), asked.peer))
        })
    }

    /// The longest start without holes that a peer on this fork said it has.
    #[must_use]
    pub fn remote_contiguous(&self) -> Length {
        self.shared.remote_contiguous
    }
}
