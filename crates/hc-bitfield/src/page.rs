//! 32,768 bits: all alike, one run of them set, or 4,096 bytes. Knows nothing of where in a set it stands.
//!
//! Bit *i* is bit *i* mod 8 of byte *i* / 8. Offsets count bits from the start of the page, up to and
//! with [`BITS`] where they end a range.
//!
//! Most pages of most logs are one run: the last page of a log without holes is, and so a log of few blocks
//! takes a few bytes, and an append to it copies none.

use alloc::sync::Arc;

use crate::limits::{PAGE_BITS, PAGE_BYTES};

/// Bits of a page, as the integer that offsets are.
pub(crate) const BITS: u32 = 32_768;
const _: () = assert!(BITS as u64 == PAGE_BITS && BITS as usize == PAGE_BYTES * 8);

const WORD_BITS: u32 = u64::BITS;

/// What is in a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PageRef<'a> {
    /// No bit is set.
    Empty,
    /// Every bit is set.
    Full,
    /// The bits from `start` up to `end` are set, and no others. Neither all are set nor none.
    Run {
        /// The first that is set.
        start: u32,
        /// The first after it that is not.
        end: u32,
    },
    /// Some are: bit *i* of the page is bit *i* mod 8 of byte *i* / 8, which is also what little-endian
    /// words of any size are. Those that are set lie in two runs or more.
    Bits(&'a [u8; PAGE_BYTES]),
}

/// A page that shares its bytes with its clones until one of them is written to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Page {
    Empty,
    Full,
    /// Where it starts and ends; both are at most [`BITS`].
    Run(u16, u16),
    Bits(Arc<Bits>),
}

/// Bytes with some bits set, and their number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bits {
    ones: u32,
    /// In how many runs they lie.
    runs: u32,
    bytes: [u8; PAGE_BYTES],
}

impl Page {
    /// A page with these bytes, in its smallest form.
    pub(crate) fn from_bytes(bytes: &[u8; PAGE_BYTES]) -> Self {
        let bits = Bits::new(*bytes);
        bits.smaller().unwrap_or_else(|| Self::Bits(Arc::new(bits)))
    }

    /// The page with these bits set and no others.
    fn run(start: u32, end: u32) -> Self {
        match (u16::try_from(start), u16::try_from(end)) {
            _ if start >= end => Self::Empty,
            _ if start == 0 && end >= BITS => Self::Full,
            (Ok(start), Ok(end)) => Self::Run(start, end),
            _ => Self::Empty, // nothing past the end is set
        }
    }

