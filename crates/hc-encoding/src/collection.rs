//! Many values: arrays, records, frames. Room is made for what the input can hold, whatever number of
//! entries it declares.

use alloc::vec::Vec;

use crate::bytes::buffer_len;
use crate::uint::uint_len;
use crate::{Decode, DecodeError, DecodeErrorKind, Encode, Reader, Writer};

/// `array` of the reference: the number of entries, then each.
impl<T: Encode> Encode for [T] {
    fn encoded_len(&self) -> usize {
        uint_len(self.len() as u64) + entries_len(self)
    }

    fn encode(&self, writer: &mut Writer<'_>) {
        writer.uint(self.len() as u64);
        self.iter().for_each(|entry| entry.encode(writer));
    }
}

impl<T: Encode> Encode for Vec<T> {
    fn encoded_len(&self) -> usize {
        self.as_slice().encoded_len()
    }

    fn encode(&self, writer: &mut Writer<'_>) {
        self.as_slice().encode(writer);
    }
}

impl<'a, T: Decode<'a>> Decode<'a> for Vec<T> {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        decode_entries(reader, T::decode)
    }
}

/// Entries without their number, up to the end of the input (`raw.array`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entries<T>(pub Vec<T>);

impl<T: Encode> Encode for Entries<T> {
    fn encoded_len(&self) -> usize {
        entries_len(&self.0)
    }

    fn encode(&self, writer: &mut Writer<'_>) {
        self.0.iter().for_each(|entry| entry.encode(writer));
    }
}

impl<'a, T: Decode<'a>> Decode<'a> for Entries<T> {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let mut entries = Vec::new();
        while !reader.is_empty() {
            let before = reader.position();
            entries.push(T::decode(reader)?);
            if reader.position() == before {
                // An entry without bytes would repeat for ever.
                return Err(reader.error(DecodeErrorKind::Invalid));
            }
        }
        Ok(Self(entries))
    }
}

/// Keys with values, their number before them (`record`), in the order in which they are written; a
/// key may come twice.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Record<K, V>(pub Vec<(K, V)>);

impl<K: Encode, V: Encode> Encode for Record<K, V> {
    fn encoded_len(&self) -> usize {
        let entries = self
            .0
            .iter()
            .map(|(key, value)| key.encoded_len() + value.encoded_len());
        uint_len(self.0.len() as u64) + entries.sum::<usize>()
    }

    fn encode(&self, writer: &mut Writer<'_>) {
        writer.uint(self.0.len() as u64);
        for (key, value) in &self.0 {
            key.encode(writer);
            value.encode(writer);
        }
    }
}

impl<'a, K: Decode<'a>, V: Decode<'a>> Decode<'a> for Record<K, V> {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        decode_entries(reader, |reader| {
            Ok((K::decode(reader)?, V::decode(reader)?))
        })
        .map(Self)
    }
}

/// A value with the number of its bytes before it (`frame`). Bytes that the value leaves over are
/// skipped, so that later versions may add some.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Frame<T>(pub T);

impl<T: Encode> Encode for Frame<T> {
    fn encoded_len(&self) -> usize {
        buffer_len(self.0.encoded_len())
    }

    fn encode(&self, writer: &mut Writer<'_>) {
        writer.uint(self.0.encoded_len() as u64);
        self.0.encode(writer);
    }
}

impl<'a, T: Decode<'a>> Decode<'a> for Frame<T> {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        T::decode(&mut reader.frame()?).map(Self)
    }
}

/// Numbers of one machine type, their number before them, each as it is in memory on a little-endian
/// machine (`uint8array` to `float64array`); signed ones are in two's complement, not zigzag.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Packed<T>(pub Vec<T>);

/// A number that [`Packed`] holds.
pub trait PackedNumber: Copy + private::Sealed {
    /// Its little-endian bytes.
    type Bytes: AsRef<[u8]>;

    #[doc(hidden)]
    fn to_le(self) -> Self::Bytes;

    #[doc(hidden)]
    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError>;
}

mod private {
    pub trait Sealed {}
}

macro_rules! packed_number {
    ($($number:ty),*) => {$(
        impl private::Sealed for $number {}

        impl PackedNumber for $number {
            type Bytes = [u8; size_of::<$number>()];

            fn to_le(self) -> Self::Bytes {
                self.to_le_bytes()
            }

            fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
                reader.array().map(Self::from_le_bytes)
            }
        }
    )*};
}

packed_number!(u8, u16, u32, u64, i8, i16, i32, i64, f32, f64);

impl<T: PackedNumber> Encode for Packed<T> {
    fn encoded_len(&self) -> usize {
        uint_len(self.0.len() as u64) + self.0.len() * size_of::<T>()
    }

    fn encode(&self, writer: &mut Writer<'_>) {
        writer.uint(self.0.len() as u64);
        self.0
            .iter()
            .for_each(|number| writer.raw(number.to_le().as_ref()));
    }
}

impl<'a, T: PackedNumber> Decode<'a> for Packed<T> {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let truncated = reader.error(DecodeErrorKind::Truncated);
        let len = usize::try_from(reader.uint()?).map_err(|_| truncated)?;
        if len > reader.remaining() / size_of::<T>() {
            return Err(truncated);
        }
        (0..len)
            .map(|_| T::read(reader))
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

fn entries_len<T: Encode>(entries: &[T]) -> usize {
    entries.iter().map(Encode::encoded_len).sum()
}

fn decode_entries<'a, T>(
    reader: &mut Reader<'a>,
    mut decode: impl FnMut(&mut Reader<'a>) -> Result<T, DecodeError>,
) -> Result<Vec<T>, DecodeError> {
    let len = reader.array_len(0)?;
    let mut entries = Vec::with_capacity(len.min(reader.remaining() / size_of::<T>().max(1)));
    for _ in 0..len {
        entries.push(decode(reader)?);
    }
    Ok(entries)
}
