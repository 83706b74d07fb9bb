//! Reading a bundle from front to back: order and counts, and what ties it to a shorter log.

use std::collections::BTreeMap;
use std::io::{Read, Seek};

use bytes::Bytes;
use hc_merkle::flat::growth;
use hc_merkle::hash::{leaf_node, parent_node};
use hc_merkle::proof::BlockProof;
use hc_merkle::{BlockIndex, Head, Length, Node, NodeIndex};
use hc_storage::limits::{MAX_BLOCK_LEN, MAX_USER_KEY_LEN, MAX_USER_VALUE_LEN};

use super::frame::{Kind, Records, Start, damaged, too_long};
use super::header::{
    BundleHeader, MAX_PATH, decode_end, decode_head, decode_path, decode_user_data,
};
use super::{BundleError, BundleFault};
use crate::limits::{MAX_BUNDLE_HEAD, MAX_BUNDLE_HEADER, MAX_BUNDLE_USER_DATA};
use crate::proofs::authority;

/// A bundle that is being read.
#[derive(Debug)]
pub struct Bundle<R> {
    records: Records<R>,
    header: BundleHeader,
    /// Where the head stands, and what it is. Its signature has been verified.
    head: Option<(u64, Head)>,
    /// Where user data and blocks begin.
    body: u64,
    seen: Seen,
}

/// What was read of the body.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    user_data: u64,
    blocks: u64,
    bytes: u64,
    last: Option<BlockIndex>,
}

/// A record of the body.
#[derive(Debug)]
pub(super) enum Item {
    UserData(String, Bytes),
    Block(BlockProof),
    /// A block that was not wanted, and so was not looked at.
    Passed,
    End,
}

/// The beginning of a block that has been read.
struct BlockStart {
    start: Start,
    index: BlockIndex,
    nodes: Vec<Node>,
    /// What was read of its bytes.
    value: Vec<u8>,
}

impl<R: Read + Seek> Bundle<R> {
    /// Reads the beginning of a bundle, and verifies its head.
    ///
    /// # Errors
    /// [`BundleError`] says what is wrong with it, and where.
    pub fn open(input: R) -> Result<Self, BundleError> {
        let mut records = Records::new(input)?;
        let start = records.start()?;
        let offset = start.offset;
        if start.kind != Kind::Header {
            return Err(damaged(offset, BundleFault::Order));
        }
        let content = limited(&mut records, start, MAX_BUNDLE_HEADER)?;
        let malformed = |offset| damaged(offset, BundleFault::Malformed);
        let header = BundleHeader::decode(&content).ok_or_else(|| malformed(offset))?;
        if header.user_data > MAX_BUNDLE_USER_DATA {
            return Err(malformed(offset));
        }
        let mut body = records.position();
        let start = records.start()?;
        let mut head = None;
        if start.kind == Kind::Head {
            let offset = start.offset;
            let content = limited(&mut records, start, MAX_BUNDLE_HEAD)?;
            let found = decode_head(&content).ok_or_else(|| malformed(offset))?;
            verify(&header, &found).map_err(|fault| damaged(offset, fault))?;
            head = Some((offset, found));
            body = records.position();
        } else {
            records.go_to(body)?;
        }
        Ok(Self {
            records,
            header,
            head,
            body,
            seen: Seen::default(),
        })
    }

    /// What the bundle says of itself.
    pub fn header(&self) -> &BundleHeader {
        &self.header
    }

    /// The signed head of the log; `None` where it has no blocks.
    pub fn head(&self) -> Option<&Head> {
        self.head.as_ref().map(|(_, head)| head)
    }

    /// Where the head stands, and what it is.
    pub(super) fn placed_head(&self) -> Option<(u64, &Head)> {
        self.head.as_ref().map(|(offset, head)| (*offset, head))
    }

    /// Where the next record stands.
    pub(super) fn position(&self) -> u64 {
        self.records.position()
    }

    /// Goes on to the next record, and says where it starts.
    pub(super) fn next(
        &mut self,
        wants: impl FnOnce(BlockIndex) -> bool,
    ) -> Result<(u64, Item), BundleError> {
        let start = self.records.start()?;
        let offset = start.offset;
        let item = match start.kind {
            Kind::UserData => self.user_data(start)?,
            Kind::Block => {
                let block = self.block_start(start)?;
                if wants(block.index) {
                    Item::Block(self.block(block)?)
                } else {
                    self.records.skip(&block.start)?;
                    Item::Passed
                }
            }
            Kind::End => self.end(start)?,
            Kind::Header | Kind::Head => return Err(damaged(offset, BundleFault::Order)),
        };
        Ok((offset, item))
    }

    fn user_data(&mut self, start: Start) -> Result<Item, BundleError> {
        const LIMIT: u64 = (MAX_USER_KEY_LEN + MAX_USER_VALUE_LEN + 10) as u64;
        let offset = start.offset;
        self.seen.user_data += 1;
        if self.seen.last.is_some() || self.seen.user_data > self.header.user_data {
            return Err(damaged(offset, BundleFault::Order));
        }
        let content = limited(&mut self.records, start, LIMIT)?;
        let (key, value) =
            decode_user_data(content).ok_or_else(|| damaged(offset, BundleFault::Malformed))?;
        Ok(Item::UserData(key, value))
    }

