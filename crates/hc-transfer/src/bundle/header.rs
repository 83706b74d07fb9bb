//! What records say: header, head, user data, blocks and the end.
//!
//! Owns the content of each. Integers are LEB128, sizes of nodes too; which nodes stand beside a block
//! follows from its number.

use bytes::Bytes;
use hc_encoding::{decode_exact, encode_to_vec};
use hc_merkle::flat::full_roots;
use hc_merkle::limits::MAX_LENGTH;
use hc_merkle::proof::{BlockProof, UpgradeProof};
use hc_merkle::{
    BlockIndex, ByteLength, CoreKey, Fork, Hash, Head, Length, Manifest, Node, NodeIndex,
};
use hc_storage::{Auth, EncryptionScheme, varint};

use crate::cursor::Cursor;
use crate::limits::MAX_BUNDLE_NODES;

/// What a bundle says of itself before anything is verified.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct BundleHeader {
    /// What names the log.
    pub key: CoreKey,
    /// Who may sign; `None` in compat mode and where it is not known.
    pub manifest: Option<Manifest>,
    /// Whether the key is the public key itself.
    pub compat: bool,
    /// How the blocks are encrypted, where they are.
    pub encryption: Option<EncryptionScheme>,
    /// Blocks in the bundle.
    pub blocks: u64,
    /// Pieces of user data in the bundle.
    pub user_data: u64,
}

/// How the key comes about, as a number.
mod mode {
    pub(super) const UNKNOWN: u64 = 0;
    pub(super) const COMPAT: u64 = 1;
    pub(super) const MANIFEST: u64 = 2;
}

impl BundleHeader {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = self.key.as_bytes().to_vec();
        match &self.manifest {
            Some(manifest) => {
                varint::put(&mut out, mode::MANIFEST);
                put_bytes(&mut out, &encode_to_vec(manifest));
            }
            None if self.compat => varint::put(&mut out, mode::COMPAT),
            None => varint::put(&mut out, mode::UNKNOWN),
        }
        let encryption = self.encryption.map_or(0, |scheme| u64::from(scheme.0) + 1);
        varint::put(&mut out, encryption);
        varint::put(&mut out, self.blocks);
        varint::put(&mut out, self.user_data);
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut cursor = Cursor::new(bytes);
        let key = CoreKey(cursor.array()?);
        let (manifest, compat) = match cursor.varint()? {
            mode::UNKNOWN => (None, false),
            mode::COMPAT => (None, true),
            mode::MANIFEST => (Some(decode_exact(cursor.slice()?).ok()?), false),
            _ => return None,
        };
        let encryption = match cursor.varint()?.checked_sub(1) {
            None => None,
            Some(scheme) => Some(EncryptionScheme(scheme.try_into().ok()?)),
        };
        let header = Self {
            key,
            manifest,
            compat,
            encryption,
            blocks: cursor.varint()?,
            user_data: cursor.varint()?,
        };
        cursor.is_empty().then_some(header)
    }

    pub(super) fn auth(&self) -> Auth {
        Auth {
            key: self.key,
            manifest: self.manifest.clone().map(Into::into),
            secret_key: None,
            encryption: self.encryption,
            compat: self.compat,
        }
    }
}

pub(super) fn encode_head(head: &Head) -> Vec<u8> {
    let mut out = Vec::new();
    varint::put(&mut out, head.fork().get());
    varint::put(&mut out, head.length().get());
    for root in head.roots() {
        put_node(&mut out, root);
    }
    put_bytes(&mut out, head.signature().map_or(&[], |bytes| bytes));
    out
}

pub(super) fn decode_head(bytes: &[u8]) -> Option<Head> {
    let mut cursor = Cursor::new(bytes);
    let (fork, length) = (Fork::new(cursor.varint()?), Length::new(cursor.varint()?));
    if length == Length::ZERO || length > MAX_LENGTH {
        return None;
    }
    let mut roots = Vec::new();
    for index in full_roots(length) {
        roots.push(take_node(&mut cursor, index)?);
    }
    let signature = Bytes::copy_from_slice(cursor.slice()?);
    let head = Head::new(fork, length, roots).ok()?;
    let head = if signature.is_empty() {
        head
    } else {
        head.with_signature(signature)
    };
    cursor.is_empty().then_some(head)
}

