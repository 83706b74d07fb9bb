//! A log as it was: reads the live log, but for what was cut from that since.

use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use bytes::Bytes;
use hc_bitfield::Bitfield;
use hc_merkle::{BlockIndex, Head, Node, NodeIndex};

use super::core::{CoreHandle, locate};
use super::overlay::Lookup;
use super::state::Pinned;
use crate::error::StorageError;
use crate::record::{Alias, Auth, Hints, Topic};
use crate::store::CoreRead;

/// A log as it was.
#[derive(Debug)]
pub(crate) struct CoreSnapshot {
    pub(crate) live: CoreHandle,
    pub(crate) pinned: Arc<Pinned>,
}

impl CoreRead for CoreSnapshot {
    fn auth(&self) -> Result<Auth, StorageError> {
        self.live
            .read(|_| Ok(self.live.auth_of(&self.pinned.facts)))
    }

    fn head(&self) -> Result<Head, StorageError> {
        self.live.read(|_| Ok(self.pinned.facts.head.clone()))
    }

    fn bitfield(&self) -> Result<Bitfield, StorageError> {
        self.live.read(|_| Ok(self.pinned.facts.bitfield.clone()))
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
            self.live.read(|state| {
                let mut lookups = self.live.lookups(state);
                locate(
                    &self.pinned.facts.bitfield,
                    range,
                    limit,
                    |block| match self.pinned.locator(block) {
                        Some(locator) => Ok(locator),
                        None => lookups
                            .locator(block)
                            .map_err(|error| self.live.engine.distrust(error)),
                    },
                )
            })
        };
        self.live
            .visit_blocks(range.start.get()..range.end.get(), find, visit)
    }

    fn nodes(
        &self,
        indexes: &[NodeIndex],
        out: &mut Vec<Option<Node>>,
    ) -> Result<(), StorageError> {
        self.live.read(|state| {
            let mut lookups = self.live.lookups(state);
            for index in indexes {
                out.push(match self.pinned.node(*index) {
                    Lookup::Found(node) => Some(node),
                    Lookup::Cut => None,
                    Lookup::Below => lookups
                        .node(*index)
                        .map_err(|error| self.live.engine.distrust(error))?,
                });
            }
            Ok(())
        })
    }

    fn user_data(&self, key: &str) -> Result<Option<Bytes>, StorageError> {
        self.live
            .read(|_| Ok(self.pinned.facts.user_data.get(key).cloned()))
    }

    fn alias(&self) -> Result<Option<Alias>, StorageError> {
        self.live
            .read(|_| Ok(self.pinned.facts.alias.as_deref().cloned()))
    }

    fn group(&self) -> Result<Option<Topic>, StorageError> {
        let membership = self.pinned.facts.membership.as_ref();
        self.live.read(|_| Ok(membership.map(|group| group.topic)))
    }
}
