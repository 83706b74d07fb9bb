//! What one frame says was done, log by log: the form in which batches are written and read back.
//!
//! Owns the operations and their bytes. Knows nothing of segments, checksums or how an operation is
//! carried out.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use hc_merkle::manifest::Manifest;
use hc_merkle::{ByteLength, CoreKey, DiscoveryKey, Fork, Hash, Head, Length, Node, NodeIndex};

use super::cursor::{Cursor, put_bytes};
use super::varint;
use crate::limits::{MAX_BRANCH_NAME_LEN, MAX_NAME_LEN, MAX_USER_KEY_LEN};
use crate::record::{Alias, EncryptionScheme, Hints, NamespaceId, Topic};

/// A log's number in its store; 0 is the store itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct CoreId(pub(crate) u64);

impl CoreId {
    pub(crate) const STORE: Self = Self(0);
}

/// Everything that a frame says of one log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) core: CoreId,
    pub(crate) create: Option<Identity>,
    /// The log is a branch, or becomes one of another log than before.
    pub(crate) branch: Option<Origin>,
    pub(crate) delete: bool,
    /// On the store: the log that is meant where none is named; number 0 where none is.
    pub(crate) default: Option<CoreId>,
    pub(crate) truncate: Option<u64>,
    /// On a branch: what is below this length is the parent's.
    pub(crate) inherit: Option<u64>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) blocks: Vec<BlockSlot>,
    pub(crate) head: Option<HeadRecord>,
    pub(crate) clears: Vec<Range<u64>>,
    pub(crate) manifest: Option<Manifest>,
    pub(crate) encryption: Option<EncryptionScheme>,
    pub(crate) hints: Option<Hints>,
    pub(crate) user_data: Vec<(String, Option<Bytes>)>,
    pub(crate) alias: Option<Alias>,
    pub(crate) group: Option<Topic>,
    /// In what was collected: when the head last changed since the log joined its group, plus one; 0
    /// where it did not.
    pub(crate) active: Option<u64>,
}

/// Who a log is, from when it was created.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) discovery_key: DiscoveryKey,
    pub(crate) key: CoreKey,
    pub(crate) compat: bool,
}

/// Where a branch comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) parent: CoreId,
    pub(crate) name: Arc<str>,
    /// What is below this length is the parent's.
    pub(crate) length: u64,
}

/// Where the nodes of an entry begin, where they follow each other.
pub(crate) type NodesAt = Option<u32>;

/// A block in the data part of a frame, in the order of the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BlockSlot {
    pub(crate) index: u64,
    pub(crate) len: u32,
    pub(crate) crc: u32,
}

/// Bytes in some blocks.
pub(crate) fn data_len(blocks: &[BlockSlot]) -> u64 {
    blocks.iter().map(|slot| u64::from(slot.len)).sum()
}

/// A head without its roots, which are nodes like others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HeadRecord {
    pub(crate) fork: Fork,
    pub(crate) length: Length,
    pub(crate) signature: Option<Bytes>,
}

const CREATE: u8 = 1;
const DELETE: u8 = 2;
const DEFAULT: u8 = 3;
const TRUNCATE: u8 = 4;
const NODES: u8 = 5;
const BLOCKS: u8 = 6;
const HEAD: u8 = 7;
const CLEAR: u8 = 8;
const MANIFEST: u8 = 9;
const ENCRYPTION: u8 = 10;
const HINTS: u8 = 11;
const USER_DATA: u8 = 12;
const ALIAS: u8 = 13;
const GROUP: u8 = 14;
const BRANCH: u8 = 15;
const INHERIT: u8 = 16;
const ANOTHER: u8 = 17;
const ACTIVE: u8 = 18;

impl Entry {
    pub(crate) fn new(core: CoreId) -> Self {
        Self {
            core,
            create: None,
            branch: None,
            delete: false,
            default: None,
            truncate: None,
            inherit: None,
            nodes: Vec::new(),
            blocks: Vec::new(),
            head: None,
            clears: Vec::new(),
            manifest: None,
            encryption: None,
            hints: None,
            user_data: Vec::new(),
            alias: None,
            group: None,
            active: None,
        }
    }

