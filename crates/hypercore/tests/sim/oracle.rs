//! What the writer wrote: every fork of the log as a list of blocks.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use bytes::Bytes;

/// Every block that was ever in the log, by fork and index.
#[derive(Debug, Clone, Default)]
pub(crate) struct Oracle {
    forks: BTreeMap<u64, Vec<Bytes>>,
    /// To what length the log was cut when a fork began.
    cuts: BTreeMap<u64, u64>,
    fork: u64,
    written: u64,
}

impl Oracle {
    pub(crate) fn new() -> Self {
        Self {
            forks: BTreeMap::from([(0, Vec::new())]),
            ..Self::default()
        }
    }

    pub(crate) fn fork(&self) -> u64 {
        self.fork
    }

    pub(crate) fn length(&self) -> u64 {
        self.forks
            .get(&self.fork)
            .map_or(0, |blocks| blocks.len() as u64)
    }

    /// The next blocks to append; no two that were ever written are the same.
    pub(crate) fn blocks(&mut self, count: u64) -> Vec<Bytes> {
        let from = self.written;
        self.written += count;
        (from..self.written)
            .map(|number| {
                let size = usize::try_from(number * 37 % 300).unwrap_or(0);
                let mut block = format!("{number}:").into_bytes();
                block.resize(block.len() + size, b'.');
                Bytes::from(block)
            })
            .collect()
    }

    pub(crate) fn append(&mut self, blocks: Vec<Bytes>) {
        self.forks.entry(self.fork).or_default().extend(blocks);
    }

    /// The log goes on from there, on a fork of its own.
    pub(crate) fn truncate(&mut self, length: u64) {
        let kept = usize::try_from(length).unwrap_or(usize::MAX);
        let mut blocks = self.forks.get(&self.fork).cloned().unwrap_or_default();
        blocks.truncate(kept);
        self.fork += 1;
        self.cuts.insert(self.fork, length);
        self.forks.insert(self.fork, blocks);
    }

    /// The block at a place, as the writer wrote it.
    pub(crate) fn block(&self, fork: u64, index: u64) -> Option<&Bytes> {
        self.forks.get(&fork)?.get(usize::try_from(index).ok()?)
    }

    /// Whether it is the block that stands there on one of these forks.
    pub(crate) fn knows(&self, index: u64, block: &Bytes, mut forks: RangeInclusive<u64>) -> bool {
        forks.any(|fork| self.block(fork, index) == Some(block))
    }

    /// Whether the log was cut below a block when one of the forks after the first of these began.
    pub(crate) fn was_cut(&self, index: u64, forks: RangeInclusive<u64>) -> bool {
        let cuts = self
            .cuts
            .range(forks.clone())
            .filter(|(fork, _)| *fork > forks.start());
        cuts.into_iter().any(|(_, length)| *length <= index)
    }
}
