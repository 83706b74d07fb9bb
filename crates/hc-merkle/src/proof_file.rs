//! Proof files: one byte string that shows, to anyone and by itself, that blocks belong to a log.
//!
//! Owns the format, making such a file ([`Plan`], or [`prove`] where reading cannot fail) and checking
//! one ([`verify`]), for which nothing is needed but the file and, to know *whose* log it is, the key
//! that was expected. Knows nothing of storage or peers; neither side does I/O.
//!
//! # Format, version 1
//! Integers are compact-encoded ([`hc_encoding`]); a *byte string* is its length as an integer, then
//! its bytes.
//!
//! | field | form | meaning |
//! | --- | --- | --- |
//! | magic | `89 68 63 70 72 6f 6f 66` | `hcproof` after a byte that is not text |
//! | version | `01` | |
//! | key | 32 bytes | the key of the log |
//! | manifest | byte string | the manifest, as on the wire; empty in compat mode |
//! | fork | integer | of the head |
//! | length | integer | blocks in the log at the head |
//! | signature | byte string | of the head, as on the wire; empty where the head is the prologue |
//! | count | integer | number of blocks that follow |
//! | blocks | *count* times integer, byte string | how many blocks lie between this one and the one before it (or the start), then its bytes as stored |
//! | nodes | integer, 32 bytes; up to the end | size and hash of subtrees |
//!
//! The nodes are those that cover everything but the proven blocks: for each stretch between two of
//! them, and to either end, the largest complete subtrees that tile it, from left to right. Their
//! numbers and how many there are follow from the length and the blocks, so the file does not say so,
//! and a path that several blocks share is in it once.
//!
//! To check a file, leaves are computed from the blocks and put between the nodes, siblings are joined
//! into parents until only the roots are left, and the signature has to be over the hash of these, with
//! length and fork. Nothing may follow. A head that is the prologue of the manifest carries fork 0 and
//! no signature: its hash is in the manifest, and the manifest in the key.
//!
//! ```
//! use hc_merkle::{BlockIndex, Draft, Head, KeyPair, Manifest, Verifier, proof_file};
//!
//! let writer = KeyPair::from_seed(&[7; 32]);
//! let verifier = Verifier::from_manifest(Manifest::single(writer.public_key()))?;
//! let mut draft = Draft::new(&Head::empty());
//! draft.append(["a", "b", "c"].map(Into::into))?;
//! let change = draft.seal(|head| verifier.sign(&writer, &head.signed_tree()))?;
//! let head = change.head().ok_or("an append moves the head")?;
//!
//! let file = proof_file::prove(
//!     &verifier,
//!     head,
//!     [BlockIndex::new(1)],
//!     |index| change.nodes().iter().find(|node| node.index == index).copied(),
//!     |index| change.blocks().iter().find(|block| block.0 == index).map(|block| block.1.clone()),
//! )?;
//!
//! let proven = proof_file::verify(&file, Some(&verifier.key()))?;
//! assert_eq!(proven.blocks[0].value, b"b");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use bytes::Bytes;
use hc_encoding::{
    Decode, DecodeError, DecodeErrorKind, Encode, Reader, Writer, decode_exact, encode_to_vec,
    uint_len,
};
use thiserror::Error;

use crate::flat::growth;
use crate::hash::{join, leaf_node};
use crate::limits::{MAX_LENGTH, MAX_PROVEN_BLOCKS};
use crate::manifest::{Manifest, ManifestError};
use crate::{
    Authority, BlockIndex, ByteLength, ByteOffset, CoreKey, Fork, Hash, Head, HeadError, Length,
    Node, NodeIndex, SignatureError, TreeHash, Verifier,
};

const MAGIC: [u8; 8] = *b"\x89hcproof";
const VERSION: u8 = 1;