    /// The body of a frame. Says where in `out` the first node of each entry is.
    pub(crate) fn encode_all<'a>(
        entries: impl Iterator<Item = &'a Self>,
        out: &mut Vec<u8>,
    ) -> Vec<NodesAt> {
        let mut nodes = Vec::with_capacity(1);
        for (place, entry) in entries.enumerate() {
            if place > 0 {
                out.push(ANOTHER);
            }
            nodes.push(entry.encode(out));
        }
        nodes
    }

    fn encode(&self, out: &mut Vec<u8>) -> NodesAt {
        varint::put(out, self.core.0);
        if let Some(identity) = &self.create {
            out.push(CREATE);
            identity.encode(out);
        }
        if let Some(origin) = &self.branch {
            out.push(BRANCH);
            origin.encode(out);
        }
        if self.delete {
            out.push(DELETE);
        }
        if let Some(core) = self.default {
            out.push(DEFAULT);
            varint::put(out, core.0);
        }
        if let Some(length) = self.truncate {
            out.push(TRUNCATE);
            varint::put(out, length);
        }
        if let Some(length) = self.inherit {
            out.push(INHERIT);
            varint::put(out, length);
        }
        let nodes = encode_added(&self.nodes, &self.blocks, self.head.as_ref(), out);
        for range in &self.clears {
            out.push(CLEAR);
            varint::put(out, range.start);
            varint::put(out, range.end);
        }
        self.encode_facts(out);
        nodes
    }

    fn encode_facts(&self, out: &mut Vec<u8>) {
        if let Some(manifest) = &self.manifest {
            out.push(MANIFEST);
            put_bytes(out, &hc_encoding::encode_to_vec(manifest));
        }
        if let Some(EncryptionScheme(scheme)) = self.encryption {
            out.extend_from_slice(&[ENCRYPTION, scheme]);
        }
        if let Some(hints) = self.hints {
            out.push(HINTS);
            encode_hints(hints, out);
        }
        for (key, value) in &self.user_data {
            out.push(USER_DATA);
            put_bytes(out, key.as_bytes());
            put_option(out, value.as_deref());
        }
        if let Some(alias) = &self.alias {
            out.push(ALIAS);
            alias.encode(out);
        }
        if let Some(Topic(topic)) = &self.group {
            out.push(GROUP);
            out.extend_from_slice(topic);
        }
        if let Some(active) = self.active {
            out.push(ACTIVE);
            varint::put(out, active);
        }
    }

    /// The entries of a body, in order, and where in it the nodes of each are; `None` where the bytes
    /// have no meaning.
    pub(crate) fn decode_all(body: &[u8]) -> Option<Vec<(Self, NodesAt)>> {
        let mut cursor = Cursor::new(body);
        let mut entries = Vec::new();
        let (mut entry, mut nodes) = (Self::new(CoreId(cursor.uint()?)), None);
        while !cursor.is_empty() {
            match cursor.u8()? {
                ANOTHER => {
                    let next = Self::new(CoreId(cursor.uint()?));
                    entries.push((std::mem::replace(&mut entry, next), nodes.take()));
                }
                NODES => nodes = entry.decode_nodes(body.len(), &mut cursor)?,
                operation => entry.decode_operation(operation, &mut cursor)?,
            }
        }
        entries.push((entry, nodes));
        Some(entries)
    }

    /// Whether it says which logs there are, or what they are called.
    pub(crate) const fn is_about_names(&self) -> bool {
        let made = self.create.is_some() || self.branch.is_some() || self.delete;
        made || self.alias.is_some() || self.default.is_some()
    }

    /// Bytes in its blocks.
    pub(crate) fn data_len(&self) -> u64 {
        data_len(&self.blocks)
    }

    fn decode_operation(&mut self, operation: u8, cursor: &mut Cursor<'_>) -> Option<()> {
        match operation {
            CREATE => self.create = Some(Identity::decode(cursor)?),
            BRANCH => self.branch = Some(Origin::decode(cursor)?),
            INHERIT => self.inherit = Some(cursor.uint()?),
            DELETE => self.delete = true,
            DEFAULT => self.default = Some(CoreId(cursor.uint()?)),
            TRUNCATE => self.truncate = Some(cursor.uint()?),
            BLOCKS => self.decode_blocks(cursor)?,
            HEAD => self.head = Some(HeadRecord::decode(cursor)?),
            CLEAR => self.clears.push(cursor.uint()?..cursor.uint()?),
            MANIFEST => self.manifest = Some(hc_encoding::decode_exact(cursor.bytes()?).ok()?),
            ENCRYPTION => self.encryption = Some(EncryptionScheme(cursor.u8()?)),
            HINTS => self.hints = Some(decode_hints(cursor)?),
            USER_DATA => {
                let key = cursor.bytes().filter(|key| key.len() <= MAX_USER_KEY_LEN)?;
                let key = String::from_utf8(key.to_vec()).ok()?;
                self.user_data.push((key, take_option(cursor)?));
            }
            ALIAS => self.alias = Some(Alias::decode(cursor)?),
            GROUP => self.group = Some(Topic(cursor.array()?)),
            ACTIVE => self.active = Some(cursor.uint()?),
            _ => return None,
        }
        Some(())
    }

    /// Says where the first one is; of nodes that are in two parts, which nobody writes, nothing.
    fn decode_nodes(&mut self, body_len: usize, cursor: &mut Cursor<'_>) -> Option<NodesAt> {
        let count = cursor.count(2 + 32)?;
        let alone = self.nodes.is_empty() && count > 0;
        let first = u32::try_from(body_len - cursor.remaining()).ok();
        self.nodes.reserve(count);
        for _ in 0..count {
            self.nodes.push(take_node(cursor)?);
        }
        Some(first.filter(|_| alone))
    }

    fn decode_blocks(&mut self, cursor: &mut Cursor<'_>) -> Option<()> {
        let start = cursor.uint()?;
        let count = cursor.count(1 + 4)?;
        let end = start.checked_add(count as u64)?;
        self.blocks.reserve(count);
        for index in start..end {
            let len = u32::try_from(cursor.uint()?).ok()?;
            self.blocks.push(BlockSlot {
                index,
                len,
                crc: cursor.u32()?,
            });
        }
        Some(())
    }
}

