//! The machine of one log, and everybody it speaks to: the outboxes of its peers, and those who wait
//! for its demands. Knows nothing of disks and streams.
//!
//! The machine is made when it is first needed: of many logs that are open most have no peer and no demand.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::task::Waker;

use bytes::Bytes;
use hc_bitfield::Bitfield;
use hc_merkle::{Authority, BlockIndex, ByteLength, Length};
use hc_protocol::Time;
use hc_replicator::{
    Config, Demand, DemandId, Effect, Input, LocalView, ManifestState, Notice, Order, Outcome,
    Output, PeerId, Published, Replicator, Span, Ticket,
};

use super::Peer;
use super::extension::{ExtensionError, Extensions};
use super::outbox::{Outbox, Task};
use crate::core::Core;
use crate::event::Event;
use crate::limits::OUTBOX_BYTES;
use crate::sync::{Receiver, Sender, reply};
use crate::view::View;

/// The machine and everybody it speaks to.
pub(crate) struct Swarm {
    machine: Option<Box<Replicator>>,
    /// Seed of the machine's random choices.
    seed: u64,
    members: BTreeMap<PeerId, Member>,
    /// The connections that offer this log, peers or not, with its number in each.
    offers: Vec<(Weak<Outbox>, usize)>,
    waiters: BTreeMap<DemandId, Sender<Outcome>>,
    extensions: Option<Arc<Extensions>>,
    last_demand: u64,
    active: bool,
    /// How often that began.
    activations: u64,
    /// Searches for peers that are under way.
    searches: usize,
    due: Option<Time>,
}

/// A peer as the machine's outputs reach it.
struct Member {
    peer: Peer,
    outbox: Arc<Outbox>,
}

/// What is left to do once the machine's lock is given back.
#[derive(Default)]
struct Aftermath {
    wakers: Vec<Waker>,
    ended: Vec<(Sender<Outcome>, Outcome)>,
    events: Vec<Event>,
    /// What some peer has.
    remote_contiguous: Option<Length>,
    /// Messages of extensions, by their names.
    messages: Vec<(Peer, String, Bytes)>,
    extensions: Option<Arc<Extensions>>,
    testimonies: Vec<(Ticket, Effect)>,
}

/// Numbers for peers: never reused in this process.
static LAST_PEER: AtomicU64 = AtomicU64::new(0);

pub(super) fn next_peer() -> PeerId {
    PeerId(LAST_PEER.fetch_add(1, Ordering::Relaxed).wrapping_add(1))
}

impl Swarm {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            machine: None,
            seed,
            members: BTreeMap::new(),
            offers: Vec::new(),
            waiters: BTreeMap::new(),
            extensions: None,
            last_demand: 0,
            active: false,
            activations: 0,
            searches: 0,
            due: None,
        }
    }

    fn next_demand(&mut self) -> DemandId {
        self.last_demand = self.last_demand.wrapping_add(1);
        DemandId(self.last_demand)
    }

    fn drain(&mut self, heard: bool, after: &mut Aftermath) {
        while let Some(output) = self.machine.as_mut().map(|machine| machine.poll_output()) {
            match output {
                Output::Send { peer, message } => self.post(peer, Task::Send(message), after),
                Output::Hangup { peer, reason } => self.post(peer, Task::Hangup(reason), after),
                Output::Run { ticket, effect, .. }
                    if matches!(effect, Effect::CheckConflict { .. }) =>
                {
                    // Whoever said so may be gone by the time somebody looks.
                    after.testimonies.push((ticket, effect));
                }
                Output::Run {
                    ticket,
                    peer,
                    effect,
                } => {
                    self.post(peer, Task::Run(ticket, effect), after);
                }
                Output::Resolve { id, outcome } => {
                    let waiter = self.waiters.remove(&id);
                    after.ended.extend(waiter.map(|waiter| (waiter, outcome)));
                }
                Output::Notify(notice) => self.note(notice, heard, after),
                Output::Wait(due) => {
                    let earlier = due.is_some_and(|due| self.due.is_none_or(|was| due < was));
                    self.due = due;
                    if earlier {
                        self.attend(after);
                    }
                    return;
                }
                _ => {}
            }
        }
    }

    fn post(&self, peer: PeerId, task: Task, after: &mut Aftermath) {
        if let Some(member) = self.members.get(&peer) {
            after.wakers.extend(member.outbox.push(peer, task));
        }
    }

    /// Has all connections look at this log again.
    fn attend(&mut self, after: &mut Aftermath) {
        self.offers.retain(|(outbox, _)| outbox.strong_count() > 0);
        let offers = self.offers.iter();
        let wakers = offers.filter_map(|(outbox, log)| outbox.upgrade()?.attend(*log));
        after.wakers.extend(wakers);
    }

    fn note(&self, notice: Notice, heard: bool, after: &mut Aftermath) {
        let who = |peer: PeerId| self.members.get(&peer).map(|member| member.peer);
        match notice {
            Notice::Downloaded {
                peer,
                index,
                bytes,
                elapsed,
            } if heard => {
                let event = who(peer).map(|peer| Event::Download {
                    index,
                    byte_length: ByteLength::new(bytes),
                    peer,
                    elapsed,
                });
                after.events.extend(event);
            }
            Notice::Uploaded { peer, index, bytes } if heard => {
                let event = who(peer).map(|peer| Event::Upload {
                    index,
                    byte_length: ByteLength::new(bytes),
                    peer,
                });
                after.events.extend(event);
            }
            Notice::RemoteContiguous { length, .. } => {
                after.remote_contiguous = Some(length);
                after.events.push(Event::RemoteContiguous { length });
            }
            Notice::Extension {
                peer,
                name,
                message,
            } => {
                let message = who(peer).map(|peer| (peer, name, message));
                after.messages.extend(message);
                after.extensions.clone_from(&self.extensions);
            }
            Notice::Downloaded { .. } | Notice::Uploaded { .. } => {}
            notice => tracing::debug!(?notice, "replication"),
        }
    }
}

