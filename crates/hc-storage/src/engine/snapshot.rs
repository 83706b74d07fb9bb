//! A log as it was: reads the live log, but for what was cut from that since. Of a branch, with the log
//! below it as that was.

use std::ops::{Bound, ControlFlow, Range};
use std::sync::Arc;

use bytes::Bytes;
use hc_bitfield::Bitfield;
use hc_merkle::{BlockIndex, Head, Node, NodeIndex};

use super::core::CoreHandle;
use super::overlay::Lookup;
use super::state::{Pinned, State};
use crate::error::StorageError;
use crate::log::Locator;
use crate::record::{Alias, Auth, Hints, Lineage, Topic, between};
use crate::store::CoreRead;

/// A log as it was.
#[derive(Debug)]
pub(crate) struct CoreSnapshot {
    pub(crate) live: CoreHandle,
    pub(crate) pinned: Arc<Pinned>,
    /// Of a branch: the log that it left, and the length below which it read that.
    pub(crate) parent: Option<(u64, Arc<Self>)>,
    pub(crate) lineage: Option<Lineage>,
    /// The blocks that were stored, here or below.
    pub(crate) bits: Bitfield,
}

impl CoreSnapshot {
    /// Where blocks are that were stored, in their order.
    fn locators(&self, blocks: &[u64]) -> Result<Vec<(u64, Locator)>, StorageError> {
        let is_own = |block: &&u64| self.pinned.facts.bitfield.get(**block);
        let (own, below): (Vec<u64>, Vec<u64>) = blocks.iter().partition(is_own);
        let mut found = self.live.read(|state| {
            let mut lookups = self.live.lookups(state);
            let locate = |block: u64| match self.pinned.locator(block) {
                Some(locator) => Ok((block, locator)),
                None => match lookups.locator(block) {
                    Ok(locator) => Ok((block, locator)),
                    Err(error) => Err(self.live.engine.distrust(error)),
                },
            };
            own.into_iter().map(locate).collect::<Result<Vec<_>, _>>()
        })?;
        if let Some((_, parent)) = &self.parent {
            found.extend(parent.locators(&below)?);
            found.sort_unstable_by_key(|(block, _)| *block);
        }
        Ok(found)
    }

    /// Nodes that the log had itself.
    fn own_nodes(&self, indexes: &[NodeIndex]) -> Result<Vec<Option<Node>>, StorageError> {
        let engine = &self.live.engine;
        let look = |state: &State| {
            let mut lookups = self.live.lookups(state);
            let node = |index: &NodeIndex| match self.pinned.node(*index) {
                Lookup::Found(found) => Ok(Some(found.node)),
                Lookup::Cut => Ok(None),
                Lookup::Below => lookups.node(*index).map_err(|error| engine.distrust(error)),
            };
            indexes.iter().map(node).collect::<Result<_, _>>()
        };
        engine.look(|| self.live.read(look))
    }
}

impl CoreRead for CoreSnapshot {
    fn auth(&self) -> Result<Auth, StorageError> {
        self.live.read(|_| Ok(()))?;
        let parent = self.parent.as_ref().map(|(_, parent)| &**parent);
        let root = parent.unwrap_or(self);
        Ok(root.live.auth_of(&root.pinned.facts))
    }

    fn head(&self) -> Result<Head, StorageError> {
        self.live.read(|_| Ok(self.pinned.facts.head.clone()))
    }

    fn bitfield(&self) -> Result<Bitfield, StorageError> {
        self.live.read(|_| Ok(self.bits.clone()))
    }

    fn hints(&self) -> Result<Hints, StorageError> {
        self.live.read(|_| Ok(self.pinned.facts.hints))
    }

    fn block(&self, index: BlockIndex) -> Result<Option<Bytes>, StorageError> {
        let mut found = None;
        let range = index.get()..index.get().saturating_add(1);
        self.blocks(
            BlockIndex::new(range.start)..BlockIndex::new(range.end),
            &mut |_, bytes| {
                found = Some(bytes);
                ControlFlow::Break(())
            },
        )?;
        Ok(found)
    }

    fn blocks(
        &self,
        range: Range<BlockIndex>,
        visit: &mut dyn FnMut(BlockIndex, Bytes) -> ControlFlow<()>,
    ) -> Result<(), StorageError> {
        let find = |range, limit| {
            let stored: Vec<u64> = self.bits.ranges(range).flatten().take(limit).collect();
            self.locators(&stored)
        };
        self.live
            .visit_blocks(range.start.get()..range.end.get(), find, visit)
    }

    fn nodes(
        &self,
        indexes: &[NodeIndex],
        out: &mut Vec<Option<Node>>,
    ) -> Result<(), StorageError> {
        let mut found = self.own_nodes(indexes)?;
        if let Some((length, parent)) = &self.parent {
            let missing = |(place, index): (usize, &NodeIndex)| {
                let lacks = found.get(place).is_some_and(Option::is_none);
                (lacks && index.end().get() <= *length).then_some((place, *index))
            };
            let (places, below): (Vec<usize>, Vec<NodeIndex>) =
                indexes.iter().enumerate().filter_map(missing).unzip();
            let mut inherited = Vec::with_capacity(below.len());
            parent.nodes(&below, &mut inherited)?;
            for (place, node) in places.into_iter().zip(inherited) {
                if let Some(slot) = found.get_mut(place) {
                    *slot = node;
                }
            }
        }
        out.append(&mut found);
        Ok(())
    }

    fn user_data(&self, key: &str) -> Result<Option<Bytes>, StorageError> {
        self.live
            .read(|_| Ok(self.pinned.facts.user_data.get(key).cloned()))
    }

    fn lineage(&self) -> Result<Option<Lineage>, StorageError> {
        self.live.read(|_| Ok(self.lineage))
    }

    fn alias(&self) -> Result<Option<Alias>, StorageError> {
        self.live
            .read(|_| Ok(self.pinned.facts.alias.as_deref().cloned()))
    }

    fn group(&self) -> Result<Option<Topic>, StorageError> {
        let membership = self.pinned.facts.membership.as_ref();
        self.live.read(|_| Ok(membership.map(|group| group.topic)))
    }

    fn user_data_between(
        &self,
        bounds: (Bound<&str>, Bound<&str>),
    ) -> Result<Vec<(String, Bytes)>, StorageError> {
        self.live
            .read(|_| Ok(between(&self.pinned.facts.user_data, bounds)))
    }
}
