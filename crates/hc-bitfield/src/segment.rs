//! 64 pages, 2,097,152 bits, with the summary that lets searches skip full and empty pages. Knows
//! nothing of where in a set it stands.

use crate::limits::{PAGE_BYTES, SEGMENT_BITS};
use crate::page::{self, Bits, Page, PageRef};

/// Pages of a segment; one bit each in the summary.
pub(crate) const PAGES: u32 = u64::BITS;
const _: () = assert!(PAGES as u64 * page::BITS as u64 == SEGMENT_BITS);

/// Bits of a segment, as the integer that offsets are.
pub(crate) const BITS: u32 = PAGES * page::BITS;

/// Memory of a segment without the bytes of its pages.
pub(crate) const SEGMENT_MEMORY: usize = size_of::<Segment>() + 4 * size_of::<usize>();
/// Memory of the bytes of one page.
pub(crate) const PAGE_MEMORY: usize = size_of::<Bits>() + 2 * size_of::<usize>();

/// Pages and a summary of them; shares what it can with its clones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Segment {
    pages: [Page; PAGES as usize],
    /// Bit *i* is set if page *i* is empty.
    empty: u64,
    /// Bit *i* is set if page *i* is full.
    full: u64,
    ones: u32,
}

impl Segment {
    pub(crate) fn all(value: bool) -> Self {
        if value {
            Self {
                pages: [const { Page::Full }; PAGES as usize],
                empty: 0,
                full: u64::MAX,
                ones: BITS,
            }
        } else {
            Self {
                pages: [const { Page::Empty }; PAGES as usize],
                empty: u64::MAX,
                full: 0,
                ones: 0,
            }
        }
    }

    /// Number of bits that are set.
    pub(crate) fn ones(&self) -> u32 {
        self.ones
    }

    /// Pages that take memory.
    pub(crate) fn bit_pages(&self) -> usize {
        (!(self.empty | self.full)).count_ones() as usize
    }

    pub(crate) fn page(&self, page: u32) -> PageRef<'_> {
        self.pages
            .get(page as usize)
            .map_or(PageRef::Empty, Page::view)
    }

    pub(crate) fn pages(&self) -> &[Page; PAGES as usize] {
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

    /// Sets or unsets the bits from `from` up to `to`.
    pub(crate) fn fill(&mut self, value: bool, from: u32, to: u32) {
        for (page, start, end) in parts(from, to) {
            self.edit(page, |page| page.fill(value, start, end));
        }
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
        let Some(page) = self.pages.get_mut(at as usize) else {
            return;
        };
        let before = page.ones();
        edit(page);
        self.ones = self.ones - before + page.ones();
        let flag = 1u64 << at;
        let mark = |mask: u64, on: bool| if on { mask | flag } else { mask & !flag };
        self.empty = mark(self.empty, matches!(page, Page::Empty));
        self.full = mark(self.full, matches!(page, Page::Full));
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
