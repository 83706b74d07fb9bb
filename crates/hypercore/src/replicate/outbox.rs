//! What waits to be done by one connection, put there by the machines of its logs: from the connection
//! itself, or from whoever changes a log. Knows nothing of streams and frames.

use std::collections::{BTreeSet, VecDeque};
use std::task::Waker;

use hc_protocol::message::Message;
use hc_replicator::{Effect, Hangup, PeerId, Ticket};

use crate::sync::Mutex;

/// Something that a machine wants done.
#[derive(Debug)]
#[allow(clippy::large_enum_variant)] // moved twice; boxing would allocate per block
pub(super) enum Task {
    Send(Message),
    Run(Ticket, Effect),
    Hangup(Hangup),
}

/// Tasks in the order in which they came, and whose they are.
pub(super) type Tasks = VecDeque<(PeerId, Task)>;

/// The queue of one connection.
#[derive(Debug, Default)]
pub(crate) struct Outbox(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    tasks: Tasks,
    /// What the messages in it will take on the wire, more or less.
    bytes: usize,
    attention: Attention,
    /// The connection is at work and will look again before it sleeps.
    awake: bool,
    waker: Option<Waker>,
}

/// What a connection has to look at again.
#[derive(Debug, Default)]
pub(super) struct Attention {
    /// Logs, by their number in the connection: one became active, was closed, has an earlier deadline.
    pub(super) logs: BTreeSet<usize>,
    /// Somebody has logs to add, or none to add any more.
    pub(super) doors: bool,
}

impl Attention {
    pub(super) fn is_due(&self) -> bool {
        self.doors || !self.logs.is_empty()
    }
}

impl Outbox {
    /// Adds a task; gives back whom to wake, after all locks are released.
    pub(super) fn push(&self, peer: PeerId, task: Task) -> Option<Waker> {
        let mut state = self.0.lock();
        if let Task::Send(message) = &task {
            state.bytes = state.bytes.saturating_add(weight(message));
        }
        state.tasks.push_back((peer, task));
        state.rouse()
    }

    /// Has the connection look at one of its logs again.
    pub(super) fn attend(&self, log: usize) -> Option<Waker> {
        let mut state = self.0.lock();
        state.attention.logs.insert(log);
        state.rouse()
    }

    /// Has the connection look at its doors again.
    pub(super) fn knock(&self) -> Option<Waker> {
        let mut state = self.0.lock();
        state.attention.doors = true;
        state.rouse()
    }

    /// Begins a turn of the connection: until it [sleeps](Self::sleep), nobody wakes it.
    pub(super) fn begin(&self) {
        self.0.lock().awake = true;
    }

    /// Takes all tasks, for which it leaves `empty` in their place, and what attention was asked for.
    pub(super) fn take(&self, empty: Tasks) -> (Tasks, Attention) {
        let mut state = self.0.lock();
        state.bytes = 0;
        let attention = std::mem::take(&mut state.attention);
        (std::mem::replace(&mut state.tasks, empty), attention)
    }

    pub(super) fn bytes(&self) -> usize {
        self.0.lock().bytes
    }

    /// Ends a turn; `false` if something came in the meantime, and the turn goes on.
    pub(super) fn sleep(&self, waker: &Waker) -> bool {
        let mut state = self.0.lock();
        if state.attention.is_due() || !state.tasks.is_empty() {
            return false;
        }
        state.awake = false;
        match &mut state.waker {
            Some(known) => known.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
        true
    }
}

impl State {
    fn rouse(&mut self) -> Option<Waker> {
        if std::mem::replace(&mut self.awake, true) {
            return None;
        }
        self.waker.take()
    }
}

/// What a message will take on the wire, more or less.
fn weight(message: &Message) -> usize {
    const HEAD: usize = 32;
    const NODE: usize = 48;
    HEAD + match message {
        Message::Data(data) => {
            let proof = &data.proof;
            let block = proof.block.as_ref().map_or(0, |block| {
                block.value.len().saturating_add(block.nodes.len() * NODE)
            });
            let hash = proof
                .hash
                .as_ref()
                .map_or(0, |hash| hash.nodes.len() * NODE);
            let upgrade = proof.upgrade.as_ref().map_or(0, |upgrade| {
                (upgrade.nodes.len() + upgrade.additional_nodes.len()) * NODE
            });
            block.saturating_add(hash).saturating_add(upgrade)
        }
        Message::Bitfield(bitfield) => bitfield.words.len() * 4,
        Message::Extension(extension) => extension.message.len(),
        _ => 0,
    }
}
