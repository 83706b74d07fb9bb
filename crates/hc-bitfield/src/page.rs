//! 32,768 bits: all unset, all set, or 4,096 bytes. Knows nothing of where in a set it stands.
//!
//! Bit *i* is bit *i* mod 8 of byte *i* / 8. Offsets count bits from the start of the page, up to and
//! with [`BITS`] where they end a range.

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
    /// Some are: bit *i* of the page is bit *i* mod 8 of byte *i* / 8, which is also what little-endian
    /// words of any size are. Neither all are set nor none.
    Bits(&'a [u8; PAGE_BYTES]),
}

/// A page that shares its bytes with its clones until one of them is written to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Page {
    Empty,
    Full,
    Bits(Arc<Bits>),
}

/// Bytes with some bits set, and their number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bits {
    ones: u32,
    bytes: [u8; PAGE_BYTES],
}

impl Page {
    /// A page with these bytes, in its smallest form.
    pub(crate) fn from_bytes(bytes: &[u8; PAGE_BYTES]) -> Self {
        Self::settle(Bits {
            ones: ones(bytes),
            bytes: *bytes,
        })
    }

    pub(crate) fn view(&self) -> PageRef<'_> {
        match self {
            Self::Empty => PageRef::Empty,
            Self::Full => PageRef::Full,
            Self::Bits(bits) => PageRef::Bits(&bits.bytes),
        }
    }

    /// Number of bits that are set.
    pub(crate) fn ones(&self) -> u32 {
        match self {
            Self::Empty => 0,
            Self::Full => BITS,
            Self::Bits(bits) => bits.ones,
        }
    }

    /// Whether both hold the very same memory, or none.
    pub(crate) fn shares(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Empty, Self::Empty) | (Self::Full, Self::Full) => true,
            (Self::Bits(a), Self::Bits(b)) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }

    /// Sets or unsets the bits from `from` up to `to`.
    pub(crate) fn fill(&mut self, value: bool, from: u32, to: u32) {
        match (&*self, value) {
            (Self::Full, true) | (Self::Empty, false) => return,
            _ if from >= to => return,
            _ if from == 0 && to >= BITS => {
                *self = if value { Self::Full } else { Self::Empty };
                return;
            }
            (Self::Empty, true) => *self = Self::Bits(Arc::new(Bits::all(false))),
            (Self::Full, false) => *self = Self::Bits(Arc::new(Bits::all(true))),
            (Self::Bits(_), _) => {}
        }
        if let Self::Bits(shared) = self {
            if shared.as_ref().view().count(from, to) == if value { to - from } else { 0 } {
                return;
            }
            let bits = Arc::make_mut(shared);
            bits.fill(value, from, to);
            match bits.ones {
                0 => *self = Self::Empty,
                BITS => *self = Self::Full,
                _ => {}
            }
        }
    }

    /// Replaces the 32 bits from `32 * word` on, for each of `words`. What passes the end is left out.
    pub(crate) fn write_words(&mut self, word: usize, words: &[u32]) {
        let mut bits = match self {
            Self::Empty => Bits::all(false),
            Self::Full => Bits::all(true),
            Self::Bits(bits) => (**bits).clone(),
        };
        let (slots, _) = bits.bytes.as_chunks_mut::<4>();
        for (slot, word) in slots.iter_mut().skip(word).zip(words) {
            *slot = word.to_le_bytes();
        }
        bits.ones = ones(&bits.bytes);
        *self = Self::settle(bits);
    }

    fn settle(bits: Bits) -> Self {
        match bits.ones {
            0 => Self::Empty,
            BITS => Self::Full,
            _ => Self::Bits(Arc::new(bits)),
        }
    }
}

impl Bits {
    fn all(value: bool) -> Self {
        if value {
            Self {
                ones: BITS,
                bytes: [0xff; PAGE_BYTES],
            }
        } else {
            Self {
                ones: 0,
                bytes: [0; PAGE_BYTES],
            }
        }
    }

    fn view(&self) -> PageRef<'_> {
        PageRef::Bits(&self.bytes)
    }

    fn fill(&mut self, value: bool, from: u32, to: u32) {
        let (words, _) = self.bytes.as_chunks_mut::<8>();
        for (slot, mask) in words.iter_mut().skip(word_of(from)).zip(masks(from, to)) {
            let word = u64::from_le_bytes(*slot);
            let filled = if value { word | mask } else { word & !mask };
            *slot = filled.to_le_bytes();
            self.ones = self.ones + filled.count_ones() - word.count_ones();
        }
    }
}

impl PageRef<'_> {
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
            Self::Bits(bytes) => {
                let flip = if value { 0 } else { u64::MAX };
                let (words, _) = bytes.as_chunks::<8>();
                let start = word_of(upto);
                let mut mask = u64::MAX >> (WORD_BITS - 1 - upto % WORD_BITS);
                let mut base = upto - upto % WORD_BITS;
                for word in words.iter().take(start + 1).rev() {
                    let found = (u64::from_le_bytes(*word) ^ flip) & mask;
                    if let Some(bit) = found.checked_ilog2() {
                        return Some(base + bit);
                    }
                    base = base.saturating_sub(WORD_BITS);
                    mask = u64::MAX;
                }
                None
            }
        }
    }

    /// The first bit at or after `from` that is set here and has value `other_has` in `other`.
    pub(crate) fn first_with(self, other: PageRef<'_>, other_has: bool, from: u32) -> Option<u32> {
        match (self, other) {
            (Self::Empty, _) => None,
            (Self::Full, _) => other.first(other_has, from),
            (_, PageRef::Empty) if other_has => None,
            (_, PageRef::Full) if !other_has => None,
            (_, PageRef::Empty | PageRef::Full) => self.first(true, from),
            (Self::Bits(own), PageRef::Bits(other)) => {
                let flip = if other_has { 0 } else { u64::MAX };
                let pairs = words_from(own, from).zip(words_from(other, from));
                first_word(pairs.map(|(own, other)| own & (other ^ flip)), from)
            }
        }
    }

    /// The 32 bits from `32 * at` on.
    pub(crate) fn word32(self, at: usize) -> u32 {
        match self {
            Self::Empty => 0,
            Self::Full => u32::MAX,
            Self::Bits(bytes) => bytes
                .as_chunks::<4>()
                .0
                .get(at)
                .map_or(0, |word| u32::from_le_bytes(*word)),
        }
    }

    fn word(self, at: usize) -> u64 {
        match self {
            Self::Empty => 0,
            Self::Full => u64::MAX,
            Self::Bits(bytes) => bytes
                .as_chunks::<8>()
                .0
                .get(at)
                .map_or(0, |word| u64::from_le_bytes(*word)),
        }
    }
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

fn ones(bytes: &[u8; PAGE_BYTES]) -> u32 {
    bytes
        .as_chunks::<8>()
        .0
        .iter()
        .map(|word| u64::from_le_bytes(*word).count_ones())
        .sum()
}
