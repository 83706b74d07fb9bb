//! Holding appends back, a little and in proportion, while more is void than the collector gets rid of.
//!
//! Owns how fast the log may grow at the moment. Up to some share of void bytes it may as it likes; from
//! there on the less the more is void, until the collector keeps up. A short wait now and then is all
//! that an append sees of it. Knows nothing of how anything is collected.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::choose::{grain_of_tail, is_crowded, least};
use super::{Engine, Space};
use crate::lock::lock;
use crate::store::Access;

/// Bytes after which it is looked again how much is void.
const LOOK_EVERY: u64 = 1 << 20;

/// Bytes a second that the log may grow by where holding back begins.
const FASTEST: u64 = 1 << 30;

/// Times that this is halved until it is the slowest, 4 MiB a second: 16 ms for 64 KiB.
const HALVINGS: u64 = 8;

/// Waits shorter than this are put off until they add up: a system does not sleep more exactly.
const SHORTEST: Duration = Duration::from_millis(1);

/// The longest wait of one batch on its own thread. What it owes beyond that is left to those that come
/// after it, and to whoever [asks](Engine::owed) first.
const LONGEST: Duration = Duration::from_millis(4);

/// The most that is ever owed.
const MOST_OWED: Duration = Duration::from_secs(1);

/// How fast the log may grow.
#[derive(Debug, Default)]
pub(crate) struct Throttle {
    crowded: AtomicBool,
    /// Bytes since it was last looked how much is void.
    grown: AtomicU64,
    /// Bytes a second; 0 for as fast as it goes.
    rate: AtomicU64,
    /// When the log may grow again.
    next: Mutex<Option<Instant>>,
}

impl Throttle {
    /// Until when whoever adds bytes to the log now has to wait.
    fn admit(&self, bytes: u64, now: Instant) -> Option<Instant> {
        let rate = self.rate.load(Ordering::Relaxed).max(1);
        let mut next = lock(&self.next);
        let at = next.map_or(now, |next| next.max(now));
        let takes = Duration::from_nanos(bytes.saturating_mul(1_000_000_000) / rate);
        // what one batch owes, the next ones pay; but nobody for long
        *next = at.checked_add(takes).map(|next| next.min(now + MOST_OWED));
        Some(at).filter(|at| at.saturating_duration_since(now) >= SHORTEST)
    }

    /// How long it is until the log may grow again.
    fn owed(&self, now: Instant) -> Duration {
        let next = lock(&self.next).unwrap_or(now);
        let owed = next.saturating_duration_since(now);
        if owed < SHORTEST {
            Duration::ZERO
        } else {
            owed
        }
    }

    /// Whether a checkpoint is worth making for the space that can be collected after it; said once.
    pub(crate) fn take_crowded(&self) -> bool {
        self.crowded.load(Ordering::Relaxed) && self.crowded.swap(false, Ordering::Relaxed)
    }
}

/// How fast a log may grow of whose blocks so many bytes are stored and so many void; 0 for as fast as
/// it goes. `slack`: void bytes that are nothing to speak of.
fn rate_for(all: Space, slack: u64) -> u64 {
    // segments of which less than a third is void are not collected, which is half of what is live
    let enough = slack
        .saturating_add(all.live / 2)
        .saturating_add(all.live / 20);
    let excess = all.void().saturating_sub(enough);
    if excess == 0 {
        return 0;
    }
    let room = (all.live / 5).max(slack).max(1);
    FASTEST >> (excess.saturating_mul(HALVINGS) / room).min(HALVINGS)
}

impl Engine {
    /// Takes note of bytes that are added to the log, and waits a little where the collector is behind.
    pub(crate) fn hold_back(&self, bytes: u64) {
        let throttle = &self.throttle;
        let grown = throttle
            .grown
            .fetch_add(bytes, Ordering::Relaxed)
            .saturating_add(bytes);
        if grown >= LOOK_EVERY.min(u64::from(self.options.segment_len) / 16) {
            throttle.grown.store(0, Ordering::Relaxed);
            self.look_around();
        }
        if throttle.rate.load(Ordering::Relaxed) == 0 {
            return;
        }
        let now = Instant::now();
        if let Some(at) = throttle.admit(bytes, now) {
            thread::sleep(at.saturating_duration_since(now).min(LONGEST));
        }
    }

    /// How long whoever is about to add to the log had better wait before.
    pub(crate) fn owed(&self) -> Duration {
        if self.throttle.rate.load(Ordering::Relaxed) == 0 {
            return Duration::ZERO;
        }
        self.throttle.owed(Instant::now())
    }

    /// Sees to it that segments are as long, checkpoints as frequent and appends as fast as what is void
    /// allows.
    fn look_around(&self) {
        if self.access == Access::ReadOnly || !self.options.collect {
            return;
        }
        let (throttle, limit) = (&self.throttle, self.options.segment_len);
        let all = lock(&self.registry).space_of_all();
        let grain = grain_of_tail(all, limit);
        self.log.set_segment_len(grain);
        let fresh = self.pressure.bytes.load(Ordering::Relaxed) >= u64::from(grain) * 2;
        // whoever collects makes checkpoints too
        let crowded = fresh && is_crowded(all, limit) && !self.collector.is_busy();
        throttle.crowded.store(crowded, Ordering::Relaxed);
        // what nobody is about to collect is not waited for
        let awaited = self.collector.is_busy() || self.worker.is_busy();
        let slack = u64::from(least(limit)) * 2;
        let rate = if awaited { rate_for(all, slack) } else { 0 };
        throttle.rate.store(rate, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn the_more_is_void_the_slower_it_goes() {
        let rate = |live, void| {
            let (live, data) = (live * MIB, (live + void) * MIB);
            rate_for(Space { data, live }, 16 * MIB)
        };
        assert_eq!(rate(100, 60), 0);
        assert_eq!(rate(0, 16), 0);
        let rates: Vec<u64> = (72..100).map(|void| rate(100, void)).collect();
        assert!(
            rates.iter().all(|rate| (4 * MIB..=1 << 30).contains(rate)),
            "{rates:?}"
        );
        assert!(rates.windows(2).all(|pair| pair[0] >= pair[1]), "{rates:?}");
        assert_eq!(rate(100, 200), 4 * MIB);
        assert_eq!(rate(0, 33), 4 * MIB);
    }

    #[test]
    fn small_waits_add_up_to_one() {
        let throttle = Throttle::default();
        let now = Instant::now();
        throttle.rate.store(4 * MIB, Ordering::Relaxed);
        // a millisecond at this rate is 4 KiB and a bit
        assert_eq!(throttle.admit(3000, now), None);
        assert_eq!(throttle.admit(3000, now), None);
        let until = throttle.admit(3000, now).expect("a wait");
        let wait = until.saturating_duration_since(now);
        assert!((SHORTEST..2 * SHORTEST).contains(&wait), "{wait:?}");
        assert_eq!(throttle.owed(now), wait + (until - now) / 2);
        throttle.admit(1 << 30, now);
        assert_eq!(throttle.owed(now), MOST_OWED);
        let later = now + Duration::from_secs(1);
        assert_eq!(throttle.owed(later), Duration::ZERO);
        assert_eq!(throttle.admit(3000, later), None, "what is past is past");
    }
}
