//! Holding appends back, a little and in proportion, while more is void than the collector gets rid of.
//!
//! Owns how fast the log may grow at the moment. Up to some share of void bytes it may as it likes; from
//! there on the less the more is void, and at the most that may be, not before some of it is given back. A
//! short wait now and then is all that an append sees of it. Knows nothing of how anything is collected.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::choose::{grain_of_tail, least};
use super::{Engine, Space};
use crate::limits::{FREE_VOID_PERCENT, MAX_VOID_PERCENT};
use crate::lock::lock;
use crate::store::Access;

/// Bytes after which it is looked again how much is void.
const LOOK_EVERY: u64 = 1 << 20;

/// Bytes a second that the log may grow by where holding back begins.
const FASTEST: u64 = 1 << 30;

/// Times that this is halved until nothing goes on: 4 MiB a second are the slowest before.
const HALVINGS: u64 = 8;

/// Waits shorter than this are put off until they add up: a system does not sleep more exactly.
const SHORTEST: Duration = Duration::from_millis(1);

/// The longest wait of a short batch on its own thread, and of any before it is looked again how much is
/// void. What is owed beyond that is left to those that come after it, and to whoever [asks](Engine::owed)
/// first.
const LONGEST: Duration = Duration::from_millis(4);

/// Bytes a second that may be appended whatever is void, in batches that take longer than [`LONGEST`] at
/// that rate.
const AT_LEAST: u64 = 16 << 20;

/// The most bytes that a batch has to wait for.
const MOST_OWED: u64 = 16 << 20;

/// What counts where it is decided how fast the log may grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Burden {
    /// Bytes of blocks that are stored.
    pub(crate) live: u64,
    /// Bytes of those that are not, and of what is there twice while it is collected: all that the
    /// collector can get rid of.
    pub(crate) void: u64,
    /// Void bytes that are nothing to speak of.
    slack: u64,
}

/// Bytes a second that the log may grow by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Rate(u64);

impl Rate {
    const FREE: Self = Self(u64::MAX);
    const STOPPED: Self = Self(0);

    /// As many bytes as go on meanwhile.
    fn over(self, time: Duration) -> u64 {
        let bytes = u128::from(self.0).saturating_mul(time.as_nanos()) / 1_000_000_000;
        u64::try_from(bytes).unwrap_or(u64::MAX)
    }

    /// How long it takes until so many bytes go on.
    fn time_of(self, bytes: u64) -> Duration {
        if bytes == 0 {
            return Duration::ZERO;
        }
        let nanos = u128::from(bytes).saturating_mul(1_000_000_000) / u128::from(self.0.max(1));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

impl Burden {
    /// How much may be void when `percent` of what is stored may be.
    fn at(&self, percent: u64) -> u64 {
        let part = self.live.saturating_mul(percent) / 100;
        part.saturating_add(self.slack)
    }

    /// Whether so much is void that space counts for more than the disk's peace: a quarter of everything.
    pub(crate) fn is_urgent(&self) -> bool {
        self.void > (self.live / 3).saturating_add(self.slack)
    }

    /// Whether so much is void that appends are held back until it is collected.
    pub(crate) fn is_heavy(&self) -> bool {
        self.void > self.at(FREE_VOID_PERCENT)
    }

    fn rate(&self) -> Rate {
        let free = self.at(FREE_VOID_PERCENT);
        let Some(excess) = self.void.checked_sub(free).filter(|excess| *excess > 0) else {
            return Rate::FREE;
        };
        let room = (self.at(MAX_VOID_PERCENT) - free).max(self.slack).max(1);
        if excess >= room {
            return Rate::STOPPED;
        }
        // between two halvings in proportion
        let halvings = u128::from(excess) * u128::from(HALVINGS);
        let (whole, rest) = (halvings / u128::from(room), halvings % u128::from(room));
        let above = FASTEST >> whole;
        let less = u128::from(above / 2) * rest / u128::from(room);
        Rate(above - u64::try_from(less).unwrap_or(0))
    }
}

/// How fast the log may grow, and how much of that is used up.
#[derive(Debug, Default)]
pub(crate) struct Throttle {
    crowded: AtomicBool,
    /// Bytes since it was last looked how much is void.
    grown: AtomicU64,
    /// Whether anything is held back.
    holds: AtomicBool,
    account: Mutex<Account>,
}

/// Bytes that were let into the log, and those that its rate allowed for.
#[derive(Debug, Default)]
struct Account {
    rate: Option<Rate>,
    entered: u64,
    paid: u64,
    /// When that was so.
    at: Option<Instant>,
}

/// The place of a batch among all that were let in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Turn {
    /// Bytes before it, which are to be paid first: what one batch owes, the next ones pay.
    place: u64,
    /// When it does not wait any longer, whatever is owed.
    until: Instant,
}

impl Account {
    fn rate(&self) -> Rate {
        self.rate.unwrap_or(Rate::FREE)
    }