    pub(crate) fn view(&self) -> PageRef<'_> {
        match self {
            Self::Empty => PageRef::Empty,
            Self::Full => PageRef::Full,
            Self::Run(start, end) => PageRef::Run {
                start: (*start).into(),
                end: (*end).into(),
            },
            Self::Bits(bits) => PageRef::Bits(&bits.bytes),
        }
    }

    /// Number of bits that are set.
    pub(crate) fn ones(&self) -> u32 {
        match self {
            Self::Empty => 0,
            Self::Full => BITS,
            Self::Run(start, end) => u32::from(*end - *start),
            Self::Bits(bits) => bits.ones,
        }
    }

    /// Whether it takes memory of its own.
    pub(crate) fn has_bytes(&self) -> bool {
        matches!(self, Self::Bits(_))
    }

    /// Whether both hold the very same memory, or none and the same bits.
    pub(crate) fn shares(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Bits(a), Self::Bits(b)) => Arc::ptr_eq(a, b),
            (Self::Bits(_), _) | (_, Self::Bits(_)) => false,
            (own, other) => own == other,
        }
    }

    /// Whether the bits lie in so many runs that no change of one makes them a single run.
    pub(crate) fn is_ragged(&self) -> bool {
        matches!(self, Self::Bits(bits) if bits.runs > 2)
    }

    /// Changes one bit of a page that is [ragged](Self::is_ragged).
    pub(crate) fn flip(&mut self, offset: u32) {
        if let Self::Bits(shared) = self {
            Arc::make_mut(shared).flip(offset);
        }
    }

    /// Sets or unsets the bits from `from` up to `to`.
    pub(crate) fn fill(&mut self, value: bool, from: u32, to: u32) {
        if from >= to {
            return;
        }
        if from == 0 && to >= BITS {
            *self = if value { Self::Full } else { Self::Empty };
            return;
        }
        let shared = match self {
            Self::Bits(shared) => shared,
            Self::Empty => return self.fill_run((0, 0), value, from, to),
            Self::Full => return self.fill_run((0, BITS), value, from, to),
            Self::Run(start, end) => {
                let run = ((*start).into(), (*end).into());
                return self.fill_run(run, value, from, to);
            }
        };
        if shared.view().count(from, to) == if value { to - from } else { 0 } {
            return;
        }
        let bits = Arc::make_mut(shared);
        bits.fill(value, from, to);
        if let Some(smaller) = bits.smaller() {
            *self = smaller;
        }
    }

    /// As [`fill`](Self::fill), where the page is one run, or empty.
    fn fill_run(&mut self, (start, end): (u32, u32), value: bool, from: u32, to: u32) {
        let apart = to < start || end < from;
        *self = match value {
            true if start == end => Self::run(from, to),
            true if !apart => Self::run(start.min(from), end.max(to)),
            false if apart => return,
            false if from <= start => Self::run(start.max(to), end),
            false if to >= end => Self::run(start, end.min(from)),
            _ => {
                let mut bits = Bits::all(false);
                bits.fill(true, start, end);
                bits.fill(value, from, to);
                Self::Bits(Arc::new(bits))
            }
        };
    }

    /// Replaces the 32 bits from `32 * word` on, for each of `words`. What passes the end is left out.
    pub(crate) fn write_words(&mut self, word: usize, words: &[u32]) {
        let mut bytes = self.view().to_bytes();
        let (slots, _) = bytes.as_chunks_mut::<4>();
        for (slot, word) in slots.iter_mut().skip(word).zip(words) {
            *slot = word.to_le_bytes();
        }
        *self = Self::from_bytes(&bytes);
    }
}

impl Bits {
    fn new(bytes: [u8; PAGE_BYTES]) -> Self {
        let (mut ones, mut runs, mut before) = (0, 0, 0);
        for word in bytes.as_chunks::<8>().0 {
            let word = u64::from_le_bytes(*word);
            ones += word.count_ones();
            runs += rises(word, before);
            before = word;
        }
        Self { ones, runs, bytes }
    }

    fn all(value: bool) -> Self {
        Self::new([if value { 0xff } else { 0 }; PAGE_BYTES])
    }

    fn view(&self) -> PageRef<'_> {
        PageRef::Bits(&self.bytes)
    }

    /// The form that takes no bytes, where there is one.
    fn smaller(&self) -> Option<Page> {
        if self.runs > 1 {
            return None;
        }
        let start = self.view().first(true, 0).unwrap_or(BITS);
        Some(Page::run(start, start + self.ones))
    }

    fn flip(&mut self, offset: u32) {
        let near = |at: Option<u32>| u32::from(at.is_some_and(|at| self.view().get(at)));
        let beside = near(offset.checked_sub(1)) + near(offset.checked_add(1));
        let Some(byte) = self.bytes.get_mut(offset as usize / 8) else {
            return;
        };
        let bit = 1 << (offset % 8);
        *byte ^= bit;
        if *byte & bit != 0 {
            self.ones += 1;
            self.runs = self.runs + 1 - beside;
        } else {
            self.ones -= 1;
            self.runs = self.runs + beside - 1;
        }
    }

    fn fill(&mut self, value: bool, from: u32, to: u32) {
        let (words, _) = self.bytes.as_chunks_mut::<8>();
        let first = word_of(from);
        let before = first.checked_sub(1).and_then(|at| words.get(at));
        let before = before.map_or(0, |word| u64::from_le_bytes(*word));
        let (mut was, mut is) = (before, before);
        let mut slots = words.iter_mut().skip(first);
        for (mask, slot) in masks(from, to).zip(&mut slots) {
            let word = u64::from_le_bytes(*slot);
            let filled = if value { word | mask } else { word & !mask };
            *slot = filled.to_le_bytes();
            self.ones = self.ones + filled.count_ones() - word.count_ones();
            self.runs = self.runs + rises(filled, is) - rises(word, was);
            (was, is) = (word, filled);
        }
        if let Some(after) = slots.next() {
            let after = u64::from_le_bytes(*after);
            self.runs = self.runs + rises(after, is) - rises(after, was);
        }
    }
}

