//! Ranges of keys that were deleted, and how late: ready to be asked for one key.

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;

/// Stretches that do not overlap, each with the latest of the deletions that cover it.
#[derive(Debug, Default)]
pub(crate) struct Tombstones(BTreeMap<Bytes, (Bytes, u64)>);

impl Tombstones {
    /// Of deletions in any order: start, end (exclusive), sequence number.
    pub(crate) fn new(mut deletions: Vec<(Bytes, Bytes, u64)>) -> Self {
        deletions.sort_by_key(|(_, _, sequence)| *sequence);
        let mut stretches = Self::default();
        for (start, end, sequence) in deletions {
            stretches.lay(start, end, sequence);
        }
        stretches
    }

    /// Lays a deletion over all those before it, which are earlier.
    fn lay(&mut self, start: Bytes, end: Bytes, sequence: u64) {
        if start >= end {
            return;
        }
        let before = self.0.range::<Bytes, _>(..&start).next_back();
        if let Some((first, (last, older))) = before.filter(|(_, (last, _))| *last > start) {
            let (first, last, older) = (first.clone(), last.clone(), *older);
            self.0.insert(first, (start.clone(), older));
            if last > end {
                self.0.insert(end.clone(), (last, older));
            }
        }
        loop {
            let inside = (Bound::Included(&start), Bound::Excluded(&end));
            let Some((first, (last, older))) = self.0.range::<Bytes, _>(inside).next() else {
                break;
            };
            let (first, last, older) = (first.clone(), last.clone(), *older);
            self.0.remove(&first);
            if last > end {
                self.0.insert(end.clone(), (last, older));
            }
        }
        self.0.insert(start, (end, sequence));
    }

    /// The latest deletion of a key, if there is one.
    pub(crate) fn of(&self, key: &[u8]) -> Option<u64> {
        let upto = (Bound::Unbounded, Bound::Included(key));
        let (_, (end, sequence)) = self.0.range::<[u8], _>(upto).next_back()?;
        (key < end.as_ref()).then_some(*sequence)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_latest_deletion_that_covers_a_key_is_told(
            deletions in proptest::collection::vec((0u8..20, 0u8..20), 0..12),
        ) {
            let all: Vec<_> = deletions
                .iter()
                .zip(1u64..)
                .map(|((start, end), sequence)| {
                    let bytes = |byte: u8| Bytes::copy_from_slice(&[byte]);
                    (bytes(*start), bytes(*end), sequence)
                })
                .collect();
            let mut shuffled = all.clone();
            shuffled.reverse();
            let tombstones = Tombstones::new(shuffled);
            for key in 0u8..21 {
                let expected = all
                    .iter()
                    .filter(|(start, end, _)| start.as_ref() <= &[key][..] && &[key][..] < end.as_ref())
                    .map(|(_, _, sequence)| *sequence)
                    .max();
                prop_assert_eq!(tombstones.of(&[key]), expected);
            }
        }
    }
}
