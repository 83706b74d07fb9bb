//! Holding appends back, a little and in proportion, while more is void than the collector gets rid of.
//!
//! Owns how fast the log may grow at the moment. Up to some share of void bytes it may as it likes; from
//! there on the less the more is void, until the collector keeps up. A short wait now and then is all
//! that an append sees of it. Knows nothing of how anything is collected.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::{Engine, Registry};
use crate::lock::lock;
use crate::store::Access;

/// Bytes after which it is looked again how much is void.
const LOOK_EVERY: u64 = 1 << 20;

/// Bytes a second that the log may grow by where holding back begins.
const FASTEST: u64 = 1 << 30;

/// Times that this is halved until it is the slowest, 16 MiB a second: 4 ms for 64 KiB.
const HALVINGS: u64 = 6;

/// Waits shorter than this are put off until they add up: a system does not sleep more exactly.
const SHORTEST: Duration = Duration::from_millis(1);

/// How fast the log may grow.
#[derive(Debug, Default)]
pub(crate) struct Throttle {
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
        *next = at.checked_add(takes);
        Some(at).filter(|at| at.saturating_duration_since(now) >= SHORTEST)
    }
}

/// How fast a log may grow of whose blocks so many bytes are stored and so many void; 0 for as fast as
/// it goes. `slack`: void bytes that are nothing to speak of.
fn rate_for(live: u64, void: u64, slack: u64) -> u64 {
    // segments of which less than a third is void are not collected, which is half of what is live
    let enough = slack.saturating_add(live / 2).saturating_add(live / 20);
    let excess = void.saturating_sub(enough);
    if excess == 0 {
        return 0;
    }
    let room = (live / 4).max(slack).max(1);
    FASTEST >> (excess.saturating_mul(HALVINGS) / room).min(HALVINGS)
}

impl Engine {
    /// Waits, where the collector is behind, before bytes are added to the log.
    pub(crate) fn hold_back(&self, bytes: u64) {
        let throttle = &self.throttle;
        let grown = throttle
            .grown
            .fetch_add(bytes, Ordering::Relaxed)
            .saturating_add(bytes);
        if grown >= LOOK_EVERY {
            throttle.grown.store(0, Ordering::Relaxed);
            throttle.rate.store(self.bearable_rate(), Ordering::Relaxed);
        }
        if throttle.rate.load(Ordering::Relaxed) == 0 {
            return;
        }
        let now = Instant::now();
        if let Some(at) = throttle.admit(bytes, now) {
            thread::sleep(at.saturating_duration_since(now));
        }
    }

    fn bearable_rate(&self) -> u64 {
        let collects = self.access == Access::ReadWrite && self.options.collect;
        // what nobody is about to collect is not waited for
        if !collects || !(self.collector.is_busy() || self.worker.is_busy()) {
            return 0;
        }
        let (data, live) = lock(&self.registry).blocks_len();
        rate_for(
            live,
            data.saturating_sub(live),
            u64::from(self.options.segment_len) / 4,
        )
    }
}

impl Registry {
    /// Bytes of blocks that take space, and those of them that are stored.
    pub(crate) fn blocks_len(&self) -> (u64, u64) {
        let spaces = self.space.values();
        spaces.fold((0, 0), |(data, live), space| {
            (
                data.saturating_add(space.data),
                live.saturating_add(space.live),
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn the_more_is_void_the_slower_it_goes() {
        assert_eq!(rate_for(100 * MIB, 60 * MIB, 16 * MIB), 0);
        assert_eq!(rate_for(0, 16 * MIB, 16 * MIB), 0);
        let rates: Vec<u64> = (72..100)
            .map(|void| rate_for(100 * MIB, void * MIB, 16 * MIB))
            .collect();
        assert!(
            rates.iter().all(|rate| (16 * MIB..=1 << 30).contains(rate)),
            "{rates:?}"
        );
        assert!(rates.windows(2).all(|pair| pair[0] >= pair[1]), "{rates:?}");
        assert_eq!(rate_for(100 * MIB, 200 * MIB, 16 * MIB), 16 * MIB);
        assert_eq!(rate_for(0, 33 * MIB, 16 * MIB), 16 * MIB);
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
        let later = now + Duration::from_secs(1);
        assert_eq!(throttle.admit(3000, later), None, "what is past is past");
    }
}
