//! The commit log: frames, one after the other, in numbered segments. It is the truth; everything else
//! in a store can be made from it.
//!
//! Owns the bytes of segments and frames, appending to them, reading blocks out of them, and finding
//! out after a crash what is whole. Knows nothing of what a frame's entry means.

pub(crate) mod committer;
pub(crate) mod files;
pub(crate) mod frame;
pub(crate) mod mark;
pub(crate) mod recover;
mod room;
pub(crate) mod scan;
pub(crate) mod segment;
mod tail;

use hc_merkle::Node;

use crate::record::entry::{NodesAt, node_len};

/// A place in the log: where a frame starts, and how many frames were written before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Position {
    pub(crate) segment: u32,
    pub(crate) offset: u32,
    pub(crate) lsn: Lsn,
}

/// Number of a frame in its log, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(crate) struct Lsn(pub(crate) u64);

impl Lsn {
    pub(crate) const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// Frames that were there and are not whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gap {
    pub(crate) segment: u32,
    /// Where it begins.
    pub(crate) start: u32,
    /// Where reading goes on, or the end of the segment.
    pub(crate) end: u32,
    /// The first frame that is missing.
    pub(crate) first: Lsn,
    /// The first one behind it that is there.
    pub(crate) next: Lsn,
}

/// Where a node is in the log, as the body of a frame has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NodePlace {
    pub(crate) segment: u32,
    pub(crate) offset: u32,
}

/// A node, and where it is in the log where that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PlacedNode {
    pub(crate) node: Node,
    pub(crate) place: Option<NodePlace>,
}

/// Nodes that follow each other in a segment, each with where it is.
pub(crate) fn place_nodes(
    nodes: &[Node],
    segment: u32,
    first: NodesAt,
) -> impl Iterator<Item = PlacedNode> {
    let mut next = first;
    nodes.iter().map(move |node| {
        let place = next.map(|offset| NodePlace { segment, offset });
        next = next.and_then(|offset| offset.checked_add(node_len(node)));
        PlacedNode { node: *node, place }
    })
}

/// Where the bytes of a block are, and their checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Locator {
    pub(crate) segment: u32,
    pub(crate) offset: u32,
    pub(crate) len: u32,
    pub(crate) crc: u32,
}

impl Locator {
    pub(crate) fn end(&self) -> u64 {
        u64::from(self.offset) + u64::from(self.len)
    }
}
