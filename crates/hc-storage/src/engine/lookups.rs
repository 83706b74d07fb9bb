//! Looking into a log: overlays, index, and below a branch the log that it left.
//!
//! Owns which layer counts. Knows nothing of how any of them changes.

use std::collections::BTreeSet;
use std::ops::Range;

use bytes::Bytes;
use hc_bitfield::Bitfield;
use hc_merkle::{Node, NodeIndex};

use super::Engine;
use super::overlay::Lookup;
use super::pages::Pages;
use super::state::State;
use super::stretches::Stretches;
use crate::error::{IndexError, IndexFault};
use crate::index::nodes::{Found, NodePage, Stretch};
use crate::index::page::LocatorPage;
use crate::index::{self, Index, IndexExt, bad_entry, engine_fault};
use crate::log::committer::Log;
use crate::log::{Locator, NodePlace, PlacedNode};
use crate::record::entry::CoreId;

/// What is seen of a log at one moment.
pub(crate) struct Seen<'a> {
    pub(crate) state: &'a State,
    /// On a branch: the log that it left, and the length below which it reads that.
    pub(crate) parent: Option<(CoreId, &'a State, u64)>,
}

impl Seen<'_> {
    /// Whether a block is stored, here or below the length where a branch left its log.
    pub(crate) fn has(&self, block: u64) -> bool {
        let inherited =
            |(_, parent, length): (CoreId, &State, u64)| block < length && parent.has(block);
        self.state.has(block) || self.parent.is_some_and(inherited)
    }

    /// The blocks that are stored, here and below the length where a branch left its log.
    pub(crate) fn bitfield(&self) -> Bitfield {
        let own = &self.state.facts.bitfield;
        match self.parent {
            Some((_, parent, length)) => merged(own, &parent.facts.bitfield, length),
            None => own.clone(),
        }
    }
}

/// The bits of a branch, and those of its log below a length.
pub(crate) fn merged(own: &Bitfield, parent: &Bitfield, length: u64) -> Bitfield {
    let mut bits = parent.clone();
    bits.unset_range(length..u64::MAX);
    for range in own.ranges(0..u64::MAX) {
        bits.set_range(range);
    }
    bits
}

/// The index, and the log that it points into.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sources<'a> {
    pub(crate) index: &'a dyn Index,
    pages: &'a Pages,
    stretches: &'a Stretches,
    log: &'a Log,
}

impl Engine {
    pub(crate) fn sources(&self) -> Sources<'_> {
        Sources {
            index: &*self.index,
            pages: &self.pages,
            stretches: &self.stretches,
            log: &self.log,
        }
    }
}

impl Sources<'_> {
    fn page(&self, id: CoreId, kind: u8, page: u64) -> Result<Option<Bytes>, IndexError> {
        let read = || self.index.value(&index::page_key(id, kind, page));
        self.pages.get((id, kind, page), read)
    }

    /// Bytes of a stretch of the log, which may not be those that were written.
    fn stretch(&self, stretch: &Stretch) -> Result<Bytes, IndexError> {
        let NodePlace { segment, offset } = stretch.place;
        let read = self.log.read(segment, offset, stretch.len.into());
        read.map_err(|fault| engine_fault(&fault.path, IndexFault::Io(fault.source.kind())))
    }

    /// Bytes of a stretch of the log, as they were written; not read again while they are held.
    fn held_stretch(&self, stretch: &Stretch) -> Result<Bytes, IndexError> {
        self.stretches.get(stretch, || {
            let bytes = self.stretch(stretch)?;
            let whole = stretch.matches(&bytes).then_some(bytes);
            whole.ok_or_else(|| bad_entry(self.index))
        })
    }

    /// The nodes of a stretch.
    pub(crate) fn nodes(&self, stretch: &Stretch) -> Result<Vec<PlacedNode>, IndexError> {
        let nodes = stretch.nodes(&self.stretch(stretch)?);
        nodes.ok_or_else(|| bad_entry(self.index))
    }
}

/// Where a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whereabouts {
    Nowhere,
    /// In memory or in the index.
    Known(PlacedNode),
    /// In a stretch of the log, after so many others.
    In(Stretch, u8),
}

/// Looks into overlays and index; keeps the page, and the stretch of the log, that it looked at last.
pub(crate) struct Lookups<'a> {
    id: CoreId,
    state: &'a State,
    sources: Sources<'a>,
    /// On a branch: those in the log that it left, below some length.
    parent: Option<(u64, Box<Self>)>,
    locators: Option<(u64, Option<Bytes>)>,
    nodes: Option<(u64, Option<Bytes>)>,
    stretch: Option<(Stretch, Bytes)>,
}

impl<'a> Lookups<'a> {
    /// What a log has itself.
    pub(crate) fn new(id: CoreId, state: &'a State, sources: Sources<'a>) -> Self {
        Self {
            id,
            state,
            sources,
            parent: None,
            locators: None,
            nodes: None,
            stretch: None,
        }
    }

    /// What is seen of a log: on a branch, with what is below.
    pub(crate) fn through(id: CoreId, seen: &Seen<'a>, sources: Sources<'a>) -> Self {
        let parent = seen.parent.map(|(id, state, length)| {
            let parent = Self::new(id, state, sources);
            (length, Box::new(parent))
        });
        Self {
            parent,
            ..Self::new(id, seen.state, sources)
        }
    }

    /// The locator of a block that is stored.
    pub(crate) fn locator(&mut self, block: u64) -> Result<Locator, IndexError> {
        match &mut self.parent {
            Some((length, parent)) if block < *length && !self.state.has(block) => {
                parent.own_locator(block)
            }
            _ => self.own_locator(block),
        }
    }