/// The body of a frame that says nothing but what is added to a log. Says where in `out` the first node is.
pub(crate) fn encode_addition(
    core: CoreId,
    nodes: &[Node],
    blocks: &[BlockSlot],
    head: Option<&HeadRecord>,
    out: &mut Vec<u8>,
) -> NodesAt {
    varint::put(out, core.0);
    encode_added(nodes, blocks, head, out)
}

fn encode_added(
    nodes: &[Node],
    blocks: &[BlockSlot],
    head: Option<&HeadRecord>,
    out: &mut Vec<u8>,
) -> NodesAt {
    let nodes = encode_nodes(nodes, out);
    encode_blocks(blocks, out);
    if let Some(head) = head {
        out.push(HEAD);
        head.encode(out);
    }
    nodes
}

fn encode_nodes(nodes: &[Node], out: &mut Vec<u8>) -> NodesAt {
    if nodes.is_empty() {
        return None;
    }
    out.push(NODES);
    varint::put(out, nodes.len() as u64);
    let first = u32::try_from(out.len()).ok();
    for node in nodes {
        put_node(out, node);
    }
    first
}

/// One operation for each run of blocks that follow each other.
fn encode_blocks(blocks: &[BlockSlot], out: &mut Vec<u8>) {
    let follows = |a: &BlockSlot, b: &BlockSlot| a.index.checked_add(1) == Some(b.index);
    for run in blocks.chunk_by(follows) {
        let Some(first) = run.first() else { continue };
        out.push(BLOCKS);
        varint::put(out, first.index);
        varint::put(out, run.len() as u64);
        for slot in run {
            varint::put(out, slot.len.into());
            out.extend_from_slice(&slot.crc.to_le_bytes());
        }
    }
}

impl Identity {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.discovery_key.as_bytes());
        out.extend_from_slice(self.key.as_bytes());
        out.push(u8::from(self.compat));
    }

    pub(crate) fn decode(cursor: &mut Cursor<'_>) -> Option<Self> {
        let discovery_key = DiscoveryKey(cursor.array()?);
        let key = CoreKey(cursor.array()?);
        let compat = match cursor.u8()? {
            0 => false,
            1 => true,
            _ => return None,
        };
        Some(Self {
            discovery_key,
            key,
            compat,
        })
    }
}

impl Alias {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.namespace.0);
        put_bytes(out, self.name.as_bytes());
    }

    pub(crate) fn decode(cursor: &mut Cursor<'_>) -> Option<Self> {
        let namespace = NamespaceId(cursor.array()?);
        let name = cursor.bytes().filter(|name| name.len() <= MAX_NAME_LEN)?;
        let name = String::from_utf8(name.to_vec()).ok()?;
        Some(Self { namespace, name })
    }
}

impl Origin {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        varint::put(out, self.parent.0);
        put_bytes(out, self.name.as_bytes());
        varint::put(out, self.length);
    }

    pub(crate) fn decode(cursor: &mut Cursor<'_>) -> Option<Self> {
        let parent = CoreId(cursor.uint()?);
        let name = cursor
            .bytes()
            .filter(|name| name.len() <= MAX_BRANCH_NAME_LEN)?;
        Some(Self {
            parent,
            name: std::str::from_utf8(name).ok()?.into(),
            length: cursor.uint()?,
        })
    }
}

