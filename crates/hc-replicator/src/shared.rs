//! What all peers of a machine share: the log, the demands, the blocks under way, the outputs. Knows
//! nothing of how a peer behaves.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;

use hc_bitfield::Bitfield;
use hc_merkle::Length;
use hc_protocol::Time;
use hc_protocol::message::{Message, RequestId};

use crate::config::{Config, PullPolicy};
use crate::demand::{Demands, Ended, Refused};
use crate::flight::Flights;
use crate::fork::Forks;
use crate::id::{DemandId, PeerId, Ticket};
use crate::inflight::{Aim, Sent};
use crate::local::{LocalView, ManifestState};
use crate::output::{Effect, Hangup, Notice, Output};
use crate::peer::{Peer, Task};
use crate::rng::Rng;
use crate::stats::Stats;
use crate::tasks::Tasks;
use crate::timer::{Timer, Timers};

/// What the proof of a block may end at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tie {
    /// Nodes that are stored, going by the blocks that are here.
    Stored,
    /// Roots alone.
    Roots,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) now: Time,
    pub(crate) config: Config,
    pub(crate) rng: Rng,
    pub(crate) view: LocalView,
    /// Blocks that are here or under way.
    pub(crate) taken: Bitfield,
    pub(crate) demands: Demands,
    pub(crate) flights: Flights,
    /// Who was asked for a longer tree and has not given it yet.
    pub(crate) upgrading: Option<PeerId>,
    /// How many let an upgrade take too long since the last that came.
    pub(crate) swaps: u32,
    /// Peers by which others may be measured.
    pub(crate) proven: usize,
    /// Longer trees that were asked for, have come and are being checked.
    pub(crate) checking: usize,
    /// Whom the manifest alone was asked of.
    pub(crate) manifest_from: Option<PeerId>,
    /// What is under way to follow a later fork.
    pub(crate) forks: Forks,
    /// The log was signed twice; nobody is spoken to any more.
    pub(crate) frozen: bool,
    /// Blocks whose proof could not be tied to the tree, and to what the next one has to be.
    pub(crate) untied: BTreeMap<u64, Tie>,
    /// Requests under way to all peers.
    pub(crate) under_way: usize,
    /// Somebody on our side is interested.
    pub(crate) interested: bool,
    /// Somebody is, or was until a moment ago.
    pub(crate) active: bool,
    /// Counts what may give any peer something new to be asked for.
    pub(crate) work: u64,
    /// Counts changes to which blocks are here.
    pub(crate) version: u64,
    /// The longest start without holes that a peer on this fork said it has.
    pub(crate) remote_contiguous: Length,
    /// Demands for which some peer keeps something.
    pub(crate) traced: BTreeSet<DemandId>,
    /// Peers whose news have to be acted on.
    pub(crate) dirty: BTreeSet<PeerId>,
    /// Peers that may have to be told where we stand.
    pub(crate) sync_due: BTreeSet<PeerId>,
    /// Requests that are not needed any more.
    pub(crate) cancels: Vec<(PeerId, RequestId)>,
    pub(crate) hangups: Vec<(PeerId, Hangup)>,
    pub(crate) tasks: Tasks,
    /// What peers that are gone have said of a conflict: it counts all the same.
    pub(crate) testimonies: BTreeSet<Ticket>,
    pub(crate) timers: Timers,
    pub(crate) outputs: VecDeque<Output>,
    pub(crate) stats: Stats,
}

impl Shared {
    pub(crate) fn new(config: Config, view: LocalView) -> Self {
        Self {
            now: Time::ZERO,
            rng: Rng::new(config.seed),
            taken: view.blocks.clone(),
            config,
            view,
            demands: Demands::default(),
            flights: Flights::default(),
            upgrading: None,
            swaps: 0,
            proven: 0,
            checking: 0,
            manifest_from: None,
            forks: Forks::default(),
            frozen: false,
            untied: BTreeMap::new(),
            under_way: 0,
            interested: false,
            active: false,
            work: 0,
            version: 0,
            remote_contiguous: Length::ZERO,
            traced: BTreeSet::new(),
            dirty: BTreeSet::new(),
            sync_due: BTreeSet::new(),
            cancels: Vec::new(),
            hangups: Vec::new(),
            tasks: Tasks::default(),
            testimonies: BTreeSet::new(),
            timers: Timers::default(),
            outputs: VecDeque::new(),
            stats: Stats::default(),
        }
    }

    /// Gives back the memory of what is empty, unless something is under way; says whether nothing is.
    pub(crate) fn rest(&mut self) -> bool {
        if self.under_way == 0 {
            if self.outputs.is_empty() {
                self.outputs = VecDeque::new();
            }
            self.tasks.rest();
            self.flights.rest();
            self.demands.rest();
            self.timers.rest();
        }
        self.under_way == 0
    }

