//! Bits as they travel: the words that answer a want, and bounded insertion of what a remote says.
//! Knows nothing of messages but their words.

use alloc::vec::Vec;
use core::ops::Range;

use thiserror::Error;

use crate::Bitfield;
use crate::limits::{
    MAX_BITS, MAX_RECEIVED_MEMORY, MAX_RECEIVED_WORDS, MAX_WANT_BITS, PAGE_BITS, SEGMENT_BITS,
};

const WORD_BITS: u64 = 32;

/// The bits of one window: bit *i* of word *w* is bit `start + 32 * w + i` of the set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Words {
    /// Index of the first bit; a multiple of 32.
    pub start: u64,
    /// The bits.
    pub words: Vec<u32>,
}

/// Why bits from a remote were not taken; the set is then as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ReceiveError {
    /// The remote sent words that do not start at a word.
    #[error("words start at bit {start}, which is no multiple of 32")]
    Unaligned {
        /// Where they start.
        start: u64,
    },
    /// The remote named bits from [`MAX_BITS`] up.
    #[error("{bits} bits from {start} pass the end of every set")]
    OutOfBounds {
        /// The first of them.
        start: u64,
        /// Their number.
        bits: u64,
    },
    /// The remote sent more than [`MAX_RECEIVED_WORDS`] at once.
    #[error("{words} words in one message")]
    TooManyWords {
        /// Their number.
        words: usize,
    },
    /// What the remote has sent so far takes [`MAX_RECEIVED_MEMORY`] or more.
    #[error("the set takes {memory} bytes already")]
    TooLarge {
        /// Bytes that the set takes.
        memory: usize,
    },
}

impl Bitfield {
    /// What a want of `window` is answered with, for a log of `length` blocks: one item for each
    /// segment that the window touches.
    ///
    /// As in the reference, an answer starts at the word that the window starts in, ends with the
    /// word that the window or the log ends in, and leaves out the end of a segment that was never
    /// used: the first segment ends after 1, 4, 16 or 64 pages, whichever suffices for its last set
    /// bit, and any other is left out if no bit is set. (There, this goes by the highest bit that was
    /// ever set since the log was opened; here, by those set now.) A window longer than
    /// [`MAX_WANT_BITS`] has no answer.
    pub fn answers(&self, window: Range<u64>, length: u64) -> impl Iterator<Item = Words> + '_ {
        let asked = window.end.saturating_sub(window.start);
        let end = window.end.min(length).min(MAX_BITS);
        let segments = if asked == 0 || asked > MAX_WANT_BITS || window.start >= end {
            0..0
        } else {
            window.start / SEGMENT_BITS..end.div_ceil(SEGMENT_BITS)
        };
        let first = window.start - window.start % WORD_BITS;
        segments.filter_map(move |segment| {
            let base = segment * SEGMENT_BITS;
            let used = base + self.used_bits(segment)?;
            let start = first.max(base);
            let stop = end.next_multiple_of(WORD_BITS).min(used);
            Some(Words {
                start,
                words: self.words(start..stop),
            })
        })
    }

    /// Replaces bits by those that a remote sent, and returns which.
    ///
    /// # Errors
    /// [`ReceiveError`], always the remote's fault.
    pub fn receive_words(&mut self, start: u64, words: &[u32]) -> Result<Range<u64>, ReceiveError> {
        if !start.is_multiple_of(WORD_BITS) {
            return Err(ReceiveError::Unaligned { start });
        }
        if words.len() > MAX_RECEIVED_WORDS {
            return Err(ReceiveError::TooManyWords { words: words.len() });
        }
        let range = self.check_received(start, words.len() as u64 * WORD_BITS)?;
        let mut rest = words;
        let mut at = start;
        while !rest.is_empty() {
            let room = (PAGE_BITS - at % PAGE_BITS) / WORD_BITS;
            let (part, after) = rest.split_at((room as usize).min(rest.len()));
            self.write_words(at / PAGE_BITS, word_in_page(at), part);
            at += part.len() as u64 * WORD_BITS;
            rest = after;
        }
        Ok(range)
    }

    /// Sets or unsets `bits` bits from `start` on because a remote said so, and returns which.
    ///
    /// # Errors
    /// [`ReceiveError`], always the remote's fault.
    pub fn receive_range(
        &mut self,
        start: u64,
        bits: u64,
        value: bool,
    ) -> Result<Range<u64>, ReceiveError> {
        let range = self.check_received(start, bits)?;
        if value {
            self.set_range(range.clone());
        } else {
            self.unset_range(range.clone());
        }
        Ok(range)
    }

    fn check_received(&self, start: u64, bits: u64) -> Result<Range<u64>, ReceiveError> {
        let end = start.checked_add(bits).filter(|end| *end <= MAX_BITS);
        let end = end.ok_or(ReceiveError::OutOfBounds { start, bits })?;
        let memory = self.memory();
        if memory >= MAX_RECEIVED_MEMORY {
            return Err(ReceiveError::TooLarge { memory });
        }
        Ok(start..end)
    }

    /// Bits of a segment up to where the reference would hold it in memory, if it would.
    fn used_bits(&self, segment: u64) -> Option<u64> {
        let base = segment * SEGMENT_BITS;
        let last = self
            .last_set(base + SEGMENT_BITS - 1)
            .filter(|last| *last >= base);
        if segment > 0 {
            return last.map(|_| SEGMENT_BITS);
        }
        let mut used = PAGE_BITS;
        while last.is_some_and(|last| last >= used) {
            used *= 4;
        }
        Some(used)
    }

    fn words(&self, bits: Range<u64>) -> Vec<u32> {
        let mut words = Vec::new();
        let mut at = bits.start;
        while at < bits.end {
            let page = at / PAGE_BITS;
            let stop = bits.end.min((page + 1) * PAGE_BITS);
            let view = self.page_view(page);
            let (from, len) = (word_in_page(at), ((stop - at) / WORD_BITS) as usize);
            words.extend((from..from + len).map(|word| view.word32(word)));
            at = stop;
        }
        words
    }
}

fn word_in_page(index: u64) -> usize {
    (index % PAGE_BITS / WORD_BITS) as usize
}
