//! A cursor over borrowed bytes; every length is checked against what remains.

use bytes::Bytes;

use crate::{DecodeError, DecodeErrorKind, MAX_ARRAY_LEN};

/// Reads compact-encoded items from a borrowed buffer, front to back.
///
/// Made [`over`](Self::over) a [`Bytes`], byte strings can also be taken as [`Bytes`] that share
/// its memory ([`shared`](Self::shared)), without a copy.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    input: &'a [u8],
    at: usize,
    backing: Option<&'a Bytes>,
}

impl<'a> Reader<'a> {
    /// A reader at the start of `input`.
    #[must_use]
    pub fn new(input: &'a [u8]) -> Self {
        Self {
            input,
            at: 0,
            backing: None,
        }
    }

    /// A reader at the start of `backing`, able to hand out parts of it without a copy.
    #[must_use]
    pub fn over(backing: &'a Bytes) -> Self {
        Self {
            input: backing,
            at: 0,
            backing: Some(backing),
        }
    }

    /// Bytes read so far.
    #[must_use]
    pub fn position(&self) -> usize {
        self.at
    }

    /// Bytes left.
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.input.len().saturating_sub(self.at)
    }

    /// Whether nothing is left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.remaining() == 0
    }

    /// Everything that has not been read.
    #[must_use]
    pub fn rest(&self) -> &'a [u8] {
        self.input.get(self.at..).unwrap_or_default()
    }

    /// An error at the present position.
    #[must_use]
    pub fn error(&self, kind: DecodeErrorKind) -> DecodeError {
        DecodeError { at: self.at, kind }
    }

    /// Takes `len` bytes as they are.
    ///
    /// # Errors
    /// [`DecodeErrorKind::Truncated`] where fewer are left.
    pub fn raw(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        let taken = self
            .at
            .checked_add(len)
            .and_then(|end| self.input.get(self.at..end))
            .ok_or(self.error(DecodeErrorKind::Truncated))?;
        self.at += len;
        Ok(taken)
    }

    /// Takes `N` bytes as an array.
    ///
    /// # Errors
    /// [`DecodeErrorKind::Truncated`] where fewer are left.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let mut out = [0; N];
        out.copy_from_slice(self.raw(N)?);
        Ok(out)
    }

    /// Takes one byte.
    ///
    /// # Errors
    /// [`DecodeErrorKind::Truncated`] at the end.
    pub fn u8(&mut self) -> Result<u8, DecodeError> {
        let [byte] = self.array::<1>()?;
        Ok(byte)
    }

    /// Reads a variable-length unsigned integer; longer forms than needed are accepted, as the
    /// reference does.
    ///
    /// # Errors
    /// [`DecodeErrorKind::Truncated`] where the input ends inside it.
    pub fn uint(&mut self) -> Result<u64, DecodeError> {
        let start = self.at;
        let truncated = |_| DecodeError {
            at: start,
            kind: DecodeErrorKind::Truncated,
        };
        match self.u8()? {
            0xfd => Ok(u16::from_le_bytes(self.array().map_err(truncated)?).into()),
            0xfe => Ok(u32::from_le_bytes(self.array().map_err(truncated)?).into()),
            0xff => Ok(u64::from_le_bytes(self.array().map_err(truncated)?)),
            small => Ok(small.into()),
        }
    }

    /// Reads a byte string (its length, then its bytes), borrowed.
    ///
    /// # Errors
    /// [`DecodeErrorKind::Truncated`] where the input is shorter than the declared length.
    pub fn buffer(&mut self) -> Result<&'a [u8], DecodeError> {
        let start = self.at;
        let len = self.uint()?;
        let len = usize::try_from(len).map_err(|_| DecodeError {
            at: start,
            kind: DecodeErrorKind::Truncated,
        })?;
        self.raw(len)
    }

    /// Reads a byte string that shares the memory this reader was made [`over`](Self::over), or is
    /// copied where it was made over a plain slice.
    ///
    /// # Errors
    /// As [`buffer`](Self::buffer).
    pub fn shared(&mut self) -> Result<Bytes, DecodeError> {
        let borrowed = self.buffer()?;
        Ok(self.share(borrowed))
    }

    /// Takes everything that has not been read; shared or copied as by [`shared`](Self::shared).
    #[must_use]
    pub fn shared_rest(&mut self) -> Bytes {
        let rest = self.rest();
        self.at = self.input.len();
        self.share(rest)
    }

    fn share(&self, borrowed: &[u8]) -> Bytes {
        match self.backing {
            Some(backing) => backing.slice_ref(borrowed),
            None => Bytes::copy_from_slice(borrowed),
        }
    }

    /// Takes a number of bytes with that number before them, as a reader of their own that counts
    /// positions as this one does.
    ///
    /// # Errors
    /// As [`buffer`](Self::buffer).
    pub fn frame(&mut self) -> Result<Self, DecodeError> {
        let len = self.buffer()?.len();
        let inside = self.input.get(..self.at).unwrap_or_default();
        Ok(Self {
            input: inside,
            at: self.at - len,
            backing: self.backing,
        })
    }

    /// Reads the number of entries of an array whose entries take at least `min_entry_len` bytes
    /// each, and refuses one that the rest of the input could not hold.
    ///
    /// # Errors
    /// [`DecodeErrorKind::TooLong`] over [`MAX_ARRAY_LEN`]; [`DecodeErrorKind::Truncated`] where
    /// that many entries cannot fit.
    pub fn array_len(&mut self, min_entry_len: usize) -> Result<usize, DecodeError> {
        let start = self.at;
        let fail = |kind| DecodeError { at: start, kind };
        let len = usize::try_from(self.uint()?).map_err(|_| fail(DecodeErrorKind::TooLong))?;
        if len > MAX_ARRAY_LEN {
            return Err(fail(DecodeErrorKind::TooLong));
        }
        if len.saturating_mul(min_entry_len) > self.remaining() {
            return Err(fail(DecodeErrorKind::Truncated));
        }
        Ok(len)
    }
}
