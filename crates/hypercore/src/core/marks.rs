//! Marks of mark and sweep: a bit for each block that is to be kept, stored beside the log.
//!
//! A page of marks is a piece of user data of the library's own, written whenever one of its bits is
//! set: what was marked stays so if the process dies. Knows nothing of who marks.

use std::ops::{Bound, Range};
use std::sync::Arc;

use bytes::Bytes;
use hc_bitfield::Bitfield;
use hc_merkle::BlockIndex;
use hc_storage::{Access, Batch, StorageError};

use super::Core;
use super::publish::Staged;
use crate::limits::SWEEP_BATCH;
use crate::marks::MarkError;
use crate::sync::Gate;

/// Blocks whose marks are stored together: 128 bytes, which is little to write for one mark.
const PAGE: u64 = 1024;

/// What the names of pages begin with; no application can write there.
const PREFIX: &str = "\0mark/";

/// What comes after all of them.
const PAST: &str = "\0mark0";

/// Pages that are written in one batch.
const PAGES_AT_ONCE: usize = 1024;

impl Core {
    /// Begins to mark: with nothing marked, or with what was marked before.
    pub(crate) async fn begin_marking(
        self: &Arc<Self>,
        gate: &Gate,
        fresh: bool,
    ) -> Result<(), MarkError> {
        let guard = self.enter(gate).await?;
        if self.store.access() == Access::ReadOnly {
            return Err(MarkError::ReadOnly);
        }
        if self.marks.lock().is_some() {
            return Err(MarkError::Marking);
        }
        let view = self.view.load();
        let stored = self.stored_marks()?;
        if fresh && !stored.is_empty() {
            let mut staged = Staged::on(&view);
            forget(&stored, &mut staged.batch);
            self.commit(guard, staged, self.durability).await?;
        }
        *self.marks.lock() = Some(if fresh {
            Bitfield::new()
        } else {
            bits_of(&stored)
        });
        Ok(())
    }

    /// Ends marking; what is stored stays.
    pub(crate) fn end_marking(&self) {
        *self.marks.lock() = None;
    }

    /// What is marked.
    pub(crate) fn marked(&self) -> Bitfield {
        self.marks.lock().clone().unwrap_or_default()
    }

    /// Marks blocks; those past the end of the log are not.
    pub(crate) async fn mark(
        self: &Arc<Self>,
        gate: &Gate,
        blocks: Range<u64>,
    ) -> Result<(), MarkError> {
        let length = self.view.load().head.length().get();
        let mut rest = blocks.start..blocks.end.min(length);
        if rest.is_empty() || !self.marked().any_unset(rest.clone()) {
            return Ok(());
        }
        while rest.start < rest.end {
            let guard = self.enter(gate).await?;
            let first = rest.start / PAGE;
            let after = first
                .saturating_add(PAGES_AT_ONCE as u64)
                .saturating_mul(PAGE);
            let part = rest.start..rest.end.min(after);
            let mut marks = self.marked();
            marks.set_range(part.clone());
            let mut staged = Staged::on(&self.view.load());
            for page in first..part.end.div_ceil(PAGE) {
                staged
                    .batch
                    .set_user_data(name(page), Some(bytes_of(&marks, page)));
            }
            self.commit(guard, staged, self.durability).await?;
            // Others may have marked between the turns, never within one.
            if let Some(marks) = &mut *self.marks.lock() {
                marks.set_range(part.clone());
            }
            rest.start = part.end;
        }
        Ok(())
    }

    /// Clears the stored blocks that are not marked, some runs of them at a time, then forgets all marks.
    /// Gives the number of blocks that were cleared.
    pub(crate) async fn sweep(self: &Arc<Self>, gate: &Gate) -> Result<u64, MarkError> {
        let marks = self.marked();
        let end = self.view.load().head.length().get();
        let (mut next, mut cleared) = (0, 0_u64);
        loop {
            let guard = self.enter(gate).await?;
            let view = self.view.load();
            let unmarked = view.have.difference(&marks, next..end.max(next));
            let runs: Vec<Range<u64>> = unmarked.take(SWEEP_BATCH).collect();
            let mut staged = Staged::on(&view);
            for run in &runs {
                let blocks = BlockIndex::new(run.start)..BlockIndex::new(run.end);
                staged.batch.clear(blocks);
                staged.drop_blocks(run.clone());
                cleared = cleared.saturating_add(run.end - run.start);
            }
            let last = runs.len() < SWEEP_BATCH;
            if last {
                forget(&self.stored_marks()?, &mut staged.batch);
            }
            next = runs.last().map_or(end, |run| run.end);
            self.commit(guard, staged, self.durability).await?;
            if last {
                return Ok(cleared);
            }
        }
    }

    /// Forgets all marks.
    pub(crate) async fn forget_marks(self: &Arc<Self>, gate: &Gate) -> Result<(), MarkError> {
        let guard = self.enter(gate).await?;
        let mut staged = Staged::on(&self.view.load());
        forget(&self.stored_marks()?, &mut staged.batch);
        Ok(self.commit(guard, staged, self.durability).await?)
    }

    fn stored_marks(&self) -> Result<Vec<(String, Bytes)>, StorageError> {
        self.log
            .user_data_between((Bound::Included(PREFIX), Bound::Excluded(PAST)))
    }
}

fn forget(stored: &[(String, Bytes)], batch: &mut Batch) {
    for (key, _) in stored {
        batch.set_user_data(key.clone(), None);
    }
}

fn name(page: u64) -> String {
    format!("{PREFIX}{page:016x}")
}

/// Bit *i* of a page is bit *i* mod 8 of byte *i* / 8.
fn bytes_of(marks: &Bitfield, page: u64) -> Bytes {
    let start = page * PAGE;
    let mut bytes = vec![0_u8; (PAGE / 8) as usize];
    for index in marks.ranges(start..start + PAGE).flatten() {
        let bit = index - start;
        if let Some(byte) = bytes.get_mut((bit / 8) as usize) {
            *byte |= 1 << (bit % 8);
        }
    }
    bytes.into()
}

/// A page whose name or size is not one of ours says nothing.
fn bits_of(stored: &[(String, Bytes)]) -> Bitfield {
    let mut marks = Bitfield::new();
    for (key, bytes) in stored {
        let page = key
            .strip_prefix(PREFIX)
            .and_then(|page| u64::from_str_radix(page, 16).ok());
        let Some(start) = page.and_then(|page| page.checked_mul(PAGE)) else {
            continue;
        };
        for (at, byte) in (0..PAGE / 8).zip(bytes) {
            for bit in (0..8).filter(|bit| byte & (1 << bit) != 0) {
                marks.set(start.saturating_add(at * 8 + bit));
            }
        }
    }
    marks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_read_as_they_were_written() {
        let mut marks = Bitfield::new();
        for range in [0..1, 7..9, 1023..1025, 5000..7000, (1 << 40)..(1 << 40) + 3] {
            marks.set_range(range);
        }
        let pages = [0, 1, 4, 5, 6, (1 << 40) / PAGE];
        let stored = pages.map(|page| (name(page), bytes_of(&marks, page)));
        assert_eq!(bits_of(&stored), marks);
    }

    #[test]
    fn what_is_no_page_says_nothing() {
        let byte = Bytes::from_static(&[255]);
        let names = ["\0mark/x", "\0mark/", "mark/0", "\0mark/ffffffffffffffff"];
        let stored = names.map(|name| (name.to_owned(), byte.clone()));
        assert!(bits_of(&stored).is_empty());
    }
}
