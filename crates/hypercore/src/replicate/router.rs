//! Between one link and the machines of the logs that are replicated over it: channels are opened,
//! messages find their machine, what machines want done is done. Knows nothing of streams and timers.
//!
//! A connection may have thousands of logs. No turn goes through all of them: a log is looked at when
//! something came for it, when it asked for attention, or when its time has come.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Instant;

use bytes::Bytes;
use hc_merkle::{DiscoveryKey, PublicKey};
use hc_protocol::capability::{ALIAS, ReplicationHandshake, channel_name, requested_log};
use hc_protocol::message::{Message, MessageKind};
use hc_protocol::mux::{self, ChannelId, MessageType, Name, RemoteOpen};
use hc_protocol::{HandshakeHash, Link, Side};
use hc_replicator::{Effect, Hangup, Input, PeerId, PeerInfo, Ticket};

use super::alarms::Alarms;
use super::error::ReplicateError;
use super::held::Held;
use super::logs::{Asked, Doors};
use super::outbox::{Attention, Outbox, Task, Tasks};
use super::policy::Policy;
use super::replies::Replies;
use super::room::Room;
use super::slot::{Peering, Pumped, Slot};
use super::source::{Found, Reopening, Source};
use super::swarm::next_peer;
use super::turns::Turns;
use super::{Ended, Peer, Traffic};
use crate::core::Core;
use crate::event::Event;

/// The logs of one connection, each under a number that is not used again.
pub(super) struct Router {
    pub(super) slots: BTreeMap<usize, Slot>,
    next_slot: usize,
    pub(super) by_log: BTreeMap<DiscoveryKey, usize>,
    by_channel: BTreeMap<ChannelId, usize>,
    pub(super) by_peer: BTreeMap<PeerId, usize>,
    pub(super) outbox: Arc<Outbox>,
    /// A queue whose tasks were done, and its memory.
    done: Tasks,
    pub(super) doors: Arc<Doors>,
    /// Where logs come from that were not added.
    pub(super) source: Option<Arc<dyn Source>>,
    /// Requests of the remote for logs that are being closed.
    pub(super) reopening: Vec<Reopening>,
    pub(super) session: Option<Session>,
    pub(super) alarms: Alarms,
    /// Logs that have something to store.
    storing: BTreeSet<usize>,
    /// Logs that the remote does not want.
    refused: BTreeSet<usize>,
    pub(super) room: Room,
    /// Requests of the remote that wait for room, or for others to have had a turn.
    pub(super) unproven: Turns<(PeerId, Ticket, Effect)>,
    /// Requests that were answered since this connection's turn began.
    pub(super) answered: usize,
    pub(super) held: Held,
    /// Messages for one machine, until one for another comes.
    received: Vec<Input>,
    receiving: usize,
    /// The remote has accepted a log.
    shared: bool,
    /// A log was closed here.
    closed: bool,
    pub(super) fault: Option<ReplicateError>,
    policy: Policy,
    pub(super) traffic: Traffic,
}

/// What the handshake left behind.
#[derive(Clone, Copy)]
pub(super) struct Session {
    side: Side,
    pub(super) remote: PublicKey,
    hash: HandshakeHash,
}

impl Router {
    pub(super) fn new(outbox: Arc<Outbox>, doors: Arc<Doors>, traffic: Traffic) -> Self {
        Self {
            slots: BTreeMap::new(),
            next_slot: 0,
            by_log: BTreeMap::new(),
            by_channel: BTreeMap::new(),
            by_peer: BTreeMap::new(),
            outbox,
            done: Tasks::new(),
            doors,
            source: None,
            reopening: Vec::new(),
            session: None,
            alarms: Alarms::default(),
            storing: BTreeSet::new(),
            refused: BTreeSet::new(),
            room: Room::new(Policy::new().unsent_bytes()),
            unproven: Turns::new(),
            answered: 0,
            held: Held::new(Policy::new().held_bytes()),
            received: Vec::new(),
            receiving: 0,
            shared: false,
            closed: false,
            fault: None,
            policy: Policy::new(),
            traffic,
        }
    }

