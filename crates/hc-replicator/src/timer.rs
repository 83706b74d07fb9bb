//! What is to happen later, in order. Knows no clock.

use alloc::collections::{BTreeMap, BTreeSet};

use hc_protocol::Time;

use crate::id::{DemandId, PeerId};

/// Something that waits for its time. Each is set once at most; setting it again moves it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// We stop saying that we download.
    Linger,
    /// The upgrade under way has taken long enough.
    Upgrade,
    /// A refusal was held back for long enough.
    Refuse(PeerId),
    /// Requests of others have become old enough for this idle peer to take them over.
    Hotswap(PeerId),
    /// This peer has had long enough to say something of a later fork.
    Fork(PeerId),
    /// Whoever was asked where this byte is has had long enough to say.
    Seek(DemandId),
    /// This peer has had long enough to say where it stands, or that it heard where we do.
    Word(PeerId),
    /// This peer has had long enough to answer anything.
    Stall(PeerId),
    /// Updates have waited for long enough.
    Update,
    /// This peer has had long enough to prove that its log was signed as well as ours.
    Doubt(PeerId),
}

#[derive(Debug, Default)]
pub(crate) struct Timers {
    order: BTreeSet<(Time, Timer)>,
    when: BTreeMap<Timer, Time>,
}

impl Timers {
    /// Gives back its memory where nothing is set.
    pub(crate) fn rest(&mut self) {
        if self.when.is_empty() {
            *self = Self::default();
        }
    }

    /// Sets or moves.
    pub(crate) fn set(&mut self, timer: Timer, at: Time) {
        self.unset(timer);
        self.order.insert((at, timer));
        self.when.insert(timer, at);
    }

    /// Sets, or moves to an earlier time.
    pub(crate) fn set_earlier(&mut self, timer: Timer, at: Time) {
        if self.when.get(&timer).is_none_or(|when| at < *when) {
            self.set(timer, at);
        }
    }

    pub(crate) fn unset(&mut self, timer: Timer) {
        if let Some(at) = self.when.remove(&timer) {
            self.order.remove(&(at, timer));
        }
    }

    pub(crate) fn is_unset(&self, timer: Timer) -> bool {
        !self.when.contains_key(&timer)
    }

    /// The next time at which something is due.
    pub(crate) fn next(&self) -> Option<Time> {
        self.order.first().map(|(at, _)| *at)
    }

    /// Takes out one that is due.
    pub(crate) fn pop_due(&mut self, now: Time) -> Option<Timer> {
        let (at, timer) = *self.order.first()?;
        if at > now {
            return None;
        }
        self.unset(timer);
        Some(timer)
    }
}
