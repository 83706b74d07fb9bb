//! What is in a page of the index that says where nodes are: those whose last block is among 64.
//!
//! Nodes that follow each other both in the page and in the log are one run, which names a stretch of the
//! log and its checksum. A node of which the place is not known stands in the page itself.

use std::collections::BTreeMap;

use hc_merkle::{ByteLength, Hash, Node, NodeIndex};

use super::page::BLOCKS;
use crate::log::{NodePlace, PlacedNode};
use crate::record::cursor::Cursor;
use crate::record::entry::{node_len, put_node, skip_node, take_node};

/// Bytes of a node that is in the page: size and hash; its index follows from its slot.
const NODE_LEN: usize = 40;

/// Nodes of a page that lie wholly in it; the higher ones, which only end in it, come after them.
const LOCAL_NODES: u8 = 127;

/// Depth of the first node that is not local.
const FIRST_HIGHER: u32 = 7;

/// In place of a segment: the nodes of the run follow.
const HERE: u32 = u32::MAX;

/// A stretch of the log that holds the nodes of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stretch {
    pub(crate) place: NodePlace,
    pub(crate) len: u16,
    crc: u32,
    count: u8,
}

impl Stretch {
    #[cfg(test)]
    pub(crate) fn at(offset: u32, crc: u32) -> Self {
        Self {
            place: NodePlace { segment: 1, offset },
            len: 1,
            crc,
            count: 1,
        }
    }

    /// The nodes in its bytes, each with where it is; `None` where they are not those that were written.
    pub(crate) fn nodes(&self, bytes: &[u8]) -> Option<Vec<PlacedNode>> {
        let mut cursor = self.matches(bytes).then(|| Cursor::new(bytes))?;
        let mut nodes = Vec::with_capacity(self.count.into());
        let NodePlace { segment, offset } = self.place;
        while !cursor.is_empty() {
            let at = u32::try_from(bytes.len() - cursor.remaining()).ok()?;
            let offset = offset.checked_add(at)?;
            nodes.push(PlacedNode {
                node: take_node(&mut cursor)?,
                place: Some(NodePlace { segment, offset }),
            });
        }
        (nodes.len() == usize::from(self.count)).then_some(nodes)
    }

    /// Whether bytes are those that were written there.
    pub(crate) fn matches(&self, bytes: &[u8]) -> bool {
        bytes.len() == usize::from(self.len) && crc32c::crc32c(bytes) == self.crc
    }

    /// The node that comes after `before` others in bytes that [match](Self::matches); `None` where
    /// that is another.
    pub(crate) fn find(&self, bytes: &[u8], before: u8, index: NodeIndex) -> Option<PlacedNode> {
        let mut cursor = Cursor::new(bytes);
        for _ in 0..before {
            skip_node(&mut cursor)?;
        }
        let at = u32::try_from(bytes.len() - cursor.remaining()).ok()?;
        let NodePlace { segment, offset } = self.place;
        let offset = offset.checked_add(at)?;
        let node = take_node(&mut cursor).filter(|node| node.index == index)?;
        let place = Some(NodePlace { segment, offset });
        Some(PlacedNode { node, place })
    }

    /// Whether a node is one of its own, by where it is.
    pub(crate) const fn holds(&self, at: NodePlace) -> bool {
        let NodePlace { segment, offset } = self.place;
        segment == at.segment && offset <= at.offset && at.offset - offset < self.len as u32
    }
}

/// Nodes in slots that follow each other.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Run {
    There(Stretch),
    Here(Vec<Node>),
}

impl Run {
    fn count(&self) -> u8 {
        match self {
            Self::There(stretch) => stretch.count,
            Self::Here(nodes) => u8::try_from(nodes.len()).unwrap_or(u8::MAX),
        }
    }
}

/// Where a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    Nowhere,
    Here(Node),
    /// In a stretch of the log, after so many others.
    There(Stretch, u8),
}

