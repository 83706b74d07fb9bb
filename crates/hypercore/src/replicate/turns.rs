//! What the remote has asked for and is not proven yet: log by log in turn, and of one log in order. Knows
//! nothing of proofs.

use std::collections::{BTreeMap, VecDeque};

/// Queues by log, which is called by its number in the connection.
#[derive(Debug)]
pub(super) struct Turns<T> {
    queues: BTreeMap<usize, VecDeque<T>>,
    /// The logs that have something queued, whose turn comes first first.
    order: VecDeque<usize>,
}

impl<T> Turns<T> {
    pub(super) fn new() -> Self {
        Self {
            queues: BTreeMap::new(),
            order: VecDeque::new(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    pub(super) fn push(&mut self, log: usize, item: T) {
        let queue = self.queues.entry(log).or_default();
        if queue.is_empty() {
            self.order.push_back(log);
        }
        queue.push_back(item);
    }

    /// The next of the log whose turn it is.
    pub(super) fn pop(&mut self) -> Option<(usize, T)> {
        let log = self.order.pop_front()?;
        let queue = self.queues.get_mut(&log)?;
        let item = queue.pop_front()?;
        if queue.is_empty() {
            self.queues.remove(&log);
        } else {
            self.order.push_back(log);
        }
        Some((log, item))
    }

    /// A log has no channel any more.
    pub(super) fn lost(&mut self, log: usize) {
        if self.queues.remove(&log).is_some() {
            self.order.retain(|other| *other != log);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_with_many_does_not_keep_another_waiting() {
        let mut turns = Turns::new();
        (0..1000).for_each(|item| turns.push(1, item));
        (0..2).for_each(|item| turns.push(2, item));
        turns.push(3, 0);
        let popped: Vec<_> = std::iter::from_fn(|| turns.pop()).take(6).collect();
        assert_eq!(popped, [(1, 0), (2, 0), (3, 0), (1, 1), (2, 1), (1, 2)]);
        turns.push(2, 7);
        assert_eq!(turns.pop(), Some((1, 3)));
        assert_eq!(turns.pop(), Some((2, 7)));
    }

    #[test]
    fn of_a_log_that_is_gone_nothing_is_left() {
        let mut turns = Turns::new();
        (0..3).for_each(|log| turns.push(log, ()));
        turns.lost(1);
        turns.lost(1);
        assert_eq!(std::iter::from_fn(|| turns.pop()).count(), 2);
        assert!(turns.is_empty());
        turns.push(1, ());
        assert_eq!(turns.pop(), Some((1, ())));
    }
}
