//! Bounds on what a remote can make this crate hold or compute.

use crate::Length;

/// Most blocks that a log may have (2^52): node numbers then stay within the integers that every
/// implementation of the protocol can count with (2^53).
pub const MAX_LENGTH: Length = Length::new(1 << 52);

/// Most nodes that one part of a proof may carry. The tree is at most 53 levels high, so a path has
/// at most 52 siblings and a tree at most 52 roots: an honest part has at most 104 nodes.
pub const MAX_PART_NODES: usize = 128;

/// Most signers that a manifest may name, and most entries of a multi-signature.
pub const MAX_SIGNERS: usize = 1024;

/// Most keys of other logs that a manifest may link to.
pub const MAX_LINKED: usize = 1024;

/// Most bytes of user data in a manifest.
pub const MAX_USER_DATA: usize = 64 * 1024;

/// Most nodes that the patches of one multi-signature may hold: enough for every root of a patch, and
/// 64 signers with patches of their own.
pub const MAX_PATCH_NODES: usize = 8192;

/// Most bytes of a signature as it stands in proofs. A multi-signature of 1024 signers takes at most
/// 84 KiB, the nodes of its patches 400 KiB.
pub const MAX_SIGNATURE_LEN: usize = 512 * 1024;

/// Most blocks that one proof file may prove.
pub const MAX_PROVEN_BLOCKS: usize = 1 << 20;
