//! Holes in segments: the bytes of blocks that are void go back to the file system at once, where it can
//! do that, without collecting anything.
//!
//! Owns which bytes may go. Only the bytes of blocks do, so every frame stays what it was: nobody reads
//! the bytes of void blocks, and whoever reads a finished segment checks no others. So a hole is made
//!
//! - in finished segments alone: in the last one a crash may have torn a frame, which its blocks tell;
//! - once the frame that made the blocks void is on the device: before, they may come back;
//! - never where a snapshot shows the blocks, or a branch may have them too.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;

use super::Engine;
use crate::error::StorageError;
use crate::limits::MAX_HOLES;
use crate::lock::lock;
use crate::log::{Locator, segment};
use crate::store::Access;

/// What file systems give back at once: whole pages.
const PAGE: u32 = 4 << 10;

/// Void bytes that follow each other before they are worth a hole.
const MIN_HOLE: u32 = 16 << 10;

/// Void bytes that may wait before the thread in the background is asked to see to them.
const WAIT: u64 = 1 << 20;

/// Void bytes that wait to be given back.
#[derive(Debug, Default)]
pub(crate) struct Holes {
    void: BTreeMap<u32, Vec<Range<u32>>>,
    count: usize,
    /// Bytes noted since they were last seen to.
    fresh: u64,
    /// Whether the file system cannot do it.
    refused: bool,
}

impl Holes {
    /// Notes where blocks were that are void now, in their order. Says whether it is time to see to them.
    fn note<'a>(&mut self, blocks: impl Iterator<Item = &'a Locator>) -> bool {
        let mut run: Option<(u32, Range<u32>)> = None;
        for at in blocks {
            let end = at.offset.saturating_add(at.len);
            match &mut run {
                Some((segment, range)) if *segment == at.segment && range.end == at.offset => {
                    range.end = end;
                }
                _ => self.put(run.replace((at.segment, at.offset..end))),
            }
        }
        self.put(run);
        self.fresh >= WAIT
    }

    fn put(&mut self, run: Option<(u32, Range<u32>)>) {
        let Some((segment, range)) = run else { return };
        let pages = range.start.next_multiple_of(PAGE)..range.end / PAGE * PAGE;
        let len = pages.end.saturating_sub(pages.start);
        // what is not noted is left to the collector
        if len >= MIN_HOLE && self.count < MAX_HOLES {
            self.void.entry(segment).or_default().push(pages);
            self.count += 1;
            self.fresh = self.fresh.saturating_add(len.into());
        }
    }

    /// All that wait, in segments whose places are before one.
    fn take_before(&mut self, place: u32) -> BTreeMap<u32, Vec<Range<u32>>> {
        self.fresh = 0;
        let finished = |number: &u32| segment::place(*number) < place;
        let taken: BTreeMap<_, _> = self
            .void
            .extract_if(.., |number, _| finished(number))
            .collect();
        self.count -= taken.values().map(Vec::len).sum::<usize>();
        taken
    }
}

impl Engine {
    /// Notes where blocks were that are void now, and that nobody else has.
    pub(crate) fn note_void<'a>(
        &self,
        holes: &mut Holes,
        blocks: impl Iterator<Item = &'a Locator>,
    ) {
        let unable = self.access == Access::ReadOnly || holes.refused;
        if !unable && holes.note(blocks) {
            // without a thread, the next checkpoint sees to them
            self.worker.ask_punch();
        }
    }

    /// Gives back what waits in finished segments.
    pub(crate) fn punch(&self) -> Result<(), StorageError> {
        // in this order: what made the blocks void was written before it was noted
        let Some(last) = self.log.last() else {
            return Ok(());
        };
        let holes = lock(&self.registry)
            .holes
            .take_before(segment::place(last.segment));
        if holes.is_empty() {
            return Ok(());
        }
        if let Some(last) = self.log.last() {
            self.log.sync(last.lsn)?;
        }
        for (number, ranges) in holes {
            if !self.punch_segment(number, &ranges) {
                let mut registry = lock(&self.registry);
                registry.holes = Holes {
                    refused: true,
                    ..Holes::default()
                };
                break;
            }
        }
        Ok(())
    }

    /// Whether the file system can do it. What else goes wrong costs nothing but space, which the
    /// collector gives back later.
    fn punch_segment(&self, number: u32, ranges: &[Range<u32>]) -> bool {
        let Ok(Some(file)) = self.disk.open(&segment::name(number), true) else {
            return true;
        };
        for range in ranges {
            let len = u64::from(range.end - range.start);
            match file.punch(range.start.into(), len) {
                Ok(()) => {
                    let mut registry = lock(&self.registry);
                    // a segment that was collected meanwhile is nobody's
                    if registry.space.contains_key(&number) {
                        let space = registry.space_of(number);
                        space.data = space.data.saturating_sub(len).max(space.live);
                    }
                }
                Err(error) => return error.kind() != io::ErrorKind::Unsupported,
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(segment: u32, offset: u32, len: u32) -> Locator {
        Locator {
            segment,
            offset,
            len,
            crc: 0,
        }
    }

    #[test]
    fn only_whole_pages_of_long_runs_are_given_back() {
        let mut holes = Holes::default();
        let blocks = [
            at(0, 100, 4000),
            at(0, 4100, 30_000),
            // not next to it
            at(0, 50_000, 15_000),
            at(1, 70_479, 20_480),
        ];
        assert!(!holes.note(blocks.iter()));
        let mut taken = |place| -> Vec<(u32, Range<u32>)> {
            let taken = holes.take_before(place).into_iter();
            taken
                .flat_map(|(number, ranges)| ranges.into_iter().map(move |range| (number, range)))
                .collect()
        };
        assert_eq!(taken(1), [(0, 4096..32_768)]);
        assert_eq!(taken(2), [(1, 73_728..90_112)]);
        assert_eq!(holes.count, 0);
        assert!(
            holes.note([at(2, 0, 2 << 20)].iter()),
            "that much is enough"
        );
    }

    #[test]
    fn no_more_wait_than_the_limit() {
        let mut holes = Holes::default();
        for number in 0..u32::try_from(MAX_HOLES).expect("small") + 1 {
            holes.note([at(number, 0, MIN_HOLE)].iter());
        }
        assert_eq!(holes.void.len(), MAX_HOLES);
    }
}
