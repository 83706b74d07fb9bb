//! Byte strings: with a length before them, of a fixed length, or up to the end.

use alloc::vec::Vec;

use bytes::Bytes;

use crate::uint::uint_len;
use crate::{Decode, DecodeError, DecodeErrorKind, Encode, Reader, Writer};

/// Bytes a byte string of `len` bytes takes with its length before it.
#[must_use]
pub const fn buffer_len(len: usize) -> usize {
    uint_len(len as u64) + len
}

/// `buffer` of the reference, and what its `hex` and `base64` are in memory: the text form of those is
/// for people and never travels.
impl Encode for [u8] {
    fn encoded_len(&self) -> usize {
        buffer_len(self.len())
    }

    fn encode(&self, writer: &mut Writer<'_>) {
        writer.buffer(self);
    }
}

impl<'a> Decode<'a> for &'a [u8] {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.buffer()
    }
}

impl Encode for Bytes {
    fn encoded_len(&self) -> usize {
        buffer_len(self.len())
    }

    fn encode(&self, writer: &mut Writer<'_>) {
        writer.buffer(self);
    }
}

/// Shares memory with what the reader was made [`over`](Reader::over).
impl<'a> Decode<'a> for Bytes {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.shared()
    }
}

/// `optionalBuffer` of the reference: nothing is written as the empty byte string is, and read back
/// for it.
impl Encode for Option<&[u8]> {
    fn encoded_len(&self) -> usize {
        self.unwrap_or_default().encoded_len()
    }

    fn encode(&self, writer: &mut Writer<'_>) {
        writer.buffer(self.unwrap_or_default());
    }
}

impl<'a> Decode<'a> for Option<&'a [u8]> {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader
            .buffer()
            .map(|bytes| Some(bytes).filter(|bytes| !bytes.is_empty()))
    }
}

/// `fixed(n)` of the reference: the bytes alone.
impl<const N: usize> Encode for [u8; N] {
    fn encoded_len(&self) -> usize {
        N
    }

    fn encode(&self, writer: &mut Writer<'_>) {
        writer.raw(self);
    }
}

impl<'a, const N: usize> Decode<'a> for [u8; N] {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.array()
    }
}

/// Bytes without a length, up to the end of the input (`raw`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Raw<'a>(pub &'a [u8]);

impl Encode for Raw<'_> {
    fn encoded_len(&self) -> usize {
        self.0.len()
    }

    fn encode(&self, writer: &mut Writer<'_>) {
        writer.raw(self.0);
    }
}

impl<'a> Decode<'a> for Raw<'a> {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.raw(reader.remaining()).map(Self)
    }
}

/// Truth values, eight to a byte, with their number before them (`bitarray`): bit *i* is bit *i* mod 8
/// of byte *i* / 8. Borrowed, so that reading one takes no memory.
#[derive(Debug, Clone, Copy)]
pub struct BitArray<'a> {
    len: usize,
    bytes: &'a [u8],
}

impl<'a> BitArray<'a> {
    /// The first `len` bits of `bytes`, if that is where the last byte ends.
    #[must_use]
    pub fn new(bytes: &'a [u8], len: usize) -> Option<Self> {
        (bytes.len() == len.div_ceil(8)).then_some(Self { len, bytes })
    }

    /// The bytes of some bits.
    #[must_use]
    pub fn pack(bits: &[bool]) -> Vec<u8> {
        let pack_byte = |bits: &[bool]| {
            bits.iter()
                .rev()
                .fold(0, |byte, bit| byte << 1 | u8::from(*bit))
        };
        bits.chunks(8).map(pack_byte).collect()
    }

    /// Number of bits.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The bits in order.
    pub fn iter(&self) -> impl Iterator<Item = bool> + 'a {
        self.bytes
            .iter()
            .flat_map(|byte| (0..8).map(move |i| byte >> i & 1 == 1))
            .take(self.len)
    }
}

impl PartialEq for BitArray<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && self.iter().eq(other.iter())
    }
}

impl Eq for BitArray<'_> {}

impl Encode for BitArray<'_> {
    fn encoded_len(&self) -> usize {
        uint_len(self.len as u64) + self.bytes.len()
    }

    fn encode(&self, writer: &mut Writer<'_>) {
        writer.uint(self.len as u64);
        if let Some((last, bytes)) = self.bytes.split_last() {
            writer.raw(bytes);
            // What is past the last bit is 0 on the wire.
            writer.u8(last & (0xff >> (self.bytes.len() * 8 - self.len)));
        }
    }
}

impl<'a> Decode<'a> for BitArray<'a> {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let truncated = reader.error(DecodeErrorKind::Truncated);
        let len = usize::try_from(reader.uint()?).map_err(|_| truncated)?;
        Ok(Self {
            len,
            bytes: reader.raw(len.div_ceil(8))?,
        })
    }
}
