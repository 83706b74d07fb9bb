//! Logs, machines and links on one thread in virtual time. The same seed gives the same run.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use hc_merkle::proof::Proof;
use hc_protocol::Time;
use hc_protocol::message::{Data, Message, NoData, NoDataReason, RequestId};
use hc_replicator::{
    Config, Demand, DemandId, Effect, Hangup, Input, Notice, Outcome, Output, PeerId, PeerInfo,
    Published, Replicator, Reply, Ticket,
};

use crate::log::Log;

pub(crate) struct World {
    pub(crate) now: Time,
    pub(crate) nodes: Vec<Node>,
    pub(crate) links: Vec<Link>,
    events: BTreeMap<(Time, u64), Event>,
    seq: u64,
    next_demand: u64,
    /// Nodes that do not answer as their machines would.
    pub(crate) vices: BTreeMap<usize, Vice>,
    /// How long a batch of proofs takes to be stored.
    pub(crate) apply_delay: Duration,
}

/// What a node does with every request, whatever it says that it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Vice {
    /// Says nothing.
    Silent,
    /// Refuses it.
    Refuses,
    /// Answers, and gives nothing.
    Empty,
}

pub(crate) struct Node {
    pub(crate) log: Log,
    pub(crate) machine: Replicator,
    pub(crate) outcomes: BTreeMap<DemandId, Outcome>,
    pub(crate) notices: Vec<Notice>,
    pub(crate) hangups: Vec<(PeerId, Hangup)>,
    /// What was sent, to whom.
    pub(crate) sent: Vec<(PeerId, Message)>,
    pub(crate) record: bool,
    pub(crate) outputs: u64,
    /// Answers that could not be tied to the tree.
    pub(crate) stale: usize,
    applying: VecDeque<(Ticket, PeerId, Proof)>,
    gone: BTreeSet<PeerId>,
    wake: Option<Time>,
}

pub(crate) struct Link {
    ends: [usize; 2],
    pub(crate) delay: Duration,
    /// Time that each message takes by itself: what makes a link slow.
    pub(crate) per_message: Duration,
    free: [Time; 2],
    pub(crate) up: bool,
}

#[allow(clippy::large_enum_variant)] // each is held once
enum Event {
    Deliver {
        link: usize,
        end: usize,
        message: Message,
    },
    Closed {
        node: usize,
        peer: PeerId,
    },
    Apply {
        node: usize,
    },
    Examine {
        node: usize,
        ticket: Ticket,
        peer: PeerId,
        effect: Effect,
    },
    Cut {
        peer: PeerId,
    },
    Wake {
        node: usize,
    },
}

impl World {
    pub(crate) fn new(logs: Vec<Log>) -> Self {
        Self::with(logs, Config::new)
    }

    pub(crate) fn with(logs: Vec<Log>, config: impl Fn(u64) -> Config) -> Self {
        let nodes = logs.into_iter().zip(1..).map(|(log, seed)| Node {
            machine: Replicator::new(config(seed), log.view()),
            log,
            outcomes: BTreeMap::new(),
            notices: Vec::new(),
            hangups: Vec::new(),
            sent: Vec::new(),
            record: true,
            outputs: 0,
            stale: 0,
            applying: VecDeque::new(),
            gone: BTreeSet::new(),
            wake: None,
        });
        let mut world = Self {
            now: Time::ZERO,
            nodes: nodes.collect(),
            links: Vec::new(),
            events: BTreeMap::new(),
            seq: 0,
            next_demand: 0,
            vices: BTreeMap::new(),
            apply_delay: Duration::from_micros(200),
        };
        for node in 0..world.nodes.len() {
            world.input(node, Input::Activity { active: true });
        }
        world
    }

    pub(crate) fn connect(&mut self, a: usize, b: usize) -> PeerId {
        self.connect_with(a, b, Duration::from_millis(1), Duration::ZERO)
    }

    pub(crate) fn connect_with(
        &mut self,
        a: usize,
        b: usize,
        delay: Duration,
        per_message: Duration,
    ) -> PeerId {
        let peer = self.link(a, b, delay, per_message);
        self.open(peer, PeerInfo::new(true));
        peer
    }

    /// Connects two that tell each other so much in the handshake.
    pub(crate) fn connect_as(&mut self, a: usize, b: usize, info: PeerInfo) -> PeerId {
        let peer = self.link(a, b, Duration::from_millis(1), Duration::ZERO);
        self.open(peer, info);
        peer
    }

    fn link(&mut self, a: usize, b: usize, delay: Duration, per_message: Duration) -> PeerId {
        let peer = PeerId(self.links.len() as u64);
        let (ends, free) = ([a, b], [self.now; 2]);
        self.links.push(Link {
            ends,
            delay,
            per_message,
            free,
            up: true,
        });
        peer
    }