/// The nodes whose last block is among 64.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct NodePage {
    /// As they were read, by their first slot; no two of them meet.
    runs: BTreeMap<u8, Run>,
    /// What comes to them, by slot.
    loose: BTreeMap<u8, PlacedNode>,
}

impl NodePage {
    /// The page of a node.
    pub(crate) const fn of(index: NodeIndex) -> u64 {
        (index.end().get() - 1) / BLOCKS
    }

    fn slot(index: NodeIndex) -> u8 {
        let slot = match index.depth().checked_sub(FIRST_HIGHER) {
            None => index.get() % (2 * BLOCKS),
            Some(above) => u64::from(LOCAL_NODES) + u64::from(above),
        };
        // of the last depth, 63, it is 183
        u8::try_from(slot).unwrap_or(u8::MAX)
    }

    /// The node that has a slot in a page.
    fn index(page: u64, slot: u8) -> Option<NodeIndex> {
        let first = page.checked_mul(2 * BLOCKS)?;
        let Some(above) = slot.checked_sub(LOCAL_NODES) else {
            return first.checked_add(slot.into()).map(NodeIndex::new);
        };
        let last_leaf = first.checked_add(2 * BLOCKS - 2)?;
        let reach = 1u64.checked_shl(FIRST_HIGHER + u32::from(above))? - 1;
        last_leaf.checked_sub(reach).map(NodeIndex::new)
    }

    /// Adds a node, in place of one that was [loosened](Self::loosen) or is not there.
    pub(crate) fn set(&mut self, node: PlacedNode) {
        self.loose.insert(Self::slot(node.node.index), node);
    }