    fn settle(&mut self, now: Instant) {
        let time = self
            .at
            .map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        self.at = Some(now);
        let paid = self.paid.saturating_add(self.rate().over(time));
        self.paid = paid.min(self.entered);
    }

    fn set_rate(&mut self, rate: Rate, now: Instant) {
        self.settle(now);
        self.rate = Some(rate);
        if rate == Rate::FREE {
            self.paid = self.entered;
        }
    }

    /// Lets bytes in.
    fn enter(&mut self, bytes: u64, now: Instant) -> Turn {
        self.settle(now);
        let place = self.entered;
        self.paid = self.paid.max(place.saturating_sub(MOST_OWED));
        self.entered = self.entered.saturating_add(bytes);
        let until = now + Rate(AT_LEAST).time_of(bytes).max(LONGEST);
        Turn { place, until }
    }

    /// How long to wait before it is looked again: no time at all once what came before is paid, or it took as
    /// long as it may.
    fn wait(&mut self, turn: &Turn, now: Instant) -> Duration {
        let left = turn.until.saturating_duration_since(now);
        let wait = self.owed(turn.place, now).min(left);
        if wait < SHORTEST {
            Duration::ZERO
        } else {
            wait
        }
    }

    /// How long it takes until all up to a place is paid, at the rate of now; no longer than it is worth
    /// before it is looked again.
    fn owed(&mut self, place: u64, now: Instant) -> Duration {
        self.settle(now);
        let owed = self.rate().time_of(place.saturating_sub(self.paid));
        if owed < SHORTEST {
            Duration::ZERO
        } else {
            owed.min(LONGEST)
        }
    }
}

impl Throttle {
    /// Whether a checkpoint is worth making for the space that can be collected after it; said once.
    pub(crate) fn take_crowded(&self) -> bool {
        self.crowded.load(Ordering::Relaxed) && self.crowded.swap(false, Ordering::Relaxed)
    }

    /// How long a batch waits before it is looked again how much is void; no time at all where its turn came.
    pub(crate) fn wait(&self, turn: &Turn, now: Instant) -> Duration {
        lock(&self.account).wait(turn, now)
    }
}

impl Engine {
    /// How much is void, and how much is stored.
    pub(crate) fn burden(&self) -> Burden {
        self.burden_of(lock(&self.registry).space_of_all())
    }

    fn burden_of(&self, all: Space) -> Burden {
        let void = all.void().saturating_add(self.collector.held());
        Burden {
            live: all.live,
            void: void.saturating_sub(self.collector.stuck()),
            slack: u64::from(least(self.options.segment_len)) * 2,
        }
    }

    fn rate(&self, burden: &Burden) -> Rate {
        // what nobody is about to collect is not waited for
        if self.collector.is_busy() || self.worker.is_busy() {
            burden.rate()
        } else {
            Rate::FREE
        }
    }

    /// Takes note of bytes that are about to be added to the log. `None` where nothing holds them back.
    pub(crate) fn enter(&self, bytes: u64, now: Instant) -> Option<Turn> {
        let throttle = &self.throttle;
        let grown = throttle.grown.fetch_add(bytes, Ordering::Relaxed);
        let every = LOOK_EVERY.min(u64::from(self.options.segment_len) / 16);
        if grown.saturating_add(bytes) >= every {
            throttle.grown.store(0, Ordering::Relaxed);
            self.look_around(now);
        }
        let held = bytes > 0 && throttle.holds.load(Ordering::Relaxed);
        held.then(|| lock(&throttle.account).enter(bytes, now))
    }

    /// Takes note of bytes that are about to be added to the log, and waits a little where the collector is
    /// behind.
    pub(crate) fn hold_back(&self, bytes: u64) {
        let mut now = Instant::now();
        let Some(turn) = self.enter(bytes, now) else {
            return;
        };
        loop {
            let wait = self.throttle.wait(&turn, now);
            if wait.is_zero() {
                return;
            }
            thread::sleep(wait);
            now = Instant::now();
            self.look_around(now);
        }
    }

    /// How long whoever is about to add to the log had better wait before, and then ask again.
    pub(crate) fn owed(&self, now: Instant) -> Duration {
        if !self.throttle.holds.load(Ordering::Relaxed) {
            return Duration::ZERO;
        }
        self.look_around(now);
        let mut account = lock(&self.throttle.account);
        let all = account.entered;
        account.owed(all, now)
    }

