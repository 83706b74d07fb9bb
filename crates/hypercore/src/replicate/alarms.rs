//! When the machines of one connection want to be called. Knows nothing of what for.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

/// At most one time for each log, by the log's number in the connection.
#[derive(Debug, Default)]
pub(super) struct Alarms {
    order: BTreeSet<(Instant, usize)>,
    when: BTreeMap<usize, Instant>,
}

impl Alarms {
    /// Sets, moves or takes back the time of a log.
    pub(super) fn set(&mut self, log: usize, at: Option<Instant>) {
        let before = match at {
            Some(at) => self.when.insert(log, at),
            None => self.when.remove(&log),
        };
        if let Some(before) = before {
            self.order.remove(&(before, log));
        }
        self.order.extend(at.map(|at| (at, log)));
    }

    /// The next time.
    pub(super) fn next(&self) -> Option<Instant> {
        self.order.first().map(|(at, _)| *at)
    }

    /// The logs whose time has come.
    pub(super) fn due(&self, now: Instant) -> Vec<usize> {
        let due = self.order.range(..=(now, usize::MAX));
        due.map(|(_, log)| *log).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn each_log_has_one_time() {
        let mut alarms = Alarms::default();
        let now = Instant::now();
        let at = |seconds| now + Duration::from_secs(seconds);
        alarms.set(1, Some(at(3)));
        alarms.set(2, Some(at(2)));
        alarms.set(1, Some(at(1)));
        assert_eq!(alarms.next(), Some(at(1)));
        assert_eq!(alarms.due(at(2)), [1, 2]);
        alarms.set(1, None);
        alarms.set(3, None);
        assert_eq!(alarms.due(at(9)), [2]);
        assert_eq!(alarms.due(at(1)), [0; 0]);
    }
}