    /// We take blocks, or wait for some.
    pub(crate) fn downloading(&self) -> bool {
        (self.active && self.config.pull != PullPolicy::Nothing) || self.under_way > 0
    }

    /// A longer log, or one on a later fork, is of interest.
    pub(crate) fn wants_longer(&self) -> bool {
        // a block past the end comes with the tree that spans it, or after it from another peer
        let past = |index| index >= self.view.length.get();
        self.config.eager_upgrade
            || self.demands.wants_upgrade()
            || self.flights.last().is_some_and(past)
    }

    /// Peers can ask us for the manifest.
    pub(crate) fn gives_manifest(&self) -> bool {
        self.view.manifest == ManifestState::Known
    }

    pub(crate) fn send(&mut self, peer: &mut Peer, message: impl Into<Outgoing>) {
        let Outgoing(message) = message.into();
        peer.stats.sent.count(&message);
        self.stats.sent.count(&message);
        self.outputs.push_back(Output::Send {
            peer: peer.id,
            message,
        });
    }

    pub(crate) fn run(&mut self, peer: &Peer, task: Task, effect: Effect) {
        let ticket = self.tasks.add(peer.id, task);
        self.outputs.push_back(Output::Run {
            ticket,
            peer: peer.id,
            effect,
        });
    }

    pub(crate) fn notify(&mut self, notice: Notice) {
        self.outputs.push_back(Output::Notify(notice));
    }

    pub(crate) fn resolve(&mut self, ended: Vec<Ended>) {
        let outputs = ended
            .into_iter()
            .map(|(id, outcome)| Output::Resolve { id, outcome });
        self.outputs.extend(outputs);
    }

    pub(crate) fn hang_up(&mut self, peer: PeerId, reason: Hangup) {
        self.hangups.push((peer, reason));
    }

    /// A peer will not give a block that it was asked for.
    pub(crate) fn release(&mut self, index: u64, peer: PeerId) {
        self.flights.remove(index, peer);
        if !self.flights.contains(index) {
            self.landed(index);
        }
    }

    /// A peer that is gone will not answer a request.
    pub(crate) fn lost(&mut self, peer: PeerId, sent: &Sent) {
        if let Some(index) = sent.block {
            self.release(index, peer);
        }
        if let Aim::Byte { demand, .. } = sent.aim {
            self.seek_on(demand, peer, Refused::Hash);
        }
    }

    /// Nothing comes of what a peer that is gone had sent.
    pub(crate) fn lost_task(&mut self, peer: PeerId, ticket: Ticket, task: &Task) {
        match task {
            Task::Apply(applying) => {
                self.checking -= usize::from(applying.is_upgrade());
                if let Some(index) = applying.block {
                    self.release(index, peer);
                }
                if let Some((demand, _)) = applying.seek {
                    self.seek_on(demand, peer, Refused::Hash);
                }
            }
            Task::Fork { .. } => self.forks.not_examined(),
            Task::CheckConflict => {
                self.testimonies.insert(ticket);
            }
            _ => {}
        }
    }

    /// Somebody else is to say where a byte lies.
    pub(crate) fn seek_on(&mut self, demand: DemandId, peer: PeerId, refused: Refused) {
        self.demands.seeks.refuse(demand, peer, refused);
        self.timers.unset(Timer::Seek(demand));
        self.work += 1;
    }

    /// Blocks are not here any more.
    pub(crate) fn untake(&mut self, range: core::ops::Range<u64>) {
        self.taken.unset_range(range.clone());
        for index in self.flights.within(range) {
            self.taken.set(index);
        }
        self.work += 1;
    }

    /// Takes all requests for blocks back: they were asked on a tree that is no more.
    pub(crate) fn recall(&mut self) {
        for (index, flight) in self.flights.take(0..u64::MAX) {
            let open = flight
                .asked()
                .filter_map(|asked| Some((asked.peer, asked.request?)));
            self.cancels.extend(open);
            self.landed(index);
        }
    }

    /// A block is under way no longer.
    pub(crate) fn landed(&mut self, index: u64) {
        if !self.view.blocks.get(index) {
            self.taken.unset(index);
            self.demands.stopped(index);
            self.work += 1;
        }
    }
}

/// A message, from any of its kinds.
pub(crate) struct Outgoing(Message);

macro_rules! outgoing {
    ($($kind:ident),*) => {
        $(impl From<hc_protocol::message::$kind> for Outgoing {
            fn from(message: hc_protocol::message::$kind) -> Self {
                Self(Message::$kind(message))
            }
        })*
    };
}

outgoing!(
    Sync, Request, Cancel, Data, NoData, Want, Bitfield, Range, Extension
);

impl From<Message> for Outgoing {
    fn from(message: Message) -> Self {
        Self(message)
    }
}
