//! Where a connection finds logs that were not added to it by hand: a store of many. Knows nothing of
//! links.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hc_merkle::{DiscoveryKey, PublicKey};

use super::logs::Doors;
use super::router::Router;
use crate::core::Core;

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
    fn find(&self, log: &DiscoveryKey) -> Option<Arc<Core>>;

    /// How long a log stays on a connection when neither side wants it.
    fn linger(&self) -> Duration;

    /// Whether nothing more is to be read for now.
    fn is_suspended(&self) -> bool;

    /// Whether no log will come any more.
    fn is_closed(&self) -> bool;
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

    /// A log of the store that was not offered.
    pub(super) fn find(&mut self, log: &DiscoveryKey) -> Option<usize> {
        let shared = self.session.is_some() && self.shares(log);
        let core = self.source.as_ref().filter(|_| shared)?.find(log)?;
        self.add(core)
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
