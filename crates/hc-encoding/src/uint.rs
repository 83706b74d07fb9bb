//! Variable-length integers: 1, 3, 5 or 9 bytes, little-endian, with zigzag for signed ones; and dates,
//! which are such.

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

/// `uint` of the reference.
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

/// `int` of the reference: the zigzag form as an unsigned integer.
impl Encode for i64 {
    fn encoded_len(&self) -> usize {
        uint_len(zigzag_encode(*self))
    }

    fn encode(&self, writer: &mut Writer<'_>) {
        writer.uint(zigzag_encode(*self));
    }
}

impl<'a> Decode<'a> for i64 {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.uint().map(zigzag_decode)
    }
}

/// A moment, in milliseconds since the start of 1970 in UTC (`date`), in zigzag form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DateMillis(pub i64);

impl Encode for DateMillis {
    fn encoded_len(&self) -> usize {
        self.0.encoded_len()
    }

    fn encode(&self, writer: &mut Writer<'_>) {
        self.0.encode(writer);
    }
}

impl<'a> Decode<'a> for DateMillis {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        i64::decode(reader).map(Self)
    }
}
