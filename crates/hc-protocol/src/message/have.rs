//! The layouts of bitfield and range, which say what the sender has.

use alloc::vec::Vec;

use hc_encoding::{Decode, DecodeError, DecodeErrorKind, Encode, Reader, Writer, uint_len};

use super::limits::MAX_BITFIELD_WORDS;
use super::{Bitfield, Range};

const WORD_LEN: usize = size_of::<u32>();
/// The blocks are gone.
const DROP: u64 = 1;
/// The run is one block long, and its length is left out.
const SINGLE: u64 = 2;

impl Encode for Bitfield {
    fn encoded_len(&self) -> usize {
        let words = self.words.len();
        uint_len(self.start) + uint_len(words as u64) + words * WORD_LEN
    }

    fn encode(&self, writer: &mut Writer<'_>) {
        writer.uint(self.start);
        writer.uint(self.words.len() as u64);
        for word in &self.words {
            writer.raw(&word.to_le_bytes());
        }
    }
}

impl<'a> Decode<'a> for Bitfield {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let start = reader.uint()?;
        let too_long = reader.error(DecodeErrorKind::TooLong);
        let count = reader.array_len(WORD_LEN)?;
        if count > MAX_BITFIELD_WORDS {
            return Err(too_long);
        }
        let (words, _) = reader.raw(count * WORD_LEN)?.as_chunks::<WORD_LEN>();
        let words: Vec<u32> = words.iter().copied().map(u32::from_le_bytes).collect();
        Ok(Self { start, words })
    }
}

impl Encode for Range {
    fn encoded_len(&self) -> usize {
        1 + uint_len(self.start)
            + if self.length == 1 {
                0
            } else {
                uint_len(self.length)
            }
    }

    fn encode(&self, writer: &mut Writer<'_>) {
        let single = self.length == 1;
        writer.uint(if self.drop { DROP } else { 0 } | if single { SINGLE } else { 0 });
        writer.uint(self.start);
        if !single {
            writer.uint(self.length);
        }
    }
}

impl<'a> Decode<'a> for Range {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let flags = reader.uint()?;
        Ok(Self {
            drop: flags & DROP != 0,
            start: reader.uint()?,
            length: if flags & SINGLE == 0 {
                reader.uint()?
            } else {
                1
            },
        })
    }
}
