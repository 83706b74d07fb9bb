//! Reading our own records: front to back, every length checked. Knows no record.

use super::varint;

/// A position in a record. Every method gives `None` where the record ends early or makes no sense.
#[derive(Debug, Clone)]
pub(crate) struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    pub(crate) const fn new(input: &'a [u8]) -> Self {
        Self(input)
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) const fn remaining(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn raw(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub(crate) fn uint(&mut self) -> Option<u64> {
        let (value, read) = varint::take(self.0)?;
        self.raw(read)?;
        Some(value)
    }

    /// Passes over an integer, whatever it is.
    pub(crate) fn skip_uint(&mut self) -> Option<()> {
        let last = self.0.iter().position(|byte| byte & 0x80 == 0)?;
        self.raw(last + 1).map(drop)
    }

    /// A count of entries that take at least `min_len` bytes each, refused where they cannot fit.
    pub(crate) fn count(&mut self, min_len: usize) -> Option<usize> {
        let count = usize::try_from(self.uint()?).ok()?;
        (count.checked_mul(min_len)? <= self.remaining()).then_some(count)
    }

    /// Bytes after their length.
    pub(crate) fn bytes(&mut self) -> Option<&'a [u8]> {
        let len = usize::try_from(self.uint()?).ok()?;
        self.raw(len)
    }
}

/// Appends bytes after their length.
pub(crate) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    varint::put(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}
