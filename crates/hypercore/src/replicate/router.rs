//! Between one link and the machines of the logs that are replicated over it: channels are opened,
//! messages find their machine, what machines want done is done. Knows nothing of streams and timers.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use hc_merkle::{DiscoveryKey, PublicKey};
use hc_protocol::capability::{ALIAS, ReplicationHandshake, channel_name, requested_log};
use hc_protocol::message::{Message, MessageKind};
use hc_protocol::mux::{self, ChannelId, MessageType};
use hc_protocol::{HandshakeHash, Link, Side};
use hc_replicator::{Effect, Hangup, Input, PeerId, PeerInfo, Reply, Ticket};

use super::error::ReplicateError;
use super::outbox::{Outbox, Task};
use super::swarm::next_peer;
use super::{Ended, Peer};
use crate::core::Core;
use crate::event::Event;
use crate::limits::{APPLY_QUEUE_BYTES, OUTBOX_BYTES};
use crate::rt::BoxFuture;

/// The logs of one connection.
pub(super) struct Router {
    slots: Vec<Slot>,
    by_channel: BTreeMap<ChannelId, usize>,
    by_peer: BTreeMap<PeerId, usize>,
    outbox: Arc<Outbox>,
    session: Option<Session>,
    /// Requests of the remote that wait for room.
    unproven: VecDeque<(PeerId, Ticket, Effect)>,
    /// Messages for one machine, until one for another comes.
    received: Vec<Input>,
    receiving: usize,
    room: bool,
    /// The remote has accepted a log.
    shared: bool,
}

/// One log that is offered.
struct Slot {
    core: Arc<Core>,
    peering: Option<Peering>,
    /// The first peering, as long as the handshake is not done: an update waits for it.
    expected: Option<PeerId>,
    /// How often interest had begun when its channel was last opened: a channel that has gone is
    /// opened again when it begins anew.
    activations: u64,
    /// The remote does not want it.
    refused: bool,
    /// Stores what the remote sent.
    pump: Option<BoxFuture<()>>,
}

/// A channel for a log.
#[derive(Clone, Copy)]
struct Peering {
    peer: Peer,
    channel: ChannelId,
    /// The remote has opened its side, and knows the key.
    open: bool,
}

impl Peering {
    fn id(&self) -> PeerId {
        PeerId(self.peer.id)
    }
}

/// What the handshake left behind.
#[derive(Clone, Copy)]
struct Session {
    side: Side,
    remote: PublicKey,
    hash: HandshakeHash,
}

impl Router {
    pub(super) fn new(outbox: Arc<Outbox>) -> Self {
        Self {
            slots: Vec::new(),
            by_channel: BTreeMap::new(),
            by_peer: BTreeMap::new(),
            outbox,
            session: None,
            unproven: VecDeque::new(),
            received: Vec::new(),
            receiving: 0,
            room: true,
            shared: false,
        }
    }

    pub(super) fn add(&mut self, core: Arc<Core>) {
        let expected = next_peer();
        core.offer(&self.outbox);
        core.feed([Input::PeerExpected { peer: expected }]);
        self.slots.push(Slot {
            core,
            peering: None,
            expected: Some(expected),
            activations: 0,
            refused: false,
            pump: None,
        });
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
        for slot in 0..self.slots.len() {
            self.open(link, slot);
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
            mux::Event::Requested { request, name } => {
                let wanted = requested_log(&name).and_then(|key| self.slot_of(&key));
                let opened = wanted.is_some_and(|slot| self.open(link, slot));
                if !opened {
                    link.reject(request);
                }
            }
            mux::Event::Closed { channel, reason } => {
                self.deliver();
                let Some(slot) = self.by_channel.get(&channel).copied() else {
                    return Ok(());
                };
                self.lose(slot);
                if let Some(slot) = self.slots.get_mut(slot) {
                    slot.refused = reason == mux::Closed::Rejected;
                }
            }
        }
        Ok(())
    }

    fn slot_of(&self, key: &DiscoveryKey) -> Option<usize> {
        self.slots
            .iter()
            .position(|slot| slot.core.discovery_key == *key)
    }

