//! How things stand with the peers of a log. Read only; knows nothing of how they are spoken to.

use std::time::Duration;

use hc_merkle::{Fork, Length};
use hc_replicator::{PeerId, Stats};

use super::Peer;
use crate::hypercore::Hypercore;

/// A peer as it stands; see [`Hypercore::peer_states`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct PeerState {
    /// Who.
    pub peer: Peer,
    /// Blocks in its log, stored there or not. 0 before it has said so.
    pub length: Length,
    /// Fork that its log is on.
    pub fork: Fork,
    /// Blocks that it says it has without a gap from the first.
    pub contiguous_length: Length,
    /// It gives what it has.
    pub uploads: bool,
    /// It is interested in blocks.
    pub downloads: bool,
    /// It takes blocks that it did not ask for.
    pub allows_push: bool,
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
    /// What happened so far: messages of each kind both ways, blocks, bytes, refusals.
    pub stats: Stats,
}

impl PeerState {
    fn of(peer: Peer, state: &hc_replicator::PeerState) -> Self {
        let remote = state.remote;
        Self {
            peer,
            length: remote.map_or(Length::ZERO, |remote| remote.length),
            fork: remote.map_or(Fork::ZERO, |remote| remote.fork),
            contiguous_length: state.contiguous,
            uploads: remote.is_some_and(|remote| remote.uploading),
            downloads: remote.is_some_and(|remote| remote.downloading),
            allows_push: remote.is_some_and(|remote| remote.allow_push),
            in_flight: state.in_flight,
            window: state.window,
            latency: state.latency,
            doubted: state.doubted,
            shunned: state.shunned,
            stats: state.stats,
        }
    }
}

impl Hypercore {
    /// How things stand with each [peer](Self::peers).
    #[must_use]
    pub fn peer_states(&self) -> Vec<PeerState> {
        let peers = self.peers();
        let states = self.core.read_machine(|machine| {
            let state =
                |peer: Peer| Some(PeerState::of(peer, &machine.peer_state(PeerId(peer.id))?));
            peers.into_iter().filter_map(state).collect()
        });
        states.unwrap_or_default()
    }

    /// How things stand with one peer, while it is connected.
    #[must_use]
    pub fn peer_state(&self, peer: &Peer) -> Option<PeerState> {
        let state = |machine: &hc_replicator::Replicator| machine.peer_state(PeerId(peer.id));
        let state = self.core.read_machine(state)??;
        Some(PeerState::of(*peer, &state))
    }

    /// What happened so far with all peers of this log together, those that are gone too.
    ///
    /// ```
    /// # futures_lite::future::block_on(async {
    /// # use hypercore::{Hypercore, Storage};
    /// # let log = Hypercore::builder(Storage::memory()).open().await.unwrap();
    /// let stats = log.stats();
    /// assert_eq!((stats.blocks_uploaded, stats.received.request), (0, 0));
    /// # });
    /// ```
    #[must_use]
    pub fn stats(&self) -> Stats {
        let stats = self.core.read_machine(|machine| *machine.stats());
        stats.unwrap_or_default()
    }
}
