//! The machine: takes inputs in, keeps the peers, gives outputs out. Knows nothing of what a peer makes
//! of a message.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use bytes::Bytes;
use hc_merkle::Length;
use hc_protocol::Time;
use hc_protocol::message::{Cancel, Extension, Message, Sync};

use crate::config::{Config, PushPolicy};
use crate::demand::Refused;
use crate::id::{DemandId, PeerId, Ticket};
use crate::input::{Demand, Input, PeerInfo, Reply};
use crate::local::LocalView;
use crate::output::{Hangup, Notice, Output};
use crate::peer::{Peer, Task};
use crate::shared::Shared;
use crate::stats::Stats;
use crate::timer::Timer;
use crate::update::Waiting;
use crate::{hotswap, schedule};

/// The replication of one log with any number of peers.
///
/// The same seed and the same inputs give the same outputs.
#[derive(Debug)]
pub struct Replicator {
    pub(crate) shared: Shared,
    /// In boxes: a node of the map has room for eleven, and most logs have one peer or two.
    pub(crate) peers: BTreeMap<PeerId, Box<Peer>>,
    /// Channels that are being opened, and since when.
    pub(crate) expected: BTreeMap<PeerId, Time>,
    pub(crate) finding: bool,
    pub(crate) had_peers: bool,
    pub(crate) updates: Waiting,
    /// The work that every peer has been looked at for.
    swept: u64,
    was_downloading: bool,
}

impl Replicator {
    /// A machine without peers, for the log as it is now.
    #[must_use]
    pub fn new(config: Config, view: LocalView) -> Self {
        Self {
            shared: Shared::new(config, view),
            peers: BTreeMap::new(),
            expected: BTreeMap::new(),
            finding: false,
            had_peers: false,
            updates: Waiting::default(),
            swept: 0,
            was_downloading: false,
        }
    }

    /// The same, where peers were known to have so many blocks from the first one on before.
    #[must_use]
    pub fn with_remote_contiguous(mut self, length: Length) -> Self {
        self.shared.remote_contiguous = length;
        self
    }

    /// Takes in one event. `now` must not be earlier than in the call before.
    pub fn handle(&mut self, now: Time, input: Input) {
        self.handle_all(now, [input]);
    }

    /// Takes in the events of one moment, in order: as [`handle`](Self::handle) for each of them, but
    /// what follows is done once, after the last. What one asks for then goes out in one piece.
    pub fn handle_all(&mut self, now: Time, inputs: impl IntoIterator<Item = Input>) {
        self.shared.now = self.shared.now.max(now);
        for input in inputs {
            self.take_in(input);
            // whoever is let go is heard no further, and nothing is answered that was taken back
            self.clear();
        }
        self.settle();
    }

    fn take_in(&mut self, input: Input) {
        match input {
            Input::PeerExpected { peer } => {
                self.expected.entry(peer).or_insert(self.shared.now);
            }
            Input::PeerOpened { peer, info } => self.open_peer(peer, info),
            Input::Received { peer, message } => self.receive(peer, message),
            Input::Writable { peer, room } => self.set_room(peer, room),
            Input::PeerClosed { peer } => {
                self.expected.remove(&peer);
                self.drop_peer(peer);
            }
            Input::Demanded { id, what } => self.demand(id, what),
            Input::Cancelled { id } => self.cancel(id),
            Input::Published { change, view } => self.publish(&change, view),
            Input::Completed { ticket, reply } => self.complete(ticket, reply),
            Input::Elapsed => self.elapse(),
            Input::Activity { active } => self.set_active(active),
            Input::FindingPeers { finding } => self.finding = finding,
            Input::Configured { config } => self.configure(config),
            Input::Policy { peer, policy } => self.set_policy(peer, policy),
            Input::Push { index } => self.push(index),
            Input::Extend {
                peer,
                name,
                message,
            } => self.extend(peer, name, message),
        }
    }

    /// The next thing to do. After [`Output::Wait`] there is nothing until the next input.
    pub fn poll_output(&mut self) -> Output {
        let output = self.shared.outputs.pop_front();
        output.unwrap_or_else(|| Output::Wait(self.shared.timers.next()))
    }

    /// Gives back the memory of what is empty at the moment. Whoever has many machines calls this after
    /// the inputs of a moment: most of them rest most of the time, and a queue or a map keeps room for what
    /// it once held. Says whether nothing is under way, so that the driver can do the same.
    pub fn rest(&mut self) -> bool {
        self.shared.rest()
    }