    /// Drops the runs of which nothing stays, without reading them: each node reaches past `floor`, where
    /// there is one, or is among those that are about to be [set](Self::set). `page`: its number.
    pub(crate) fn drop_replaced<'n>(
        &mut self,
        page: u64,
        floor: Option<u64>,
        replaced: impl Iterator<Item = &'n PlacedNode>,
    ) {
        if self.runs.is_empty() {
            return;
        }
        let mut goes = [false; 256];
        for node in replaced {
            if let Some(goes) = goes.get_mut(usize::from(Self::slot(node.node.index))) {
                *goes = true;
            }
        }
        let is_past = |slot| {
            let end = Self::index(page, slot).map(|index| index.end().get());
            floor.is_some_and(|floor| end.is_none_or(|end| end > floor))
        };
        self.runs.retain(|first, run| {
            let mut slots = *first..first.saturating_add(run.count());
            slots.any(|slot| {
                !goes.get(usize::from(slot)).is_some_and(|goes| *goes) && !is_past(slot)
            })
        });
    }

    /// Has the nodes of the run that a node is in stand by themselves. `read` gives those of a stretch.
    pub(crate) fn loosen<E>(
        &mut self,
        index: NodeIndex,
        read: impl FnOnce(&Stretch) -> Result<Vec<PlacedNode>, E>,
    ) -> Result<(), E> {
        let slot = Self::slot(index);
        let Some((first, run)) = self.runs.range(..=slot).next_back() else {
            return Ok(());
        };
        if slot - first >= run.count() {
            return Ok(());
        }
        let first = *first;
        let nodes = match run {
            Run::There(stretch) => read(stretch)?,
            Run::Here(nodes) => {
                let here = |node: &Node| PlacedNode {
                    node: *node,
                    place: None,
                };
                nodes.iter().map(here).collect()
            }
        };
        self.runs.remove(&first);
        for node in nodes {
            self.set(node);
        }
        Ok(())
    }

    /// Drops the nodes that reach past `length`. `page`: its number.
    pub(crate) fn truncate<E>(
        &mut self,
        page: u64,
        length: u64,
        mut read: impl FnMut(&Stretch) -> Result<Vec<PlacedNode>, E>,
    ) -> Result<(), E> {
        let is_past =
            |slot: u8| Self::index(page, slot).is_none_or(|index| index.end().get() > length);
        let spans: Vec<(u8, u8)> = self
            .runs
            .iter()
            .map(|(at, run)| (*at, run.count()))
            .collect();
        for (first, count) in spans {
            let mut slots = first..first.saturating_add(count);
            if slots.clone().all(is_past) {
                self.runs.remove(&first);
            } else if slots.any(is_past)
                && let Some(index) = Self::index(page, first)
            {
                self.loosen(index, &mut read)?;
            }
        }
        self.loose.retain(|slot, _| !is_past(*slot));
        Ok(())
    }

    /// The nodes that are in it.
    pub(crate) fn indexes(&self, page: u64) -> impl Iterator<Item = NodeIndex> {
        let of_run = |(first, run): (&u8, &Run)| *first..first.saturating_add(run.count());
        let slots = self.runs.iter().flat_map(of_run);
        let slots = slots.chain(self.loose.keys().copied());
        slots.filter_map(move |slot| Self::index(page, slot))
    }

    /// `None` where there is nothing in it.
    pub(crate) fn encode(&self) -> Option<Vec<u8>> {
        let mut runs = self.runs.clone();
        let mut group: Vec<(u8, PlacedNode)> = Vec::new();
        for (slot, node) in &self.loose {
            if group
                .last()
                .is_some_and(|last| !follows(last, (*slot, node)))
            {
                runs.extend(run_of(&std::mem::take(&mut group)));
            }
            group.push((*slot, *node));
        }
        runs.extend(run_of(&group));
        if runs.is_empty() {
            return None;
        }
        let mut out = Vec::new();
        for (first, run) in &runs {
            out.extend_from_slice(&[*first, run.count()]);
            match run {
                Run::There(stretch) => {
                    out.extend_from_slice(&stretch.place.segment.to_le_bytes());
                    out.extend_from_slice(&stretch.place.offset.to_le_bytes());
                    out.extend_from_slice(&stretch.len.to_le_bytes());
                    out.extend_from_slice(&stretch.crc.to_le_bytes());
                }
                Run::Here(nodes) => {
                    out.extend_from_slice(&HERE.to_le_bytes());
                    for node in nodes {
                        out.extend_from_slice(&node.size.get().to_le_bytes());
                        out.extend_from_slice(node.hash.as_bytes());
                    }
                }
            }
        }
        Some(out)
    }

    /// The page with a number; `None` where the bytes have no meaning.
    pub(crate) fn decode(bytes: &[u8], page: u64) -> Option<Self> {
        let mut runs = BTreeMap::new();
        let mut entries = Entries::new(bytes);
        while let Some(entry) = entries.next()? {
            let run = match entry.content {
                Content::There(stretch) => Run::There(stretch),
                Content::Here(nodes) => {
                    let slots = entry.first..entry.first.checked_add(entry.count)?;
                    let nodes = slots.zip(nodes.chunks_exact(NODE_LEN));
                    let nodes = nodes.map(|(slot, bytes)| node(Self::index(page, slot)?, bytes));
                    Run::Here(nodes.collect::<Option<_>>()?)
                }
            };
            runs.insert(entry.first, run);
        }
        Some(Self {
            runs,
            loose: BTreeMap::new(),
        })
    }

    /// One node of an encoded page; `None` where the bytes have no meaning.
    pub(crate) fn find(bytes: &[u8], index: NodeIndex) -> Option<Found> {
        let slot = Self::slot(index);
        let mut entries = Entries::new(bytes);
        while let Some(entry) = entries.next()? {
            let Some(nth) = slot.checked_sub(entry.first) else {
                break;
            };
            if nth >= entry.count {
                continue;
            }
            return Some(match entry.content {
                Content::There(stretch) => Found::There(stretch, nth),
                Content::Here(nodes) => {
                    let start = usize::from(nth) * NODE_LEN;
                    Found::Here(node(index, nodes.get(start..start + NODE_LEN)?)?)
                }
            });
        }
        Some(Found::Nowhere)
    }
}

