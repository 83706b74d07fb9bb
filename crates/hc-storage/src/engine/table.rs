//! Values by number, for numbers of which most follow each other.
//!
//! Whatever is appended is entered here while its append waits, so that entering the next number costs no
//! more than putting a value behind the last one: those that follow each other lie in a row without their
//! numbers, the rest in a hash table. Owns which of the two a value is in. Knows nothing of what is counted.

use std::collections::{HashMap, VecDeque};
use std::ops::Range;

use foldhash::fast::RandomState;

/// A row of fewer values than this is given up for one that begins further on.
const ROW: usize = 16;

/// Values by number.
#[derive(Debug)]
pub(crate) struct Table<V> {
    /// The number of the first value in the row.
    first: u64,
    row: VecDeque<V>,
    /// The others. The seed of the hash is random, for a remote may choose what is stored.
    rest: HashMap<u64, V, RandomState>,
}

impl<V> Default for Table<V> {
    fn default() -> Self {
        Self {
            first: 0,
            row: VecDeque::new(),
            rest: HashMap::default(),
        }
    }
}

impl<V> Table<V> {
    pub(crate) fn get(&self, number: u64) -> Option<&V> {
        match self.place(number) {
            Some(place) => self.row.get(place),
            None => self.rest.get(&number),
        }
    }

    /// Enters a value; returns the one that it replaces.
    pub(crate) fn insert(&mut self, number: u64, value: V) -> Option<V> {
        let end = self.end();
        if number != end {
            if let Some(old) = self.place(number).and_then(|place| self.row.get_mut(place)) {
                return Some(std::mem::replace(old, value));
            }
            let ahead = self.row.is_empty() || number > end;
            if !ahead || self.row.len() >= ROW {
                return self.rest.insert(number, value);
            }
            self.rest.extend(numbered(self.first, self.row.drain(..)));
            self.first = number;
        }
        self.row.push_back(value);
        // to hash the number costs more than to put the value there
        if self.rest.is_empty() {
            return None;
        }
        self.rest.remove(&number)
    }

    /// Removes all values whose numbers are in a range.
    pub(crate) fn remove(&mut self, range: Range<u64>) {
        self.remove_from_row(&range);
        if range.end.saturating_sub(range.start) < self.rest.len() as u64 {
            for number in range {
                self.rest.remove(&number);
            }
        } else {
            self.rest.retain(|number, _| !range.contains(number));
        }
    }

    /// Of what is left on both sides, the longer stays a row: so no value is moved more than once.
    fn remove_from_row(&mut self, range: &Range<u64>) {
        let (from, to) = (range.start.max(self.first), range.end.min(self.end()));
        if from >= to {
            return;
        }
        let from = self.place(from).unwrap_or_default();
        let end = self.place(to).unwrap_or(self.row.len());
        if from >= self.row.len() - end {
            self.rest.extend(numbered(to, self.row.drain(end..)));
            self.row.truncate(from);
        } else {
            self.rest
                .extend(numbered(self.first, self.row.drain(..from)));
            self.row.drain(..end - from);
            self.first = to;
        }
    }

    /// All values with their numbers: those in the row in order, the others in none.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, &V)> {
        let rest = self.rest.iter().map(|(number, value)| (*number, value));
        numbered(self.first, self.row.iter()).chain(rest)
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &V> {
        self.row.iter().chain(self.rest.values())
    }

    /// The number behind the row.
    fn end(&self) -> u64 {
        self.first.saturating_add(self.row.len() as u64)
    }

    /// Where in the row a number is.
    fn place(&self, number: u64) -> Option<usize> {
        let place = usize::try_from(number.checked_sub(self.first)?).ok()?;
        (place < self.row.len()).then_some(place)
    }
}

/// Values with the numbers from one on; of the last number none follows.
fn numbered<V>(first: u64, values: impl Iterator<Item = V>) -> impl Iterator<Item = (u64, V)> {
    values.zip(first..).map(|(value, number)| (number, value))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_that_follow_each_other_lie_in_a_row() {
        let mut table = Table::default();
        for number in 1000..2000u64 {
            assert_eq!(table.insert(number, number), None);
        }
        assert_eq!((table.row.len(), table.rest.len()), (1000, 0));
        // cut, and appended to again
        table.remove(1900..u64::MAX);
        assert_eq!(table.insert(1900, 0), None);
        assert_eq!((table.row.len(), table.rest.len()), (901, 0));
        // a hole: the shorter side leaves the row
        table.remove(1100..1101);
        assert_eq!(
            (table.first, table.row.len(), table.rest.len()),
            (1101, 800, 100)
        );
        assert_eq!(table.get(1099), Some(&1099));
    }

    #[test]
    fn a_row_begins_again_where_the_last_one_was_short() {
        let mut table = Table::default();
        table.insert(7, 7u64);
        for number in 100..200 {
            table.insert(number, number);
        }
        assert_eq!(
            (table.first, table.row.len(), table.rest.len()),
            (100, 100, 1)
        );
        table.insert(1000, 1000);
        assert_eq!(
            (table.first, table.row.len(), table.rest.len()),
            (100, 100, 2)
        );
    }

    #[derive(Debug, Clone)]
    enum Step {
        Insert(u64, u64),
        Remove(u64, u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0..200u64, 1..40u64).prop_map(|(start, len)| Step::Insert(start, len)),
            1 => (0..200u64, 0..60u64).prop_map(|(start, len)| Step::Remove(start, len)),
            1 => (0..200u64).prop_map(|start| Step::Remove(start, u64::MAX)),
        ]
    }

    proptest! {
        #[test]
        fn it_is_a_map(steps in proptest::collection::vec(step(), 0..40)) {
            let (mut table, mut model) = (Table::default(), BTreeMap::new());
            for (time, step) in steps.into_iter().enumerate() {
                match step {
                    Step::Insert(start, len) => for number in start..start + len {
                        prop_assert_eq!(table.insert(number, time), model.insert(number, time));
                    },
                    Step::Remove(start, len) => {
                        let range = start..start.saturating_add(len);
                        table.remove(range.clone());
                        model.retain(|number, _| !range.contains(number));
                    }
                }
                prop_assert_eq!(table.iter().count(), model.len());
                let all: BTreeMap<_, _> = table.iter().map(|(number, time)| (number, *time)).collect();
                prop_assert_eq!(&all, &model);
                prop_assert_eq!(table.values().count(), model.len());
                for number in 0..260 {
                    prop_assert_eq!(table.get(number), model.get(&number));
                }
            }
        }
    }
}