    /// The log as last published.
    #[must_use]
    pub fn view(&self) -> &LocalView {
        &self.shared.view
    }

    /// How it behaves.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.shared.config
    }

    /// What happened so far, with all peers.
    #[must_use]
    pub fn stats(&self) -> &Stats {
        &self.shared.stats
    }

    /// What happened so far with a peer, while it is there.
    #[must_use]
    pub fn peer_stats(&self, peer: PeerId) -> Option<&Stats> {
        self.peers.get(&peer).map(|peer| &peer.stats)
    }

    /// What a peer last said of itself.
    #[must_use]
    pub fn remote(&self, peer: PeerId) -> Option<&Sync> {
        self.peers.get(&peer)?.remote.as_ref()
    }

    /// What the handshake with a peer told.
    #[must_use]
    pub fn peer_info(&self, peer: PeerId) -> Option<PeerInfo> {
        self.peers.get(&peer).map(|peer| peer.info)
    }

    /// The peers whose channels are open.
    pub fn peers(&self) -> impl Iterator<Item = PeerId> + '_ {
        self.peers.keys().copied()
    }

    fn open_peer(&mut self, id: PeerId, info: PeerInfo) {
        let expected = self.expected.remove(&id);
        if self.peers.contains_key(&id) {
            return;
        }
        if self.shared.frozen {
            self.shared.outputs.push_back(Output::Hangup {
                peer: id,
                reason: Hangup::Conflict,
            });
            return;
        }
        self.had_peers = true;
        let mut peer = Peer::new(id, info, &self.shared.config);
        peer.opened_in = expected.map(|since| self.shared.now.since(since));
        peer.tell(&mut self.shared);
        let contiguous = self.shared.view.contiguous.get();
        if contiguous > 0 {
            peer.announce_gained(&mut self.shared, &(0..contiguous));
        }
        self.peers.insert(id, Box::new(peer));
    }

    fn receive(&mut self, id: PeerId, message: Message) {
        let (shared, Some(peer)) = (&mut self.shared, self.peers.get_mut(&id)) else {
            return;
        };
        shared.stats.received.count(&message);
        peer.stats.received.count(&message);
        match message {
            Message::Sync(sync) => peer.on_sync(shared, sync),
            Message::Request(request) => peer.on_request(shared, request),
            Message::Cancel(cancel) => peer.on_cancel(cancel.id),
            Message::Data(data) => peer.on_data(shared, data),
            Message::NoData(refusal) => peer.on_no_data(shared, refusal),
            Message::Want(want) => peer.on_want(shared, want),
            Message::Unwant(want) => peer.on_unwant(want),
            Message::Bitfield(bitfield) => peer.on_bitfield(shared, &bitfield),
            Message::Range(range) => peer.on_range(shared, range),
            Message::Extension(Extension { name, message }) => {
                if !name.is_empty() {
                    peer.extension_received = name;
                }
                let name = peer.extension_received.clone();
                shared.notify(Notice::Extension {
                    peer: id,
                    name,
                    message,
                });
            }
        }
    }

    fn set_room(&mut self, id: PeerId, room: bool) {
        let (shared, Some(peer)) = (&mut self.shared, self.peers.get_mut(&id)) else {
            return;
        };
        peer.room = room;
        if room {
            peer.announce_backlog(shared);
            peer.answer_wants(shared);
            peer.serve(shared);
        }
    }

    fn demand(&mut self, id: DemandId, what: Demand) {
        let Shared {
            demands,
            view,
            flights,
            ..
        } = &mut self.shared;
        let ended = demands.add(id, what, view, |index| flights.contains(index));
        match ended {
            Some(ended) => self.shared.resolve(Vec::from([ended])),
            None => self.shared.work += 1,
        }
    }

    fn cancel(&mut self, id: DemandId) {
        let shared = &mut self.shared;
        if let Some(asked) = shared.demands.seeks.who(id) {
            let requests = self
                .peers
                .get(&asked)
                .into_iter()
                .flat_map(|peer| peer.requests.iter());
            let found = requests
                .filter(|(_, sent)| sent.is_for(id))
                .map(|(request, _)| request);
            shared.cancels.extend(found.map(|request| (asked, request)));
            shared.timers.unset(Timer::Seek(id));
            // whoever had joined it asks now
            shared.work += 1;
        }
        let unwanted = shared.demands.cancel(id);
        if shared.traced.remove(&id) {
            self.peers
                .values_mut()
                .for_each(|peer| peer.forget_demand(id));
        }
        let Some(unwanted) = unwanted else { return };
        let (flights, demands) = (&shared.flights, &shared.demands);
        let idle = |index: &u64| !flights.is_answered(*index) && !demands.wants(*index);
        let idle: Vec<u64> = flights.within(unwanted).filter(idle).collect();
        for index in idle {
            for (index, flight) in shared.flights.take(index..index.saturating_add(1)) {
                let requests = flight
                    .asked()
                    .filter_map(|asked| Some((asked.peer, asked.request?)));
                shared.cancels.extend(requests);
                shared.landed(index);
            }
        }
    }

    fn complete(&mut self, ticket: Ticket, reply: Reply) {
        let shared = &mut self.shared;
        if shared.testimonies.remove(&ticket) {
            return self.late_testimony(reply);
        }
        let Some((id, task)) = shared.tasks.remove(ticket) else {
            return;
        };
        let Some(peer) = self.peers.get_mut(&id) else {
            return;
        };
        match task {
            Task::Prove {
                request,
                turn,
                upgrade,
            } => {
                peer.ends_upgrade(upgrade);
                peer.on_proven(shared, (request, turn), reply);
                peer.push_waiting(shared);
            }
            Task::Push { upgrade } => {
                peer.ends_upgrade(upgrade);
                peer.on_push_proven(shared, reply);
                peer.push_waiting(shared);
            }
            Task::CheckUpgrade { fork, length } => {
                let can = reply == Reply::Upgradeable(true);
                peer.on_upgrade_checked(shared, fork, length, can);
            }
            Task::Apply(task) => peer.on_applied(shared, &task, &reply),
            Task::Fork { fork, whole } => {
                peer.on_fork_examined(shared, (fork, whole), reply);
            }
            Task::CheckConflict => self.conflict_checked(id, reply),
        }
    }

    fn elapse(&mut self) {
        let shared = &mut self.shared;
        while let Some(timer) = shared.timers.pop_due(shared.now) {
            match timer {
                Timer::Linger => shared.active = false,
                Timer::Upgrade => {
                    let late = shared
                        .upgrading
                        .take()
                        .and_then(|id| self.peers.get_mut(&id));
                    if let Some(peer) = late {
                        peer.dawdled = true;
                        peer.was_useless(shared);
                        shared.swaps = shared.swaps.saturating_add(1);
                        shared.work += 1;
                    }
                }
                Timer::Refuse(id) => {
                    if let Some(peer) = self.peers.get_mut(&id) {
                        peer.refuse_due(shared);
                    }
                }
                Timer::Hotswap(id) => {
                    shared.dirty.insert(id);
                }
                Timer::Fork(id) => {
                    let late = shared.forks.is_owed(id);
                    shared.forks.pass_over(id);
                    shared.work += 1;
                    if let Some(peer) = self.peers.get_mut(&id) {
                        peer.fork_late |= late;
                    }
                }
                Timer::Seek(id) => {
                    if let Some(peer) = shared.demands.seeks.who(id) {
                        shared.seek_on(id, peer, Refused::Hash);
                    }
                }
                Timer::Word(id) => {
                    if let Some(peer) = self.peers.get_mut(&id) {
                        peer.dawdled |= peer.owes_word(shared);
                    }
                }
                Timer::Stall(id) => {
                    if let Some(peer) = self.peers.get_mut(&id) {
                        peer.end_watch(shared);
                    }
                }
                // settling looks at it
                Timer::Update => {}
                Timer::Doubt(id) => {
                    if let Some(peer) = self.peers.get_mut(&id) {
                        peer.end_doubt(shared);
                    }
                }
            }
        }
    }

    fn set_active(&mut self, active: bool) {
        let shared = &mut self.shared;
        if shared.interested != active && shared.config.push == PushPolicy::Accept {
            shared.sync_due.extend(self.peers.keys());
        }
        shared.interested = active;
        if active {
            shared.timers.unset(Timer::Linger);
            shared.active = true;
        } else if shared.config.linger.is_zero() {
            shared.active = false;
        } else if shared.active {
            let linger = shared.config.linger;
            let bound = u64::try_from(linger.as_millis()).unwrap_or(u64::MAX);
            let more = Duration::from_millis(shared.rng.below(bound));
            shared
                .timers
                .set(Timer::Linger, shared.now.after(linger.saturating_add(more)));
        }
    }

    fn extend(&mut self, id: PeerId, name: String, message: Bytes) {
        let (shared, Some(peer)) = (&mut self.shared, self.peers.get_mut(&id)) else {
            return;
        };
        let repeated = !name.is_empty() && name == peer.extension_sent;
        let sent = if repeated {
            String::new()
        } else {
            name.clone()
        };
        peer.extension_sent = name;
        shared.send(
            peer,
            Extension {
                name: sent,
                message,
            },
        );
    }

    /// Does what follows from the event.
    fn settle(&mut self) {
        self.note_downloading();
        self.tell_peers();
        self.ask_peers();
        if self.tidy_forks() {
            self.ask_peers();
        }
        self.clear();
        self.note_downloading();
        self.tell_peers();
        self.clear();
        self.end_upgrades();
    }

    /// Takes back requests and lets peers go, as long as one follows from the other.
    fn clear(&mut self) {
        while !self.shared.cancels.is_empty() || !self.shared.hangups.is_empty() {
            for (id, request) in core::mem::take(&mut self.shared.cancels) {
                let shared = &mut self.shared;
                let Some(peer) = self.peers.get_mut(&id) else {
                    continue;
                };
                if let Some(sent) = peer.requests.cancel(request) {
                    shared.under_way -= 1;
                    peer.has_room(shared);
                    shared.send(peer, Cancel { id: request });
                    peer.give_up(shared, &sent);
                }
            }
            for (peer, reason) in core::mem::take(&mut self.shared.hangups) {
                if self.drop_peer(peer) {
                    self.shared
                        .outputs
                        .push_back(Output::Hangup { peer, reason });
                }
            }
        }
    }

    /// Forgets a peer; what it was asked for is asked of others.
    fn drop_peer(&mut self, id: PeerId) -> bool {
        let Some(peer) = self.peers.remove(&id) else {
            return false;
        };
        let shared = &mut self.shared;
        shared.under_way -= peer.requests.open() + peer.applying;
        for (_, sent) in peer.requests.iter() {
            shared.lost(id, sent);
        }
        peer.coming
            .held()
            .for_each(|index| shared.release(index, id));
        for (ticket, task) in shared.tasks.take_of(id) {
            shared.lost_task(id, ticket, &task);
        }
        if shared.upgrading == Some(id) {
            shared.upgrading = None;
            shared.timers.unset(Timer::Upgrade);
            shared.work += 1;
        }
        shared.manifest_from = shared.manifest_from.filter(|from| *from != id);
        shared.timers.unset(Timer::Refuse(id));
        shared.timers.unset(Timer::Hotswap(id));
        shared.timers.unset(Timer::Fork(id));
        shared.timers.unset(Timer::Word(id));
        shared.timers.unset(Timer::Stall(id));
        shared.proven -= usize::from(peer.standing.is_proven());
        shared.timers.unset(Timer::Doubt(id));
        shared.forks.pass_over(id);
        shared.dirty.remove(&id);
        shared.sync_due.remove(&id);
        true
    }

    /// Peers are told when we start or stop to download; where neither side does, the channel goes.
    fn note_downloading(&mut self) {
        let downloading = self.shared.downloading();
        if downloading == self.was_downloading {
            return;
        }
        self.was_downloading = downloading;
        if downloading && !self.shared.active {
            return;
        }
        self.shared.sync_due.extend(self.peers.keys());
        if !downloading {
            for peer in self.peers.values() {
                peer.close_if_idle(&mut self.shared);
            }
        }
    }

    fn tell_peers(&mut self) {
        if self.shared.sync_due.is_empty() {
            return;
        }
        for id in core::mem::take(&mut self.shared.sync_due) {
            if let Some(peer) = self.peers.get_mut(&id) {
                peer.tell(&mut self.shared);
            }
        }
    }

    /// Asks peers for more: all if there is more to do, else those with news or room. Good ones first, and of these quick
    /// ones.
    fn ask_peers(&mut self) {
        let shared = &mut self.shared;
        if shared.dirty.is_empty() && shared.work == self.swept {
            return;
        }
        let dirty = core::mem::take(&mut shared.dirty);
        let mut ids: Vec<PeerId> = if shared.work == self.swept {
            dirty.into_iter().collect()
        } else {
            self.peers.keys().copied().collect()
        };
        self.swept = shared.work;
        if ids.len() > 1 {
            let peers = &self.peers;
            let order = |id: &PeerId| {
                let peer = peers.get(id)?;
                Some((!peer.standing.is_good(), peer.time_to_use()))
            };
            ids.sort_by_cached_key(order);
        }
        let several = self.peers.len() > 1;
        for id in ids {
            let Some(peer) = self.peers.get_mut(&id) else {
                continue;
            };
            let idle = schedule::fill(shared, peer);
            if idle && several {
                hotswap::take_over(shared, peer);
            }
        }
    }
}
