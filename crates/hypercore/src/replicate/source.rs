//! Where a connection finds logs that were not added to it by hand: a store of many. Knows nothing of
//! links.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Context;
use std::time::{Duration, Instant};

use hc_merkle::{DiscoveryKey, PublicKey};
use hc_protocol::Link;
use hc_protocol::capability::channel_name;
use hc_protocol::mux::RemoteOpen;

use super::logs::Doors;
use super::router::Router;
use super::slot::Slot;
use crate::core::Core;
use crate::core::lane::Idle;
use crate::limits::QUESTIONS_WAITING;

/// A store of logs behind a connection.
///
/// Its logs come and go: one that somebody here opens is handed in through the doors of all connections;
/// one that the remote asks for is looked up.
pub(crate) trait Source: Send + Sync {
    /// A connection begins: the logs that somebody here wants.
    fn join(&self, doors: &Arc<Doors>) -> Vec<Arc<Core>>;

    /// Whether this remote may learn that the log is here.
    fn shares(&self, remote: &PublicKey, log: &DiscoveryKey) -> bool;

    /// The log, opened if it was not; `None` where the store does not have it.
    fn find(&self, log: &DiscoveryKey) -> Option<Sought>;

    /// How long a log stays on a connection when neither side wants it.
    fn linger(&self) -> Duration;

    /// Whether nothing more is to be read for now.
    fn is_suspended(&self) -> bool;

    /// Whether no log will come any more.
    fn is_closed(&self) -> bool;
}

/// A log that a store has.
pub(crate) enum Sought {
    Here(Arc<Core>),
    /// It is being closed: to be looked for again after that.
    Closing(Idle),
}

/// What becomes of a request of the remote for a log of the store.
pub(super) enum Found {
    /// The log was added under this number.
    Here(usize),
    /// It is answered later.
    Later,
}

/// A channel that the remote has opened for a log that is being closed.
pub(super) struct Reopening {
    log: DiscoveryKey,
    request: RemoteOpen,
    /// `None` where this connection still has something of it to store.
    closed: Option<Idle>,
}

impl Router {
    /// Replicates the logs of a store: those that are wanted here, now or later, and those that the
    /// remote asks for.
    pub(super) fn join(&mut self, source: Arc<dyn Source>) {
        for core in source.join(&self.doors) {
            self.add(core);
        }
        self.source = Some(source);
    }

    /// Whether the remote may learn of a log, as far as the store has a say.
    pub(super) fn shares(&self, log: &DiscoveryKey) -> bool {
        match (&self.source, &self.session) {
            (Some(source), Some(session)) => source.shares(&session.remote, log),
            _ => true,
        }
    }

    /// The log that the remote asks for: one that is here already, or one of the store. Where it is being
    /// closed, the request is answered after that.
    pub(super) fn find(&mut self, log: &DiscoveryKey, request: RemoteOpen) -> Option<Found> {
        if let Some(at) = self.at(log) {
            return Some(Found::Here(at));
        }
        let shared = self.session.is_some() && self.shares(log);
        let source = self.source.as_ref().filter(|_| shared)?;
        let closed = if self.is_leaving(log) {
            None
        } else {
            match source.find(log)? {
                Sought::Here(core) => return self.add(core).map(Found::Here),
                Sought::Closing(closed) => Some(closed),
            }
        };
        if self.reopening.len() >= QUESTIONS_WAITING {
            return None;
        }
        self.reopening.push(Reopening {
            log: *log,
            request,
            closed,
        });
        Some(Found::Later)
    }

    /// Where a log is that was not closed here.
    fn at(&self, log: &DiscoveryKey) -> Option<usize> {
        let at = self.by_log.get(log)?;
        let is_open = |slot: &Slot| !slot.is_closed();
        self.slots.get(at).is_some_and(is_open).then_some(*at)
    }

    /// Whether a log that was closed here is still on the connection.
    pub(super) fn is_leaving(&self, log: &DiscoveryKey) -> bool {
        let slot = self.by_log.get(log).and_then(|at| self.slots.get(at));
        slot.is_some_and(Slot::is_closed)
    }

    /// A log that was closed here makes place for the same log opened again.
    pub(super) fn replace_closed(&mut self, link: &mut Link, log: &DiscoveryKey) {
        if let Some(at) = self.by_log.get(log).copied() {
            self.look(link, at);
        }
    }

    /// Answers the requests for logs that have been closed by now; says whether there was one.
    pub(super) fn reopen(&mut self, link: &mut Link, cx: &mut Context<'_>) -> bool {
        let waiting = std::mem::take(&mut self.reopening);
        let mut progress = false;
        for mut one in waiting {
            let closed = one.closed.as_mut();
            let is_closed = closed.is_none_or(|idle| Pin::new(idle).poll(cx).is_ready());
            if is_closed && !self.is_leaving(&one.log) {
                progress = true;
                self.requested(link, one.request, &channel_name(&one.log));
            } else {
                self.reopening.push(one);
            }
        }
        progress
    }

    /// Calls the machines whose time has come.
    pub(super) fn elapsed(&mut self, now: Instant) {
        for at in self.alarms.due(now) {
            self.traffic.looked();
            let Some(slot) = self.slots.get(&at) else {
                continue;
            };
            slot.core.machine_elapsed();
            if slot.has_left(now) {
                self.leave(at);
            } else {
                self.alarms.set(at, slot.due());
            }
        }
    }

    /// A log of the store that neither side wanted for a while leaves, unless somebody here does now.
    fn leave(&mut self, at: usize) {
        match self.slots.get_mut(&at) {
            Some(slot) if slot.core.is_attached() => {
                slot.leaves = None;
                self.alarms.set(at, slot.due());
            }
            _ => self.forget(at),
        }
    }

    /// Whether nothing more is to be read for now.
    pub(super) fn is_suspended(&self) -> bool {
        self.source
            .as_ref()
            .is_some_and(|source| source.is_suspended())
    }
}
