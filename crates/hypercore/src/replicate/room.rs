//! Which logs of a connection are told that there is no room to send: those that have something to
//! say. Knows nothing of what that is.

use std::collections::BTreeSet;

/// Whether a connection has room, and who knows. A log is called by its number in the connection.
#[derive(Debug)]
pub(super) struct Room {
    /// Bytes that may wait to be written.
    limit: usize,
    full: bool,
    /// Those that have had something to send since nothing waited to be written.
    talking: BTreeSet<usize>,
    /// Those that were told that there is no room.
    told: BTreeSet<usize>,
}

impl Room {
    /// There is room until more than `limit` bytes wait to be written.
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            full: false,
            talking: BTreeSet::new(),
            told: BTreeSet::new(),
        }
    }

    /// Bytes that may wait to be written.
    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// A log has something to send.
    pub(super) fn talks(&mut self, log: usize) {
        self.talking.insert(log);
    }

    /// A log has a new channel: whether to tell it that there is no room.
    pub(super) fn opened(&mut self, log: usize) -> bool {
        self.full && self.told.insert(log)
    }

    /// A log has no channel any more.
    pub(super) fn lost(&mut self, log: usize) {
        self.talking.remove(&log);
        self.told.remove(&log);
    }

    /// So many bytes wait to be written: who is to be told, and whether there is room.
    pub(super) fn set(&mut self, unsent: usize) -> (BTreeSet<usize>, bool) {
        let limit = if self.full {
            self.limit / 2
        } else {
            self.limit
        };
        self.full = unsent > limit;
        if self.full {
            let news: BTreeSet<usize> = self.talking.difference(&self.told).copied().collect();
            self.told.extend(&news);
            return (news, false);
        }
        if unsent == 0 {
            self.talking.clear();
        }
        (std::mem::take(&mut self.told), true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 1000;

    #[test]
    fn who_says_nothing_is_not_told() {
        let mut room = Room::new(LIMIT);
        room.talks(1);
        assert_eq!(room.set(LIMIT), (BTreeSet::new(), true));
        assert_eq!(room.set(LIMIT + 1), ([1].into(), false));
        room.talks(2);
        assert!(room.opened(3));
        assert_eq!(room.set(LIMIT / 2 + 1), ([2].into(), false));
        assert_eq!(room.set(LIMIT / 2 + 1), (BTreeSet::new(), false));
        room.lost(2);
        assert_eq!(room.set(LIMIT / 2), ([1, 3].into(), true));
        // whoever has been written out is silent until it says something more
        assert_eq!(room.set(0), (BTreeSet::new(), true));
        assert_eq!(room.set(usize::MAX), (BTreeSet::new(), false));
    }
}