/// Whether a node is the next after another, in the page and in the log.
fn follows((slot, last): &(u8, PlacedNode), (next_slot, next): (u8, &PlacedNode)) -> bool {
    let places = match (last.place, next.place) {
        (None, None) => true,
        (Some(last_at), Some(at)) => {
            last_at.segment == at.segment
                && last_at.offset.checked_add(node_len(&last.node)) == Some(at.offset)
        }
        _ => false,
    };
    places && slot.checked_add(1) == Some(next_slot)
}

/// The run that some nodes are, and its first slot.
fn run_of(group: &[(u8, PlacedNode)]) -> Option<(u8, Run)> {
    let (slot, first) = group.first()?;
    let nodes = group.iter().map(|(_, node)| node.node);
    let run = match first.place {
        None => Run::Here(nodes.collect()),
        Some(place) => {
            let mut bytes = Vec::with_capacity(group.len() * NODE_LEN);
            nodes.for_each(|node| put_node(&mut bytes, &node));
            Run::There(Stretch {
                place,
                len: u16::try_from(bytes.len()).ok()?,
                crc: crc32c::crc32c(&bytes),
                count: u8::try_from(group.len()).ok()?,
            })
        }
    };
    Some((*slot, run))
}

/// A run in an encoded page.
struct Encoded<'a> {
    first: u8,
    count: u8,
    content: Content<'a>,
}

enum Content<'a> {
    There(Stretch),
    /// Bytes of the nodes.
    Here(&'a [u8]),
}

/// The runs of an encoded page.
struct Entries<'a> {
    cursor: Cursor<'a>,
    /// The first slot that may come.
    from: u8,
}

impl<'a> Entries<'a> {
    const fn new(bytes: &'a [u8]) -> Self {
        Self {
            cursor: Cursor::new(bytes),
            from: 0,
        }
    }

