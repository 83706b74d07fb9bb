//! 64 pages, 2,097,152 bits, with the summary that lets searches skip full and empty pages. Knows
//! nothing of where in a set it stands.

use alloc::vec::Vec;

use crate::limits::{PAGE_BYTES, SEGMENT_BITS};
use crate::page::{self, Bits, Page, PageRef};

/// Pages of a segment; one bit each in the summary.
pub(crate) const PAGES: u32 = u64::BITS;
const _: () = assert!(PAGES as u64 * page::BITS as u64 == SEGMENT_BITS);

/// Bits of a segment, as the integer that offsets are.
pub(crate) const BITS: u32 = PAGES * page::BITS;

/// Memory of a segment with all its pages, without the bytes of these.
pub(crate) const SEGMENT_MEMORY: usize =
    size_of::<Segment>() + PAGES as usize * size_of::<Page>() + 6 * size_of::<usize>();
/// Memory of the bytes of one page.
pub(crate) const PAGE_MEMORY: usize = size_of::<Bits>() + 2 * size_of::<usize>();

/// Pages and a summary of them; shares what it can with its clones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Segment {
    /// Up to the last that is not empty, and no further.
    pages: Vec<Page>,
    /// Bit *i* is set if page *i* is empty.
    empty: u64,
    /// Bit *i* is set if page *i* is full.
    full: u64,
    ones: u32,
    /// Pages that have bytes.
    bit_pages: u32,
}

impl Segment {
    pub(crate) fn all(value: bool) -> Self {
        if value {
            Self {
                pages: alloc::vec![Page::Full; PAGES as usize],
                empty: 0,
                full: u64::MAX,
                ones: BITS,
                bit_pages: 0,
            }
        } else {
            Self {
                pages: Vec::new(),
                empty: u64::MAX,
                full: 0,
                ones: 0,
                bit_pages: 0,
            }
        }
    }

    /// Number of bits that are set.
    pub(crate) fn ones(&self) -> u32 {
        self.ones
    }

    /// Pages that have bytes.
    pub(crate) fn bit_pages(&self) -> usize {
        self.bit_pages as usize
    }

    pub(crate) fn page(&self, page: u32) -> PageRef<'_> {
        self.pages
            .get(page as usize)
            .map_or(PageRef::Empty, Page::view)
    }

    /// The pages up to the last that is not empty.
    pub(crate) fn pages(&self) -> &[Page] {
        &self.pages
    }

    pub(crate) fn set_page(&mut self, page: u32, bytes: &[u8; PAGE_BYTES]) {
        self.edit(page, |page| *page = Page::from_bytes(bytes));
    }

    /// Replaces the 32 bits from `32 * word` on, for each of `words`, in one page.
    pub(crate) fn write_words(&mut self, page: u32, word: usize, words: &[u32]) {
        self.edit(page, |page| page.write_words(word, words));
    }

    pub(crate) fn get(&self, offset: u32) -> bool {
        let (page, bit) = split(offset);
        self.page(page).get(bit)
    }

    /// Whether the page of an offset [stays bytes](Page::is_ragged) whichever of its bits changes.
    pub(crate) fn is_ragged(&self, offset: u32) -> bool {
        let (page, _) = split(offset);
        self.pages.get(page as usize).is_some_and(Page::is_ragged)
    }

    /// Changes one bit of a page that is [ragged](Self::is_ragged).
    pub(crate) fn flip(&mut self, offset: u32) {
        let (page, bit) = split(offset);
        if let Some(page) = self.pages.get_mut(page as usize) {
            let ones = page.ones();
            page.flip(bit);
            self.ones = self.ones - ones + page.ones();
        }
    }

    /// Sets or unsets the bits from `from` up to `to`.
    pub(crate) fn fill(&mut self, value: bool, from: u32, to: u32) {
        for (page, start, end) in parts(from, to) {
            self.edit(page, |page| page.fill(value, start, end));
        }
    }

    /// Where the bits that are set end, if there are no others below.
    pub(crate) fn as_prefix(&self) -> Option<u32> {
        let full = self.full.trailing_ones();
        let (end, pages) = match self.page(full) {
            PageRef::Empty => (0, full),
            PageRef::Run { start: 0, end } => (end, full + 1),
            _ => return None,
        };
        (self.pages.len() == pages as usize).then(|| join(full, end))
    }

    /// Number of set bits from `from` up to `to`.
    pub(crate) fn count(&self, from: u32, to: u32) -> u32 {
        let pages = parts(from, to);
        pages
            .map(|(at, start, end)| match self.pages.get(at as usize) {
                Some(page) if start == 0 && end == page::BITS => page.ones(),
                _ => self.page(at).count(start, end),
            })
            .sum()
    }

    /// The first bit at or after `from` with this value.
    pub(crate) fn first(&self, value: bool, from: u32) -> Option<u32> {
        let (page, bit) = split(from);
        if let Some(found) = self.page(page).first(value, bit) {
            return Some(join(page, found));
        }
        let after = self.pages_with(value) & u64::MAX.checked_shl(page + 1).unwrap_or(0);
        let page = after.trailing_zeros();
        self.page(page)
            .first(value, 0)
            .filter(|_| after != 0)
            .map(|found| join(page, found))
    }

    /// The last bit at or before `upto` with this value.
    pub(crate) fn last(&self, value: bool, upto: u32) -> Option<u32> {
        let (page, bit) = split(upto);
        if let Some(found) = self.page(page).last(value, bit) {
            return Some(join(page, found));
        }
        let before = self.pages_with(value) & !(u64::MAX << page);
        let page = before.checked_ilog2()?;
        self.page(page)
            .last(value, page::BITS - 1)
            .map(|found| join(page, found))
    }

    /// Pages that have a bit with this value.
    fn pages_with(&self, value: bool) -> u64 {
        if value { !self.empty } else { !self.full }
    }

    fn edit(&mut self, at: u32, edit: impl FnOnce(&mut Page)) {
        let len = self.pages.len();
        let wanted = (at as usize + 1).min(PAGES as usize);
        if len < wanted {
            self.pages.reserve_exact(wanted - len);
            self.pages.resize(wanted, Page::Empty);
        }
        let Some(page) = self.pages.get_mut(at as usize) else {
            return;
        };
        let (ones, had_bytes) = (page.ones(), page.has_bytes());
        edit(page);
        self.ones = self.ones - ones + page.ones();
        self.bit_pages = self.bit_pages - u32::from(had_bytes) + u32::from(page.has_bytes());
        let flag = 1u64 << at;
        let mark = |mask: u64, on: bool| if on { mask | flag } else { mask & !flag };
        self.empty = mark(self.empty, matches!(page, Page::Empty));
        self.full = mark(self.full, matches!(page, Page::Full));
        let used = PAGES - (!self.empty).leading_zeros();
        self.pages.truncate(used as usize);
    }
}

/// The page an offset is in, and the offset in that page.
fn split(offset: u32) -> (u32, u32) {
    (offset / page::BITS, offset % page::BITS)
}

fn join(page: u32, bit: u32) -> u32 {
    page * page::BITS + bit
}

/// The pages that a range touches, each with the part of it that is touched.
fn parts(from: u32, to: u32) -> impl Iterator<Item = (u32, u32, u32)> {
    let mut at = from;
    core::iter::from_fn(move || {
        if at >= to {
            return None;
        }
        let (page, start) = split(at);
        let end = (page::BITS - start).min(to - at) + start;
        at += end - start;
        Some((page, start, end))
    })
}
