//! What a channel is called. Knows nothing of its state.

use alloc::string::String;
use core::fmt;

use bytes::Bytes;

/// What a channel is called: a protocol and, where there is more than one channel of it, an id.
///
/// An id without bytes is no id: the two look the same on the wire.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name {
    protocol: String,
    id: Bytes,
}

impl Name {
    /// Names a channel.
    #[must_use]
    pub fn new(protocol: impl Into<String>, id: impl Into<Bytes>) -> Self {
        Self {
            protocol: protocol.into(),
            id: id.into(),
        }
    }

    /// The protocol that is spoken on it.
    #[must_use]
    pub fn protocol(&self) -> &str {
        &self.protocol
    }

    /// Which one of this protocol; empty where there is no id.
    #[must_use]
    pub fn id(&self) -> &Bytes {
        &self.id
    }

    /// The same id under another protocol.
    #[must_use]
    pub fn alias(&self, protocol: impl Into<String>) -> Self {
        Self {
            protocol: protocol.into(),
            id: self.id.clone(),
        }
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.protocol)?;
        for (i, byte) in self.id.iter().take(4).enumerate() {
            write!(f, "{}{byte:02x}", if i == 0 { "#" } else { "" })?;
        }
        Ok(())
    }
}