    fn open(&mut self, peer: PeerId, info: PeerInfo) {
        for node in self.links[link_of(peer)].ends {
            self.input(node, Input::PeerOpened { peer, info });
        }
    }

    pub(crate) fn cut(&mut self, peer: PeerId) {
        let link = &mut self.links[link_of(peer)];
        if !std::mem::replace(&mut link.up, false) {
            return;
        }
        for node in link.ends {
            self.nodes[node].gone.insert(peer);
            self.input(node, Input::PeerClosed { peer });
        }
    }

    /// Says whether the outbox at one end of a link has room.
    pub(crate) fn set_room(&mut self, link: usize, end: usize, room: bool) {
        if let Some(node) = self.links.get(link).map(|link| link.ends[end]) {
            let peer = PeerId(link as u64);
            self.input(node, Input::Writable { peer, room });
        }
    }

    pub(crate) fn demand(&mut self, node: usize, what: Demand) -> DemandId {
        let id = DemandId(self.next_demand);
        self.next_demand += 1;
        self.input(node, Input::Demanded { id, what });
        id
    }

    pub(crate) fn outcome(&self, node: usize, id: DemandId) -> Option<Outcome> {
        self.nodes[node].outcomes.get(&id).copied()
    }

    /// Changes a log by its owner's hand.
    pub(crate) fn change(&mut self, node: usize, change: impl FnOnce(&mut Log) -> Published) {
        let change = change(&mut self.nodes[node].log);
        let view = self.nodes[node].log.view();
        self.input(node, Input::Published { change, view });
    }

    pub(crate) fn input(&mut self, node: usize, input: Input) {
        self.nodes[node].machine.handle(self.now, input);
        loop {
            match self.nodes[node].machine.poll_output() {
                Output::Wait(at) => {
                    if let Some(wake) = at.filter(|_| at != self.nodes[node].wake) {
                        self.nodes[node].wake = at;
                        self.at(wake, Event::Wake { node });
                    }
                    return;
                }
                output => {
                    self.nodes[node].outputs += 1;
                    self.output(node, output);
                }
            }
        }
    }

    fn output(&mut self, node: usize, output: Output) {
        match output {
            Output::Send { peer, message } => self.send(node, peer, message),
            Output::Hangup { peer, reason } => {
                self.nodes[node].hangups.push((peer, reason));
                if reason == Hangup::Conflict {
                    // what was said before still arrives
                    let link = &self.links[link_of(peer)];
                    let at = self.now.after(link.delay + Duration::from_millis(1));
                    self.at(at, Event::Cut { peer });
                } else {
                    self.hang_up(node, peer);
                }
            }
            Output::Run {
                ticket,
                peer,
                effect,
            } => self.run_effect(node, ticket, peer, effect),
            Output::Resolve { id, outcome } => {
                let before = self.nodes[node].outcomes.insert(id, outcome);
                assert!(before.is_none(), "{id:?} was resolved twice");
            }
            Output::Notify(notice) => self.nodes[node].notices.push(notice),
            _ => {}
        }
    }

    fn send(&mut self, node: usize, peer: PeerId, message: Message) {
        if self.nodes[node].record {
            self.nodes[node].sent.push((peer, message.clone()));
        }
        let link = &mut self.links[link_of(peer)];
        let end = usize::from(link.ends[0] == node);
        if link.up {
            let start = link.free[end].max(self.now).after(link.per_message);
            link.free[end] = start;
            let at = start.after(link.delay);
            self.at(
                at,
                Event::Deliver {
                    link: link_of(peer),
                    end,
                    message,
                },
            );
        }
    }

    fn hang_up(&mut self, node: usize, peer: PeerId) {
        let link = &mut self.links[link_of(peer)];
        let other = link.ends[usize::from(link.ends[0] == node)];
        link.up = false;
        for node in [node, other] {
            self.nodes[node].gone.insert(peer);
            self.at(self.now, Event::Closed { node, peer });
        }
    }

