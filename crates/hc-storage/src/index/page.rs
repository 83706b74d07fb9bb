//! What is in a page of the index: the locators of 64 blocks, or the nodes whose last block is among
//! 64. Entries that are there stand side by side behind a bitmap, so one is found without reading the
//! others.

use hc_merkle::{ByteLength, Hash, Node, NodeIndex};

use crate::log::Locator;

/// Blocks in a page.
pub(crate) const BLOCKS: u64 = SLOTS as u64;

/// Places in a page of locators.
const SLOTS: usize = 64;

/// Bytes of a node in a page: size and hash; its index follows from its place.
const NODE_LEN: usize = 40;

/// Bytes of the bitmap of a page of nodes.
const NODE_BITMAP: usize = 24;

/// Nodes of a page that lie wholly in it; the higher ones, which only end in it, come after them.
const LOCAL_NODES: u32 = 127;

/// Depth of the first node that is not local.
const FIRST_HIGHER: u32 = 7;

/// The locators of 64 blocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LocatorPage([Option<Locator>; SLOTS]);

impl LocatorPage {
    pub(crate) const EMPTY: Self = Self([None; SLOTS]);

    pub(crate) const fn of(block: u64) -> u64 {
        block / BLOCKS
    }

    const fn slot(block: u64) -> usize {
        // below 64
        #[allow(clippy::cast_possible_truncation)]
        let slot = (block % BLOCKS) as usize;
        slot
    }

    pub(crate) fn set(&mut self, block: u64, locator: Option<Locator>) {
        if let Some(place) = self.0.get_mut(Self::slot(block)) {
            *place = locator;
        }
    }

    /// `None` where there is nothing in it.
    pub(crate) fn encode(&self) -> Option<Vec<u8>> {
        let present = self
            .0
            .iter()
            .rev()
            .fold(0u64, |bits, at| bits << 1 | u64::from(at.is_some()));
        if present == 0 {
            return None;
        }
        let mut out = present.to_le_bytes().to_vec();
        for locator in self.0.iter().flatten() {
            out.extend_from_slice(&locator.to_bytes());
        }
        Some(out)
    }

    /// `None` where the bytes have no meaning.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (present, entries) = bytes.split_first_chunk()?;
        let present = u64::from_le_bytes(*present);
        let mut entries = entries.chunks_exact(Locator::LEN);
        let mut page = Self::EMPTY;
        for (slot, place) in page.0.iter_mut().enumerate() {
            if present >> slot & 1 == 1 {
                *place = Some(Locator::from_bytes(entries.next()?.first_chunk()?));
            }
        }
        (entries.next().is_none() && entries.remainder().is_empty()).then_some(page)
    }

    /// The locator of one block in an encoded page; the outer `None` where the bytes have no meaning.
    pub(crate) fn find(bytes: &[u8], block: u64) -> Option<Option<Locator>> {
        let (present, entries) = bytes.split_first_chunk()?;
        let present = u64::from_le_bytes(*present);
        let bit = 1u64 << Self::slot(block);
        if present & bit == 0 {
            return Some(None);
        }
        let rank = (present & (bit - 1)).count_ones() as usize;
        let entry = entries.get(rank * Locator::LEN..)?.first_chunk()?;
        Some(Some(Locator::from_bytes(entry)))
    }
}

/// The nodes whose last block is among 64.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct NodePage(std::collections::BTreeMap<u32, Node>);

impl NodePage {
    /// The page of a node.
    pub(crate) const fn of(index: NodeIndex) -> u64 {
        (index.end().get() - 1) / BLOCKS
    }

    fn slot(index: NodeIndex) -> u32 {
        let depth = index.depth();
        match depth.checked_sub(FIRST_HIGHER) {
            None => u32::try_from(index.get() % (2 * BLOCKS)).unwrap_or(LOCAL_NODES),
            Some(above) => LOCAL_NODES + above,
        }
    }

    /// The node that has a slot in a page.
    fn index(page: u64, slot: u32) -> Option<NodeIndex> {
        let first = page.checked_mul(2 * BLOCKS)?;
        let Some(above) = slot.checked_sub(LOCAL_NODES) else {
            return first.checked_add(slot.into()).map(NodeIndex::new);
        };
        let last_leaf = first.checked_add(2 * BLOCKS - 2)?;
        let reach = 1u64.checked_shl(FIRST_HIGHER + above)? - 1;
        last_leaf.checked_sub(reach).map(NodeIndex::new)
    }

    pub(crate) fn set(&mut self, node: Node) {
        self.0.insert(Self::slot(node.index), node);
    }

    /// Drops the nodes that reach past `length`.
    pub(crate) fn truncate(&mut self, length: u64) {
        self.0.retain(|_, node| node.index.end().get() <= length);
    }

