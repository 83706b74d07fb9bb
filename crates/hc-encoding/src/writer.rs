//! A cursor over a buffer of exactly the right size. Knows nothing of who sized it.

use crate::uint::uint_len;

/// Writes compact-encoded items into a borrowed buffer, front to back.
///
/// The buffer must have been sized with [`Encode::encoded_len`](crate::Encode::encoded_len). Writing
/// past its end is a bug of the encoder and panics; it cannot be caused by remote input.
#[derive(Debug)]
pub struct Writer<'a> {
    buffer: &'a mut [u8],
    at: usize,
}

impl<'a> Writer<'a> {
    /// A writer at the start of `buffer`.
    pub fn new(buffer: &'a mut [u8]) -> Self {
        Self { buffer, at: 0 }
    }

    /// Bytes written so far.
    #[must_use]
    pub fn position(&self) -> usize {
        self.at
    }

    /// Whether the buffer has been filled to its end.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.at == self.buffer.len()
    }

    /// Writes bytes as they are, without a length before them.
    pub fn raw(&mut self, bytes: &[u8]) {
        let end = self.at + bytes.len();
        self.buffer[self.at..end].copy_from_slice(bytes);
        self.at = end;
    }

    /// Writes one byte.
    pub fn u8(&mut self, value: u8) {
        self.raw(&[value]);
    }

    /// Writes a variable-length unsigned integer: 1, 3, 5 or 9 bytes.
    pub fn uint(&mut self, value: u64) {
        let le = value.to_le_bytes();
        match uint_len(value) {
            1 => self.raw(&le[..1]),
            3 => {
                self.u8(0xfd);
                self.raw(&le[..2]);
            }
            5 => {
                self.u8(0xfe);
                self.raw(&le[..4]);
            }
            _ => {
                self.u8(0xff);
                self.raw(&le);
            }
        }
    }

    /// Writes a byte string: its length as [`uint`](Self::uint), then the bytes.
    pub fn buffer(&mut self, bytes: &[u8]) {
        self.uint(bytes.len() as u64);
        self.raw(bytes);
    }
}