/// How many runs start in a word, given the word before it.
fn rises(word: u64, before: u64) -> u32 {
    let shifted = word << 1 | before >> (WORD_BITS - 1);
    (word & !shifted).count_ones()
}

impl PageRef<'_> {
    /// The page as bytes: bit *i* is bit *i* mod 8 of byte *i* / 8.
    #[must_use]
    pub fn to_bytes(self) -> [u8; PAGE_BYTES] {
        match self {
            Self::Empty => [0; PAGE_BYTES],
            Self::Full => [0xff; PAGE_BYTES],
            Self::Run { start, end } => {
                let mut bits = Bits::all(false);
                bits.fill(true, start, end);
                bits.bytes
            }
            Self::Bits(bytes) => *bytes,
        }
    }

    /// Whether the bit at `offset` is set.
    pub(crate) fn get(self, offset: u32) -> bool {
        let word = self.word(word_of(offset));
        word >> (offset % WORD_BITS) & 1 == 1
    }

    /// Number of set bits from `from` up to `to`.
    pub(crate) fn count(self, from: u32, to: u32) -> u32 {
        match self {
            Self::Empty => 0,
            Self::Full => to.saturating_sub(from),
            Self::Run { start, end } => to.min(end).saturating_sub(from.max(start)),
            Self::Bits(bytes) => {
                let (words, _) = bytes.as_chunks::<8>();
                let masked = words.iter().skip(word_of(from)).zip(masks(from, to));
                masked
                    .map(|(word, mask)| (u64::from_le_bytes(*word) & mask).count_ones())
                    .sum()
            }
        }
    }

    /// The first bit at or after `from` with this value.
    pub(crate) fn first(self, value: bool, from: u32) -> Option<u32> {
        match self {
            Self::Empty => (!value && from < BITS).then_some(from),
            Self::Full => (value && from < BITS).then_some(from),
            Self::Run { start, end } => match (value, (start..end).contains(&from)) {
                (true, _) => (from < end).then(|| from.max(start)),
                (false, true) => (end < BITS).then_some(end),
                (false, false) => (from < BITS).then_some(from),
            },
            Self::Bits(bytes) => {
                let flip = if value { 0 } else { u64::MAX };
                first_word(words_from(bytes, from).map(|word| word ^ flip), from)
            }
        }
    }

    /// The last bit at or before `upto` with this value.
    pub(crate) fn last(self, value: bool, upto: u32) -> Option<u32> {
        match self {
            Self::Empty => (!value).then_some(upto),
            Self::Full => value.then_some(upto),
            Self::Run { start, end } => match (value, (start..end).contains(&upto)) {
                (true, _) => (upto >= start).then(|| upto.min(end - 1)),
                (false, true) => start.checked_sub(1),
                (false, false) => Some(upto),
            },
            Self::Bits(bytes) => last_word(bytes, value, upto),
        }
    }

    /// The first bit at or after `from` that is set here and has value `other_has` in `other`.
    pub(crate) fn first_with(self, other: PageRef<'_>, other_has: bool, from: u32) -> Option<u32> {
        match (self, other) {
            (Self::Empty, _) => None,
            (Self::Full, _) => other.first(other_has, from),
            (Self::Run { start, end }, _) => {
                let found = other.first(other_has, from.max(start));
                found.filter(|at| *at < end)
            }
            (_, PageRef::Empty) if other_has => None,
            (_, PageRef::Full) if !other_has => None,
            (_, PageRef::Empty | PageRef::Full) => self.first(true, from),
            (_, PageRef::Run { start, end }) if other_has => {
                let found = self.first(true, from.max(start));
                found.filter(|at| *at < end)
            }
            (_, PageRef::Run { start, end }) => {
                let found = self.first(true, from)?;
                if (start..end).contains(&found) {
                    return self.first(true, end);
                }
                Some(found)
            }
            (Self::Bits(own), PageRef::Bits(other)) => {
                let flip = if other_has { 0 } else { u64::MAX };
                let pairs = words_from(own, from).zip(words_from(other, from));
                first_word(pairs.map(|(own, other)| own & (other ^ flip)), from)
            }
        }
    }

    /// The 32 bits from `32 * at` on.
    pub(crate) fn word32(self, at: usize) -> u32 {
        let word = self.word(at / 2).to_le_bytes();
        let half = word.as_chunks::<4>().0.get(at % 2);
        half.map_or(0, |half| u32::from_le_bytes(*half))
    }

    fn word(self, at: usize) -> u64 {
        match self {
            Self::Empty => 0,
            Self::Full => u64::MAX,
            Self::Run { start, end } => {
                let base = u32::try_from(at).unwrap_or(u32::MAX);
                let base = base.saturating_mul(WORD_BITS);
                let [low, high] = [start, end].map(|bit| bit.saturating_sub(base).min(WORD_BITS));
                let below = |bit| 1u64.checked_shl(bit).map_or(u64::MAX, |one| one - 1);
                below(high) & !below(low)
            }
            Self::Bits(bytes) => bytes
                .as_chunks::<8>()
                .0
                .get(at)
                .map_or(0, |word| u64::from_le_bytes(*word)),
        }
    }
}