    /// What the connection may do, and what it may cost: before it begins.
    pub(super) fn set_policy(&mut self, policy: Policy) {
        self.room = Room::new(policy.unsent_bytes());
        self.held = Held::new(policy.held_bytes());
        self.policy = policy;
    }

    pub(super) fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Offers a log, and says under which number; `None` where it is offered already.
    pub(super) fn add(&mut self, core: Arc<Core>) -> Option<usize> {
        if self.by_log.contains_key(&core.discovery_key) {
            return None;
        }
        let at = self.next_slot;
        self.next_slot += 1;
        core.offer(&self.outbox, at);
        self.by_log.insert(core.discovery_key, at);
        let slot = Slot::new(core, self.session.is_none());
        self.alarms.set(at, slot.due());
        if slot.is_closed() || slot.core.fault().is_some() {
            // It will not ask for attention again.
            let waker = self.outbox.attend(at);
            waker.into_iter().for_each(Waker::wake);
        }
        self.slots.insert(at, slot);
        Some(at)
    }

    /// Opens a channel for each log.
    pub(super) fn handshaken(
        &mut self,
        link: &mut Link,
        side: Side,
        remote: PublicKey,
        hash: HandshakeHash,
    ) {
        self.session = Some(Session { side, remote, hash });
        let slots: Vec<usize> = self.slots.keys().copied().collect();
        for at in slots {
            let log = self.slots.get(&at).map(Slot::discovery_key);
            if log.is_some_and(|log| self.shares(&log)) {
                self.open(link, at);
            } else {
                self.forget(at);
            }
        }
    }

    /// Takes in what happened on a channel, or to it.
    pub(super) fn event(
        &mut self,
        link: &mut Link,
        event: mux::Event,
    ) -> Result<(), ReplicateError> {
        match event {
            mux::Event::Message {
                channel,
                kind,
                payload,
            } => {
                return self.message(channel, kind, &payload);
            }
            mux::Event::Opened { channel, handshake } => {
                self.deliver();
                return self.opened(channel, &handshake);
            }
            mux::Event::Requested { request, name } => self.requested(link, request, &name),
            mux::Event::Closed { channel, reason } => {
                self.deliver();
                let Some(at) = self.by_channel.get(&channel).copied() else {
                    return Ok(());
                };
                // Its last words may be that the log was signed twice.
                self.note_work(at);
                self.lose(at);
                if reason == mux::Closed::Rejected {
                    self.refused.insert(at);
                }
            }
        }
        Ok(())
    }

    /// The remote opens a channel: it is opened here too, or whoever may know the log is asked.
    pub(super) fn requested(&mut self, link: &mut Link, request: RemoteOpen, name: &Name) {
        let Some(log) = requested_log(name) else {
            return link.reject(request);
        };
        if self.is_leaving(&log) {
            self.replace_closed(link, &log);
        }
        let answered = match (self.find(&log, request), self.session) {
            (Some(Found::Here(at)), _) => self.open(link, at),
            (Some(Found::Later), _) => true,
            (None, Some(Session { remote, .. })) => self.doors.ask(Asked {
                log,
                request,
                remote,
            }),
            (None, None) => false,
        };
        if !answered {
            link.reject(request);
        }
    }

