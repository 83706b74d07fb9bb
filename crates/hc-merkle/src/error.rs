//! What can be wrong with heads, requests and proofs, and whose fault it is.

use thiserror::Error;

use crate::{BlockIndex, ByteOffset, Fork, Length, ManifestError, NodeIndex, SignatureError};

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

/// What was appended on a branch does not go into the log that it left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RejoinError {
    /// The log is longer than what is to go into it.
    #[error("the log is ahead, at length {length}")]
    Ahead {
        /// Length of the log.
        length: Length,
    },
    /// The log has other blocks than the branch.
    #[error("the log has gone another way")]
    Diverged,
    /// The log would be too long.
    #[error(transparent)]
    TooLong(#[from] AppendError),
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

/// A proof that is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ProofError {
    /// It proves nothing.
    #[error("proof proves nothing")]
    Empty,
    /// It is of another fork; nobody's fault while a log is truncated.
    #[error("proof is of fork {theirs} and not {ours}")]
    OtherFork {
        /// Fork that the log is on.
        ours: Fork,
        /// Fork that the proof is of.
        theirs: Fork,
    },
    /// It starts from another length than the log has. Where that is a smaller one, others were
    /// faster, and nobody is to blame.
    #[error("upgrade starts from length {theirs} and not {ours}")]
    OtherLength {
        /// Length that the log has.
        ours: Length,
        /// Length that the proof starts from.
        theirs: Length,
    },
    /// It upgrades by nothing, or beyond [`MAX_LENGTH`](crate::limits::MAX_LENGTH).
    #[error("length {length} cannot be proven")]
    TooLong {
        /// Length that it leads to.
        length: Length,
    },
    /// A path leaves the tree.
    #[error("path leaves the tree")]
    OutOfTree,
    /// A node that is needed is missing, or another stands in its place.
    #[error("node {index} is not where it is needed")]
    ExpectedNode {
        /// The node that is needed.
        index: NodeIndex,
    },
    /// It has a node that is not needed.
    #[error("node {index} is not needed")]
    UnexpectedNode {
        /// The node.
        index: NodeIndex,
    },
    /// The sizes add up to more than 64 bits can count.
    #[error("nodes hold more bytes than can be counted")]
    TooManyBytes,
    /// The roots do not make a tree.
    #[error(transparent)]
    Head(#[from] HeadError),
    /// It does not prove the prologue as a whole, or proves another one.
    #[error("upgrade does not have the prologue")]
    Prologue,
    /// Its manifest is invalid or another log's.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The tree it leads to is not signed by those who may.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// Its path ends at a node that is not stored; others were faster, or it was not asked for.
    #[error("node {index} is not known")]
    Unconnected {
        /// Where its path ends.
        index: NodeIndex,
    },
    /// Its path ends at a node that is another one here.
    #[error("node {index} has another hash")]
    Checksum {
        /// Where its path ends.
        index: NodeIndex,
    },
    /// It belongs to another step of the search for where two forks part.
    #[error("node {index} was not asked for")]
    NotWanted {
        /// Where its path ends.
        index: NodeIndex,
    },
}

impl ProofError {
    /// Whether whoever sent the proof is to blame; else the log has moved since it was asked for.
    #[must_use]
    pub fn is_senders_fault(&self) -> bool {
        match self {
            Self::OtherFork { .. } | Self::Unconnected { .. } | Self::NotWanted { .. } => false,
            Self::OtherLength { ours, theirs } => theirs > ours,
            _ => true,
        }
    }
}