/// Why no proof file was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ProveError {
    /// A block past the end of the log; the fault is the caller's.
    #[error("block {index} is not in a log of {length} blocks")]
    OutOfBounds {
        /// Which.
        index: BlockIndex,
        /// Length of the log.
        length: Length,
    },
    /// More than [`MAX_PROVEN_BLOCKS`]; the fault is the caller's.
    #[error("one file proves at most {MAX_PROVEN_BLOCKS} blocks")]
    TooManyBlocks,
    /// A node that the proof takes is not stored.
    #[error("node {index} is not stored")]
    MissingNode {
        /// Which.
        index: NodeIndex,
    },
    /// A block to be proven is not stored.
    #[error("block {index} is not stored")]
    MissingBlock {
        /// Which.
        index: BlockIndex,
    },
    /// What was read does not make the tree of the head; the fault is the store's.
    #[error("stored nodes and blocks do not make the tree of the head")]
    OtherTree,
    /// The head is not signed in a way that the file could show.
    #[error("head: {0}")]
    Signature(#[from] SignatureError),
}

impl From<HeadError> for ProveError {
    fn from(_: HeadError) -> Self {
        Self::OtherTree
    }
}

/// Why a proof file proves nothing: the fault of whoever made or carried it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// It does not begin as proof files do.
    #[error("not a proof file")]
    Magic,
    /// Of a version that is not known here.
    #[error("proof file of version {version}")]
    Version {
        /// The version.
        version: u8,
    },
    /// It does not decode.
    #[error("proof file: {0}")]
    Malformed(#[from] DecodeError),
    /// It is about another log than the one that was expected.
    #[error("proof file is of log {found:?}, not of {expected:?}")]
    OtherKey {
        /// The key that was expected.
        expected: CoreKey,
        /// The key in the file.
        found: CoreKey,
    },
    /// The manifest is invalid, or another log's.
    #[error("manifest: {0}")]
    Manifest(#[from] ManifestError),
    /// A block past the end of the log, or a log longer than [`MAX_LENGTH`].
    #[error("blocks are not within the length of the log")]
    OutOfBounds,
    /// The nodes and blocks do not make a tree.
    #[error(transparent)]
    Head(#[from] HeadError),
    /// The head is not authentic: a block, a node, fork, length or signature was changed.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// The head is the prologue, and yet has a fork or a signature, which nothing would vouch for.
    #[error("a head that is the prologue carries a fork or a signature")]
    Unvouched,
}

/// What a proof file has proven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proven<'a> {
    /// The key of the log. Whether that is the log that was meant is up to whoever expected one.
    pub key: CoreKey,
    /// Who signs it; `None` in compat mode.
    pub manifest: Option<Manifest>,
    /// How often the log was truncated; zero where the head is the prologue.
    pub fork: Fork,
    /// Number of blocks in the log.
    pub length: Length,
    /// Number of bytes in all of them, as stored.
    pub byte_length: ByteLength,
    /// The hash over the roots of its tree.
    pub tree_hash: TreeHash,
    /// The proven blocks, in order.
    pub blocks: Vec<ProvenBlock<'a>>,
}

/// A block that a proof file has proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProvenBlock<'a> {
    /// Which block of the log.
    pub index: BlockIndex,
    /// Where it begins, in bytes from the start of the log.
    pub offset: ByteOffset,
    /// Its bytes, as stored: encrypted, where the log is.
    pub value: &'a [u8],
}

/// Makes a proof file where reading a node or a block is a plain function that has it or has not.
///
/// # Errors
/// [`ProveError`]. Where reading can fail in other ways, or takes its time, use a [`Plan`].
pub fn prove(
    verifier: &Verifier,
    head: &Head,
    blocks: impl IntoIterator<Item = BlockIndex>,
    node: impl FnMut(NodeIndex) -> Option<Node>,
    block: impl FnMut(BlockIndex) -> Option<Bytes>,
) -> Result<Vec<u8>, ProveError> {
    let plan = Plan::new(head, blocks)?;
    let nodes: Vec<_> = plan.nodes().iter().copied().map(node).collect();
    let blocks: Vec<_> = plan.blocks().iter().copied().map(block).collect();
    plan.assemble(verifier, &nodes, &blocks)
}

