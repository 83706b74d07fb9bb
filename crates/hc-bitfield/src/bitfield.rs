//! The sparse set of bits and its searches. Knows neither what a bit means nor how bits travel.

use alloc::collections::BTreeMap;
use alloc::collections::btree_map::Entry;
use alloc::sync::Arc;
use core::iter;
use core::ops::Range;

use crate::RangeSet;
use crate::limits::{MAX_BITS, PAGE_BITS, PAGE_BYTES, SEGMENT_BITS};
use crate::page::PageRef;
use crate::segment::{self, PAGE_MEMORY, PAGES, SEGMENT_MEMORY, Segment};

/// A sparse set of bits, numbered from 0 up to [`MAX_BITS`].
///
/// A clone costs two reference counts; the first write after it copies the list of segments, one
/// segment's list of pages and one page. Pages and segments with all bits alike take no memory, and
/// any run of full segments takes that of one range, so a log without holes costs a few bytes
/// whatever its length.
///
/// Every operation takes every `u64`: bits from [`MAX_BITS`] up are never set, and setting them does
/// nothing. Ranges that end at or before their start are empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bitfield {
    /// Segments with some bits set, by number.
    mixed: Arc<BTreeMap<u64, Arc<Segment>>>,
    /// Numbers of the segments with all bits set.
    full: Arc<RangeSet>,
    /// Pages among `mixed` that have bytes.
    bit_pages: usize,
}

impl Bitfield {
    /// A set with no bit set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A set with the bits below `length` set, and no others.
    #[must_use]
    pub fn contiguous(length: u64) -> Self {
        let mut set = Self::new();
        set.set_range(0..length);
        set
    }