    /// Reads what stands before the bytes of a block.
    fn block_start(&mut self, mut start: Start) -> Result<BlockStart, BundleError> {
        let offset = start.offset;
        let len = start.left;
        if len > MAX_BLOCK_LEN as u64 + MAX_PATH {
            return Err(too_long(offset, len));
        }
        let mut bytes = self.records.some(&mut start, MAX_PATH)?;
        let (index, nodes, path) =
            decode_path(&bytes).ok_or_else(|| damaged(offset, BundleFault::Malformed))?;
        let value = bytes.split_off(path);
        let is_in_log = self
            .head()
            .is_some_and(|head| index.get() < head.length().get());
        if !is_in_log || self.seen.last >= Some(index) {
            return Err(damaged(offset, BundleFault::Order));
        }
        self.seen.last = Some(index);
        self.seen.blocks += 1;
        self.seen.bytes = self.seen.bytes.saturating_add(len - path as u64);
        Ok(BlockStart {
            start,
            index,
            nodes,
            value,
        })
    }

    /// Reads the rest of a block.
    fn block(&mut self, block: BlockStart) -> Result<BlockProof, BundleError> {
        let mut value = block.value;
        value.extend_from_slice(&self.records.rest(block.start)?);
        Ok(BlockProof {
            index: block.index,
            value: value.into(),
            nodes: block.nodes,
        })
    }

    fn end(&mut self, start: Start) -> Result<Item, BundleError> {
        const LIMIT: u64 = 20;
        let offset = start.offset;
        let content = limited(&mut self.records, start, LIMIT)?;
        let end = decode_end(&content).ok_or_else(|| damaged(offset, BundleFault::Malformed))?;
        let seen = self.seen;
        let is_all = end == (seen.blocks, seen.bytes)
            && seen.blocks == self.header.blocks
            && seen.user_data == self.header.user_data;
        if !is_all {
            return Err(damaged(offset, BundleFault::Order));
        }
        let position = self.records.position();
        if !self.records.is_at_end()? {
            return Err(damaged(position, BundleFault::Trailing));
        }
        Ok(Item::End)
    }

    /// The nodes that take a log of `from` blocks to the head, as far as they stand beside blocks or
    /// follow from them; `None` where not all of them do. Whether they are right shows when they are
    /// verified. Blocks are passed over, but for one under each node that has to be computed.
    pub(super) fn tie(&mut self, from: Length) -> Result<Option<Vec<Node>>, BundleError> {
        let Some(head) = self.head() else {
            return Ok(None);
        };
        let wanted = growth(from, head.length());
        let mut found: BTreeMap<NodeIndex, Node> = BTreeMap::new();
        for root in head.roots() {
            found.insert(root.index, *root);
        }
        self.restart()?;
        while !wanted.iter().all(|index| found.contains_key(index)) {
            let start = self.records.start()?;
            match start.kind {
                Kind::Block => {
                    let block = self.block_start(start)?;
                    self.tie_by(block, &wanted, &mut found)?;
                }
                Kind::UserData => self.records.skip(&start)?,
                _ => break,
            }
        }
        self.restart()?;
        Ok(wanted
            .iter()
            .map(|index| found.get(index).copied())
            .collect())
    }

    fn tie_by(
        &mut self,
        block: BlockStart,
        wanted: &[NodeIndex],
        found: &mut BTreeMap<NodeIndex, Node>,
    ) -> Result<(), BundleError> {
        let is_wanted = |index: NodeIndex| wanted.contains(&index);
        for node in block.nodes.iter().filter(|node| is_wanted(node.index)) {
            found.entry(node.index).or_insert(*node);
        }
        let leaf = block.index.leaf();
        let under = |index: &&NodeIndex| leaf.is_some_and(|leaf| index.contains(leaf));
        let above = wanted.iter().find(under);
        if above.is_none_or(|index| found.contains_key(index)) {
            return self.records.skip(&block.start);
        }
        let block = self.block(block)?;
        let mut node = leaf.map(|leaf| leaf_node(leaf, &block.value));
        let mut siblings = block.nodes.iter();
        while let Some(at) = node {
            if is_wanted(at.index) {
                found.entry(at.index).or_insert(at);
            }
            node = siblings
                .next()
                .and_then(|sibling| parent_node(&at, sibling));
        }
        Ok(())
    }

    /// Goes back to where user data and blocks begin.
    fn restart(&mut self) -> Result<(), BundleError> {
        self.seen = Seen::default();
        Ok(self.records.go_to(self.body)?)
    }
}

/// The content of a record that may not be longer than `limit`.
fn limited<R: Read + Seek>(
    records: &mut Records<R>,
    start: Start,
    limit: u64,
) -> Result<Vec<u8>, BundleError> {
    if start.left > limit {
        return Err(too_long(start.offset, start.left));
    }
    records.rest(start)
}

/// Whether the head is signed by who may.
fn verify(header: &BundleHeader, head: &Head) -> Result<(), BundleFault> {
    let known = authority(&header.auth()).map_err(BundleFault::Manifest)?;
    let verifier = known.resolve(None).map_err(BundleFault::Manifest)?;
    verifier.verify(head).map_err(BundleFault::Head)
}
