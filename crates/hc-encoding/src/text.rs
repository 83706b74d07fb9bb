//! Strings: a length in bytes, then the text.

use alloc::borrow::Cow;
use alloc::string::String;

use crate::bytes::buffer_len;
use crate::{Decode, DecodeError, DecodeErrorKind, Encode, Reader, Writer};

/// `string`, also named `utf8`, of the reference.
impl Encode for str {
    fn encoded_len(&self) -> usize {
        buffer_len(self.len())
    }

    fn encode(&self, writer: &mut Writer<'_>) {
        writer.buffer(self.as_bytes());
    }
}

/// Refuses bytes that are not UTF-8; the reference takes them, as [`Cow`] does.
impl<'a> Decode<'a> for &'a str {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let invalid = reader.error(DecodeErrorKind::Invalid);
        str::from_utf8(reader.buffer()?).map_err(|_| invalid)
    }
}

/// Replaces what is not UTF-8 by U+FFFD, as the reference does, and borrows where there is none.
impl<'a> Decode<'a> for Cow<'a, str> {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(String::from_utf8_lossy(reader.buffer()?))
    }
}

impl Encode for String {
    fn encoded_len(&self) -> usize {
        self.as_str().encoded_len()
    }

    fn encode(&self, writer: &mut Writer<'_>) {
        self.as_str().encode(writer);
    }
}

/// As of [`Cow`], copied.
impl<'a> Decode<'a> for String {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Cow::decode(reader).map(Cow::into_owned)
    }
}

/// Text of characters below U+0080 only (`ascii`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ascii<'a>(&'a str);

impl<'a> Ascii<'a> {
    /// The text, if it has no other characters.
    #[must_use]
    pub fn new(text: &'a str) -> Option<Self> {
        text.is_ascii().then_some(Self(text))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &'a str {
        self.0
    }
}

impl Encode for Ascii<'_> {
    fn encoded_len(&self) -> usize {
        self.0.encoded_len()
    }

    fn encode(&self, writer: &mut Writer<'_>) {
        self.0.encode(writer);
    }
}

impl<'a> Decode<'a> for Ascii<'a> {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let invalid = reader.error(DecodeErrorKind::Invalid);
        Self::new(<&str>::decode(reader)?).ok_or(invalid)
    }
}

/// Text as UTF-16, the low byte of each unit first (`utf16le`, also named `ucs2`). Half pairs are
/// read as U+FFFD.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Utf16Le(pub String);

impl Utf16Le {
    fn byte_len(&self) -> usize {
        2 * self.0.encode_utf16().count()
    }
}

impl Encode for Utf16Le {
    fn encoded_len(&self) -> usize {
        buffer_len(self.byte_len())
    }

    fn encode(&self, writer: &mut Writer<'_>) {
        writer.uint(self.byte_len() as u64);
        self.0
            .encode_utf16()
            .for_each(|unit| writer.raw(&unit.to_le_bytes()));
    }
}

impl<'a> Decode<'a> for Utf16Le {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let invalid = reader.error(DecodeErrorKind::Invalid);
        let (units, odd) = reader.buffer()?.as_chunks();
        if !odd.is_empty() {
            return Err(invalid);
        }
        let units = units.iter().map(|unit| u16::from_le_bytes(*unit));
        let text =
            char::decode_utf16(units).map(|char| char.unwrap_or(char::REPLACEMENT_CHARACTER));
        Ok(Self(text.collect()))
    }
}