    /// Sees to it that segments are as long, checkpoints as frequent and appends as fast as what is void
    /// allows.
    pub(crate) fn look_around(&self, now: Instant) {
        if self.access == Access::ReadOnly || !self.options.collect {
            return;
        }
        let (throttle, limit) = (&self.throttle, self.options.segment_len);
        let all = lock(&self.registry).space_of_all();
        let grain = grain_of_tail(all, limit);
        self.log.set_segment_len(grain);
        let fresh = self.pressure.bytes.load(Ordering::Relaxed) >= u64::from(grain);
        // whoever collects makes checkpoints too
        let burden = self.burden_of(all);
        let crowded = fresh && burden.is_heavy() && !self.collector.is_busy();
        throttle.crowded.store(crowded, Ordering::Relaxed);
        let rate = self.rate(&burden);
        lock(&throttle.account).set_rate(rate, now);
        throttle.holds.store(rate != Rate::FREE, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn rate(live: u64, void: u64) -> Rate {
        let slack = 4 * MIB;
        Burden { live, void, slack }.rate()
    }

    #[test]
    fn the_more_is_void_the_slower_it_goes_until_it_stops() {
        let rates: Vec<_> = (45..=69).map(|void| rate(100 * MIB, void * MIB)).collect();
        assert_eq!(rates[..5], [Rate::FREE; 5]);
        assert_eq!(rates[24], Rate::STOPPED);
        let falls = |pair: &[Rate]| pair[0].0 > pair[1].0 && pair[0].0 / 3 <= pair[1].0;
        assert!(rates[5..24].windows(2).all(falls), "{rates:?}");
        assert!(rates[5].0 < FASTEST && rates[5].0 > FASTEST / 2);
        assert!(rates[23].0 > FASTEST >> HALVINGS);
        // next to nothing is stored: some void is let be all the same
        assert_eq!(rate(0, 4 * MIB), Rate::FREE);
        assert_eq!(rate(0, 8 * MIB), Rate::STOPPED);
    }

    #[test]
    fn as_much_void_as_the_limit_is_free_and_one_byte_more_is_not() {
        let free = 100 * MIB * FREE_VOID_PERCENT / 100 + 4 * MIB;
        assert_eq!(rate(100 * MIB, free), Rate::FREE);
        assert!(rate(100 * MIB, free + 1).0 <= FASTEST);
    }

    #[test]
    fn one_byte_below_the_most_goes_on_and_the_most_does_not() {
        let most = 100 * MIB * MAX_VOID_PERCENT / 100 + 4 * MIB;
        assert!(rate(100 * MIB, most - 1).0 >= FASTEST >> HALVINGS);
        assert_eq!(rate(100 * MIB, most), Rate::STOPPED);
        assert_eq!(rate(100 * MIB, u64::MAX), Rate::STOPPED);
    }

    #[test]
    fn small_waits_add_up_to_one() {
        let now = Instant::now();
        let mut account = Account::default();
        account.set_rate(Rate(4 * MIB), now);
        // a millisecond at this rate is 4 KiB and a bit
        let mut wait = |now| {
            let turn = account.enter(3000, now);
            account.wait(&turn, now)
        };
        assert_eq!(wait(now), Duration::ZERO);
        assert_eq!(wait(now), Duration::ZERO);
        let third = wait(now);
        assert!((SHORTEST..2 * SHORTEST).contains(&third), "{third:?}");
        let later = now + Duration::from_secs(1);
        assert_eq!(wait(later), Duration::ZERO, "what is past is past");
        assert_eq!(wait(later), Duration::ZERO);
    }

    #[test]
    fn what_is_owed_is_paid_at_the_rate_of_the_moment() {
        let now = Instant::now();
        let ms = |count| now + Duration::from_millis(count);
        let mut account = Account::default();
        account.set_rate(Rate(MIB), now);
        account.enter(8 << 10, now);
        let all = account.entered;
        assert_eq!(
            account.owed(all, now),
            LONGEST,
            "8 ms, but to be looked at again"
        );
        account.set_rate(Rate(2 * MIB), ms(4));
        let left = account.owed(all, ms(4));
        assert!(
            (Duration::from_millis(1)..Duration::from_millis(3)).contains(&left),
            "{left:?}"
        );
        account.set_rate(Rate::STOPPED, ms(4));
        assert_eq!(account.owed(all, ms(9000)), LONGEST);
        account.set_rate(Rate::FREE, ms(9000));
        assert_eq!(account.owed(all, ms(9000)), Duration::ZERO);
    }

    #[test]
    fn no_more_is_owed_than_the_most() {
        let now = Instant::now();
        let mut account = Account::default();
        account.set_rate(Rate(MIB), now);
        account.enter(MOST_OWED * 9, now);
        let turn = account.enter(1, now);
        let paid = now + Rate(MIB).time_of(MOST_OWED);
        assert_eq!(account.owed(turn.place, paid - LONGEST), LONGEST);
        assert_eq!(account.owed(turn.place, paid), Duration::ZERO);
    }

    #[test]
    fn no_batch_waits_longer_than_it_may() {
        for (bytes, longest) in [(1, 4), (64 << 10, 4), (16 << 20, 1000)] {
            let now = Instant::now();
            let longest = Duration::from_millis(longest);
            let mut account = Account::default();
            account.set_rate(Rate::STOPPED, now);
            account.enter(1 << 20, now);
            let turn = account.enter(bytes, now);
            assert_eq!(account.wait(&turn, now), LONGEST);
            assert_eq!(account.wait(&turn, now + longest - LONGEST), LONGEST);
            assert_eq!(account.wait(&turn, now + longest), Duration::ZERO);
        }
    }
}
