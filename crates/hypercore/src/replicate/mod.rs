//! Replication over any duplex stream: a connection is a future that the caller runs.

use hc_merkle::PublicKey;

/// The other side of a connection, as one log sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Peer {
    /// Number of this peering in this process; never reused.
    pub id: u64,
    /// The key that the other side proved to hold in the handshake.
    pub public_key: PublicKey,
}
