//! Small blocks that a stream is about to come to, read from the store some at a time.
//!
//! Only of a state that is held fast: what is read early is what would have been read in time. Copies
//! each, so that who keeps one block does not keep what was read with it.

use std::collections::VecDeque;
use std::ops::ControlFlow;

use bytes::Bytes;
use hc_merkle::BlockIndex;

use crate::read::Reader;

/// Blocks that are read at once at most.
const BLOCKS: u64 = 64;

/// Bytes at which no more of them are read.
const BYTES: usize = 64 << 10;

/// Bytes of a block after which the next ones are read one by one: a read of its own costs little then.
const SMALL: usize = 4 << 10;

/// What was read ahead.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    /// In order, without gaps.
    blocks: VecDeque<(u64, Bytes)>,
    /// Whether the last block was small.
    small: bool,
}

impl Ahead {
    /// A block that is stored and needs nothing done to it, as [`Reader::glance`]; no block from `end` on
    /// is read with it.
    pub(super) fn glance(&mut self, reader: &Reader, index: u64, end: u64) -> Option<Bytes> {
        if self.small && self.blocks.is_empty() {
            self.fill(reader, index..end.min(index.saturating_add(BLOCKS)));
        }
        let held = self.blocks.pop_front().filter(|(at, _)| *at == index);
        let block = match held {
            // it may have been closed since
            Some((_, block)) if reader.gives_as_stored() => block,
            _ => {
                self.blocks.clear();
                reader.glance(BlockIndex::new(index))?
            }
        };
        self.small = block.len() <= SMALL;
        Some(block)
    }

    fn fill(&mut self, reader: &Reader, range: std::ops::Range<u64>) {
        let Some(frozen) = reader.frozen.as_ref().filter(|_| reader.gives_as_stored()) else {
            return;
        };
        let (mut next, mut bytes) = (range.start, 0);
        // the store may be ahead of the state that is read
        let end = range.end.min(frozen.head.length().get());
        let range = BlockIndex::new(range.start)..BlockIndex::new(end);
        // what cannot be read is asked for again by itself, and that says why
        let _ = frozen.stored.blocks(range, &mut |index, block| {
            if index.get() != next {
                return ControlFlow::Break(());
            }
            next = next.saturating_add(1);
            bytes += block.len();
            self.blocks
                .push_back((index.get(), Bytes::copy_from_slice(&block)));
            if bytes < BYTES {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        });
    }
}
