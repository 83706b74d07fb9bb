//! What can be wrong with heads, requests and proofs, and whose fault it is.

use thiserror::Error;

use crate::{Length, NodeIndex};

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

/// Blocks that cannot be appended. The fault is the caller's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AppendError {
    /// The log would be longer than [`MAX_LENGTH`](crate::limits::MAX_LENGTH).
    #[error("log would have more blocks than can be counted")]
    TooManyBlocks,
    /// The sizes add up to more than 64 bits can count.
    #[error("log would have more bytes than can be counted")]
    TooManyBytes,
}

/// A log that cannot be taken back to an earlier length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TruncateError {
    /// The length asked for lies ahead; the fault is the caller's.
    #[error("length {length} is past the present length {present}")]
    Longer {
        /// Length asked for.
        length: Length,
        /// Length that the log has.
        present: Length,
    },
    /// The store has no such node; for a complete log the fault is the store's.
    #[error("node {index} is not stored")]
    MissingNode {
        /// The root that is missing.
        index: NodeIndex,
    },
    /// The stored nodes do not make a tree; the fault is the store's.
    #[error(transparent)]
    Head(#[from] HeadError),
}