fn local_view(view: &View) -> LocalView {
    LocalView {
        fork: view.head.fork(),
        length: view.head.length(),
        // What is here can not be proven to anybody while roots are lost.
        contiguous: view.contiguous.min(view.head.length()),
        blocks: match view.lost {
            Some(_) => Bitfield::new(),
            None => view.have.clone(),
        },
        least: view.lost.unwrap_or(Length::ZERO),
        manifest: match &*view.authority {
            Authority::KeyOnly(_) => ManifestState::Unknown,
            Authority::Known(verifier) if verifier.is_compat() => ManifestState::Compat,
            Authority::Known(_) => ManifestState::Known,
        },
    }
}

/// What goes into the machine and comes out of it.
impl Core {
    /// The machine's time.
    pub(crate) fn time(&self) -> Time {
        let elapsed = self.runtime.now().saturating_duration_since(self.epoch);
        Time::since_epoch(elapsed)
    }

    /// Gives the machine inputs, and does what it says: all under one lock but what wakes others.
    pub(crate) fn feed(&self, inputs: impl IntoIterator<Item = Input>) {
        let mut after = Aftermath::default();
        self.handle(&mut self.swarm.lock(), inputs, &mut after);
        self.finish(after);
    }

    fn handle(
        &self,
        swarm: &mut Swarm,
        inputs: impl IntoIterator<Item = Input>,
        after: &mut Aftermath,
    ) {
        let mut inputs = inputs.into_iter().peekable();
        if inputs.peek().is_none() {
            return;
        }
        self.machine(swarm).handle_all(self.time(), inputs);
        swarm.drain(self.hub.heard(), after);
        if swarm.machine.as_mut().is_some_and(|machine| machine.rest()) {
            self.apply.rest();
        }
    }