    fn run_effect(&mut self, node: usize, ticket: Ticket, peer: PeerId, effect: Effect) {
        let log = &self.nodes[node].log;
        let reply = match effect {
            Effect::Prove { fork, request } => log.prove(fork, &request),
            Effect::CheckUpgrade { fork, length } => {
                let can = fork == log.head.fork() && log.has_roots(length);
                Reply::Upgradeable(can)
            }
            Effect::Apply { data } => {
                if self.nodes[node].applying.is_empty() {
                    self.at(self.now.after(self.apply_delay), Event::Apply { node });
                }
                self.nodes[node].applying.push_back((ticket, peer, data));
                return;
            }
            Effect::ExamineFork { .. } | Effect::AdoptFork { .. } => {
                let event = Event::Examine {
                    node,
                    ticket,
                    peer,
                    effect,
                };
                self.at(self.now.after(self.apply_delay), event);
                return;
            }
            Effect::CheckConflict { data } => self.nodes[node].log.check_conflict(data),
            _ => unreachable!("no other effects"),
        };
        self.nodes[node]
            .machine
            .handle(self.now, Input::Completed { ticket, reply });
    }

    fn apply(&mut self, node: usize) {
        let owner = &mut self.nodes[node];
        let jobs = owner.applying.len().min(64);
        let jobs: Vec<_> = owner.applying.drain(..jobs).collect();
        let (jobs, proofs): (Vec<_>, Vec<_>) = jobs
            .into_iter()
            .filter(|(_, peer, _)| !owner.gone.contains(peer))
            .map(|(ticket, _, proof)| (ticket, proof))
            .unzip();
        let (change, replies) = owner.log.apply(proofs);
        let view = owner.log.view();
        owner.stale += replies
            .iter()
            .filter(|reply| **reply == Reply::Stale)
            .count();
        if !owner.applying.is_empty() {
            self.at(self.now.after(self.apply_delay), Event::Apply { node });
        }
        self.input(node, Input::Published { change, view });
        for (ticket, reply) in jobs.into_iter().zip(replies) {
            self.input(node, Input::Completed { ticket, reply });
        }
    }

    fn examine(&mut self, node: usize, ticket: Ticket, peer: PeerId, effect: Effect) {
        let owner = &mut self.nodes[node];
        if owner.gone.contains(&peer) {
            return;
        }
        let (change, reply) = match effect {
            Effect::ExamineFork { data } => owner.log.examine_fork(data),
            Effect::AdoptFork { fork } => owner.log.adopt_fork(fork),
            _ => unreachable!("no other effects"),
        };
        if reply == Reply::Applied {
            let view = owner.log.view();
            self.input(node, Input::Published { change, view });
        }
        self.input(node, Input::Completed { ticket, reply });
    }

    fn at(&mut self, at: Time, event: Event) {
        self.seq += 1;
        self.events.insert((at, self.seq), event);
    }

    /// Until nothing happens any more, or `limit` has passed.
    pub(crate) fn run_for(&mut self, limit: Duration) {
        let end = self.now.after(limit);
        while let Some(entry) = self.events.first_entry() {
            let at = entry.key().0;
            if at > end {
                break;
            }
            let event = entry.remove();
            self.now = self.now.max(at);
            self.happen(event);
        }
        self.now = end;
    }

    pub(crate) fn run(&mut self) {
        self.run_for(Duration::from_secs(10));
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Deliver { link, end, message } if self.links[link].up => {
                let (node, peer) = (self.links[link].ends[end], PeerId(link as u64));
                if let (Some(vice), Message::Request(request)) = (self.vices.get(&node), &message) {
                    let answer = vice.answer(request.id);
                    answer
                        .into_iter()
                        .for_each(|answer| self.send(node, peer, answer));
                    return;
                }
                self.input(node, Input::Received { peer, message });
            }
            Event::Deliver { .. } => {}
            Event::Closed { node, peer } => self.input(node, Input::PeerClosed { peer }),
            Event::Apply { node } => self.apply(node),
            Event::Examine {
                node,
                ticket,
                peer,
                effect,
            } => self.examine(node, ticket, peer, effect),
            Event::Cut { peer } => self.cut(peer),
            Event::Wake { node } => {
                if self.nodes[node].wake == Some(self.now) {
                    self.nodes[node].wake = None;
                    self.input(node, Input::Elapsed);
                }
            }
        }
    }

    /// Messages of one kind that a node sent to a peer.
    pub(crate) fn count(&self, node: usize, kind: impl Fn(&Message) -> bool) -> usize {
        self.nodes[node]
            .sent
            .iter()
            .filter(|(_, message)| kind(message))
            .count()
    }
}

impl Vice {
    fn answer(self, id: RequestId) -> Option<Message> {
        let reason = NoDataReason::NotAvailable;
        match self {
            Self::Silent => None,
            Self::Refuses => Some(Message::NoData(NoData { id, reason })),
            Self::Empty => Some(Message::Data(Data {
                id,
                proof: Proof::default(),
            })),
        }
    }
}

/// Both ends of a link call it by its number.
fn link_of(peer: PeerId) -> usize {
    usize::try_from(peer.0).unwrap()
}