/// What a proof file takes: read it, then [`assemble`](Self::assemble) the file.
#[derive(Debug, Clone)]
pub struct Plan {
    head: Head,
    blocks: Vec<BlockIndex>,
    nodes: Vec<NodeIndex>,
}

impl Plan {
    /// Plans to prove these blocks, in any order, of the log at `head`. With none, the file proves the
    /// head alone.
    ///
    /// # Errors
    /// [`ProveError::OutOfBounds`] and [`ProveError::TooManyBlocks`].
    pub fn new(
        head: &Head,
        blocks: impl IntoIterator<Item = BlockIndex>,
    ) -> Result<Self, ProveError> {
        let length = head.length();
        let mut chosen = BTreeSet::new();
        for index in blocks {
            if index.get() >= length.get() {
                return Err(ProveError::OutOfBounds { index, length });
            }
            chosen.insert(index);
            if chosen.len() > MAX_PROVEN_BLOCKS {
                return Err(ProveError::TooManyBlocks);
            }
        }
        let blocks: Vec<_> = chosen.into_iter().collect();
        let nodes = cover(length, &blocks)
            .filter_map(|part| match part {
                Part::Subtree(index) => Some(index),
                Part::Block(_) => None,
            })
            .collect();
        Ok(Self {
            head: head.clone(),
            blocks,
            nodes,
        })
    }

    /// The nodes to read, from left to right.
    #[must_use]
    pub fn nodes(&self) -> &[NodeIndex] {
        &self.nodes
    }

    /// The blocks to read, in order.
    #[must_use]
    pub fn blocks(&self) -> &[BlockIndex] {
        &self.blocks
    }

    /// Makes the file of what was read, in the order of [`nodes`](Self::nodes) and
    /// [`blocks`](Self::blocks). A file that is made also verifies.
    ///
    /// # Errors
    /// [`ProveError`] where something is not stored, what is stored is not the log at the head, or the
    /// head is not signed.
    pub fn assemble(
        &self,
        verifier: &Verifier,
        nodes: &[Option<Node>],
        blocks: &[Option<Bytes>],
    ) -> Result<Vec<u8>, ProveError> {
        let mut read = nodes.iter();
        let nodes = self.nodes.iter().map(|&index| {
            let node = read.next().copied().flatten();
            node.filter(|node| node.index == index)
                .ok_or(ProveError::MissingNode { index })
        });
        let nodes = nodes.collect::<Result<Vec<_>, _>>()?;
        let mut read = blocks.iter();
        let blocks = self.blocks.iter().map(|&index| {
            let block = read.next().and_then(Option::as_deref);
            block
                .map(|value| (index, value))
                .ok_or(ProveError::MissingBlock { index })
        });
        let blocks = blocks.collect::<Result<Vec<_>, _>>()?;

        let mut subtrees = nodes.iter().copied();
        let (head, _) = fold(self.head.length(), &blocks, |index| {
            subtrees.next().ok_or(ProveError::MissingNode { index })
        })?;
        if head.roots() != self.head.roots() {
            return Err(ProveError::OtherTree);
        }
        // as whoever gets the file will see it: with nothing but key and manifest
        Authority::KeyOnly(verifier.key())
            .resolve(verifier.manifest())
            .map_err(|_| SignatureError::NobodySigns)?
            .verify(&self.head)?;
        Ok(encode_to_vec(&File {
            verifier,
            head: &self.head,
            blocks: &blocks,
            nodes: &nodes,
        }))
    }
}