    /// The machine. Where there is none yet it is made of the log as it is shown: nothing is shown while
    /// somebody else has the swarm.
    fn machine<'a>(&self, swarm: &'a mut Swarm) -> &'a mut Replicator {
        let Swarm {
            machine,
            seed,
            active,
            searches,
            ..
        } = swarm;
        machine.get_or_insert_with(|| {
            let view = local_view(&self.view.load());
            let machine = Replicator::new(Config::new(*seed), view);
            let mut machine = machine.with_remote_contiguous(self.hints.known());
            let (active, finding) = (*active, *searches > 0);
            machine.handle(self.time(), Input::Activity { active });
            machine.handle(self.time(), Input::FindingPeers { finding });
            Box::new(machine)
        })
    }

    /// Gives the machine an input that means nothing to one that is not there yet.
    fn tell(&self, swarm: &mut Swarm, input: Input, heard: bool, after: &mut Aftermath) {
        if let Some(machine) = &mut swarm.machine {
            machine.handle(self.time(), input);
            swarm.drain(heard, after);
        }
    }

    fn finish(&self, after: Aftermath) {
        if let Some(length) = after.remote_contiguous {
            self.hints.raise(length);
        }
        if !after.testimonies.is_empty() {
            for (ticket, effect) in after.testimonies {
                self.apply.push(ticket, effect);
            }
            self.attend();
        }
        for event in &after.events {
            self.hub.emit(event);
        }
        if let Some(extensions) = after.extensions {
            for (peer, name, message) in &after.messages {
                extensions.deliver(*peer, name, message);
            }
        }
        for (waiter, outcome) in after.ended {
            waiter.send(outcome);
        }
        after.wakers.into_iter().for_each(Waker::wake);
    }

    /// Shows a view to everybody and tells the machine of it in the same moment, so that nothing is
    /// asked of the machine by who sees a later log than it knows; then what was waiting for that.
    /// `announce` is called before anybody who waits is woken.
    pub(crate) fn tell_machine(
        &self,
        view: &View,
        change: Published,
        answers: Vec<Input>,
        show: impl FnOnce(),
        announce: impl FnOnce(),
    ) {
        let mut after = Aftermath::default();
        {
            let mut swarm = self.swarm.lock();
            show();
            if swarm.machine.is_some() {
                let view = local_view(view);
                let published = Input::Published { change, view };
                let inputs = std::iter::once(published).chain(answers);
                self.handle(&mut swarm, inputs, &mut after);
            }
        }
        announce();
        self.finish(after);
    }

    /// When the machine wants to be called again.
    pub(super) fn machine_due(&self) -> Option<std::time::Instant> {
        let due = self.swarm.lock().due?;
        self.epoch.checked_add(due.elapsed())
    }

    /// Calls the machine if its time has come.
    pub(super) fn machine_elapsed(&self) {
        let due = self.swarm.lock().due;
        if due.is_some_and(|due| due <= self.time()) {
            self.feed([Input::Elapsed]);
        }
    }

    /// Changes how the machine behaves.
    pub(crate) fn configure(&self, change: impl FnOnce(&mut Config)) {
        let mut after = Aftermath::default();
        {
            let mut swarm = self.swarm.lock();
            let mut config = self.machine(&mut swarm).config().clone();
            change(&mut config);
            self.handle(&mut swarm, [Input::Configured { config }], &mut after);
        }
        self.finish(after);
    }

    /// Whether peers are given what is here.
    pub(crate) fn set_uploads(&self, uploads: bool) {
        let now = self.read_machine(|machine| machine.config().uploads);
        if now.unwrap_or(true) != uploads {
            self.configure(|config| config.uploads = uploads);
        }
    }

    /// Asks the machine how things stand; `None` where there was no need of one so far.
    pub(crate) fn read_machine<T>(&self, read: impl FnOnce(&Replicator) -> T) -> Option<T> {
        self.swarm.lock().machine.as_deref().map(read)
    }

    /// Who listens to extensions.
    pub(super) fn extensions(&self) -> Arc<Extensions> {
        let mut swarm = self.swarm.lock();
        swarm.extensions.get_or_insert_default().clone()
    }

    /// Sends a message of an extension to a peer, unless that would only pile up.
    pub(super) fn extend(
        &self,
        peer: u64,
        name: &str,
        message: &Bytes,
    ) -> Result<(), ExtensionError> {
        let id = PeerId(peer);
        {
            let swarm = self.swarm.lock();
            let machine = swarm.machine.as_ref();
            let state = machine.and_then(|machine| machine.peer_state(id));
            let state = state.ok_or(ExtensionError::NoPeer)?;
            let member = swarm.members.get(&id).ok_or(ExtensionError::NoPeer)?;
            if !state.room || member.outbox.bytes() > OUTBOX_BYTES {
                return Err(ExtensionError::Busy);
            }
        }
        self.feed([Input::Extend {
            peer: id,
            name: name.to_owned(),
            message: message.clone(),
        }]);
        Ok(())
    }

    /// Whether anybody here is interested in new blocks.
    pub(crate) fn set_active(&self, active: bool) {
        let mut after = Aftermath::default();
        {
            let mut swarm = self.swarm.lock();
            if swarm.active == active {
                return;
            }
            swarm.active = active;
            swarm.activations = swarm.activations.wrapping_add(u64::from(active));
            self.tell(&mut swarm, Input::Activity { active }, false, &mut after);
            // Channels that were let go for want of interest are opened again.
            swarm.attend(&mut after);
        }
        self.finish(after);
    }

    /// A search for peers begins or ends.
    pub(crate) fn find_peers(&self, begins: bool) {
        let mut after = Aftermath::default();
        {
            let mut swarm = self.swarm.lock();
            let searches = &mut swarm.searches;
            *searches = if begins {
                searches.saturating_add(1)
            } else {
                searches.saturating_sub(1)
            };
            let finding = *searches > 0;
            let heard = self.hub.heard();
            self.tell(
                &mut swarm,
                Input::FindingPeers { finding },
                heard,
                &mut after,
            );
        }
        self.finish(after);
    }

    /// Fails everybody who waits for something.
    pub(crate) fn end_demands(&self) {
        let waiters = std::mem::take(&mut self.swarm.lock().waiters);
        drop(waiters);
    }

    /// Whether anybody here is interested in new blocks, and how often that began so far.
    pub(crate) fn activity(&self) -> (bool, u64) {
        let swarm = self.swarm.lock();
        (swarm.active, swarm.activations)
    }

    /// Remembers a connection that offers this log, under this number.
    pub(super) fn offer(&self, outbox: &Arc<Outbox>, log: usize) {
        let offer = (Arc::downgrade(outbox), log);
        self.swarm.lock().offers.push(offer);
    }

    /// Has all connections look at this log again.
    pub(crate) fn attend(&self) {
        let mut after = Aftermath::default();
        self.swarm.lock().attend(&mut after);
        self.finish(after);
    }

    /// A channel for this log is being opened.
    pub(super) fn expect_peer(&self, peer: Peer, outbox: &Arc<Outbox>) {
        let id = PeerId(peer.id);
        let member = Member {
            peer,
            outbox: outbox.clone(),
        };
        self.swarm.lock().members.insert(id, member);
        self.feed([Input::PeerExpected { peer: id }]);
    }

    /// A channel for this log is gone, or was never opened.
    pub(super) fn lose_peer(&self, id: PeerId, was_open: bool) {
        self.feed([Input::PeerClosed { peer: id }]);
        let member = self.swarm.lock().members.remove(&id);
        if let Some(member) = member.filter(|_| was_open) {
            self.hub.emit(&Event::PeerRemove(member.peer));
        }
    }

    /// Whether there is a channel for this log, open or being opened.
    pub(crate) fn has_channels(&self) -> bool {
        !self.swarm.lock().members.is_empty()
    }

    /// The peers of this log whose channels are open.
    pub(crate) fn peers(&self) -> Vec<Peer> {
        let swarm = self.swarm.lock();
        let member = |id| swarm.members.get(&id).map(|member| member.peer);
        let machine = swarm.machine.iter();
        let peers = machine.flat_map(|machine| machine.peers());
        peers.filter_map(member).collect()
    }

    /// Asks for all blocks, and for those that come, for as long as the log is open.
    pub(crate) fn follow(&self) {
        let id = self.swarm.lock().next_demand();
        let what = Demand::Span(Span {
            start: BlockIndex::new(0),
            end: None,
            order: Order::Scattered,
        });
        self.feed([Input::Demanded { id, what }]);
    }

    /// Asks for something; the answer comes unless the returned value is dropped.
    pub(crate) fn demand(self: &Arc<Self>, what: Demand) -> Demanded {
        let (sender, receiver) = reply();
        let mut after = Aftermath::default();
        let id = {
            let mut swarm = self.swarm.lock();
            let id = swarm.next_demand();
            // What cannot be stored cannot be waited for.
            if self.fault().is_none() && self.conflict().is_none() {
                swarm.waiters.insert(id, sender);
            }
            self.handle(&mut swarm, [Input::Demanded { id, what }], &mut after);
            id
        };
        self.finish(after);
        Demanded {
            core: self.clone(),
            id,
            receiver,
        }
    }
}

/// A demand under way: a future that gives its outcome. Dropping it takes the demand back.
#[must_use = "a demand that is dropped is taken back"]
pub(crate) struct Demanded {
    core: Arc<Core>,
    id: DemandId,
    receiver: Receiver<Outcome>,
}

impl std::future::Future for Demanded {
    /// `None` if the log was closed.
    type Output = Option<Outcome>;

    fn poll(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Self::Output> {
        std::pin::Pin::new(&mut self.receiver).poll(cx)
    }
}

impl Drop for Demanded {
    fn drop(&mut self) {
        let waiting = self.core.swarm.lock().waiters.remove(&self.id);
        if waiting.is_some() {
            self.core.feed([Input::Cancelled { id: self.id }]);
        }
    }
}
