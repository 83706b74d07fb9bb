//! How much the remote makes the logs of a connection hold, added up. Knows nothing of what that is.

use std::collections::BTreeMap;

use super::error::ReplicateError;
use super::router::Router;

/// Bytes by log, which is called by its number in the connection.
#[derive(Debug)]
pub(super) struct Held {
    limit: usize,
    by_log: BTreeMap<usize, usize>,
    sum: usize,
}

impl Held {
    /// All logs together may hold so many bytes.
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            by_log: BTreeMap::new(),
            sum: 0,
        }
    }

    /// A log holds so many by now; gives back the limit if all of them hold more.
    pub(super) fn set(&mut self, log: usize, bytes: usize) -> Option<usize> {
        let before = self.by_log.insert(log, bytes).unwrap_or(0);
        self.sum = self.sum.saturating_sub(before).saturating_add(bytes);
        (self.sum > self.limit).then_some(self.limit)
    }

    /// A log has no channel any more.
    pub(super) fn lost(&mut self, log: usize) {
        let bytes = self.by_log.remove(&log).unwrap_or(0);
        self.sum = self.sum.saturating_sub(bytes);
    }
}

impl Router {
    /// Adds up what the remote makes the logs hold, now that one may hold more or less.
    pub(super) fn weigh(&mut self, at: usize) {
        let Some(slot) = self.slots.get(&at) else {
            return;
        };
        let Some(peering) = slot.peering else { return };
        let bytes = slot
            .core
            .read_machine(|machine| machine.peer_memory(peering.id()));
        if let Some(limit) = self.held.set(at, bytes.unwrap_or(0)) {
            self.fault = Some(ReplicateError::TooMuchHeld { limit });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_logs_together_may_hold_as_much_as_the_limit_and_no_more() {
        let mut held = Held::new(1000);
        assert_eq!(held.set(1, 400), None);
        assert_eq!(held.set(2, 600), None);
        assert_eq!(held.set(2, 601), Some(1000));
        // what one gives back another may have
        assert_eq!(held.set(1, 300), None);
        held.lost(2);
        held.lost(2);
        assert_eq!(held.set(3, 700), None);
        assert_eq!(held.set(3, 701), Some(1000));
    }
}
