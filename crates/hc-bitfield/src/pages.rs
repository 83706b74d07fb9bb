//! A set page by page, for whoever keeps it on disk. Knows nothing of files.

use core::ops::Range;

use alloc::sync::Arc;

use crate::limits::{PAGE_BITS, PAGE_BYTES};
use crate::page::PageRef;
use crate::paged::Paged;
use crate::segment::PAGES;
use crate::{Bitfield, RangeSet};

/// Number of a page: bits `32,768 * i` up to `32,768 * (i + 1)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PageIndex(pub u64);

impl PageIndex {
    /// The page that the bit at `index` is in.
    #[must_use]
    pub const fn of(index: u64) -> Self {
        Self(index / PAGE_BITS)
    }

    /// The bits of the page; empty for a page that no bit is in.
    #[must_use]
    pub const fn bits(self) -> Range<u64> {
        let start = self.0.saturating_mul(PAGE_BITS);
        start..start.saturating_add(PAGE_BITS)
    }
}

impl Bitfield {
    /// What is in a page.
    #[must_use]
    pub fn page(&self, page: PageIndex) -> PageRef<'_> {
        self.page_view(page.0)
    }

    /// Replaces all bits of a page. A page past [`MAX_BITS`](crate::limits::MAX_BITS) is left out.
    pub fn set_page(&mut self, page: PageIndex, bytes: &[u8; PAGE_BYTES]) {
        self.write_page(page.0, bytes);
    }

    /// Numbers of the pages that differ from those of `since`: what to write if `since` is on disk.
    ///
    /// Where `since` is an earlier clone, work is by the segments written to after it.
    #[must_use]
    pub fn changed_pages(&self, since: &Self) -> RangeSet {
        self.to_paged().changed_pages(&since.to_paged())
    }
}

impl Paged {
    fn changed_pages(&self, since: &Self) -> RangeSet {
        let mut changed = RangeSet::new();
        if !Arc::ptr_eq(self.full(), since.full()) {
            for (a, b) in [(self, since), (since, self)] {
                for run in a.full().iter() {
                    changed.extend(b.full().gaps(run).map(|gap| pages_of(gap.start..gap.end)));
                }
            }
        }
        if !Arc::ptr_eq(self.mixed(), since.mixed()) {
            for &segment in self.mixed().keys().chain(since.mixed().keys()) {
                self.compare_segment(since, segment, &mut changed);
            }
        }
        changed
    }

    fn compare_segment(&self, since: &Self, segment: u64, changed: &mut RangeSet) {
        let (own, old) = (self.mixed().get(&segment), since.mixed().get(&segment));
        if let (Some(own), Some(old)) = (own, old)
            && Arc::ptr_eq(own, old)
        {
            return;
        }
        let pages = pages_of(segment..segment + 1);
        changed.remove(pages.clone());
        for (slot, at) in pages.enumerate() {
            let shared = own.zip(old).is_some_and(|(own, old)| {
                let pages = own.pages().get(slot).zip(old.pages().get(slot));
                pages.is_some_and(|(own, old)| own.shares(old))
            });
            if !shared && self.page_view(at) != since.page_view(at) {
                changed.insert(at..at + 1);
            }
        }
    }
}

/// The pages of a run of segments.
fn pages_of(segments: Range<u64>) -> Range<u64> {
    segments.start * u64::from(PAGES)..segments.end * u64::from(PAGES)
}
