//! What a handshake leaves behind: the secrets of one connection. Knows nothing of how they were agreed.

use core::fmt;

use hc_merkle::PublicKey;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::Side;

/// The keys of a connection and who is at its other end, from a [`Handshake`](crate::noise::Handshake)
/// or agreed on elsewhere.
#[derive(Debug, Clone)]
pub struct Established {
    /// Which end this is.
    pub side: Side,
    /// Key of what this end sends.
    pub tx: StreamKey,
    /// Key of what this end receives.
    pub rx: StreamKey,
    /// Names the connection: both ends have the same, and no other connection has it.
    pub hash: HandshakeHash,
    /// What this end is known by.
    pub local: PublicKey,
    /// What the other end is known by.
    pub remote: PublicKey,
}

/// Key of one direction of a connection.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct StreamKey([u8; 32]);

impl StreamKey {
    /// Takes the bytes of a key.
    #[must_use]
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    pub(crate) const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl PartialEq for StreamKey {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for StreamKey {}

impl fmt::Debug for StreamKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StreamKey(…)")
    }
}

/// The hash over a whole handshake (the Noise Protocol Framework, section 11.2). Only the two ends know
/// it; what is keyed with it is bound to this one connection.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct HandshakeHash(pub [u8; 64]);

impl HandshakeHash {
    /// The bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 64] {
        &self.0
    }
}

impl fmt::Debug for HandshakeHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HandshakeHash(…)")
    }
}