    /// Opens the channel of a log, or answers the remote that did; `false` where it is open or the
    /// log is closed.
    fn open(&mut self, link: &mut Link, at: usize) -> bool {
        let (Some(session), Some(slot)) = (self.session, self.slots.get_mut(at)) else {
            return false;
        };
        if slot.peering.is_some() || slot.core.gate.is_closed() {
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
        slot.refused = false;
        self.by_channel.insert(channel, at);
        self.by_peer.insert(peering.id(), at);
        core.expect_peer(peer, &self.outbox);
        true
    }

    fn opened(&mut self, channel: ChannelId, handshake: &Bytes) -> Result<(), ReplicateError> {
        let Some(session) = self.session else {
            return Ok(());
        };
        let at = self.by_channel.get(&channel).copied();
        let Some(slot) = at.and_then(|at| self.slots.get_mut(at)) else {
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
            info: PeerInfo::new(theirs.seeks),
        };
        let full = (!self.room).then_some(Input::Writable { peer, room: false });
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
        let peering = self.slots.get(at).and_then(|slot| slot.peering);
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
        if let Some(slot) = self.slots.get(self.receiving) {
            slot.core.feed(self.received.drain(..));
        }
        self.received.clear();
    }

    /// The peering of a log ends.
    fn lose(&mut self, at: usize) {
        let Some(slot) = self.slots.get_mut(at) else {
            return;
        };
        let Some(peering) = slot.peering.take() else {
            return;
        };
        self.by_channel.remove(&peering.channel);
        self.by_peer.remove(&peering.id());
        slot.core.lose_peer(peering.id(), peering.open);
    }

    /// Does what the machines want done; says whether there was anything. `unsent` is what waits to
    /// be written already.
    pub(super) fn run(&mut self, link: &mut Link, unsent: usize) -> Result<bool, ReplicateError> {
        let (tasks, attention) = self.outbox.take();
        if tasks.is_empty() && !attention && self.unproven.is_empty() {
            return Ok(false);
        }
        if attention {
            self.attend(link);
        }
        let mut replies = Replies::default();
        let mut progress = attention || !tasks.is_empty();
        link.cork();
        for (peer, task) in tasks {
            self.task(link, peer, task, &mut replies)?;
        }
        link.uncork();
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
        let Some(at) = self.by_peer.get(&peer).copied() else {
            return Ok(());
        };
        let Some(slot) = self.slots.get_mut(at) else {
            return Ok(());
        };
        let Some(peering) = slot.peering else {
            return Ok(());
        };
        match task {
            Task::Send(message) => {
                let kind = message.kind().message_type();
                match link.send(peering.channel, kind, &message) {
                    // The remote closed it: the link will say so.
                    Ok(()) | Err(mux::SendError::Closed) => {}
                    Err(error) => return Err(ReplicateError::Unsendable(error)),
                }
            }
            Task::Run(ticket, Effect::Apply { data }) => slot.core.apply.push(ticket, data),
            Task::Run(ticket, Effect::CheckUpgrade { fork, length }) => {
                let reply = slot.core.can_upgrade_from(fork, length);
                replies.add(at, ticket, reply);
            }
            Task::Run(ticket, effect @ Effect::Prove { .. }) => {
                self.unproven.push_back((peer, ticket, effect));
            }
            Task::Run(ticket, _) => replies.add(at, ticket, Reply::Failed),
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

    /// Proves what was asked for as long as there is room to send it.
    fn prove(&mut self, unsent: usize, replies: &mut Replies) -> bool {
        let mut unsent = unsent.saturating_add(self.outbox.bytes());
        let mut progress = false;
        while unsent < OUTBOX_BYTES {
            let Some((peer, ticket, effect)) = self.unproven.pop_front() else {
                break;
            };
            progress = true;
            let Some(at) = self.by_peer.get(&peer).copied() else {
                continue;
            };
            let (Some(slot), Effect::Prove { fork, request }) = (self.slots.get(at), effect) else {
                continue;
            };
            let reply = slot.core.prove(fork, &request);
            if let Reply::Proof(proof) = &reply {
                let block = proof.block.as_ref().map_or(0, |block| block.value.len());
                unsent = unsent.saturating_add(block);
            }
            replies.add(at, ticket, reply);
        }
        progress
    }

    fn reply(&self, replies: Replies) {
        for (at, inputs) in replies.0 {
            if let Some(slot) = self.slots.get(at) {
                slot.core.feed(inputs);
            }
        }
    }

    /// Lets go of logs that were closed, and opens again what was let go for want of interest.
    fn attend(&mut self, link: &mut Link) {
        for at in 0..self.slots.len() {
            let Some(slot) = self.slots.get(at) else {
                continue;
            };
            let closed = slot.core.gate.is_closed();
            let idle = slot.peering.is_none() && !slot.refused;
            if closed {
                if let Some(peering) = slot.peering {
                    link.close(peering.channel);
                    self.lose(at);
                }
            } else if idle {
                let (active, activations) = slot.core.activity();
                if active && activations != slot.activations {
                    self.open(link, at);
                }
            }
        }
    }

    /// Stores what the remotes sent; says whether there was anything to do that is done now.
    pub(super) fn pump(&mut self, cx: &mut Context<'_>) -> bool {
        let mut progress = false;
        for slot in &mut self.slots {
            if slot.pump.is_none() && !slot.core.apply.is_empty() {
                slot.pump = Some(Box::pin(slot.core.clone().pump()));
            }
            let Some(pump) = &mut slot.pump else { continue };
            if let Poll::Ready(()) = pump.as_mut().poll(cx) {
                slot.pump = None;
                progress = true;
            }
        }
        progress
    }

    /// Whether anything is being stored.
    pub(super) fn is_pumping(&self) -> bool {
        self.slots.iter().any(|slot| slot.pump.is_some())
    }

    /// Whether so much waits to be stored that nothing more is read.
    pub(super) fn is_full(&self) -> bool {
        self.slots
            .iter()
            .any(|slot| slot.core.apply.bytes() > APPLY_QUEUE_BYTES)
    }

    /// Tells the machines whether there is room, where that has changed.
    pub(super) fn set_room(&mut self, unsent: usize) {
        let unsent = unsent.saturating_add(self.outbox.bytes());
        let room = if self.room {
            unsent <= OUTBOX_BYTES
        } else {
            unsent <= OUTBOX_BYTES / 2
        };
        if room == self.room {
            return;
        }
        self.room = room;
        for slot in &self.slots {
            if let Some(peering) = slot.peering.filter(|peering| peering.open) {
                slot.core.feed([Input::Writable {
                    peer: peering.id(),
                    room,
                }]);
            }
        }
    }

    /// When a machine wants to be called.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.slots
            .iter()
            .filter_map(|slot| slot.core.machine_due())
            .min()
    }

    /// Calls the machines whose time has come.
    pub(super) fn elapsed(&self) {
        for slot in &self.slots {
            slot.core.machine_elapsed();
        }
    }

    /// Whether a log can store nothing more of what the remote sends.
    pub(super) fn fault(&self) -> Option<ReplicateError> {
        let fault = |slot: &Slot| {
            let log = slot.core.discovery_key;
            let error = slot.peering.and_then(|_| slot.core.fault())?;
            Some(ReplicateError::Storage { log, error })
        };
        self.slots.iter().find_map(fault)
    }

    /// How the connection is at its end without either side's closing it: all logs were closed here,
    /// or the remote wants none of those that are left.
    pub(super) fn verdict(&self) -> Option<Result<Ended, ReplicateError>> {
        let is_closed = |slot: &Slot| slot.core.gate.is_closed();
        if self.slots.iter().all(is_closed) {
            return Some(Ok(Ended::ByUs));
        }
        let left = |slot: &Slot| !slot.refused && !is_closed(slot);
        if self.session.is_none() || self.slots.iter().any(left) {
            return None;
        }
        if self.shared {
            let by_us = self.slots.iter().any(is_closed);
            let ended = if by_us { Ended::ByUs } else { Ended::ByRemote };
            return Some(Ok(ended));
        }
        let logs = self.slots.iter().filter(|slot| slot.refused);
        let logs = logs.map(|slot| slot.core.discovery_key).collect();
        Some(Err(ReplicateError::Refused { logs }))
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        for at in 0..self.slots.len() {
            self.lose(at);
        }
        for slot in &self.slots {
            if let Some(peer) = slot.expected {
                slot.core.feed([Input::PeerClosed { peer }]);
            }
        }
    }
}

/// Replies for each machine.
#[derive(Default)]
struct Replies(BTreeMap<usize, Vec<Input>>);

impl Replies {
    fn add(&mut self, slot: usize, ticket: Ticket, reply: Reply) {
        let inputs = self.0.entry(slot).or_default();
        inputs.push(Input::Completed { ticket, reply });
    }
}
