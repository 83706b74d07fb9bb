//! Bounds on what a remote can make this crate hold or compute.

use crate::Length;

/// Most blocks that a log may have (2^52): node numbers then stay within the integers that every
/// implementation of the protocol can count with (2^53).
pub const MAX_LENGTH: Length = Length::new(1 << 52);

/// Most nodes that one part of a proof may carry. The tree is at most 53 levels high, so a path has
/// at most 52 siblings and a tree at most 52 roots: an honest part has at most 104 nodes.
pub const MAX_PART_NODES: usize = 128;
