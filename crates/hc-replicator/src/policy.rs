//! Policy toward one peer: what it may be given, what is taken of it, and what it may cost. Knows nothing
//! of how it is kept.

/// What is done with and for one peer, whatever it asks for.
///
/// ```
/// use hc_replicator::PeerPolicy;
///
/// // a peer that is served and never asked
/// let served = PeerPolicy { downloads: false, ..PeerPolicy::default() };
/// assert!(served.uploads);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerPolicy {
    /// Its requests are answered, and it is told what is here. Else it is told that we do not upload,
    /// and refused.
    pub uploads: bool,
    /// It is asked for what our side wants. Else it is told that we do not download, and what it has
    /// counts for nothing.
    pub downloads: bool,
    /// Bytes of memory for what it says it has. What goes over is not remembered: nothing breaks, it is
    /// only not asked for those blocks. One message may pass it by less than 300 KiB; more than
    /// [`MAX_RECEIVED_MEMORY`](hc_bitfield::limits::MAX_RECEIVED_MEMORY) is never taken.
    pub memory: usize,
}

impl Default for PeerPolicy {
    /// Everything, within [`PEER_MEMORY`](crate::limits::PEER_MEMORY).
    fn default() -> Self {
        Self {
            uploads: true,
            downloads: true,
            memory: crate::limits::PEER_MEMORY,
        }
    }
}