    /// Opens the channel of a log, or answers the remote that did; `false` where it is open or the
    /// log is closed.
    fn open(&mut self, link: &mut Link, at: usize) -> bool {
        let (Some(session), Some(slot)) = (self.session, self.slots.get_mut(&at)) else {
            return false;
        };
        if slot.peering.is_some() || slot.is_closed() {
            return false;
        }
        let core = &slot.core;
        let handshake = ReplicationHandshake::new(session.side, &core.key, &session.hash);
        let name = channel_name(&core.discovery_key);
        let Ok(channel) = link.open(&name, &[ALIAS], &handshake) else {
            return false;
        };
        let id = slot.expected.take().unwrap_or_else(next_peer);
        let peer = Peer {
            id: id.0,
            public_key: session.remote,
        };
        let peering = Peering {
            peer,
            channel,
            open: false,
        };
        slot.peering = Some(peering);
        slot.activations = core.activity().1;
        slot.leaves = None;
        self.refused.remove(&at);
        self.by_channel.insert(channel, at);
        self.by_peer.insert(peering.id(), at);
        core.expect_peer(peer, &self.outbox);
        true
    }

    fn opened(&mut self, channel: ChannelId, handshake: &Bytes) -> Result<(), ReplicateError> {
        let Some(session) = self.session else {
            return Ok(());
        };
        let Some(at) = self.by_channel.get(&channel).copied() else {
            return Ok(());
        };
        let Some(slot) = self.slots.get_mut(&at) else {
            return Ok(());
        };
        let Some(peering) = &mut slot.peering else {
            return Ok(());
        };
        let core = &slot.core;
        let theirs =
            ReplicationHandshake::verify(handshake, session.side, &core.key, &session.hash)
                .map_err(|error| ReplicateError::Capability {
                    log: core.discovery_key,
                    error,
                })?;
        peering.open = true;
        self.shared = true;
        let peer = peering.id();
        let opened = Input::PeerOpened {
            peer,
            info: PeerInfo::new(theirs.seeks).with_policy(self.policy.of_peer()),
        };
        let full = self.room.opened(at);
        let full = full.then_some(Input::Writable { peer, room: false });
        core.hub.emit(&Event::PeerAdd(peering.peer));
        core.feed([opened].into_iter().chain(full));
        Ok(())
    }

    fn message(
        &mut self,
        channel: ChannelId,
        kind: MessageType,
        payload: &Bytes,
    ) -> Result<(), ReplicateError> {
        let Some(kind) = MessageKind::from_type(kind) else {
            return Ok(());
        };
        let Some(at) = self.by_channel.get(&channel).copied() else {
            return Ok(());
        };
        if at != self.receiving {
            self.deliver();
            self.receiving = at;
        }
        let peering = self.slots.get(&at).and_then(|slot| slot.peering);
        if let Some(peering) = peering.filter(|peering| peering.open) {
            let message = Message::decode(kind, payload)
                .map_err(|error| ReplicateError::Malformed { kind, error })?;
            self.received.push(Input::Received {
                peer: peering.id(),
                message,
            });
        }
        Ok(())
    }

    /// Hands the machine the messages that were gathered for it.
    pub(super) fn deliver(&mut self) {
        if self.received.is_empty() {
            return;
        }
        self.traffic.looked();
        if let Some(slot) = self.slots.get(&self.receiving) {
            slot.core.feed(self.received.drain(..));
        }
        self.received.clear();
        self.weigh(self.receiving);
    }

    /// The peering of a log ends.
    fn lose(&mut self, at: usize) {
        let Some(slot) = self.slots.get_mut(&at) else {
            return;
        };
        let Some(peering) = slot.peering.take() else {
            return;
        };
        self.by_channel.remove(&peering.channel);
        self.by_peer.remove(&peering.id());
        self.room.lost(at);
        self.unproven.lost(at);
        self.held.lost(at);
        slot.core.lose_peer(peering.id(), peering.open);
        let Some(source) = &self.source else { return };
        if !slot.core.is_attached() {
            slot.leaves = slot.core.runtime.now().checked_add(source.linger());
            self.alarms.set(at, slot.due());
        }
    }