impl HeadRecord {
    pub(crate) fn of(head: &Head) -> Self {
        Self {
            fork: head.fork(),
            length: head.length(),
            signature: head.signature().cloned(),
        }
    }

    pub(crate) const EMPTY: Self = Self {
        fork: Fork::ZERO,
        length: Length::ZERO,
        signature: None,
    };

    /// The head, with its roots; `None` where they are not those of such a tree.
    pub(crate) fn resolve(&self, roots: Vec<Node>) -> Option<Head> {
        let head = Head::new(self.fork, self.length, roots).ok()?;
        Some(match &self.signature {
            Some(signature) => head.with_signature(signature.clone()),
            None => head,
        })
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        varint::put(out, self.fork.get());
        varint::put(out, self.length.get());
        put_option(out, self.signature.as_deref());
    }

    pub(crate) fn decode(cursor: &mut Cursor<'_>) -> Option<Self> {
        Some(Self {
            fork: Fork::new(cursor.uint()?),
            length: Length::new(cursor.uint()?),
            signature: take_option(cursor)?,
        })
    }
}

pub(crate) fn put_node(out: &mut Vec<u8>, node: &Node) {
    varint::put(out, node.index.get());
    varint::put(out, node.size.get());
    out.extend_from_slice(node.hash.as_bytes());
}

pub(crate) fn take_node(cursor: &mut Cursor<'_>) -> Option<Node> {
    Some(Node {
        index: NodeIndex::new(cursor.uint()?),
        size: ByteLength::new(cursor.uint()?),
        hash: Hash(cursor.array()?),
    })
}

/// Passes over a node.
pub(crate) fn skip_node(cursor: &mut Cursor<'_>) -> Option<()> {
    cursor.skip_uint()?;
    cursor.skip_uint()?;
    cursor.raw(32).map(drop)
}

/// Bytes that [`put_node`] appends.
pub(crate) fn node_len(node: &Node) -> u32 {
    let len =
        varint::len(node.index.get()) + varint::len(node.size.get()) + node.hash.as_bytes().len();
    u32::try_from(len).unwrap_or(u32::MAX)
}

pub(crate) fn encode_hints(hints: Hints, out: &mut Vec<u8>) {
    varint::put(out, hints.contiguous_length.get());
    varint::put(out, hints.remote_contiguous_length.get());
}

pub(crate) fn decode_hints(cursor: &mut Cursor<'_>) -> Option<Hints> {
    Some(Hints {
        contiguous_length: Length::new(cursor.uint()?),
        remote_contiguous_length: Length::new(cursor.uint()?),
    })
}

/// 0, or 1 and the bytes after their length.
pub(crate) fn put_option(out: &mut Vec<u8>, value: Option<&[u8]>) {
    out.push(u8::from(value.is_some()));
    if let Some(value) = value {
        put_bytes(out, value);
    }
}

pub(crate) fn take_option(cursor: &mut Cursor<'_>) -> Option<Option<Bytes>> {
    match cursor.u8()? {
        0 => Some(None),
        1 => Some(Some(Bytes::copy_from_slice(cursor.bytes()?))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_addition_is_written_as_the_entry_that_says_the_same() {
        let node = |index| Node {
            index: NodeIndex::new(index),
            size: ByteLength::new(index * 1000),
            hash: Hash([7; 32]),
        };
        let slot = |index| BlockSlot {
            index,
            len: 300,
            crc: 0x0102_0304,
        };
        let head = HeadRecord {
            fork: Fork::new(1),
            length: Length::new(200),
            signature: Some(Bytes::from_static(b"signed")),
        };
        let pair = vec![node(397), node(398)];
        let scattered = vec![slot(7), slot(8), slot(100)];
        let cases = [
            (pair.clone(), vec![slot(199)], Some(head.clone())),
            (pair, scattered, None),
            (vec![], vec![slot(199)], None),
            (vec![], vec![], Some(head)),
        ];
        for (nodes, blocks, head) in cases {
            let (mut out, mut addition) = (Vec::new(), Vec::new());
            let first = encode_addition(CoreId(300), &nodes, &blocks, head.as_ref(), &mut addition);
            let entry = Entry {
                nodes,
                blocks,
                head,
                ..Entry::new(CoreId(300))
            };
            let at = Entry::encode_all(std::iter::once(&entry), &mut out);
            assert_eq!((&addition, [first].as_slice()), (&out, at.as_slice()));
            assert_eq!(Entry::decode_all(&addition), Some(vec![(entry, first)]));
        }
    }
}
