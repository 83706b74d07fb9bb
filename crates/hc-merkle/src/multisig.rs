//! Multi-signatures: signatures of several signers, some of which may be over a longer tree, with the
//! nodes that lead there.
//!
//! Owns both encodings (manifest version 0, and 1 and later), and putting one together from the parts
//! that each signer hands in. Knows nothing of whether a signature is valid; that is the verifier's.

use alloc::vec::Vec;

use hc_encoding::{Decode, DecodeError, Encode, Reader, Writer, encode_to_vec, uint_len};

use crate::limits::{MAX_PATCH_NODES, MAX_SIGNERS};
use crate::manifest::{ManifestVersion, bounded};
use crate::{Length, Node, Signature};

/// An entry of version 1: signer, signature, patch.
const MIN_ENTRY_LEN: usize = 66;
/// A node: index, size, hash.
const MIN_NODE_LEN: usize = 34;
/// Flag of an entry of version 0 with a patch.
const PATCHED: u64 = 1;

/// What one signer hands in for a tree: a signature over it, or over a longer one and the way there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Which of the signers of the manifest, from 0.
    pub signer: u64,
    /// Its signature.
    pub signature: Signature,
    /// How many blocks longer the tree is that it has signed; zero for the same.
    pub patch: Length,
    /// The roots that take the tree to that length, from left to right, as in
    /// [`UpgradeProof::nodes`](crate::proof::UpgradeProof::nodes). Empty without a patch.
    pub nodes: Vec<Node>,
}

/// Signatures of several signers, and the nodes of all their patches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MultiSignature {
    /// Who signed; those past the quorum are not looked at.
    pub entries: Vec<Entry>,
    /// Nodes of the patches.
    pub patch: Vec<Node>,
}

/// A signature in a multi-signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Which of the signers of the manifest, from 0.
    pub signer: u64,
    /// Its signature.
    pub signature: Signature,
    /// How many blocks longer the tree is that it has signed.
    pub patch: Length,
}

/// Puts a multi-signature together, in the encoding of a manifest of this version.
///
/// The order of the parts is kept, and matters: a verifier looks at as many as the quorum needs.
#[must_use]
pub fn assemble(version: ManifestVersion, parts: &[Part]) -> Vec<u8> {
    if version == ManifestVersion::V0 {
        return encode_to_vec(&MultiSignatureV0::of(parts));
    }
    let mut patch = Vec::<Node>::new();
    for node in parts.iter().flat_map(|part| &part.nodes) {
        if patch.iter().all(|known| known.index != node.index) {
            patch.push(*node);
        }
    }
    let entry = |part: &Part| Entry {
        signer: part.signer,
        signature: part.signature,
        patch: part.patch,
    };
    encode_to_vec(&MultiSignature {
        entries: parts.iter().map(entry).collect(),
        patch,
    })
}

/// The greatest length that `quorum` of the signers have reached, given the length that each has signed;
/// zero where there are not as many. A quorum of zero counts as one.
#[must_use]
pub fn signable_length(lengths: &[Length], quorum: usize) -> Length {
    let mut lengths = Vec::from(lengths);
    lengths.sort_unstable_by(|a, b| b.cmp(a));
    lengths
        .get(quorum.max(1) - 1)
        .copied()
        .unwrap_or(Length::ZERO)
}

impl MultiSignature {
    /// Reads the encoding of a manifest of this version. Bytes after it are ignored, as the reference
    /// does.
    ///
    /// # Errors
    /// [`DecodeError`] where it does not decode, or has more than [`MAX_SIGNERS`] entries or
    /// [`MAX_PATCH_NODES`] nodes.
    pub fn from_bytes(version: ManifestVersion, bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        if version == ManifestVersion::V0 {
            return MultiSignatureV0::decode(&mut reader).map(Into::into);
        }
        Self::decode(&mut reader)
    }
}

impl Encode for MultiSignature {
    fn encoded_len(&self) -> usize {
        array_len(&self.entries) + array_len(&self.patch)
    }

    fn encode(&self, writer: &mut Writer<'_>) {
        encode_array(&self.entries, writer);
        encode_array(&self.patch, writer);
    }
}

impl Decode<'_> for MultiSignature {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let len = bounded(reader, MIN_ENTRY_LEN, MAX_SIGNERS)?;
        let entries = (0..len)
            .map(|_| Entry::decode(reader))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            entries,
            patch: decode_nodes(reader)?,
        })
    }
}

impl Encode for Entry {
    fn encoded_len(&self) -> usize {
        self.signer.encoded_len() + 64 + self.patch.encoded_len()
    }

    fn encode(&self, writer: &mut Writer<'_>) {
        writer.uint(self.signer);
        writer.raw(self.signature.as_bytes());
        self.patch.encode(writer);
    }
}