    /// A log is replicated no longer.
    pub(super) fn forget(&mut self, at: usize) {
        self.lose(at);
        let Some(slot) = self.slots.remove(&at) else {
            return;
        };
        if let Some(peer) = slot.expected {
            slot.core.feed([Input::PeerClosed { peer }]);
        }
        if self.storing.remove(&at) {
            // What is left to store is stored by another connection, if there is one.
            slot.core.attend();
        }
        self.by_log.remove(&slot.discovery_key());
        self.refused.remove(&at);
        self.alarms.set(at, None);
        slot.core.retire();
    }

    /// Does what the machines want done; says whether there was anything. `unsent` is what waits to
    /// be written already.
    pub(super) fn run(&mut self, link: &mut Link, unsent: usize) -> Result<bool, ReplicateError> {
        let (mut tasks, attention) = self.outbox.take(std::mem::take(&mut self.done));
        let attended = attention.is_due();
        if tasks.is_empty() && !attended && self.unproven.is_empty() {
            self.done = tasks;
            return Ok(false);
        }
        let count = tasks.len();
        let mut replies = Replies::default();
        let mut progress = attended || !tasks.is_empty();
        link.cork();
        for (peer, task) in tasks.drain(..) {
            self.task(link, peer, task, &mut replies)?;
        }
        // What many needed once is not kept by a few.
        if count.saturating_mul(16) >= tasks.capacity() {
            self.done = tasks;
        }
        link.uncork();
        // A log that is closed for a conflict has said so by now.
        self.attend(link, attention);
        progress |= self.prove(link.pending().saturating_add(unsent), &mut replies);
        self.reply(replies);
        Ok(progress)
    }

    fn task(
        &mut self,
        link: &mut Link,
        peer: PeerId,
        task: Task,
        replies: &mut Replies,
    ) -> Result<(), ReplicateError> {
        self.traffic.looked();
        let Some(at) = self.by_peer.get(&peer).copied() else {
            return Ok(());
        };
        let Some(slot) = self.slots.get_mut(&at) else {
            return Ok(());
        };
        let Some(peering) = slot.peering else {
            return Ok(());
        };
        match task {
            Task::Send(message) => {
                self.room.talks(at);
                let kind = message.kind().message_type();
                match link.send(peering.channel, kind, &message) {
                    // The remote closed it: the link will say so.
                    Ok(()) | Err(mux::SendError::Closed) => {}
                    Err(error) => return Err(ReplicateError::Unsendable(error)),
                }
            }
            Task::Run(ticket, Effect::CheckUpgrade { fork, length }) => {
                let reply = slot.core.can_upgrade_from(fork, length);
                replies.add(at, ticket, reply);
            }
            Task::Run(ticket, effect @ Effect::Prove { .. }) => {
                self.unproven.push(at, (peer, ticket, effect));
            }
            Task::Run(ticket, effect) => {
                slot.core.apply.push(ticket, effect);
                self.storing.insert(at);
            }
            Task::Hangup(Hangup::Fault(fault)) => {
                let log = slot.core.discovery_key;
                return Err(ReplicateError::Fault { log, fault });
            }
            Task::Hangup(_) => {
                link.close(peering.channel);
                self.lose(at);
            }
        }
        Ok(())
    }

    /// Takes up and turns down what it is told to, and looks at the logs that ask for it.
    fn attend(&mut self, link: &mut Link, attention: Attention) {
        for at in attention.logs {
            self.look(link, at);
        }
        if !attention.doors {
            return;
        }
        let orders = self.doors.take();
        for core in orders.added {
            if !self.shares(&core.discovery_key) {
                continue;
            }
            self.replace_closed(link, &core.discovery_key);
            if let Some(at) = self.add(core) {
                self.open(link, at);
            }
        }
        for request in orders.declined {
            link.reject(request);
        }
    }