/// Checks a proof file and says what it has proven. `expected` is the key of the log that it has to be
/// about; with `None`, whoever calls has to look at [`Proven::key`].
///
/// # Errors
/// [`VerifyError`] where anything in the file does not hold. Memory and time are at most proportional
/// to the length of the file.
pub fn verify<'a>(bytes: &'a [u8], expected: Option<&CoreKey>) -> Result<Proven<'a>, VerifyError> {
    let mut reader = Reader::new(bytes);
    if reader.array() != Ok(MAGIC) {
        return Err(VerifyError::Magic);
    }
    match reader.u8()? {
        VERSION => {}
        version => return Err(VerifyError::Version { version }),
    }
    let key = CoreKey(reader.array()?);
    if let Some(&expected) = expected.filter(|expected| **expected != key) {
        return Err(VerifyError::OtherKey {
            expected,
            found: key,
        });
    }
    let at = reader.clone();
    let manifest = match reader.buffer()? {
        [] => None,
        encoded => {
            let manifest: Manifest = decode_exact(encoded)?;
            // one way to write a manifest: flags without a meaning would pass unseen
            if encode_to_vec(&manifest) != encoded {
                return Err(at.error(DecodeErrorKind::Invalid).into());
            }
            Some(manifest)
        }
    };
    let authority = Authority::KeyOnly(key);
    let verifier = authority.resolve(manifest.as_ref())?;

    let fork = Fork::decode(&mut reader)?;
    let length = Length::decode(&mut reader)?;
    let signature = reader.buffer()?;
    let blocks = decode_blocks(&mut reader, length)?;
    let (head, offsets) = fold(length, &blocks, |index| decode_node(&mut reader, index))?;
    if !reader.is_empty() {
        return Err(reader.error(DecodeErrorKind::Trailing).into());
    }

    let is_prologue = verifier
        .prologue()
        .is_some_and(|prologue| length <= prologue.length);
    if is_prologue && (fork != Fork::ZERO || !signature.is_empty()) {
        return Err(VerifyError::Unvouched);
    }
    let head = Head { fork, ..head }.with_signature(Bytes::copy_from_slice(signature));
    verifier.verify(&head)?;
    Ok(Proven {
        key,
        manifest: verifier.manifest().cloned(),
        fork,
        length,
        byte_length: head.byte_length(),
        tree_hash: head.tree_hash(),
        blocks: blocks
            .into_iter()
            .zip(offsets)
            .map(|((index, value), offset)| ProvenBlock {
                index,
                offset,
                value,
            })
            .collect(),
    })
}

/// One of the parts that tile a log: what is proven, and what is left out.
enum Part {
    /// A complete subtree without proven blocks.
    Subtree(NodeIndex),
    /// A proven block.
    Block(BlockIndex),
}

/// The parts that tile a log of `length` blocks, from left to right.
fn cover(length: Length, blocks: &[BlockIndex]) -> impl Iterator<Item = Part> {
    let end = core::iter::once(None);
    let mut next = 0;
    blocks
        .iter()
        .copied()
        .map(Some)
        .chain(end)
        .flat_map(move |block| {
            let to = block.map_or(length, |index| Length::new(index.get()));
            let gap = growth(Length::new(next), to);
            next = to.get().saturating_add(1);
            gap.into_iter()
                .map(Part::Subtree)
                .chain(block.map(Part::Block))
        })
}

/// The unsigned head of the log on fork 0, and where its proven blocks begin: leaves and subtrees are
/// joined from left to right.
fn fold<E: From<HeadError>>(
    length: Length,
    blocks: &[(BlockIndex, &[u8])],
    mut subtree: impl FnMut(NodeIndex) -> Result<Node, E>,
) -> Result<(Head, Vec<ByteOffset>), E> {
    let indexes: Vec<_> = blocks.iter().map(|(index, _)| *index).collect();
    let mut values = blocks.iter().map(|(_, value)| *value);
    let mut roots = Vec::new();
    let mut offsets = Vec::with_capacity(blocks.len());
    let mut offset = 0u64;
    for part in cover(length, &indexes) {
        let node = match part {
            Part::Subtree(index) => subtree(index)?,
            Part::Block(index) => {
                offsets.push(ByteOffset::new(offset));
                let value = values.next().unwrap_or_default();
                let leaf = index.leaf().ok_or(HeadError::Roots { length })?;
                leaf_node(leaf, value)
            }
        };
        // a sum over 64 bits is refused when the head is made
        offset = offset.wrapping_add(node.size.get());
        join(&mut roots, node);
    }
    Ok((Head::new(Fork::ZERO, length, roots)?, offsets))
}

