//! Variable-length integers: 1, 3, 5 or 9 bytes, little-endian, with zigzag for signed ones.

use crate::{Decode, DecodeError, Encode, Reader, Writer};

/// Bytes that a variable-length unsigned integer takes: 1 below 0xfd, else 3, 5 or 9.
#[must_use]
pub const fn uint_len(value: u64) -> usize {
    match value {
        0..=0xfc => 1,
        0xfd..=0xffff => 3,
        0x1_0000..=0xffff_ffff => 5,
        _ => 9,
    }
}

/// Maps a signed integer to an unsigned one with small magnitudes first: 0, -1, 1, -2, …
#[must_use]
pub const fn zigzag_encode(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

/// Undoes [`zigzag_encode`].
#[must_use]
pub const fn zigzag_decode(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -((value & 1).cast_signed())
}

impl Encode for u64 {
    fn encoded_len(&self) -> usize {
        uint_len(*self)
    }

    fn encode(&self, writer: &mut Writer<'_>) {
        writer.uint(*self);
    }
}

impl<'a> Decode<'a> for u64 {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.uint()
    }
}
