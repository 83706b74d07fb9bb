//! What can be wrong with heads, requests and proofs, and whose fault it is.

use thiserror::Error;

use crate::Length;

/// Roots that are not those of a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum HeadError {
    /// Not the roots of a tree of that length, or the length is over
    /// [`MAX_LENGTH`](crate::limits::MAX_LENGTH).
    #[error("roots are not those of a tree of {length} blocks")]
    Roots {
        /// Number of blocks that the roots were to hold.
        length: Length,
    },
    /// The sizes add up to more than 64 bits can count.
    #[error("roots hold more bytes than can be counted")]
    TooManyBytes,
}
