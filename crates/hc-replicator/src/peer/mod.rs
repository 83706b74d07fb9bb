//! One peer while its channel is open. Owns everything that ends with the channel; knows nothing of
//! other peers.

pub(crate) mod announce;
mod data;
pub(crate) mod have;
mod lean;
mod pace;
pub(crate) mod push;
pub(crate) mod serve;
mod standing;
pub(crate) mod sync;
pub(crate) mod want;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use core::time::Duration;

use hc_bitfield::{Bitfield, LocalWants};
use hc_merkle::{Fork, Length};
use hc_protocol::message::{RequestId, Sync};

use crate::config::Config;
use crate::conflict::Honesty;
use crate::id::{DemandId, PeerId};
use crate::inflight::Requests;
use crate::input::PeerInfo;
use crate::output::Hangup;
use crate::policy::PeerPolicy;
use crate::shared::Shared;
use crate::stats::Stats;

use announce::Backlog;
use lean::Coming;
use pace::Pace;
use push::Pushing;
use serve::Serving;
use standing::{Standing, Watch};
use want::{Asking, Cause};

#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) id: PeerId,
    pub(crate) info: PeerInfo,
    /// What is done with and for it.
    pub(crate) policy: PeerPolicy,
    /// What it last said of itself.
    pub(crate) remote: Option<Sync>,
    /// What we last said of ourselves.
    pub(crate) told: Option<Sync>,
    /// Whether we can bring it from its length to ours.
    pub(crate) reach: Reach,
    /// The store is looking, for this length or one before.
    pub(crate) checking: bool,
    /// Fork and length up to which its blocks can be tied to our tree even where its own is shorter.
    pub(crate) provable: (Fork, Length),
    /// Blocks that it says it has.
    pub(crate) blocks: Bitfield,
    /// Counts its news that may give it something new to be asked for.
    pub(crate) news: u64,
    /// Our work and its news when nothing was found to ask it for.
    pub(crate) exhausted: Option<(u64, u64)>,
    pub(crate) wants: LocalWants<Cause>,
    /// Windows, by what they are wanted for.
    pub(crate) wanted_for: BTreeMap<Cause, BTreeSet<u64>>,
    pub(crate) asking: Asking,
    pub(crate) serving: Serving,
    pub(crate) pushing: Pushing,
    pub(crate) backlog: Backlog,
    /// The length for which it was told that all blocks are here.
    pub(crate) told_full: Length,
    pub(crate) requests: Requests,
    /// Answers of its that are being checked, or held back until they can be.
    pub(crate) applying: usize,
    pub(crate) coming: Coming,
    pub(crate) pace: Pace,
    pub(crate) standing: Standing,
    pub(crate) watch: Watch,
    /// Where in a scattered range it is asked next: from, to.
    pub(crate) runs: BTreeMap<DemandId, (u64, u64)>,
    /// Its outbox has room.
    pub(crate) room: bool,
    /// It is asked for nothing more.
    pub(crate) shunned: bool,
    /// It let an upgrade take too long.
    pub(crate) dawdled: bool,
    /// An update has waited for it in vain, and it has said nothing since.
    pub(crate) late: bool,
    /// How long its channel took to open, where that is known.
    pub(crate) opened_in: Option<Duration>,
    /// It was asked about its later fork, and says nothing.
    pub(crate) fork_late: bool,
    /// Going by what it said it has, it can tell no more of its later fork.
    pub(crate) fork_dry: bool,
    /// The later fork, and the length of it, that it would not prove.
    pub(crate) fork_refused: Option<(Fork, Length)>,
    pub(crate) honesty: Honesty,
    pub(crate) extension_sent: String,
    pub(crate) extension_received: String,
    pub(crate) stats: Stats,
}

/// Whether we can bring a peer from its length to ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    Known(bool),
    /// The store has yet to say whether the roots at this length are there.
    Checking(Length),
}

/// An effect that runs on behalf of a peer.
#[derive(Debug)]
pub(crate) enum Task {
    Prove {
        request: RequestId,
        turn: u64,
        upgrade: bool,
    },
    Push {
        upgrade: bool,
    },
    CheckUpgrade {
        fork: Fork,
        length: Length,
    },
    Apply(Applying),
    /// What it sent of a later fork: the whole of it, or hashes.
    Fork {
        fork: Fork,
        whole: bool,
    },
    CheckConflict,
}

