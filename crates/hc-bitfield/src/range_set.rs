//! A set of integers kept as sorted, disjoint, half-open ranges. Knows nothing of bits or pages.

use alloc::collections::BTreeMap;
use core::ops::Range;

/// A set of integers as sorted half-open ranges; neighbours are one range.
///
/// It takes memory by the number of its ranges ([`range_count`](Self::range_count)), never by their
/// lengths. A range that ends at or before its start is empty and is taken as such everywhere.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RangeSet {
    /// End of each range by its start.
    ends: BTreeMap<u64, u64>,
}

impl RangeSet {
    /// The empty set.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            ends: BTreeMap::new(),
        }
    }

    /// Whether nothing is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Number of ranges, which is what it takes memory by.
    #[must_use]
    pub fn range_count(&self) -> usize {
        self.ends.len()
    }

    /// Number of integers in it.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.iter().map(|range| range.end - range.start).sum()
    }

    /// Number of integers that it has in common with `range`.
    #[must_use]
    pub fn count_in(&self, range: Range<u64>) -> u64 {
        self.intersection(range)
            .map(|part| part.end - part.start)
            .sum()
    }

    /// Whether `value` is in it.
    #[must_use]
    pub fn contains(&self, value: u64) -> bool {
        self.range_of(value).is_some()
    }

    /// Whether all of `range` is in it; true where `range` is empty.
    #[must_use]
    pub fn covers(&self, range: Range<u64>) -> bool {
        range.is_empty()
            || self
                .range_of(range.start)
                .is_some_and(|own| own.end >= range.end)
    }

    /// Whether any of `range` is in it.
    #[must_use]
    pub fn intersects(&self, range: Range<u64>) -> bool {
        self.intersection(range).next().is_some()
    }

    /// The range that `value` is in.
    #[must_use]
    pub fn range_of(&self, value: u64) -> Option<Range<u64>> {
        let (&start, &end) = self.ends.range(..=value).next_back()?;
        (value < end).then_some(start..end)
    }

    /// The first range that ends after `value`: the one it is in, or the next one.
    #[must_use]
    pub fn range_from(&self, value: u64) -> Option<Range<u64>> {
        self.range_of(value).or_else(|| {
            self.ends
                .range(value..)
                .next()
                .map(|(&start, &end)| start..end)
        })
    }

    /// The last range that starts at or before `value`.
    #[must_use]
    pub fn range_upto(&self, value: u64) -> Option<Range<u64>> {
        self.ends
            .range(..=value)
            .next_back()
            .map(|(&start, &end)| start..end)
    }

    /// The first integer from `from` up that is not in it; `None` if every one up to [`u64::MAX`] is.
    #[must_use]
    pub fn first_gap(&self, from: u64) -> Option<u64> {
        match self.range_of(from) {
            None => Some(from),
            Some(own) if own.end == u64::MAX => None,
            Some(own) => Some(own.end),
        }
    }

    /// Adds a range, joining it with those that it overlaps or touches.
    pub fn insert(&mut self, range: Range<u64>) {
        let Range { mut start, mut end } = range;
        if start >= end {
            return;
        }
        while let Some((&own, &own_end)) = self.ends.range(..=end).next_back() {
            if own_end < start {
                break;
            }
            start = start.min(own);
            end = end.max(own_end);
            self.ends.remove(&own);
        }
        self.ends.insert(start, end);
    }

    /// Takes a range out, splitting those that it cuts.
    pub fn remove(&mut self, range: Range<u64>) {
        let Range { start, end } = range;
        if start >= end {
            return;
        }
        while let Some((&own, &own_end)) = self.ends.range(..end).next_back() {
            if own_end <= start {
                break;
            }
            self.ends.remove(&own);
            if own_end > end {
                self.ends.insert(end, own_end);
            }
            if own < start {
                self.ends.insert(own, start);
                break;
            }
        }
    }

    /// Takes everything out.
    pub fn clear(&mut self) {
        self.ends.clear();
    }

    /// Takes out and returns the first range.
    pub fn pop_first(&mut self) -> Option<Range<u64>> {
        self.ends.pop_first().map(|(start, end)| start..end)
    }

    /// The ranges, in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Range<u64>> + '_ {
        self.ends.iter().map(|(&start, &end)| start..end)
    }

    /// What it has in common with `range`, in order.
    pub fn intersection(
        &self,
        range: Range<u64>,
    ) -> impl DoubleEndedIterator<Item = Range<u64>> + '_ {
        let Range { start, end } = range;
        let first = self.range_of(start).map_or(start, |own| own.start);
        self.ends
            .range(first..end.max(first))
            .filter(move |_| start < end)
            .map(move |(&own, &own_end)| own.max(start)..own_end.min(end))
    }

    /// What it lacks of `range`, in order.
    pub fn gaps(&self, range: Range<u64>) -> impl Iterator<Item = Range<u64>> + '_ {
        let Range { start: mut at, end } = range;
        core::iter::from_fn(move || {
            if let Some(own) = self.range_of(at) {
                at = own.end;
            }
            if at >= end {
                return None;
            }
            let start = at;
            at = self
                .ends
                .range(start..end)
                .next()
                .map_or(end, |(&next, _)| next);
            Some(start..at)
        })
    }
}

impl FromIterator<Range<u64>> for RangeSet {
    fn from_iter<I: IntoIterator<Item = Range<u64>>>(ranges: I) -> Self {
        let mut set = Self::new();
        set.extend(ranges);
        set
    }
}

impl Extend<Range<u64>> for RangeSet {
    fn extend<I: IntoIterator<Item = Range<u64>>>(&mut self, ranges: I) {
        for range in ranges {
            self.insert(range);
        }
    }
}

#[cfg(test)]
mod tests;
