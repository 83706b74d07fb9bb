//! Why bytes did not decode, and where.

use thiserror::Error;

/// Bytes that are not the encoding that was expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("{kind} at byte {at}")]
pub struct DecodeError {
    /// Offset of the item that did not decode, in bytes from the start of the input.
    pub at: usize,
    /// What was wrong with it.
    pub kind: DecodeErrorKind,
}

/// What was wrong with an encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DecodeErrorKind {
    /// The input ended inside an item.
    #[error("input is truncated")]
    Truncated,
    /// An array declares more entries than [`MAX_ARRAY_LEN`](crate::MAX_ARRAY_LEN), or more than the
    /// input can hold.
    #[error("declared length is too long")]
    TooLong,
    /// The bytes are there but have no meaning.
    #[error("value is invalid")]
    Invalid,
    /// Bytes were left after a value that had to fill the input.
    #[error("bytes are left over")]
    Trailing,
}
