//! How a connection ends that did not end well.

use std::io;
use std::sync::Arc;

use hc_encoding::DecodeError;
use hc_merkle::{DiscoveryKey, PublicKey};
use hc_protocol::capability::CapabilityError;
use hc_protocol::link::LinkError;
use hc_protocol::message::MessageKind;
use hc_protocol::mux::SendError;
use hc_storage::StorageError;
use thiserror::Error;

/// Why a connection failed. What had arrived is stored; what was asked for is asked of other peers, or
/// again once there is one.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReplicateError {
    /// The stream failed.
    #[error("stream: {0}")]
    Io(#[from] io::Error),
    /// The remote closed the stream before the handshake was done: it may speak another protocol.
    #[error("remote closed the connection during the handshake")]
    NoHandshake,
    /// The handshake took too long.
    #[error("remote did not finish the handshake in time")]
    HandshakeTimedOut,
    /// The remote is none of those that are [allowed](crate::Replication::allow).
    #[error("remote {remote} is not allowed")]
    NotAllowed {
        /// The key that it proved to hold.
        remote: PublicKey,
    },
    /// The handshake failed, or the encrypted stream is broken, or the remote broke the rules of
    /// channels.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The remote replicates none of the logs: it does not have them, or they have other keys.
    #[error("remote replicates none of the logs offered")]
    Refused {
        /// Which were offered.
        logs: Vec<DiscoveryKey>,
    },
    /// The remote opened the channel of a log without knowing its key.
    #[error("log {log:?}: {error}")]
    Capability {
        /// Which log.
        log: DiscoveryKey,
        /// What was wrong.
        #[source]
        error: CapabilityError,
    },
    /// The remote sent a message that does not decode.
    #[error("remote sent a malformed message ({kind:?}): {error}")]
    Malformed {
        /// Its kind.
        kind: MessageKind,
        /// What is wrong with it.
        #[source]
        error: DecodeError,
    },
    /// The remote broke the rules of replication.
    #[error("log {log:?}: {fault}")]
    Fault {
        /// Of which log.
        log: DiscoveryKey,
        /// What it did.
        #[source]
        fault: hc_replicator::Fault,
    },
    /// What the remote says it has, wants and asks for of all logs together takes more memory than it
    /// [may](crate::Policy::memory).
    #[error("remote makes this side hold more than {limit} bytes")]
    TooMuchHeld {
        /// How much it may.
        limit: usize,
    },
    /// What the remote sent was not stored: the disk may be full. The store takes no more writes until
    /// it is opened again.
    #[error("log {log:?}: {error}")]
    Storage {
        /// Which log.
        log: DiscoveryKey,
        /// What the store said.
        #[source]
        error: Arc<StorageError>,
    },
    /// A message was too long to be sent.
    #[error("a message could not be sent: {0}")]
    Unsendable(SendError),
    /// The operating system gave no randomness for the handshake.
    #[error("no randomness for the handshake: {0}")]
    Randomness(getrandom::Error),
}

impl ReplicateError {
    /// Whether the remote is to blame, and not the network or this side.
    #[must_use]
    pub fn is_remotes_fault(&self) -> bool {
        match self {
            Self::Link(error) => error.fault().is_some(),
            Self::Capability { .. }
            | Self::Malformed { .. }
            | Self::Fault { .. }
            | Self::TooMuchHeld { .. } => true,
            _ => false,
        }
    }
}