/// What to remember of data while it is being checked.
#[derive(Debug)]
pub(crate) struct Applying {
    pub(crate) block: Option<u64>,
    pub(crate) bytes: u64,
    /// It was asked for, and not pushed.
    pub(crate) asked: bool,
    /// Block of another answer without which this one ties to nothing.
    pub(crate) leans_on: Option<u64>,
    pub(crate) upgrade: bool,
    /// Fork and length of the log when it was asked to go on from there.
    pub(crate) from: Option<(Fork, Length)>,
    /// Who looks for a byte by it, and whether more than a hash was asked for.
    pub(crate) seek: Option<(DemandId, bool)>,
    /// Time between request and answer.
    pub(crate) elapsed: Option<Duration>,
}

impl Applying {
    /// It brings a longer log that was asked for.
    pub(crate) fn is_upgrade(&self) -> bool {
        self.upgrade && self.asked
    }
}

impl Peer {
    pub(crate) fn new(id: PeerId, info: PeerInfo, config: &Config) -> Self {
        Self {
            id,
            policy: info.policy,
            info,
            remote: None,
            told: None,
            reach: Reach::Known(true),
            checking: false,
            provable: (Fork::ZERO, Length::ZERO),
            blocks: Bitfield::new(),
            news: 0,
            exhausted: None,
            wants: LocalWants::new(),
            wanted_for: BTreeMap::new(),
            asking: Asking::default(),
            serving: Serving::default(),
            pushing: Pushing::default(),
            backlog: Backlog::default(),
            told_full: Length::ZERO,
            requests: Requests::default(),
            applying: 0,
            coming: Coming::default(),
            pace: Pace::new(&config.window),
            standing: Standing::default(),
            watch: Watch::default(),
            runs: BTreeMap::new(),
            room: true,
            shunned: false,
            dawdled: false,
            late: false,
            opened_in: None,
            fork_late: false,
            fork_dry: false,
            fork_refused: None,
            honesty: Honesty::default(),
            extension_sent: String::new(),
            extension_received: String::new(),
            stats: Stats::default(),
        }
    }

    /// What it last said of itself, if it is on our fork.
    pub(crate) fn same_fork(&self, shared: &Shared) -> Option<&Sync> {
        self.remote
            .as_ref()
            .filter(|remote| remote.fork == shared.view.fork)
    }

    /// Its length, if it is on our fork.
    pub(crate) fn length(&self, shared: &Shared) -> Option<u64> {
        self.same_fork(shared).map(|remote| remote.length.get())
    }

    /// How many more requests it may be sent.
    pub(crate) fn free_window(&self, shared: &Shared) -> usize {
        if !self.requests.has_room() {
            return 0;
        }
        self.window(shared)
            .saturating_sub(self.requests.open() + self.applying)
    }

    /// One past the last block of our log that it can prove to us.
    pub(crate) fn bound(&self, shared: &Shared) -> u64 {
        let Some(remote) = self.same_fork(shared) else {
            return 0;
        };
        let ours = shared.view.length;
        if remote.length >= ours {
            return ours.get();
        }
        let at_its_length = if self.reach == Reach::Known(true) {
            remote.length
        } else {
            Length::ZERO
        };
        let before = if self.provable.0 == shared.view.fork {
            self.provable.1
        } else {
            Length::ZERO
        };
        at_its_length.max(before).min(remote.length).get()
    }

    /// What it asks for is answered.
    pub(crate) fn uploads(&self, shared: &Shared) -> bool {
        self.policy.uploads && shared.config.uploads
    }

    /// We take blocks of its, or wait for some.
    pub(crate) fn downloads(&self, shared: &Shared) -> bool {
        self.policy.downloads && shared.downloading()
    }

    /// Where neither side wants anything, the channel goes.
    pub(crate) fn close_if_idle(&self, shared: &mut Shared) {
        let idle = self.remote.is_some_and(|remote| !remote.downloading);
        if idle && !self.downloads(shared) {
            shared.hang_up(self.id, Hangup::Idle);
        }
    }

    /// Takes back all that it was asked for; others may be asked.
    pub(crate) fn take_back_requests(&self, shared: &mut Shared) {
        for (request, sent) in self.requests.iter() {
            shared.cancels.push((self.id, request));
            if let Some(index) = sent.block {
                shared.release(index, self.id);
            }
        }
    }

    /// It may take one request more.
    pub(crate) fn has_room(&self, shared: &mut Shared) {
        shared.dirty.insert(self.id);
    }

    /// Something new is known of it.
    pub(crate) fn has_news(&mut self, shared: &mut Shared) {
        self.news += 1;
        self.fork_dry = false;
        shared.dirty.insert(self.id);
    }
}