/// The last bit at or before `upto` with this value.
fn last_word(bytes: &[u8; PAGE_BYTES], value: bool, upto: u32) -> Option<u32> {
    let flip = if value { 0 } else { u64::MAX };
    let (words, _) = bytes.as_chunks::<8>();
    let mut mask = u64::MAX >> (WORD_BITS - 1 - upto % WORD_BITS);
    let mut base = upto - upto % WORD_BITS;
    for word in words.iter().take(word_of(upto) + 1).rev() {
        let found = (u64::from_le_bytes(*word) ^ flip) & mask;
        if let Some(bit) = found.checked_ilog2() {
            return Some(base + bit);
        }
        base = base.saturating_sub(WORD_BITS);
        mask = u64::MAX;
    }
    None
}

/// The words from the one that the bit at `from` is in.
fn words_from(bytes: &[u8; PAGE_BYTES], from: u32) -> impl Iterator<Item = u64> + '_ {
    let words = bytes
        .as_chunks::<8>()
        .0
        .get(word_of(from)..)
        .unwrap_or_default();
    words.iter().map(|word| u64::from_le_bytes(*word))
}

/// The first set bit at or after `from` in words of which the first holds that bit.
fn first_word(words: impl Iterator<Item = u64>, from: u32) -> Option<u32> {
    let mut base = from - from % WORD_BITS;
    let mut mask = u64::MAX << (from % WORD_BITS);
    for word in words {
        let found = word & mask;
        if found != 0 {
            return Some(base + found.trailing_zeros());
        }
        base += WORD_BITS;
        mask = u64::MAX;
    }
    None
}

/// One mask for each word that the bits from `from` up to `to` touch.
fn masks(from: u32, to: u32) -> impl Iterator<Item = u64> {
    let mut at = from;
    core::iter::from_fn(move || {
        if at >= to {
            return None;
        }
        let low = at % WORD_BITS;
        let len = (WORD_BITS - low).min(to - at);
        at += len;
        Some((u64::MAX >> (WORD_BITS - len)) << low)
    })
}

fn word_of(offset: u32) -> usize {
    (offset / WORD_BITS) as usize
}