    /// The outer `None` where the bytes have no meaning.
    fn next(&mut self) -> Option<Option<Encoded<'a>>> {
        if self.cursor.is_empty() {
            return Some(None);
        }
        let (first, count) = (self.cursor.u8()?, self.cursor.u8()?);
        if first < self.from || count == 0 {
            return None;
        }
        self.from = first.checked_add(count)?;
        let content = match self.cursor.u32()? {
            HERE => Content::Here(self.cursor.raw(usize::from(count) * NODE_LEN)?),
            segment => Content::There(Stretch {
                place: NodePlace {
                    segment,
                    offset: self.cursor.u32()?,
                },
                len: u16::from_le_bytes(self.cursor.array()?),
                crc: self.cursor.u32()?,
                count,
            }),
        };
        Some(Some(Encoded {
            first,
            count,
            content,
        }))
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
        Node {
            index: NodeIndex::new(index),
            size: ByteLength::new(index.wrapping_mul(7)),
            hash: Hash([index.to_le_bytes()[0]; 32]),
        }
    }

    /// A log of nothing but nodes, and where they are.
    fn log(indexes: impl IntoIterator<Item = u64>) -> (Vec<u8>, Vec<PlacedNode>) {
        let (mut bytes, mut nodes) = (Vec::new(), Vec::new());
        for index in indexes {
            let offset = u32::try_from(bytes.len()).expect("short");
            let node = sample(index);
            put_node(&mut bytes, &node);
            let place = Some(NodePlace { segment: 3, offset });
            nodes.push(PlacedNode { node, place });
        }
        (bytes, nodes)
    }

    fn stretch_of<'a>(log: &'a [u8], stretch: &Stretch) -> &'a [u8] {
        let at = stretch.place.offset as usize;
        &log[at..at + usize::from(stretch.len)]
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
                assert!(seen.insert(slot));
            }
        }
    }

    #[test]
    fn a_page_of_one_batch_is_one_run() {
        let (log, nodes) = log(0..127);
        let mut page = NodePage::default();
        nodes.iter().for_each(|node| page.set(*node));
        let bytes = page.encode().expect("nodes");
        assert_eq!(bytes.len(), 16);
        for node in &nodes {
            let Some(Found::There(stretch, nth)) = NodePage::find(&bytes, node.node.index) else {
                panic!("not found");
            };
            let there = stretch_of(&log, &stretch);
            assert_eq!(stretch.find(there, nth, node.node.index), Some(*node));
            assert_eq!(stretch.nodes(there).as_ref(), Some(&nodes));
            let mut bad = there.to_vec();
            bad[40] ^= 1;
            assert!(stretch.matches(there) && !stretch.matches(&bad));
        }
        assert_eq!(NodePage::find(&bytes[..15], NodeIndex::new(0)), None);
        assert_eq!(NodePage::decode(&bytes[..15], 0), None);
    }

    #[test]
    fn a_page_is_changed_a_node_at_a_time() {
        let (log, nodes) = log([0, 1, 2, 4, 63, 127]);
        let read = |stretch: &Stretch| stretch.nodes(stretch_of(&log, stretch)).ok_or(());
        let mut page = NodePage::default();
        // 127 spans blocks 0..128 and so ends in page 1
        assert_eq!(NodePage::of(NodeIndex::new(127)), 1);
        nodes[..5].iter().for_each(|node| page.set(*node));
        page.set(PlacedNode {
            node: sample(126),
            place: None,
        });
        let bytes = page.encode().expect("nodes");
        assert_eq!(bytes.len(), 3 * 16 + 6 + 40);
        let mut page = NodePage::decode(&bytes, 0).expect("a page");
        assert_eq!(page.encode().as_ref(), Some(&bytes));
        assert_eq!(
            NodePage::find(&bytes, NodeIndex::new(126)),
            Some(Found::Here(sample(126)))
        );
        assert_eq!(
            NodePage::find(&bytes, NodeIndex::new(5)),
            Some(Found::Nowhere)
        );
        let kept: Vec<u64> = page.indexes(0).map(NodeIndex::get).collect();
        assert_eq!(kept, [0, 1, 2, 4, 63, 126]);

        // a node in the middle of a run is replaced
        page.loosen(NodeIndex::new(1), read).expect("whole");
        page.set(PlacedNode {
            node: sample(1),
            place: None,
        });
        let bytes = page.encode().expect("nodes");
        let page = NodePage::decode(&bytes, 0).expect("a page");
        assert_eq!(
            NodePage::find(&bytes, NodeIndex::new(1)),
            Some(Found::Here(sample(1)))
        );
        // and what reaches past a length is dropped
        for length in [0, 1, 2, 3, 64] {
            let mut page = page.clone();
            page.truncate(0, length, read).expect("whole");
            let kept: Vec<u64> = page.indexes(0).map(NodeIndex::get).collect();
            let expected = [0, 1, 2, 4, 63, 126].into_iter();
            let expected = expected.filter(|at| NodeIndex::new(*at).end().get() <= length);
            assert_eq!(
                kept.into_iter().collect::<std::collections::BTreeSet<_>>(),
                expected.collect()
            );
        }
    }

    #[test]
    fn runs_of_which_nothing_stays_go_unread() {
        let (_, nodes) = log([0, 1, 2, 8, 9, 10]);
        let mut page = NodePage::default();
        nodes.iter().for_each(|node| page.set(*node));
        let page = NodePage::decode(&page.encode().expect("nodes"), 0).expect("a page");
        let left = |floor, replaced: &[PlacedNode]| {
            let mut page = page.clone();
            page.drop_replaced(0, floor, replaced.iter());
            page.indexes(0).map(NodeIndex::get).collect::<Vec<_>>()
        };
        assert_eq!(left(None, &[]), [0, 1, 2, 8, 9, 10]);
        assert_eq!(left(None, &nodes[..2]), [0, 1, 2, 8, 9, 10]);
        assert_eq!(left(None, &nodes[..3]), [8, 9, 10]);
        // node 8 is that of block 4, and the others of its run reach past it
        assert_eq!(left(Some(5), &nodes[..3]), [8, 9, 10]);
        assert_eq!(left(Some(5), &nodes[..4]), [0; 0]);
        assert_eq!(left(Some(4), &[]), [0, 1, 2]);
    }
}
