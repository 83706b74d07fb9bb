//! Integers of a fixed width, floating point numbers, truth values and nothing at all.

use crate::{Decode, DecodeError, Encode, Reader, Writer, zigzag_decode, zigzag_encode};

/// An unsigned integer in exactly `BYTES` bytes (1 to 8), least significant first: `uint8` to
/// `uint64`, `port` and `biguint64` of the reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UintLe<const BYTES: usize>(u64);

/// An unsigned integer in exactly `BYTES` bytes (1 to 8), most significant first: `uint32be` and
/// `uint64be` of the reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UintBe<const BYTES: usize>(u64);

/// A signed integer in zigzag form in exactly `BYTES` bytes (1 to 8), least significant first: `int8`
/// to `int64` and `bigint64` of the reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IntLe<const BYTES: usize>(i64);

/// The largest integer of `BYTES` bytes.
const fn max<const BYTES: usize>() -> u64 {
    const { assert!(1 <= BYTES && BYTES <= 8, "an integer has 1 to 8 bytes") };
    u64::MAX >> (64 - 8 * BYTES)
}

impl<const BYTES: usize> UintLe<BYTES> {
    /// The integer, if it fits.
    #[must_use]
    pub const fn new(value: u64) -> Option<Self> {
        if value <= max::<BYTES>() {
            Some(Self(value))
        } else {
            None
        }
    }

    /// The integer.
    #[must_use]
    pub const fn value(self) -> u64 {
        self.0
    }
}

impl<const BYTES: usize> UintBe<BYTES> {
    /// The integer, if it fits.
    #[must_use]
    pub const fn new(value: u64) -> Option<Self> {
        if value <= max::<BYTES>() {
            Some(Self(value))
        } else {
            None
        }
    }

    /// The integer.
    #[must_use]
    pub const fn value(self) -> u64 {
        self.0
    }
}

impl<const BYTES: usize> IntLe<BYTES> {
    /// The integer, if it fits.
    #[must_use]
    pub const fn new(value: i64) -> Option<Self> {
        if zigzag_encode(value) <= max::<BYTES>() {
            Some(Self(value))
        } else {
            None
        }
    }

    /// The integer.
    #[must_use]
    pub const fn value(self) -> i64 {
        self.0
    }
}

impl<const BYTES: usize> Encode for UintLe<BYTES> {
    fn encoded_len(&self) -> usize {
        BYTES
    }

    fn encode(&self, writer: &mut Writer<'_>) {
        self.0
            .to_le_bytes()
            .iter()
            .take(BYTES)
            .for_each(|byte| writer.u8(*byte));
    }
}

impl<'a, const BYTES: usize> Decode<'a> for UintLe<BYTES> {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        const { assert!(1 <= BYTES && BYTES <= 8, "an integer has 1 to 8 bytes") };
        let bytes = reader.raw(BYTES)?;
        Ok(Self(
            bytes
                .iter()
                .rev()
                .fold(0, |value, byte| value << 8 | u64::from(*byte)),
        ))
    }
}

impl<const BYTES: usize> Encode for UintBe<BYTES> {
    fn encoded_len(&self) -> usize {
        BYTES
    }

    fn encode(&self, writer: &mut Writer<'_>) {
        self.0
            .to_be_bytes()
            .iter()
            .skip(8 - BYTES)
            .for_each(|byte| writer.u8(*byte));
    }
}

impl<'a, const BYTES: usize> Decode<'a> for UintBe<BYTES> {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        const { assert!(1 <= BYTES && BYTES <= 8, "an integer has 1 to 8 bytes") };
        let bytes = reader.raw(BYTES)?;
        Ok(Self(
            bytes
                .iter()
                .fold(0, |value, byte| value << 8 | u64::from(*byte)),
        ))
    }
}

impl<const BYTES: usize> Encode for IntLe<BYTES> {
    fn encoded_len(&self) -> usize {
        BYTES
    }

    fn encode(&self, writer: &mut Writer<'_>) {
        UintLe::<BYTES>(zigzag_encode(self.0)).encode(writer);
    }
}

impl<'a, const BYTES: usize> Decode<'a> for IntLe<BYTES> {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self(zigzag_decode(UintLe::<BYTES>::decode(reader)?.0)))
    }
}

impl Encode for f32 {
    fn encoded_len(&self) -> usize {
        size_of::<Self>()
    }

    fn encode(&self, writer: &mut Writer<'_>) {
        writer.raw(&self.to_le_bytes());
    }
}

impl<'a> Decode<'a> for f32 {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self::from_le_bytes(reader.array()?))
    }
}

impl Encode for f64 {
    fn encoded_len(&self) -> usize {
        size_of::<Self>()
    }

    fn encode(&self, writer: &mut Writer<'_>) {
        writer.raw(&self.to_le_bytes());
    }
}

impl<'a> Decode<'a> for f64 {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self::from_le_bytes(reader.array()?))
    }
}

impl Encode for bool {
    fn encoded_len(&self) -> usize {
        1
    }

    fn encode(&self, writer: &mut Writer<'_>) {
        writer.u8((*self).into());
    }
}

/// Only 1 is true; every other byte is false, as in the reference.
impl<'a> Decode<'a> for bool {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(reader.u8()? == 1)
    }
}

/// `none` of the reference: no bytes.
impl Encode for () {
    fn encoded_len(&self) -> usize {
        0
    }

    fn encode(&self, _: &mut Writer<'_>) {}
}

impl<'a> Decode<'a> for () {
    fn decode(_: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(())
    }
}
