//! Hashes and nodes. Knows nothing of how a hash is computed.

use core::fmt;

use hc_encoding::{Decode, DecodeError, Encode, Reader, Writer};

use crate::{ByteLength, NodeIndex};

/// A BLAKE2b-256 digest of a leaf or a parent.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// The bytes of the digest.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hash(")?;
        for byte in self.0.iter().take(4) {
            write!(f, "{byte:02x}")?;
        }
        f.write_str("…)")
    }
}

/// A node of the tree: where it stands, how many bytes lie under it, and its digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Node {
    /// Number in the flat tree.
    pub index: NodeIndex,
    /// Bytes in all blocks under it.
    pub size: ByteLength,
    /// Digest of the leaf or parent.
    pub hash: Hash,
}

impl Encode for Node {
    fn encoded_len(&self) -> usize {
        self.index.encoded_len() + self.size.encoded_len() + 32
    }

    fn encode(&self, writer: &mut Writer<'_>) {
        self.index.encode(writer);
        self.size.encode(writer);
        writer.raw(self.hash.as_bytes());
    }
}

impl<'a> Decode<'a> for Node {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self {
            index: NodeIndex::decode(reader)?,
            size: ByteLength::decode(reader)?,
            hash: Hash(reader.array()?),
        })
    }
}
