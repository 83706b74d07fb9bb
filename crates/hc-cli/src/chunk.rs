//! Cutting a stream of bytes into blocks, and blocks into batches of bounded size.
//!
//! Owns both ways to cut: by size and by line. Knows nothing of where bytes come from or go to.

use std::io::{self, Read};

use crate::args::Cut;

/// Bytes a block where nothing else is asked for.
pub(crate) const DEFAULT_CHUNK: usize = 64 * 1024;

/// A batch is full when it has this many bytes …
const BATCH_BYTES: usize = 8 * 1024 * 1024;
/// … or this many blocks.
const BATCH_BLOCKS: usize = 16 * 1024;
/// Bytes asked of the input at a time.
const READ: usize = 256 * 1024;

/// Blocks that are appended together.
pub(crate) type Batch = Vec<Vec<u8>>;

/// Reads an input to its end and hands over its blocks, batch by batch.
///
/// With `eager`, what has been read is handed over after every read, as a live input needs.
pub(crate) struct Cutter<R> {
    input: R,
    cut: Cut,
    eager: bool,
    pending: Vec<u8>,
    /// Bytes of `pending` that have no newline.
    searched: usize,
    ended: bool,
}

impl<R: Read> Cutter<R> {
    pub(crate) fn new(input: R, cut: Cut, eager: bool) -> Self {
        Self {
            input,
            cut,
            eager,
            pending: Vec::new(),
            searched: 0,
            ended: false,
        }
    }

    /// The next batch, or `None` at the end.
    ///
    /// # Errors
    /// What reading the input gives, and a line longer than a block may be.
    pub(crate) fn next_batch(&mut self) -> io::Result<Option<Batch>> {
        let mut batch = Batch::new();
        let mut bytes = 0;
        while !self.ended {
            let arrived = self.read()?;
            let before = batch.len();
            self.cut_into(&mut batch)?;
            bytes += batch[before..].iter().map(Vec::len).sum::<usize>();
            let full = bytes >= BATCH_BYTES || batch.len() >= BATCH_BLOCKS;
            if full || (self.eager && arrived && !batch.is_empty()) {
                return Ok(Some(batch));
            }
        }
        Ok((!batch.is_empty()).then_some(batch))
    }

    /// Reads once; whether anything came.
    fn read(&mut self) -> io::Result<bool> {
        let at = self.pending.len();
        self.pending.resize(at + READ, 0);
        let read = loop {
            match self.input.read(&mut self.pending[at..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other,
            }
        };
        self.pending
            .truncate(at + read.as_ref().copied().unwrap_or(0));
        self.ended = read? == 0;
        Ok(!self.ended)
    }

    /// Takes every whole block out of what is pending; at the end of the input, the rest too.
    fn cut_into(&mut self, batch: &mut Batch) -> io::Result<()> {
        let mut from = 0;
        while let Some(len) = self.whole_block(&self.pending[from..]) {
            batch.push(self.pending[from..from + len].to_vec());
            from += len;
            self.searched = 0;
        }
        self.pending.drain(..from);
        self.searched = self.pending.len();
        if self.cut.lines && self.pending.len() > hypercore::limits::MAX_BLOCK_BYTES {
            let message = format!(
                "a line is longer than {} bytes",
                hypercore::limits::MAX_BLOCK_BYTES
            );
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        if self.ended && !self.pending.is_empty() {
            batch.push(std::mem::take(&mut self.pending));
        }
        Ok(())
    }

    /// Length of the block that `bytes` begin with, if all of it is there.
    fn whole_block(&self, bytes: &[u8]) -> Option<usize> {
        if self.cut.lines {
            let unseen = &bytes[self.searched..];
            let newline = unseen.iter().position(|byte| *byte == b'\n');
            newline.map(|newline| self.searched + newline + 1)
        } else {
            (bytes.len() >= self.cut.chunk_size).then_some(self.cut.chunk_size)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocks(input: &[u8], cut: &Cut) -> Vec<Vec<u8>> {
        let mut cutter = Cutter::new(input, cut.clone(), false);
        let mut all = Vec::new();
        while let Some(batch) = cutter.next_batch().unwrap() {
            all.extend(batch);
        }
        all
    }

    const LINES: Cut = Cut {
        chunk_size: DEFAULT_CHUNK,
        lines: true,
    };

    #[test]
    fn lines_keep_their_newline_and_the_last_may_lack_it() {
        assert_eq!(blocks(b"a\n\nbc", &LINES), [&b"a\n"[..], b"\n", b"bc"]);
        assert_eq!(blocks(b"a\n", &LINES), [&b"a\n"[..]]);
        assert!(blocks(b"", &LINES).is_empty());
    }

    #[test]
    fn chunks_have_their_size_but_for_the_last() {
        let cut = Cut {
            chunk_size: 4,
            lines: false,
        };
        assert_eq!(blocks(b"abcdefghij", &cut), [&b"abcd"[..], b"efgh", b"ij"]);
        assert_eq!(blocks(b"abcd", &cut), [&b"abcd"[..]]);
    }

    #[test]
    fn batches_are_bounded_and_lose_nothing() {
        let input = vec![7; 3 * BATCH_BYTES + 5];
        let cut = Cut {
            chunk_size: DEFAULT_CHUNK,
            lines: false,
        };
        let mut cutter = Cutter::new(&input[..], cut, false);
        let mut total = 0;
        while let Some(batch) = cutter.next_batch().unwrap() {
            let bytes: usize = batch.iter().map(Vec::len).sum();
            assert!(bytes <= BATCH_BYTES + READ);
            total += bytes;
        }
        assert_eq!(total, input.len());
    }

    #[test]
    fn a_line_longer_than_a_block_is_refused() {
        let input = vec![b'x'; hypercore::limits::MAX_BLOCK_BYTES + READ + 1];
        let mut cutter = Cutter::new(&input[..], LINES, false);
        assert!(cutter.next_batch().is_err());
    }
}