    fn own_locator(&mut self, block: u64) -> Result<Locator, IndexError> {
        let layers = [self.state.active.as_deref(), self.state.frozen.as_deref()];
        for layer in layers.into_iter().flatten() {
            if let Some(locator) = layer.locators.get(block) {
                return Ok(*locator);
            }
        }
        let page = LocatorPage::of(block);
        let bytes = load(
            self.sources,
            &mut self.locators,
            self.id,
            index::LOCATORS,
            page,
        )?;
        let found = bytes
            .and_then(|bytes| LocatorPage::find(bytes, block))
            .flatten();
        found.ok_or_else(|| bad_entry(self.sources.index))
    }

    pub(crate) fn node(&mut self, node: NodeIndex) -> Result<Option<Node>, IndexError> {
        let found = match (self.own_node(node)?, &mut self.parent) {
            (None, Some((length, parent))) if node.end().get() <= *length => {
                parent.own_node(node)?
            }
            (found, _) => found,
        };
        Ok(found.map(|found| found.node))
    }

    /// A node that the log has itself, and where it is.
    pub(crate) fn own_node(&mut self, node: NodeIndex) -> Result<Option<PlacedNode>, IndexError> {
        let (stretch, before) = match self.whereabouts(node)? {
            Whereabouts::Nowhere => return Ok(None),
            Whereabouts::Known(node) => return Ok(Some(node)),
            Whereabouts::In(stretch, before) => (stretch, before),
        };
        let held = self.stretch.take().filter(|(held, _)| *held == stretch);
        let (_, bytes) = match held {
            Some(held) => self.stretch.insert(held),
            None => {
                let bytes = self.sources.held_stretch(&stretch)?;
                self.stretch.insert((stretch, bytes))
            }
        };
        let found = stretch.find(bytes, before, node);
        found.map(Some).ok_or_else(|| bad_entry(self.sources.index))
    }

    /// Where the log has a node itself, which is not read for that.
    pub(crate) fn whereabouts(&mut self, node: NodeIndex) -> Result<Whereabouts, IndexError> {
        let layers = [self.state.active.as_deref(), self.state.frozen.as_deref()];
        for layer in layers.into_iter().flatten() {
            match layer.node(node) {
                Lookup::Found(node) => return Ok(Whereabouts::Known(node)),
                Lookup::Cut => return Ok(Whereabouts::Nowhere),
                Lookup::Below => {}
            }
        }
        let (page, from) = (NodePage::of(node), self.sources);
        let Some(bytes) = load(from, &mut self.nodes, self.id, index::NODES, page)? else {
            return Ok(Whereabouts::Nowhere);
        };
        match NodePage::find(bytes, node).ok_or_else(|| bad_entry(from.index))? {
            Found::Nowhere => Ok(Whereabouts::Nowhere),
            Found::Here(node) => Ok(Whereabouts::Known(PlacedNode { node, place: None })),
            Found::There(stretch, before) => Ok(Whereabouts::In(stretch, before)),
        }
    }

    /// Whether a node of a segment is still what the log has.
    pub(crate) fn has(&mut self, placed: &PlacedNode) -> Result<bool, IndexError> {
        Ok(match self.whereabouts(placed.node.index)? {
            Whereabouts::Nowhere => false,
            Whereabouts::Known(found) => found.node == placed.node,
            Whereabouts::In(stretch, _) => placed.place.is_some_and(|at| stretch.holds(at)),
        })
    }

    /// Blocks that the log has itself in some ranges, each once.
    pub(crate) fn stored(
        &mut self,
        ranges: &[Range<u64>],
    ) -> Result<Vec<(u64, Locator)>, IndexError> {
        let mut merged = hc_bitfield::RangeSet::new();
        for range in ranges.iter().filter(|range| range.start < range.end) {
            merged.insert(range.clone());
        }
        let mut found = Vec::new();
        for range in merged.iter() {
            for run in self.state.facts.bitfield.ranges(range) {
                for block in run {
                    found.push((block, self.own_locator(block)?));
                }
            }
        }
        Ok(found)
    }

    /// All nodes that the log has itself and that reach past a length.
    pub(crate) fn nodes_past(&mut self, length: u64) -> Result<Vec<Node>, IndexError> {
        let mut indexes = BTreeSet::new();
        let layers = [self.state.active.as_deref(), self.state.frozen.as_deref()];
        for layer in layers.into_iter().flatten() {
            indexes.extend(layer.nodes.values().map(|node| node.node.index));
        }
        let first = index::page_key(self.id, index::NODES, length / crate::index::page::BLOCKS);
        let last = index::keys_of(self.id, index::NODES).into_inner().1;
        self.sources.index.values(first..=last, &mut |key, value| {
            let number = index::page_of(key)?;
            indexes.extend(NodePage::decode(&value, number)?.indexes(number));
            Some(())
        })?;
        let past = indexes
            .into_iter()
            .filter(|index| index.end().get() > length);
        let mut nodes = Vec::new();
        for index in past {
            nodes.extend(self.own_node(index)?.map(|found| found.node));
        }
        Ok(nodes)
    }
}

/// The page, from where pages are unless it is the one in `held`.
fn load<'p>(
    from: Sources<'_>,
    held: &'p mut Option<(u64, Option<Bytes>)>,
    id: CoreId,
    kind: u8,
    page: u64,
) -> Result<Option<&'p Bytes>, IndexError> {
    if held.as_ref().is_none_or(|(number, _)| *number != page) {
        *held = Some((page, from.page(id, kind, page)?));
    }
    Ok(held.as_ref().and_then(|(_, bytes)| bytes.as_ref()))
}