/// What takes a log of `start` blocks, whose nodes are tied by `nodes`, to the head.
pub(super) fn upgrade(head: &Head, start: Length, nodes: Vec<Node>) -> UpgradeProof {
    UpgradeProof {
        start,
        length: Length::new(head.length().get().saturating_sub(start.get())),
        nodes,
        additional_nodes: Vec::new(),
        signature: head.signature().cloned().unwrap_or_default(),
    }
}

pub(super) fn encode_user_data(key: &str, value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(key.len() + value.len() + 10);
    put_bytes(&mut out, key.as_bytes());
    out.extend_from_slice(value);
    out
}

pub(super) fn decode_user_data(bytes: Vec<u8>) -> Option<(String, Bytes)> {
    let bytes = Bytes::from(bytes);
    let mut cursor = Cursor::new(&bytes);
    let key = std::str::from_utf8(cursor.slice()?).ok()?.to_owned();
    Some((key, bytes.slice_ref(cursor.rest())))
}

/// What stands before the bytes of a block.
pub(super) fn encode_path(block: &BlockProof) -> Vec<u8> {
    let mut out = Vec::with_capacity(16 + block.nodes.len() * 40);
    varint::put(&mut out, block.index.get());
    varint::put(&mut out, block.nodes.len() as u64);
    for node in &block.nodes {
        put_node(&mut out, node);
    }
    out
}

/// Most bytes of what stands before the bytes of a block.
pub(super) const MAX_PATH: u64 = 11 + MAX_BUNDLE_NODES * (10 + 32);

/// A block's number, the nodes beside it, and how many bytes that took.
pub(super) fn decode_path(bytes: &[u8]) -> Option<(BlockIndex, Vec<Node>, usize)> {
    let mut cursor = Cursor::new(bytes);
    let index = BlockIndex::new(cursor.varint()?);
    let count = cursor.varint()?;
    if count > MAX_BUNDLE_NODES {
        return None;
    }
    let mut nodes = Vec::new();
    let mut at = index.leaf()?;
    for _ in 0..count {
        nodes.push(take_node(&mut cursor, at.sibling()?)?);
        at = at.parent()?;
    }
    Some((index, nodes, bytes.len() - cursor.remaining()))
}

pub(super) fn encode_end(blocks: u64, bytes: u64) -> Vec<u8> {
    let mut out = Vec::new();
    varint::put(&mut out, blocks);
    varint::put(&mut out, bytes);
    out
}

pub(super) fn decode_end(bytes: &[u8]) -> Option<(u64, u64)> {
    let mut cursor = Cursor::new(bytes);
    let end = (cursor.varint()?, cursor.varint()?);
    cursor.is_empty().then_some(end)
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    varint::put(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn put_node(out: &mut Vec<u8>, node: &Node) {
    varint::put(out, node.size.get());
    out.extend_from_slice(node.hash.as_bytes());
}

fn take_node(cursor: &mut Cursor<'_>, index: NodeIndex) -> Option<Node> {
    Some(Node {
        index,
        size: ByteLength::new(cursor.varint()?),
        hash: Hash(cursor.array()?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_stands_beside_the_most_nodes_and_not_one_more() {
        let path = |count: u64| {
            let mut bytes = Vec::new();
            varint::put(&mut bytes, 0);
            varint::put(&mut bytes, count);
            for _ in 0..count {
                varint::put(&mut bytes, u64::MAX);
                bytes.extend([7; 32]);
            }
            bytes
        };
        let most = path(MAX_BUNDLE_NODES);
        assert!(most.len() as u64 <= MAX_PATH);
        let (index, nodes, len) = decode_path(&most).expect("a path");
        assert_eq!((index.get(), nodes.len(), len), (0, 52, most.len()));
        assert_eq!(nodes[1].index, NodeIndex::new(5));
        assert!(decode_path(&path(MAX_BUNDLE_NODES + 1)).is_none());
        assert!(decode_path(&most[..most.len() - 1]).is_none());
    }
}
