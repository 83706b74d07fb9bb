//! How a replication channel is opened: its name, and the proof that its key is known.
//!
//! Whoever opens the channel of a log names it by discovery key, which gives nothing away, and shows
//! a capability, which only who knows the key can make, and only for this connection. Knows nothing
//! of what is said on the channel.

use bytes::Bytes;
use hc_encoding::{Decode, DecodeError, Encode, Reader, Writer};
use hc_merkle::{Capability, CoreKey, DiscoveryKey, capability};
use thiserror::Error;

use crate::mux::Name;
use crate::{Fault, HandshakeHash, Side};

/// Name of the protocol of replication channels.
pub const PROTOCOL: &str = "hypercore/alpha";

/// The other name that it goes by.
pub const ALIAS: &str = "hypercore";

const SEEKS: u64 = 1;

/// What opens a replication channel, sent by both sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplicationHandshake {
    /// The sender answers requests to seek.
    pub seeks: bool,
    /// Proof that the sender knows the key of the log.
    pub capability: Capability,
}

/// What a remote did wrong in opening a replication channel: the connection is to be destroyed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CapabilityError {
    /// The handshake is cut.
    #[error("replication handshake is malformed: {0}")]
    Malformed(#[from] DecodeError),
    /// The remote does not know the key, or shows what was made for another connection or side.
    #[error("remote sent an invalid replication capability")]
    Wrong,
}

impl CapabilityError {
    /// What the remote can be blamed for.
    #[must_use]
    pub const fn fault(&self) -> Fault {
        match self {
            Self::Malformed(_) => Fault::Malformed,
            Self::Wrong => Fault::WrongCapability,
        }
    }
}

impl ReplicationHandshake {
    /// What `side` opens the channel of this log with, on the connection whose handshake ended with
    /// this hash.
    #[must_use]
    pub fn new(side: Side, key: &CoreKey, hash: &HandshakeHash) -> Self {
        Self {
            seeks: true,
            capability: capability(side, key, &hash.0),
        }
    }

    /// Reads what the other side opened the channel of this log with, and checks it. `side` is ours.
    ///
    /// # Errors
    /// [`CapabilityError`].
    pub fn verify(
        payload: &Bytes,
        side: Side,
        key: &CoreKey,
        hash: &HandshakeHash,
    ) -> Result<Self, CapabilityError> {
        let handshake = Self::decode(&mut Reader::new(payload))?;
        if handshake.capability == capability(side.other(), key, &hash.0) {
            Ok(handshake)
        } else {
            Err(CapabilityError::Wrong)
        }
    }
}

impl Encode for ReplicationHandshake {
    fn encoded_len(&self) -> usize {
        1 + self.capability.as_bytes().len()
    }

    fn encode(&self, writer: &mut Writer<'_>) {
        writer.uint(if self.seeks { SEEKS } else { 0 });
        writer.raw(self.capability.as_bytes());
    }
}

impl<'a> Decode<'a> for ReplicationHandshake {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let flags = reader.uint()?;
        Ok(Self {
            seeks: flags & SEEKS != 0,
            capability: Capability(reader.array()?),
        })
    }
}

/// The name of the replication channel of a log. Open it with [`ALIAS`] as an alias.
#[must_use]
pub fn channel_name(log: &DiscoveryKey) -> Name {
    Name::new(PROTOCOL, Bytes::copy_from_slice(log.as_bytes()))
}

/// The log whose replication channel has this name; `None` where it is a channel of something else.
#[must_use]
pub fn requested_log(name: &Name) -> Option<DiscoveryKey> {
    if name.protocol() != PROTOCOL && name.protocol() != ALIAS {
        return None;
    }
    name.id().as_ref().try_into().ok().map(DiscoveryKey)
}
