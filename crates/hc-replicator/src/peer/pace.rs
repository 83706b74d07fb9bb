//! How many requests one peer can usefully have at once. Knows nothing of what they ask for.

use core::time::Duration;

use crate::config::Window;

/// Answers that take this much longer than twice the shortest mean that requests queue up somewhere.
const SLACK: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(crate) struct Pace {
    size: u32,
    /// Smoothed time to an answer.
    smooth: Option<Duration>,
    /// The shortest there was.
    least: Duration,
    /// Smoothed size of a block in bytes.
    block_bytes: u64,
}

impl Pace {
    pub(crate) fn new(window: &Window) -> Self {
        Self {
            size: window.start.clamp(window.min, window.max.max(window.min)),
            smooth: None,
            least: Duration::MAX,
            block_bytes: 0,
        }
    }

    /// How many requests may be under way.
    pub(crate) fn limit(&self, window: &Window) -> usize {
        let by_bytes = window
            .bytes
            .checked_div(self.block_bytes)
            .unwrap_or(u64::MAX);
        let size = u64::from(self.size.min(window.max))
            .min(by_bytes)
            .max(u64::from(window.min));
        usize::try_from(size).unwrap_or(usize::MAX)
    }

    /// How long an answer takes, smoothed. `None` before the first.
    pub(crate) fn smooth(&self) -> Option<Duration> {
        self.smooth
    }

    /// An answer came; `filled` if its request had filled the window.
    pub(crate) fn answered(&mut self, took: Duration, filled: bool, window: &Window) {
        self.least = self.least.min(took);
        let smooth = self.smooth.map_or(took, |smooth| smooth * 7 / 8 + took / 8);
        self.smooth = Some(smooth);
        let queued = self.least.saturating_mul(2).saturating_add(SLACK);
        if smooth <= queued {
            if filled {
                self.size = self.size.saturating_add(1).min(window.max);
            }
        } else if smooth > queued.saturating_mul(2) {
            self.size = self.size.saturating_sub(1).max(window.min);
        }
    }

    /// A block of so many bytes came.
    pub(crate) fn block(&mut self, bytes: u64) {
        self.block_bytes = if self.block_bytes == 0 {
            bytes
        } else {
            self.block_bytes - self.block_bytes / 8 + bytes / 8
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Window = Window {
        min: 16,
        start: 64,
        max: 512,
        bytes: 1 << 20,
    };

    #[test]
    fn grows_while_answers_are_quick_and_shrinks_when_they_queue() {
        let mut pace = Pace::new(&WINDOW);
        assert_eq!(pace.limit(&WINDOW), 64);
        for _ in 0..1000 {
            pace.answered(Duration::from_millis(40), true, &WINDOW);
        }
        assert_eq!(pace.limit(&WINDOW), 512);
        for _ in 0..1000 {
            pace.answered(Duration::from_secs(4), true, &WINDOW);
        }
        assert_eq!(pace.limit(&WINDOW), 16);
    }

    #[test]
    fn a_window_that_was_never_full_does_not_grow() {
        let mut pace = Pace::new(&WINDOW);
        for _ in 0..100 {
            pace.answered(Duration::from_millis(1), false, &WINDOW);
        }
        assert_eq!(pace.limit(&WINDOW), 64);
    }

    #[test]
    fn large_blocks_make_it_smaller_but_never_smaller_than_the_least() {
        let mut pace = Pace::new(&WINDOW);
        pace.block(32 * 1024);
        assert_eq!(pace.limit(&WINDOW), 32);
        for _ in 0..100 {
            pace.block(8 << 20);
        }
        assert_eq!(pace.limit(&WINDOW), 16);
    }
}
