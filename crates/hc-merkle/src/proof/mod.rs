//! Questions about a log and their verifiable answers, as they go over the wire.

mod codec;
mod fork;
mod grow;
mod path;
mod plan;
mod restore;
mod verify;

pub use fork::{Reorg, Wanted};
pub use plan::{Plan, Planner};
pub use restore::Present;
pub use verify::{Batch, Confirmed, Remote, Verified};

use alloc::vec::Vec;

use bytes::Bytes;

use crate::manifest::Manifest;
use crate::{BlockIndex, ByteOffset, Fork, Length, Node, NodeIndex};

/// What a reader asks for: any combination of a block, a hash, a seek, an upgrade and the manifest.
///
/// Block and hash exclude each other in practice; the reference answers the block first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Request {
    /// A block and its path.
    pub block: Option<BlockRequest>,
    /// A node and its path.
    pub hash: Option<HashRequest>,
    /// The path to where a byte lies.
    pub seek: Option<SeekRequest>,
    /// More of the tree.
    pub upgrade: Option<UpgradeRequest>,
    /// Whether the manifest is wanted as well.
    pub manifest: bool,
}

/// Asks for a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockRequest {
    /// Which.
    pub index: BlockIndex,
    /// How many nodes on its path to a known ancestor the reader lacks; 0 if all are known or the
    /// block lies past the reader's length.
    pub nodes: u64,
}

/// Asks for a node of the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HashRequest {
    /// Which.
    pub index: NodeIndex,
    /// As in [`BlockRequest::nodes`].
    pub nodes: u64,
}

/// Asks for the path to where a byte lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeekRequest {
    /// Which byte, padding not counted.
    pub bytes: ByteOffset,
    /// Bytes at the start of each block that are not counted.
    pub padding: u64,
}

/// Asks for the tree from one length to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UpgradeRequest {
    /// Length that the reader has.
    pub start: Length,
    /// Number of blocks more.
    pub length: Length,
}

/// A verifiable answer to a [`Request`]. Untrusted until verified.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Proof {
    /// Fork of the log that answers.
    pub fork: Fork,
    /// The block asked for.
    pub block: Option<BlockProof>,
    /// The node asked for.
    pub hash: Option<HashProof>,
    /// The path to the byte asked for.
    pub seek: Option<SeekProof>,
    /// The tree asked for.
    pub upgrade: Option<UpgradeProof>,
    /// The manifest.
    pub manifest: Option<Manifest>,
}

/// A block and the nodes that tie it to the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockProof {
    /// Which block.
    pub index: BlockIndex,
    /// Its bytes, as stored.
    pub value: Bytes,
    /// Siblings on the way up.
    pub nodes: Vec<Node>,
}

/// A node and the nodes that tie it to the tree; the node itself comes first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HashProof {
    /// Which node.
    pub index: NodeIndex,
    /// It, and siblings on the way up.
    pub nodes: Vec<Node>,
}

/// The nodes that show where a byte lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeekProof {
    /// Which byte.
    pub bytes: ByteOffset,
    /// Nodes on the way down.
    pub nodes: Vec<Node>,
}

/// The nodes that take a tree from one length to another, and the signature over the whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpgradeProof {
    /// Length that the reader had.
    pub start: Length,
    /// Number of blocks more.
    pub length: Length,
    /// Roots that are new to the reader.
    pub nodes: Vec<Node>,
    /// Roots past what was asked for, up to the length that is signed.
    pub additional_nodes: Vec<Node>,
    /// The signature over the longest tree, as in [`Head::signature`](crate::Head::signature).
    pub signature: Bytes,
}