/// Everything that goes into a file.
struct File<'a> {
    verifier: &'a Verifier,
    head: &'a Head,
    blocks: &'a [(BlockIndex, &'a [u8])],
    nodes: &'a [Node],
}

impl File<'_> {
    /// Whether the head needs no signature.
    fn is_prologue(&self) -> bool {
        let prologue = self.verifier.prologue();
        prologue.is_some_and(|prologue| self.head.length() <= prologue.length)
    }

    fn fork(&self) -> Fork {
        if self.is_prologue() {
            Fork::ZERO
        } else {
            self.head.fork()
        }
    }

    fn signature(&self) -> &[u8] {
        let signature = self.head.signature().filter(|_| !self.is_prologue());
        signature.map_or(&[], AsRef::as_ref)
    }

    /// How many blocks lie before each of the proven ones, counted from the one before it.
    fn gaps(&self) -> impl Iterator<Item = (u64, &[u8])> {
        let mut next = 0;
        self.blocks.iter().map(move |(index, value)| {
            let gap = index.get().saturating_sub(next);
            next = index.get().saturating_add(1);
            (gap, *value)
        })
    }
}

impl Encode for File<'_> {
    fn encoded_len(&self) -> usize {
        let manifest = self.verifier.manifest().map_or(0, Encode::encoded_len);
        let blocks: usize = self
            .gaps()
            .map(|(gap, value)| uint_len(gap) + buffer_len(value.len()))
            .sum();
        let nodes: usize = self
            .nodes
            .iter()
            .map(|node| node.size.encoded_len() + 32)
            .sum();
        MAGIC.len()
            + 1
            + 32
            + buffer_len(manifest)
            + self.fork().encoded_len()
            + self.head.length().encoded_len()
            + buffer_len(self.signature().len())
            + uint_len(self.blocks.len() as u64)
            + blocks
            + nodes
    }

    fn encode(&self, writer: &mut Writer<'_>) {
        writer.raw(&MAGIC);
        writer.u8(VERSION);
        writer.raw(self.verifier.key().as_bytes());
        writer.buffer(
            &self
                .verifier
                .manifest()
                .map(encode_to_vec)
                .unwrap_or_default(),
        );
        self.fork().encode(writer);
        self.head.length().encode(writer);
        writer.buffer(self.signature());
        writer.uint(self.blocks.len() as u64);
        for (gap, value) in self.gaps() {
            writer.uint(gap);
            writer.buffer(value);
        }
        for node in self.nodes {
            node.size.encode(writer);
            writer.raw(node.hash.as_bytes());
        }
    }
}

fn buffer_len(len: usize) -> usize {
    uint_len(len as u64) + len
}

fn decode_blocks<'a>(
    reader: &mut Reader<'a>,
    length: Length,
) -> Result<Vec<(BlockIndex, &'a [u8])>, VerifyError> {
    if length > MAX_LENGTH {
        return Err(VerifyError::OutOfBounds);
    }
    let too_long = reader.error(DecodeErrorKind::TooLong);
    let count = reader.array_len(2)?;
    if count > MAX_PROVEN_BLOCKS {
        return Err(too_long.into());
    }
    let mut blocks = Vec::with_capacity(count);
    let mut next = 0u64;
    for _ in 0..count {
        let index = next
            .checked_add(reader.uint()?)
            .filter(|index| *index < length.get())
            .ok_or(VerifyError::OutOfBounds)?;
        blocks.push((BlockIndex::new(index), reader.buffer()?));
        next = index.saturating_add(1);
    }
    Ok(blocks)
}

fn decode_node(reader: &mut Reader<'_>, index: NodeIndex) -> Result<Node, VerifyError> {
    Ok(Node {
        index,
        size: ByteLength::decode(reader)?,
        hash: Hash(reader.array()?),
    })
}
