//! How many bytes may pass in a second. Knows no clock and no stream.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::sync::Mutex;

/// Time that may be made up for where nothing passed although it could have.
const SLACK: Duration = Duration::from_millis(100);

/// Fewest bytes that pass at once.
const LEAST: usize = 1024;

/// A limit on the bytes that pass in a second. Clones share it: given to several connections, it is one
/// limit for all of them together.
///
/// ```
/// use hypercore::{Policy, RateLimit};
///
/// // 100 KiB a second for each connection that is made with this policy, together
/// let limit = RateLimit::per_second(100 * 1024).unwrap();
/// let policy = Policy::new().upload_limit(limit);
/// ```
#[derive(Debug, Clone)]
pub struct RateLimit {
    bytes_per_second: NonZeroU64,
    /// When all that has passed so far was due.
    paid_by: Arc<Mutex<Option<Instant>>>,
}

impl RateLimit {
    /// So many bytes a second; `None` for zero, at which nothing would ever pass.
    #[must_use]
    pub fn per_second(bytes: u64) -> Option<Self> {
        Some(Self {
            bytes_per_second: NonZeroU64::new(bytes)?,
            paid_by: Arc::default(),
        })
    }

    /// Bytes a second.
    #[must_use]
    pub fn bytes_per_second(&self) -> u64 {
        self.bytes_per_second.get()
    }

    /// How many bytes may pass now, or when some may.
    pub(super) fn allowed(&self, now: Instant) -> Result<usize, Instant> {
        match *self.paid_by.lock() {
            Some(paid_by) if paid_by > now => Err(paid_by),
            _ => Ok(self.at_once()),
        }
    }

    /// So many have passed.
    pub(super) fn passed(&self, now: Instant, bytes: usize) {
        let nanos = u128::from(u64::try_from(bytes).unwrap_or(u64::MAX)) * 1_000_000_000
            / u128::from(self.bytes_per_second.get());
        let takes = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        let mut paid_by = self.paid_by.lock();
        let earliest = now.checked_sub(SLACK).unwrap_or(now);
        let from = paid_by.map_or(now, |paid_by| paid_by.max(earliest));
        *paid_by = from.checked_add(takes).or(Some(now));
    }

    /// A tenth of what passes in a second.
    pub(super) fn at_once(&self) -> usize {
        usize::try_from(self.bytes_per_second.get() / 10)
            .unwrap_or(usize::MAX)
            .max(LEAST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lets pass what may for some seconds, in steps of so many milliseconds; gives how much did.
    fn pass(limits: &[RateLimit], seconds: u64, step: u64) -> usize {
        let start = Instant::now();
        let mut sum = 0;
        for at in (0..seconds * 1000).step_by(usize::try_from(step).unwrap()) {
            let now = start + Duration::from_millis(at);
            for limit in limits {
                while let Ok(bytes) = limit.allowed(now) {
                    limit.passed(now, bytes);
                    sum += bytes;
                }
            }
        }
        sum
    }

    #[test]
    fn no_more_passes_than_the_limit_and_hardly_less() {
        for (rate, step) in [(10_000, 1), (100_000, 7), (1_000_000, 30), (300, 10)] {
            let limit = RateLimit::per_second(rate).unwrap();
            let rate = usize::try_from(rate).unwrap();
            let most = rate * 20 + 2 * limit.at_once();
            let passed = pass(&[limit], 20, step);
            assert!((rate * 19..=most).contains(&passed), "{passed} of {most}");
        }
    }

    #[test]
    fn clones_share_one_limit() {
        let limit = RateLimit::per_second(50_000).unwrap();
        let clones = [limit.clone(), limit.clone(), limit];
        let passed = pass(&clones, 10, 3);
        assert!((475_000..=510_000).contains(&passed), "{passed}");
    }

    #[test]
    fn what_was_not_used_is_not_saved_up() {
        let limit = RateLimit::per_second(1000).unwrap();
        let start = Instant::now();
        limit.passed(start, 1);
        let late = start + Duration::from_secs(3600);
        let mut sum = 0;
        while let Ok(bytes) = limit.allowed(late) {
            limit.passed(late, bytes);
            sum += bytes;
        }
        assert!(sum <= 2 * LEAST, "{sum}");
        assert!(RateLimit::per_second(0).is_none());
    }
}
