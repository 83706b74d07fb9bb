//! The log as its owner has published it. Knows nothing of how it is stored.

use hc_bitfield::Bitfield;
use hc_merkle::{Fork, Length};

/// What the machine may know of the log it replicates: a value, cheap to clone.
///
/// **What must hold:** for every block whose bit is set, its leaf, the siblings on its path up to a
/// root of the tree at `length`, and all roots at `length`, are stored. So the machine can tell from
/// the bits alone which nodes a proof may leave out. (Whoever clears blocks may drop a pair of sibling
/// nodes only where no block under either is left.)
#[derive(Debug, Clone)]
pub struct LocalView {
    /// Fork of the log.
    pub fork: Fork,
    /// Number of blocks in it.
    pub length: Length,
    /// How many blocks from the first one on are here without a hole.
    pub contiguous: Length,
    /// Which blocks are here; none at or above `length`.
    pub blocks: Bitfield,
    /// What is known of who may sign.
    pub manifest: ManifestState,
    /// Heads that are shorter, or of another fork, are of no use: more than that was here, and the
    /// roots of its tree are lost. Zero otherwise.
    pub least: Length,
}

/// What is known of who may sign the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ManifestState {
    /// Nothing but the hash: ask peers for it.
    Unknown,
    /// All; peers may be given it.
    Known,
    /// The key itself signs: there is nothing to ask or to give.
    Compat,
}

impl LocalView {
    /// All blocks are here.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.contiguous == self.length
    }
}
