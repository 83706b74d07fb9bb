//! The two traits, and the four ways to run them. Knows no concrete type.

use alloc::vec;
use alloc::vec::Vec;

use crate::{DecodeError, DecodeErrorKind, Reader, Writer};

/// A value with a compact encoding.
pub trait Encode {
    /// Exact number of bytes that [`encode`](Self::encode) writes.
    fn encoded_len(&self) -> usize;

    /// Writes exactly [`encoded_len`](Self::encoded_len) bytes.
    fn encode(&self, writer: &mut Writer<'_>);
}

/// A value that can be read back, borrowing from the input where it can.
pub trait Decode<'a>: Sized {
    /// Reads one value.
    ///
    /// # Errors
    /// [`DecodeError`] says what was wrong and where; the reader's position is then unspecified.
    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError>;
}

impl<T: Encode + ?Sized> Encode for &T {
    fn encoded_len(&self) -> usize {
        (**self).encoded_len()
    }

    fn encode(&self, writer: &mut Writer<'_>) {
        (**self).encode(writer);
    }
}

/// Encodes a value into a vector of exactly its size.
#[must_use]
pub fn encode_to_vec<T: Encode + ?Sized>(value: &T) -> Vec<u8> {
    let mut bytes = vec![0; value.encoded_len()];
    let mut writer = Writer::new(&mut bytes);
    value.encode(&mut writer);
    debug_assert!(
        writer.is_full(),
        "encoded_len is longer than what encode wrote"
    );
    bytes
}

/// Decodes a value that must fill its input.
///
/// # Errors
/// What [`Decode::decode`] returns, or [`DecodeErrorKind::Trailing`] where bytes are left.
pub fn decode_exact<'a, T: Decode<'a>>(bytes: &'a [u8]) -> Result<T, DecodeError> {
    let mut reader = Reader::new(bytes);
    let value = T::decode(&mut reader)?;
    if reader.is_empty() {
        Ok(value)
    } else {
        Err(reader.error(DecodeErrorKind::Trailing))
    }
}

/// Decodes a value from the front of its input and returns what follows it.
///
/// # Errors
/// What [`Decode::decode`] returns.
pub fn decode_prefix<'a, T: Decode<'a>>(bytes: &'a [u8]) -> Result<(T, &'a [u8]), DecodeError> {
    let mut reader = Reader::new(bytes);
    let value = T::decode(&mut reader)?;
    Ok((value, reader.rest()))
}