impl Decode<'_> for Entry {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            signer: reader.uint()?,
            signature: Signature(reader.array()?),
            patch: Length::decode(reader)?,
        })
    }
}

/// The encoding of version 0: each patch says which nodes are its own, by their place in the list.
/// Verifying needs only the lengths, so [`MultiSignature`] does without the rest.
struct MultiSignatureV0 {
    entries: Vec<EntryV0>,
    patch: Vec<Node>,
}

struct EntryV0 {
    signer: u64,
    signature: Signature,
    patch: Option<PatchV0>,
}

struct PatchV0 {
    start: Length,
    length: Length,
    /// Places in the list of nodes.
    nodes: Vec<u64>,
}

impl MultiSignatureV0 {
    fn of(parts: &[Part]) -> Self {
        let mut patch = Vec::new();
        let entries = parts
            .iter()
            .map(|part| EntryV0::of(part, &mut patch))
            .collect();
        Self { entries, patch }
    }
}

impl EntryV0 {
    fn of(part: &Part, list: &mut Vec<Node>) -> Self {
        let mut place = |node: &Node| {
            list.iter()
                .position(|known| known == node)
                .unwrap_or_else(|| {
                    list.push(*node);
                    list.len() - 1
                }) as u64
        };
        let patch = (part.patch != Length::ZERO).then(|| PatchV0 {
            // Where the patch ends: the reference calls it start, and nobody reads it.
            start: part
                .nodes
                .last()
                .map_or(Length::ZERO, |node| node.index.end()),
            length: part.patch,
            nodes: part.nodes.iter().map(&mut place).collect(),
        });
        Self {
            signer: part.signer,
            signature: part.signature,
            patch,
        }
    }
}

impl From<MultiSignatureV0> for MultiSignature {
    fn from(v0: MultiSignatureV0) -> Self {
        let entry = |entry: EntryV0| Entry {
            signer: entry.signer,
            signature: entry.signature,
            patch: entry.patch.map_or(Length::ZERO, |patch| patch.length),
        };
        Self {
            entries: v0.entries.into_iter().map(entry).collect(),
            patch: v0.patch,
        }
    }
}

impl Encode for MultiSignatureV0 {
    fn encoded_len(&self) -> usize {
        array_len(&self.entries) + array_len(&self.patch)
    }

    fn encode(&self, writer: &mut Writer<'_>) {
        encode_array(&self.entries, writer);
        encode_array(&self.patch, writer);
    }
}

impl Decode<'_> for MultiSignatureV0 {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let len = bounded(reader, MIN_ENTRY_LEN, MAX_SIGNERS)?;
        let entries = (0..len)
            .map(|_| EntryV0::decode(reader))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            entries,
            patch: decode_nodes(reader)?,
        })
    }
}

impl Encode for EntryV0 {
    fn encoded_len(&self) -> usize {
        1 + self.signer.encoded_len() + 64 + self.patch.as_ref().map_or(0, Encode::encoded_len)
    }

    fn encode(&self, writer: &mut Writer<'_>) {
        writer.uint(if self.patch.is_some() { PATCHED } else { 0 });
        writer.uint(self.signer);
        writer.raw(self.signature.as_bytes());
        if let Some(patch) = &self.patch {
            patch.encode(writer);
        }
    }
}

impl Decode<'_> for EntryV0 {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let flags = reader.uint()?;
        Ok(Self {
            signer: reader.uint()?,
            signature: Signature(reader.array()?),
            patch: (flags & PATCHED != 0)
                .then(|| PatchV0::decode(reader))
                .transpose()?,
        })
    }
}

impl Encode for PatchV0 {
    fn encoded_len(&self) -> usize {
        self.start.encoded_len() + self.length.encoded_len() + array_len(&self.nodes)
    }

    fn encode(&self, writer: &mut Writer<'_>) {
        self.start.encode(writer);
        self.length.encode(writer);
        encode_array(&self.nodes, writer);
    }
}

impl Decode<'_> for PatchV0 {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let start = Length::decode(reader)?;
        let length = Length::decode(reader)?;
        let len = bounded(reader, 1, MAX_PATCH_NODES)?;
        let nodes = (0..len).map(|_| reader.uint()).collect::<Result<_, _>>()?;
        Ok(Self {
            start,
            length,
            nodes,
        })
    }
}

fn decode_nodes(reader: &mut Reader<'_>) -> Result<Vec<Node>, DecodeError> {
    let len = bounded(reader, MIN_NODE_LEN, MAX_PATCH_NODES)?;
    (0..len).map(|_| Node::decode(reader)).collect()
}

fn array_len<T: Encode>(items: &[T]) -> usize {
    uint_len(items.len() as u64) + items.iter().map(Encode::encoded_len).sum::<usize>()
}

fn encode_array<T: Encode>(items: &[T], writer: &mut Writer<'_>) {
    writer.uint(items.len() as u64);
    items.iter().for_each(|item| item.encode(writer));
}
