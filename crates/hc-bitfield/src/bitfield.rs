//! The sparse set of bits. Knows neither what a bit means nor how bits travel.

use core::iter;
use core::ops::Range;

use crate::limits::{MAX_BITS, PAGE_BITS, PAGE_BYTES};
use crate::page::{self, PageRef};
use crate::paged::Paged;

/// A sparse set of bits, numbered from 0 up to [`MAX_BITS`].
///
/// A set of all bits below some number, which is that of a log without holes, is that number. Any other
/// is in pages that its clones share until one is written to. Of those, pages and segments with all bits
/// alike take no memory, nor do pages with one run of bits, and any run of full segments takes that of one
/// range.
///
/// Every operation takes every `u64`: bits from [`MAX_BITS`] up are never set, and setting them does
/// nothing. Ranges that end at or before their start are empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bitfield(Form);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Form {
    /// The bits below this are set, and no others.
    Prefix(u64),
    /// Any other set.
    Paged(Paged),
}

impl Default for Bitfield {
    fn default() -> Self {
        Self::contiguous(0)
    }
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
        Self(Form::Prefix(length.min(MAX_BITS)))
    }

    /// Whether no bit is set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        matches!(self.0, Form::Prefix(0))
    }

    /// Whether the bit at `index` is set.
    #[must_use]
    pub fn get(&self, index: u64) -> bool {
        match &self.0 {
            Form::Prefix(end) => index < *end,
            Form::Paged(paged) => paged.get(index),
        }
    }

    /// Sets one bit and says whether that changed it.
    pub fn set(&mut self, index: u64) -> bool {
        let changes = index < MAX_BITS && !self.get(index);
        if changes && !self.flip(index) {
            self.fill(true, index..index + 1);
        }
        changes
    }

    /// Unsets one bit and says whether that changed it.
    pub fn unset(&mut self, index: u64) -> bool {
        let changes = self.get(index);
        if changes && !self.flip(index) {
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
        match &self.0 {
            Form::Prefix(end) => range.end.min(*end).saturating_sub(range.start),
            Form::Paged(paged) => paged.count(range),
        }
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
        match &self.0 {
            Form::Prefix(end) => (from < *end).then_some(from),
            Form::Paged(paged) => paged.first_set(from),
        }
    }

    /// The first bit at or after `from` that is not set; there always is one.
    ///
    /// The reference's search of its local bitfield ends at the end of its last segment and returns
    /// that even if `from` is past it; this one returns `from` then.
    #[must_use]
    pub fn first_unset(&self, from: u64) -> u64 {
        match &self.0 {
            Form::Prefix(end) => from.max(*end),
            Form::Paged(paged) => paged.first_unset(from),
        }
    }

    /// The last set bit at or before `upto`.
    #[must_use]
    pub fn last_set(&self, upto: u64) -> Option<u64> {
        match &self.0 {
            Form::Prefix(end) => end.checked_sub(1).map(|last| last.min(upto)),
            Form::Paged(paged) => paged.last_set(upto),
        }
    }

    /// The last bit at or before `upto` that is not set.
    #[must_use]
    pub fn last_unset(&self, upto: u64) -> Option<u64> {
        match &self.0 {
            Form::Prefix(end) => (upto >= *end).then_some(upto),
            Form::Paged(paged) => paged.last_unset(upto),
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
        match &self.0 {
            Form::Prefix(_) => 0,
            Form::Paged(paged) => paged.memory(),
        }
    }

    pub(crate) fn page_view(&self, page: u64) -> PageRef<'_> {
        let end = match &self.0 {
            Form::Prefix(end) => end.saturating_sub(page.saturating_mul(PAGE_BITS)),
            Form::Paged(paged) => return paged.page_view(page),
        };
        match u32::try_from(end) {
            Ok(0) => PageRef::Empty,
            Ok(end) if end < page::BITS => PageRef::Run { start: 0, end },
            _ => PageRef::Full,
        }
    }

    pub(crate) fn write_page(&mut self, page: u64, bytes: &[u8; PAGE_BYTES]) {
        self.edit(|paged| paged.write_page(page, bytes));
    }

    /// Replaces the 32 bits from `32 * word` of a page on, for each of `words`.
    pub(crate) fn write_words(&mut self, page: u64, word: usize, words: &[u32]) {
        self.edit(|paged| paged.write_words(page, word, words));
    }

    /// The same set in pages.
    pub(crate) fn to_paged(&self) -> Paged {
        match &self.0 {
            Form::Prefix(end) => {
                let mut paged = Paged::default();
                paged.fill(true, 0..*end);
                paged
            }
            Form::Paged(paged) => paged.clone(),
        }
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

    /// Changes one bit where it is one among many; says whether it is.
    fn flip(&mut self, index: u64) -> bool {
        match &mut self.0 {
            Form::Prefix(_) => false,
            Form::Paged(paged) => paged.flip(index),
        }
    }

    fn fill(&mut self, value: bool, range: Range<u64>) {
        let Range { start, end } = range;
        if start >= end {
            return;
        }
        match &mut self.0 {
            Form::Prefix(own) if value && start <= *own => *own = end.min(MAX_BITS).max(*own),
            Form::Prefix(own) if !value && end >= *own => *own = start.min(*own),
            _ => self.edit(|paged| paged.fill(value, start..end)),
        }
    }

    /// Changes the set in pages, and leaves it there unless one number says as much.
    fn edit(&mut self, edit: impl FnOnce(&mut Paged)) {
        if let Form::Prefix(_) = self.0 {
            self.0 = Form::Paged(self.to_paged());
        }
        if let Form::Paged(paged) = &mut self.0 {
            edit(paged);
            if let Some(end) = paged.as_prefix() {
                self.0 = Form::Prefix(end);
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
