//! What can be wrong with heads, requests and proofs, and whose fault it is.

use thiserror::Error;

use crate::{BlockIndex, ByteOffset, Length, NodeIndex};

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

/// Bytes of a node that cannot be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum OffsetError {
    /// The tree has no such node; the fault is the caller's.
    #[error("node {index} is not in the tree")]
    OutOfBounds {
        /// The node asked for.
        index: NodeIndex,
    },
    /// A node on the way is not stored.
    #[error("node {index} is not stored")]
    MissingNode {
        /// The node that is missing.
        index: NodeIndex,
    },
    /// The sizes add up to more than 64 bits can count; the fault is the store's.
    #[error("nodes hold more bytes than can be counted")]
    TooManyBytes,
}

/// A request without an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PlanError {
    /// The upgrade asked for is empty or not within the log.
    #[error("upgrade by {length} from {start} is not within {present} blocks")]
    UpgradeOutside {
        /// Length to start from.
        start: Length,
        /// Number of blocks more.
        length: Length,
        /// Length that the log has.
        present: Length,
    },
    /// The block or node asked for is not within the log, or not within the upgrade.
    #[error("node {index} is not in the tree")]
    OutOfBounds {
        /// The node, or leaf of the block.
        index: NodeIndex,
    },
    /// The path asked for does not end within the tree.
    #[error("{nodes} steps up from node {index} leave the tree")]
    TooManyNodes {
        /// Where the path begins.
        index: NodeIndex,
        /// Steps asked for.
        nodes: u64,
    },
    /// A seek cannot be combined with a block or hash within an upgrade.
    #[error("seek to byte {bytes} with a block or hash within the upgrade")]
    SeekWithinUpgrade {
        /// The byte asked for.
        bytes: ByteOffset,
    },
    /// The byte asked for does not lie under the node that the path ends at.
    #[error("byte {bytes} is not under node {index}")]
    SeekOutside {
        /// The byte asked for.
        bytes: ByteOffset,
        /// The node.
        index: NodeIndex,
    },
    /// A node that the proof takes is not stored.
    #[error("node {index} is not stored")]
    MissingNode {
        /// The node that is missing.
        index: NodeIndex,
    },
    /// The block asked for is not stored.
    #[error("block {index} is not stored")]
    MissingBlock {
        /// The block that is missing.
        index: BlockIndex,
    },
}

impl PlanError {
    /// Whether whoever asked is to blame; else what is asked for is not stored.
    #[must_use]
    pub fn is_invalid_request(&self) -> bool {
        !matches!(self, Self::MissingNode { .. } | Self::MissingBlock { .. })
    }
}
