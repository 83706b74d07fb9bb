//! What a peer's answers have been worth lately. Owns the measure, and what follows from it: how many
//! requests the peer may have, whether it is asked after others, and whether others are asked for what it
//! sits on. Knows nothing of what is asked for.
//!
//! Nobody is let go for this: a peer may be slow, far away, or have lost blocks. A peer that is the only
//! one to give anything is asked as if nothing had happened; beside one that gives, it costs next to
//! nothing. Whatever it gives counts for it at once.

use core::time::Duration;

use crate::peer::Peer;
use crate::shared::Shared;
use crate::timer::Timer;

/// Standing that there is to lose.
const FULL: u16 = 256;
/// An answer changes it by one part in so many of what is lost, or of what is left.
const PART: u16 = 8;

/// A peer that answers nothing for this many times what an answer of its takes has stalled.
const STALLED: u32 = 8;
/// Bounds of that.
const LEAST_STALL: Duration = Duration::from_millis(250);
const MOST_STALL: Duration = Duration::from_secs(2);
/// The same where it is not known how long an answer takes.
const FIRST_STALL: Duration = Duration::from_millis(500);

/// How much a peer can be relied on to give what it is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Standing {
    /// Out of [`FULL`].
    lost: u16,
    /// It has given something.
    gave: bool,
}

impl Standing {
    fn useful(&mut self) {
        self.gave = true;
        self.lost -= self.lost.div_ceil(PART);
    }

    fn useless(&mut self) {
        self.lost += (FULL - self.lost).div_ceil(PART);
    }

    fn stalled(&mut self) {
        self.lost = FULL;
    }

    /// It is not asked after others.
    pub(crate) fn is_good(self) -> bool {
        self.lost < FULL / 2
    }

    /// Others may be measured by it.
    pub(crate) fn is_proven(self) -> bool {
        self.gave && self.is_good()
    }

    /// How long it takes until an answer is of use, where any answer takes so long.
    fn time_to_use(self, answer: Duration) -> Duration {
        let left = (FULL - self.lost).max(1);
        answer.saturating_mul(u32::from(FULL)) / u32::from(left)
    }

    /// How many of so many requests it may have beside peers that are proven: one at least, or nothing
    /// could ever speak for it.
    fn part_of(self, window: usize) -> usize {
        (window * usize::from(FULL - self.lost) / usize::from(FULL)).max(1)
    }
}

/// Whether a peer that was asked says anything.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    /// Its timer is set.
    set: bool,
    /// When it last answered, or was asked where nothing was asked of it before.
    heard: hc_protocol::Time,
}

impl Peer {
    /// It gave what it was asked for.
    pub(crate) fn was_useful(&mut self, shared: &mut Shared) {
        self.judge_by(shared, Standing::useful);
    }

    /// It cost a request, and gave nothing for it; or another had to be asked, and was quicker.
    pub(crate) fn was_useless(&mut self, shared: &mut Shared) {
        self.judge_by(shared, Standing::useless);
    }

    fn judge_by(&mut self, shared: &mut Shared, event: fn(&mut Standing)) {
        shared.proven -= usize::from(self.standing.is_proven());
        event(&mut self.standing);
        shared.proven += usize::from(self.standing.is_proven());
    }

    /// How many requests may be under way to it.
    pub(crate) fn window(&self, shared: &Shared) -> usize {
        let window = self.pace.limit(&shared.config.window);
        let others = shared.proven > usize::from(self.standing.is_proven());
        if others {
            self.standing.part_of(window)
        } else {
            window
        }
    }

    /// How long it takes to give something of use, as far as that is known.
    pub(crate) fn time_to_use(&self) -> Duration {
        let answer = self.pace.smooth();
        answer.map_or(Duration::MAX, |answer| self.standing.time_to_use(answer))
    }

    /// It was asked for something.
    pub(crate) fn watch(&mut self, shared: &mut Shared) {
        if self.requests.open() == 1 {
            self.watch.heard = shared.now;
        }
        if !self.watch.set {
            self.set_watch(shared);
        }
    }

    /// It has answered something.
    pub(crate) fn is_heard(&mut self, shared: &Shared) {
        self.watch.heard = shared.now;
    }

    fn set_watch(&mut self, shared: &mut Shared) {
        self.watch.set = true;
        let due = self.watch.heard.after(self.stall());
        shared.timers.set(Timer::Stall(self.id), due);
    }

    fn stall(&self) -> Duration {
        self.round_trip().map_or(FIRST_STALL, |time| {
            let stall = time.saturating_mul(STALLED);
            stall.clamp(LEAST_STALL, MOST_STALL)
        })
    }

    /// It may have stalled: others are asked for what it was asked for, and what it gives all the same is
    /// taken.
    pub(crate) fn end_watch(&mut self, shared: &mut Shared) {
        self.watch.set = false;
        if self.requests.open() == 0 {
            return;
        }
        if self.applying > 0 {
            // it is our side that takes its time
            self.watch.heard = shared.now;
        }
        if self.watch.heard.after(self.stall()) > shared.now {
            return self.set_watch(shared);
        }
        self.judge_by(shared, Standing::stalled);
        for (_, sent) in self.requests.iter() {
            if let Some(index) = sent.block {
                shared.flights.doubt(index, self.id);
            }
        }
        shared.work += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn after(count: usize, event: fn(&mut Standing)) -> Standing {
        let mut standing = Standing::default();
        (0..count).for_each(|_| event(&mut standing));
        standing
    }

    #[test]
    fn it_goes_down_with_what_is_useless_and_up_with_what_is_useful() {
        let fresh = Standing::default();
        assert!(fresh.is_good() && !fresh.is_proven());
        assert_eq!(fresh.part_of(64), 64);
        assert_eq!(fresh.time_to_use(SECOND), SECOND);
        let mut standing = after(1, Standing::useful);
        assert!(standing.is_proven());
        let mut before = 64;
        for _ in 0..6 {
            standing.useless();
            assert!(standing.part_of(64) < before);
            before = standing.part_of(64);
        }
        assert!(!standing.is_good() && !standing.is_proven());
        assert!(standing.time_to_use(SECOND) > 2 * SECOND);
        standing.useful();
        standing.useful();
        assert!(standing.is_proven());
        assert!(standing.part_of(64) > before);
    }

    #[test]
    fn one_request_is_left_to_the_worst_and_a_few_answers_make_it_good() {
        let mut standing = after(1000, Standing::useless);
        assert_eq!(standing.part_of(512), 1);
        assert_eq!(standing.time_to_use(SECOND), 256 * SECOND);
        standing.useless();
        assert_eq!(standing, after(1000, Standing::useless));
        let mut count = 0;
        while !standing.is_good() {
            standing.useful();
            count += 1;
        }
        assert_eq!(count, 6);
        assert_eq!(after(1, Standing::stalled).part_of(512), 1);
    }

    #[test]
    fn whatever_happens_it_stays_within_its_bounds() {
        let events = [Standing::useful, Standing::useless, Standing::stalled];
        let mut standing = Standing::default();
        for step in 0..10_000_usize {
            events[step * step % 7 % 3](&mut standing);
            assert!(standing.lost <= FULL);
            assert!((1..=64).contains(&standing.part_of(64)));
        }
        (0..100).for_each(|_| standing.useful());
        assert_eq!(standing.part_of(64), 64);
    }
}
