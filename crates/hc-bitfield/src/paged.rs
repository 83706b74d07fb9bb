//! A set whose bits are in segments and pages, and its searches. Knows neither what a bit means nor that
//! most sets need none of this.

use alloc::collections::BTreeMap;
use alloc::collections::btree_map::Entry;
use alloc::sync::Arc;
use core::ops::Range;

use crate::RangeSet;
use crate::limits::{MAX_BITS, PAGE_BITS, PAGE_BYTES, SEGMENT_BITS};
use crate::page::PageRef;
use crate::segment::{self, PAGE_MEMORY, PAGES, SEGMENT_MEMORY, Segment};

/// A sparse set of bits below [`MAX_BITS`].
///
/// A clone costs two reference counts; the first write after it copies the list of segments, one
/// segment's list of pages and, where the bits of that are set in more than one run, one page.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Paged {
    /// Segments with some bits set, by number.
    mixed: Arc<BTreeMap<u64, Arc<Segment>>>,
    /// Numbers of the segments with all bits set.
    full: Arc<RangeSet>,
    /// Pages among `mixed` that have bytes.
    bit_pages: usize,
}

impl Paged {
    /// Whether the bit at `index` is set.
    pub(crate) fn get(&self, index: u64) -> bool {
        let (segment, offset) = split(index);
        match self.mixed.get(&segment) {
            Some(mixed) => mixed.get(offset),
            None => self.full.contains(segment),
        }
    }

    /// Number of bits that are set in a range.
    pub(crate) fn count(&self, range: Range<u64>) -> u64 {
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

    /// The first set bit at or after `from`.
    pub(crate) fn first_set(&self, from: u64) -> Option<u64> {
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
    pub(crate) fn first_unset(&self, from: u64) -> u64 {
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
    pub(crate) fn last_set(&self, upto: u64) -> Option<u64> {
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
    pub(crate) fn last_unset(&self, upto: u64) -> Option<u64> {
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

    /// Where the bits that are set end, if there are no others below.
    pub(crate) fn as_prefix(&self) -> Option<u64> {
        let full = match self.full.range_count() {
            0 => 0,
            1 => self.full.range_of(0)?.end,
            _ => return None,
        };
        let mut mixed = self.mixed.iter();
        let end = match mixed.next() {
            Some((&at, own)) if at == full => own.as_prefix()?,
            Some(_) => return None,
            None => 0,
        };
        mixed.next().is_none().then(|| join(full, end))
    }

    /// Bytes of memory that it takes, shared or not; an estimate from above of what was allocated.
    pub(crate) fn memory(&self) -> usize {
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

    fn count_in_segment(&self, segment: u64, from: u32, to: u32) -> u64 {
        match self.mixed.get(&segment) {
            Some(mixed) => mixed.count(from, to).into(),
            None if self.full.contains(segment) => to.saturating_sub(from).into(),
            None => 0,
        }
    }

    /// Changes one bit where nothing else follows from it; says whether it did.
    pub(crate) fn flip(&mut self, index: u64) -> bool {
        let (segment, offset) = split(index);
        let own = self.mixed.get(&segment);
        if !own.is_some_and(|own| own.is_ragged(offset)) {
            return false;
        }
        if let Some(own) = Arc::make_mut(&mut self.mixed).get_mut(&segment) {
            Arc::make_mut(own).flip(offset);
        }
        true
    }

    /// Sets or unsets every bit of a range.
    pub(crate) fn fill(&mut self, value: bool, range: Range<u64>) {
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