    /// Lets go of a log that was closed, opens again what was let go for want of interest.
    pub(super) fn look(&mut self, link: &mut Link, at: usize) {
        self.traffic.looked();
        let Some(slot) = self.slots.get(&at) else {
            return;
        };
        if slot.is_closed() && slot.is_pumping() {
            return; // until that is done
        }
        if slot.is_closed() {
            if let Some(peering) = slot.peering {
                link.close(peering.channel);
            }
            self.closed = true;
            return self.forget(at);
        }
        self.alarms.set(at, slot.due());
        if !slot.core.apply.is_empty() {
            self.storing.insert(at);
        }
        match (slot.peering, slot.core.fault()) {
            (Some(_), Some(error)) => {
                let log = slot.discovery_key();
                self.fault = Some(ReplicateError::Storage { log, error });
            }
            (None, _) if !self.refused.contains(&at) => {
                let (active, activations) = slot.core.activity();
                if active && activations != slot.activations {
                    self.open(link, at);
                }
            }
            _ => {}
        }
    }

    fn note_work(&mut self, at: usize) {
        let slot = self.slots.get(&at);
        if slot.is_some_and(|slot| !slot.core.apply.is_empty()) {
            self.storing.insert(at);
        }
    }

    /// Stores what the remotes sent; says whether there was anything to do that is done now.
    pub(super) fn pump(&mut self, cx: &mut Context<'_>) -> bool {
        let mut progress = false;
        let (slots, traffic, outbox) = (&mut self.slots, &self.traffic, &self.outbox);
        self.storing.retain(|at| {
            traffic.looked();
            let pumped = slots.get_mut(at).map_or(Pumped::Idle, |slot| slot.pump(cx));
            progress |= pumped == Pumped::Done;
            if pumped == Pumped::Done && slots.get(at).is_some_and(Slot::is_closed) {
                outbox.attend(*at);
            }
            pumped != Pumped::Idle
        });
        progress
    }

    /// Whether anything is being stored.
    pub(super) fn is_pumping(&self) -> bool {
        let mut slots = self.storing.iter().filter_map(|at| self.slots.get(at));
        slots.any(Slot::is_pumping)
    }

    /// Whether so much waits to be stored that nothing more is read.
    pub(super) fn is_full(&self) -> bool {
        let mut slots = self.storing.iter().filter_map(|at| self.slots.get(at));
        let limit = self.policy.unstored_bytes();
        slots.any(|slot| slot.core.apply.bytes() > limit)
    }

    /// Tells the machines whether there is room: those that have something to say.
    pub(super) fn set_room(&mut self, unsent: usize) {
        let unsent = unsent.saturating_add(self.outbox.bytes());
        let (told, room) = self.room.set(unsent);
        for at in told {
            let slot = self.slots.get(&at);
            let open = slot.and_then(|slot| Some((slot, slot.peering?)));
            if let Some((slot, peering)) = open.filter(|(_, peering)| peering.open) {
                let peer = peering.id();
                slot.core.feed([Input::Writable { peer, room }]);
            }
        }
    }

    /// When a machine wants to be called.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.alarms.next()
    }

    /// Why a log can store nothing more of what the remote sends, if that is so.
    pub(super) fn fault(&mut self) -> Option<ReplicateError> {
        self.fault.take()
    }

    /// How the connection is at its end without either side's closing it: all logs were closed here,
    /// or the remote wants none of those that are left.
    pub(super) fn verdict(&self) -> Option<Result<Ended, ReplicateError>> {
        if let Some(source) = &self.source {
            return source.is_closed().then_some(Ok(Ended::ByUs));
        }
        if self.refused.len() < self.slots.len() || self.doors.is_held() {
            return None;
        }
        if self.slots.is_empty() {
            return Some(Ok(Ended::ByUs));
        }
        if self.shared {
            let by_us = self.closed;
            let ended = if by_us { Ended::ByUs } else { Ended::ByRemote };
            return Some(Ok(ended));
        }
        let logs = self.slots.values().map(Slot::discovery_key).collect();
        Some(Err(ReplicateError::Refused { logs }))
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        self.doors.end();
        while let Some(at) = self.slots.keys().next().copied() {
            self.forget(at);
        }
    }
}