    pub(crate) fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.0.values()
    }

    /// `None` where there is nothing in it.
    pub(crate) fn encode(&self) -> Option<Vec<u8>> {
        if self.0.is_empty() {
            return None;
        }
        let mut out = vec![0; NODE_BITMAP];
        for slot in self.0.keys() {
            if let Some(byte) = out.get_mut((slot / 8) as usize) {
                *byte |= 1 << (slot % 8);
            }
        }
        for node in self.0.values() {
            out.extend_from_slice(&node.size.get().to_le_bytes());
            out.extend_from_slice(node.hash.as_bytes());
        }
        Some(out)
    }

    /// `None` where the bytes have no meaning.
    pub(crate) fn decode(bytes: &[u8], page: u64) -> Option<Self> {
        let (bitmap, entries) = bytes.split_at_checked(NODE_BITMAP)?;
        let mut entries = entries.chunks_exact(NODE_LEN);
        let mut out = Self::default();
        for (at, byte) in (0u32..).zip(bitmap) {
            for bit in (0..8).filter(|bit| byte >> bit & 1 == 1) {
                let slot = at * 8 + bit;
                let node = node(Self::index(page, slot)?, entries.next()?)?;
                out.0.insert(slot, node);
            }
        }
        (entries.next().is_none() && entries.remainder().is_empty()).then_some(out)
    }

    /// One node of an encoded page; the outer `None` where the bytes have no meaning.
    pub(crate) fn find(bytes: &[u8], index: NodeIndex) -> Option<Option<Node>> {
        let (bitmap, entries) = bytes.split_at_checked(NODE_BITMAP)?;
        let slot = Self::slot(index);
        let (byte, bit) = ((slot / 8) as usize, slot % 8);
        let at = *bitmap.get(byte)?;
        if at >> bit & 1 == 0 {
            return Some(None);
        }
        let before: u32 = bitmap.iter().take(byte).map(|byte| byte.count_ones()).sum();
        let rank = before + (at & ((1 << bit) - 1)).count_ones();
        let start = rank as usize * NODE_LEN;
        node(index, entries.get(start..start + NODE_LEN)?).map(Some)
    }
}

fn node(index: NodeIndex, entry: &[u8]) -> Option<Node> {
    let (size, hash) = entry.split_first_chunk()?;
    let hash = Hash(hash.try_into().ok()?);
    Some(Node {
        index,
        size: ByteLength::new(u64::from_le_bytes(*size)),
        hash,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(index: u64) -> Node {
        let size = ByteLength::new(index.wrapping_mul(7));
        Node {
            index: NodeIndex::new(index),
            size,
            hash: Hash([index.to_le_bytes()[0]; 32]),
        }
    }

    #[test]
    fn every_node_has_a_slot_of_its_own() {
        for page in [0u64, 1, 3, 127, (1 << 20) - 1] {
            let mut seen = std::collections::BTreeSet::new();
            let first = page * 128;
            let mut candidates: Vec<u64> = (first..first + 127).collect();
            for depth in 7..40u32 {
                if let Some(index) = (first + 126).checked_sub((1 << depth) - 1)
                    && NodeIndex::new(index).depth() == depth
                {
                    candidates.push(index);
                }
            }
            for index in candidates {
                let index = NodeIndex::new(index);
                assert_eq!(NodePage::of(index), page, "{index:?}");
                let slot = NodePage::slot(index);
                assert_eq!(NodePage::index(page, slot), Some(index));
                assert!(seen.insert(slot) && slot < 192);
            }
        }
    }

    #[test]
    fn pages_are_found_as_they_are_decoded() {
        let mut page = NodePage::default();
        for index in [0u64, 1, 2, 62, 63, 126, 127] {
            page.set(sample(index));
        }
        // 127 spans blocks 0..128 and so ends in page 1
        assert_eq!(NodePage::of(NodeIndex::new(127)), 1);
        page.0.remove(&NodePage::slot(NodeIndex::new(127)));
        let bytes = page.encode().expect("nodes");
        assert_eq!(NodePage::decode(&bytes, 0), Some(page));
        assert_eq!(
            NodePage::find(&bytes, NodeIndex::new(63)),
            Some(Some(sample(63)))
        );
        assert_eq!(NodePage::find(&bytes, NodeIndex::new(64)), Some(None));
        assert_eq!(NodePage::decode(&bytes[..bytes.len() - 1], 0), None);
        assert_eq!(NodePage::find(&bytes[..30], NodeIndex::new(63)), None);

        let mut page = LocatorPage::EMPTY;
        let at = |block: u64| Locator {
            segment: 1,
            offset: u32::try_from(block).expect("small"),
            len: 3,
            crc: 9,
        };
        for block in [64, 65, 127] {
            page.set(block, Some(at(block)));
        }
        let bytes = page.encode().expect("locators");
        assert_eq!(LocatorPage::decode(&bytes), Some(page));
        assert_eq!(LocatorPage::find(&bytes, 127), Some(Some(at(127))));
        assert_eq!(LocatorPage::find(&bytes, 66), Some(None));
        assert_eq!(LocatorPage::decode(&bytes[..20]), None);
        assert_eq!(LocatorPage::EMPTY.encode(), None);
    }
}
