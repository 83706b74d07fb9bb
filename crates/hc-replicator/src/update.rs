//! When an update ends: nobody can give a longer log, or those that say that they can were waited for
//! long enough. Knows nothing of how a longer log is asked for.
//!
//! Whoever claims a longer log and does not give it must not keep those waiting who could go on with what
//! an honest peer has. So as soon as one peer has what we have and nothing more, the others are waited for a
//! few round trips, and not for as long as a peer that is the only one.

use alloc::vec::Vec;
use core::time::Duration;

use hc_merkle::Length;
use hc_protocol::Time;

use crate::machine::Replicator;
use crate::peer::Peer;
use crate::schedule::{FIRST_SWAP, LEAST_SWAP, MOST_SWAP, UPGRADE_SWAP};
use crate::shared::Shared;
use crate::timer::Timer;

/// Peers beyond which an update does not wait for those that are still being connected. As the
/// reference has it.
const ENOUGH_PEERS: usize = 3;

/// How far updates are with waiting.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    /// Since when a peer has what we have and nothing more, and others are still waited for.
    since: Option<Time>,
    /// They were waited for long enough.
    over: bool,
}

/// What the peers say that updates may wait for.
#[derive(Debug, Default)]
struct Prospects {
    /// A peer may yet give a longer log.
    awaited: bool,
    /// Another has what we have, and nothing more.
    settled: bool,
    /// How long those who may are waited for beside it.
    patience: Duration,
}

impl Peer {
    /// How long it may take for what another could give, or has done without.
    pub(crate) fn patience(&self) -> Duration {
        self.round_trip().map_or(FIRST_SWAP, |time| {
            let patience = time.saturating_mul(UPGRADE_SWAP);
            patience.clamp(LEAST_SWAP, MOST_SWAP)
        })
    }

    /// How long an answer of its takes, as far as that is known: before the first answer, as long as its
    /// channel took to open.
    pub(crate) fn round_trip(&self) -> Option<Duration> {
        self.pace.smooth().or(self.opened_in)
    }

    /// Whether it has the very log that we have, and gives it.
    fn is_settled(&self, shared: &Shared) -> bool {
        let ours = shared.view.length;
        ours > Length::ZERO
            && self.policy.downloads
            && !self.shunned
            && self
                .same_fork(shared)
                .is_some_and(|remote| remote.length == ours && remote.uploading)
    }
}

impl Replicator {
    /// Ends updates that have nothing more to wait for.
    pub(crate) fn end_upgrades(&mut self) {
        if !self.shared.demands.is_updating() {
            if core::mem::take(&mut self.updates).since.is_some() {
                self.shared.timers.unset(Timer::Update);
            }
            return;
        }
        let opening = !self.expected.is_empty() && self.peers.len() < ENOUGH_PEERS;
        let prospects = self.prospects(opening);
        self.note_patience(&prospects);
        let shared = &self.shared;
        let waits = opening
            || prospects.awaited
            || shared.upgrading.is_some()
            || shared.forks.is_busy()
            || (self.finding && !self.had_peers);
        // what has been given is looked at, however late it came
        let over = self.updates.over && shared.checking == 0 && !shared.forks.is_on_trail();
        if waits && !over {
            return;
        }
        for peer in self.peers.values_mut() {
            peer.late |= peer.may_upgrade_us(&self.shared);
        }
        let shared = &mut self.shared;
        let mut ended = Vec::new();
        shared.demands.unchanged(&mut ended);
        shared.resolve(ended);
        shared.timers.unset(Timer::Update);
        self.updates = Waiting::default();
    }

    /// Who does not say whether it can give a longer log is not waited for without end.
    fn prospects(&mut self, opening: bool) -> Prospects {
        let shared = &mut self.shared;
        let mut prospects = Prospects::default();
        if opening {
            prospects.patience = MOST_SWAP;
        }
        for peer in self.peers.values() {
            if peer.may_upgrade_us(shared) {
                prospects.awaited = true;
                prospects.patience = prospects.patience.max(peer.patience());
                limit_wait(shared, peer);
            } else {
                prospects.settled |= peer.is_settled(shared);
            }
        }
        prospects
    }

    fn note_patience(&mut self, prospects: &Prospects) {
        let shared = &mut self.shared;
        if prospects.settled {
            self.updates.since.get_or_insert(shared.now);
        }
        let Some(since) = self.updates.since else {
            return;
        };
        let due = since.after(prospects.patience.max(LEAST_SWAP));
        self.updates.over |= due <= shared.now;
        if !self.updates.over {
            shared.timers.set(Timer::Update, due);
        }
    }
}

fn limit_wait(shared: &mut Shared, peer: &Peer) {
    let timer = Timer::Word(peer.id);
    if peer.owes_word(shared) && shared.timers.is_unset(timer) {
        let late = shared.now.after(shared.config.upgrade_patience);
        shared.timers.set(timer, late);
    }
}