    /// Whether no bit is set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.mixed.is_empty() && self.full.is_empty()
    }

    /// Whether the bit at `index` is set.
    #[must_use]
    pub fn get(&self, index: u64) -> bool {
        let (segment, offset) = split(index);
        match self.mixed.get(&segment) {
            Some(mixed) => mixed.get(offset),
            None => self.full.contains(segment),
        }
    }

    /// Sets one bit and says whether that changed it.
    pub fn set(&mut self, index: u64) -> bool {
        let changes = index < MAX_BITS && !self.get(index);
        if changes {
            self.fill(true, index..index + 1);
        }
        changes
    }

    /// Unsets one bit and says whether that changed it.
    pub fn unset(&mut self, index: u64) -> bool {
        let changes = self.get(index);
        if changes {
            self.fill(false, index..index + 1);
        }
        changes
    }

    /// Sets every bit of a range.
    pub fn set_range(&mut self, range: Range<u64>) {
        self.fill(true, range);
    }

    /// Unsets every bit of a range.
    pub fn unset_range(&mut self, range: Range<u64>) {
        self.fill(false, range);
    }

    /// Number of bits that are set in a range.
    #[must_use]
    pub fn count(&self, range: Range<u64>) -> u64 {
        let (start, end) = (range.start, range.end.min(MAX_BITS));
        if start >= end {
            return 0;
        }
        let (first, from) = split(start);
        let (last, to) = split(end);
        if first == last {
            return self.count_in_segment(first, from, to);
        }
        let whole = first + 1..last;
        let mixed: u64 = self
            .mixed
            .range(whole.clone())
            .map(|(_, own)| u64::from(own.ones()))
            .sum();
        self.count_in_segment(first, from, segment::BITS)
            + mixed
            + self.full.count_in(whole) * SEGMENT_BITS
            + self.count_in_segment(last, 0, to)
    }

    /// Whether any bit of a range is set.
    #[must_use]
    pub fn any_set(&self, range: Range<u64>) -> bool {
        self.first_set(range.start)
            .is_some_and(|index| index < range.end)
    }

    /// Whether any bit of a range is not set.
    #[must_use]
    pub fn any_unset(&self, range: Range<u64>) -> bool {
        self.first_unset(range.start) < range.end
    }

    /// Number of bits that are set from 0 up to the first that is not.
    #[must_use]
    pub fn contiguous_len(&self) -> u64 {
        self.first_unset(0)
    }

    /// The first set bit at or after `from`.
    #[must_use]
    pub fn first_set(&self, from: u64) -> Option<u64> {
        let (segment, offset) = split(from);
        if let Some(mixed) = self.mixed.get(&segment) {
            if let Some(found) = mixed.first(true, offset) {
                return Some(join(segment, found));
            }
        } else if self.full.contains(segment) {
            return Some(from);
        }
        let next = segment + 1;
        let mixed = self.mixed.range(next..).next();
        let full = self.full.range_from(next).map(|run| run.start.max(next));
        match (mixed, full) {
            (Some((&at, own)), full) if full.is_none_or(|full| at < full) => {
                own.first(true, 0).map(|found| join(at, found))
            }
            (_, full) => full.map(|full| join(full, 0)),
        }
    }

    /// The first bit at or after `from` that is not set; there always is one.
    ///
    /// The reference's search of its local bitfield ends at the end of its last segment and returns
    /// that even if `from` is past it; this one returns `from` then.
    #[must_use]
    pub fn first_unset(&self, from: u64) -> u64 {
        let mut at = from;
        loop {
            let (segment, offset) = split(at);
            if let Some(mixed) = self.mixed.get(&segment) {
                match mixed.first(false, offset) {
                    Some(found) => return join(segment, found),
                    None => at = join(segment + 1, 0),
                }
            } else if let Some(run) = self.full.range_of(segment) {
                at = join(run.end, 0);
            } else {
                return at;
            }
        }
    }

    /// The last set bit at or before `upto`.
    #[must_use]
    pub fn last_set(&self, upto: u64) -> Option<u64> {
        let (segment, offset) = split(upto);
        if let Some(mixed) = self.mixed.get(&segment) {
            if let Some(found) = mixed.last(true, offset) {
                return Some(join(segment, found));
            }
        } else if self.full.contains(segment) {
            return Some(upto);
        }
        let before = segment.checked_sub(1)?;
        let mixed = self.mixed.range(..=before).next_back();
        let full = self
            .full
            .range_upto(before)
            .map(|run| before.min(run.end - 1));
        match (mixed, full) {
            (Some((&at, own)), full) if full.is_none_or(|full| at > full) => own
                .last(true, segment::BITS - 1)
                .map(|found| join(at, found)),
            (_, full) => full.map(|full| join(full, segment::BITS - 1)),
        }
    }

    /// The last bit at or before `upto` that is not set.
    #[must_use]
    pub fn last_unset(&self, upto: u64) -> Option<u64> {
        let mut at = upto;
        loop {
            let (segment, offset) = split(at);
            let first = if let Some(mixed) = self.mixed.get(&segment) {
                if let Some(found) = mixed.last(false, offset) {
                    return Some(join(segment, found));
                }
                segment
            } else if let Some(run) = self.full.range_of(segment) {
                run.start
            } else {
                return Some(at);
            };
            at = join(first, 0).checked_sub(1)?;
        }
    }

    /// The runs of set bits within a range, in order.
    pub fn ranges(&self, range: Range<u64>) -> impl Iterator<Item = Range<u64>> + '_ {
        let Range { start: mut at, end } = range;
        iter::from_fn(move || {
            let start = self.first_set(at).filter(|start| *start < end)?;
            at = self.first_unset(start).min(end);
            Some(start..at)
        })
    }

    /// The runs of bits within a range that are not set, in order.
    pub fn gaps(&self, range: Range<u64>) -> impl Iterator<Item = Range<u64>> + '_ {
        let Range { start: mut at, end } = range;
        iter::from_fn(move || {
            let start = self.first_unset(at);
            if start >= end {
                return None;
            }
            at = self.first_set(start).map_or(end, |next| next.min(end));
            Some(start..at)
        })
    }

    /// The first bit of a range that is set here and not in `other`.
    ///
    /// Work is by pages that have bytes, not by bits, whatever pattern either set holds.
    #[must_use]
    pub fn first_difference(&self, other: &Self, range: Range<u64>) -> Option<u64> {
        self.first_with(other, false, range)
    }

    /// The first bit of a range that is set in both.
    #[must_use]
    pub fn first_common(&self, other: &Self, range: Range<u64>) -> Option<u64> {
        self.first_with(other, true, range)
    }

    /// The runs within a range that are set here and not in `other`, in order.
    pub fn difference<'a>(
        &'a self,
        other: &'a Self,
        range: Range<u64>,
    ) -> impl Iterator<Item = Range<u64>> + 'a {
        let Range { start: mut at, end } = range;
        iter::from_fn(move || {
            let start = self.first_difference(other, at..end)?;
            let stop = other.first_set(start).map_or(end, |next| next.min(end));
            at = self.first_unset(start).min(stop);
            Some(start..at)
        })
    }

    /// The runs within a range that are set in both, in order.
    pub fn intersection<'a>(
        &'a self,
        other: &'a Self,
        range: Range<u64>,
    ) -> impl Iterator<Item = Range<u64>> + 'a {
        let Range { start: mut at, end } = range;
        iter::from_fn(move || {
            let start = self.first_common(other, at..end)?;
            at = self
                .first_unset(start)
                .min(other.first_unset(start))
                .min(end);
            Some(start..at)
        })
    }

    /// Bytes of memory that it takes, shared or not; an estimate from above of what was allocated.
    #[must_use]
    pub fn memory(&self) -> usize {
        const RUN_MEMORY: usize = 4 * size_of::<u64>();
        self.mixed.len() * SEGMENT_MEMORY
            + self.bit_pages * PAGE_MEMORY
            + self.full.range_count() * RUN_MEMORY
    }

    pub(crate) fn page_view(&self, page: u64) -> PageRef<'_> {
        let segment = page / u64::from(PAGES);
        match self.mixed.get(&segment) {
            Some(mixed) => mixed.page(page_in_segment(page)),
            None if self.full.contains(segment) => PageRef::Full,
            None => PageRef::Empty,
        }
    }

    pub(crate) fn write_page(&mut self, page: u64, bytes: &[u8; PAGE_BYTES]) {
        if page < MAX_BITS / PAGE_BITS {
            let segment = page / u64::from(PAGES);
            self.edit(segment, |own| own.set_page(page_in_segment(page), bytes));
        }
    }

    /// Replaces the 32 bits from `32 * word` of a page on, for each of `words`.
    pub(crate) fn write_words(&mut self, page: u64, word: usize, words: &[u32]) {
        if page < MAX_BITS / PAGE_BITS {
            let segment = page / u64::from(PAGES);
            self.edit(segment, |own| {
                own.write_words(page_in_segment(page), word, words);
            });
        }
    }

    pub(crate) fn mixed(&self) -> &Arc<BTreeMap<u64, Arc<Segment>>> {
        &self.mixed
    }

    pub(crate) fn full(&self) -> &Arc<RangeSet> {
        &self.full
    }

    fn first_with(&self, other: &Self, other_has: bool, range: Range<u64>) -> Option<u64> {
        let mut at = range.start;
        loop {
            at = self.first_set(at)?;
            at = if other_has {
                other.first_set(at)?
            } else {
                other.first_unset(at)
            };
            if at >= range.end {
                return None;
            }
            let page = at / PAGE_BITS;
            let found = self.page_view(page).first_with(
                other.page_view(page),
                other_has,
                (at % PAGE_BITS) as u32,
            );
            if let Some(found) = found {
                return Some(page * PAGE_BITS + u64::from(found)).filter(|at| *at < range.end);
            }
            at = (page + 1).checked_mul(PAGE_BITS)?;
        }
    }

    fn count_in_segment(&self, segment: u64, from: u32, to: u32) -> u64 {
        match self.mixed.get(&segment) {
            Some(mixed) => mixed.count(from, to).into(),
            None if self.full.contains(segment) => to.saturating_sub(from).into(),
            None => 0,
        }
    }

    fn fill(&mut self, value: bool, range: Range<u64>) {
        let (start, end) = (range.start, range.end.min(MAX_BITS));
        if start >= end {
            return;
        }
        let (first, from) = split(start);
        let (last, to) = split(end);
        if first == last {
            self.fill_in_segment(first, value, from, to);
            return;
        }
        let whole = if from == 0 { first } else { first + 1 }..last;
        if from > 0 {
            self.fill_in_segment(first, value, from, segment::BITS);
        }
        self.fill_segments(value, whole);
        if to > 0 {
            self.fill_in_segment(last, value, 0, to);
        }
    }

    fn fill_segments(&mut self, value: bool, segments: Range<u64>) {
        if segments.is_empty() {
            return;
        }
        while let Some((&at, own)) = self.mixed.range(segments.clone()).next() {
            self.bit_pages -= own.bit_pages();
            Arc::make_mut(&mut self.mixed).remove(&at);
        }
        if value {
            if !self.full.covers(segments.clone()) {
                Arc::make_mut(&mut self.full).insert(segments);
            }
        } else if self.full.intersects(segments.clone()) {
            Arc::make_mut(&mut self.full).remove(segments);
        }
    }

    fn fill_in_segment(&mut self, segment: u64, value: bool, from: u32, to: u32) {
        let have = self.count_in_segment(segment, from, to);
        let want = if value { u64::from(to - from) } else { 0 };
        if have != want {
            self.edit(segment, |own| own.fill(value, from, to));
        }
    }

    /// Changes one segment and puts it where its contents belong.
    fn edit(&mut self, at: u64, edit: impl FnOnce(&mut Segment)) {
        match Arc::make_mut(&mut self.mixed).entry(at) {
            Entry::Occupied(mut entry) => {
                let segment = Arc::make_mut(entry.get_mut());
                self.bit_pages -= segment.bit_pages();
                edit(segment);
                self.bit_pages += segment.bit_pages();
                match segment.ones() {
                    0 => {
                        entry.remove();
                    }
                    segment::BITS => {
                        entry.remove();
                        Arc::make_mut(&mut self.full).insert(at..at + 1);
                    }
                    _ => {}
                }
            }
            Entry::Vacant(entry) => {
                let was_full = self.full.contains(at);
                let mut segment = Segment::all(was_full);
                edit(&mut segment);
                let ones = segment.ones();
                if was_full && ones < segment::BITS {
                    Arc::make_mut(&mut self.full).remove(at..at + 1);
                }
                if !was_full && ones == segment::BITS {
                    Arc::make_mut(&mut self.full).insert(at..at + 1);
                }
                if 0 < ones && ones < segment::BITS {
                    self.bit_pages += segment.bit_pages();
                    entry.insert(Arc::new(segment));
                }
            }
        }
    }
}

impl Extend<Range<u64>> for Bitfield {
    fn extend<I: IntoIterator<Item = Range<u64>>>(&mut self, ranges: I) {
        for range in ranges {
            self.set_range(range);
        }
    }
}

impl FromIterator<Range<u64>> for Bitfield {
    fn from_iter<I: IntoIterator<Item = Range<u64>>>(ranges: I) -> Self {
        let mut set = Self::new();
        set.extend(ranges);
        set
    }
}

/// The segment that an index is in, and the offset in that segment.
fn split(index: u64) -> (u64, u32) {
    (index / SEGMENT_BITS, (index % SEGMENT_BITS) as u32)
}

fn join(segment: u64, offset: u32) -> u64 {
    segment * SEGMENT_BITS + u64::from(offset)
}

fn page_in_segment(page: u64) -> u32 {
    (page % (SEGMENT_BITS / PAGE_BITS)) as u32
}
