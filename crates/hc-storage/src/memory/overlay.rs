//! A branch that is kept in memory, over a log or branch as it was, until somebody writes what it became.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::{Bound, ControlFlow, Range};
use std::sync::{Arc, RwLock};

use bytes::Bytes;
use hc_bitfield::Bitfield;
use hc_merkle::{BlockIndex, Head, Length, Node, NodeIndex};

use crate::batch::Batch;
use crate::error::StorageError;
use crate::lock::{read, write};
use crate::record::{Alias, Auth, Hints, Lineage, Topic, between};
use crate::store::CoreRead;

/// Changes to a log that nobody else sees, and that go when it is dropped.
pub struct Overlay {
    below: Arc<dyn CoreRead>,
    own: RwLock<Own>,
}

/// What is not as it is below.
struct Own {
    /// Up to here all is as it is below.
    shared: Length,
    head: Head,
    bitfield: Bitfield,
    blocks: BTreeMap<u64, Bytes>,
    nodes: BTreeMap<u64, Node>,
    user_data: BTreeMap<String, Option<Bytes>>,
}

/// What an [`Overlay`] has come to.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Changes {
    /// What is below this length is as it was.
    pub shared: Length,
    /// The head, unsigned where it moved.
    pub head: Head,
    /// The blocks from `shared` on; as many of them as were not cleared.
    pub blocks: Vec<Bytes>,
    /// User data that was set, and that was removed.
    pub user_data: Vec<(String, Option<Bytes>)>,
}

impl Overlay {
    /// Over something that does not change: a [snapshot](crate::CoreStore::snapshot).
    ///
    /// # Errors
    /// What reading may return.
    pub fn new(below: Arc<dyn CoreRead>) -> Result<Self, StorageError> {
        let head = below.head()?;
        let own = Own {
            shared: head.length(),
            head,
            bitfield: Bitfield::new(),
            blocks: BTreeMap::new(),
            nodes: BTreeMap::new(),
            user_data: BTreeMap::new(),
        };
        Ok(Self {
            below,
            own: RwLock::new(own),
        })
    }

    /// Takes in a batch: all of it, or nothing. Facts about the log as a whole it does not take.
    ///
    /// # Errors
    /// As [`commit`](crate::CoreStore::commit).
    pub fn commit(&self, batch: Batch) -> Result<(), StorageError> {
        let mut own = write(&self.own);
        let found = (own.head.fork(), own.head.length());
        if let Some(expected) = batch.base.filter(|expected| *expected != found) {
            return Err(StorageError::Stale { expected, found });
        }
        batch.check(found.0, found.1)?;
        own.apply(batch);
        Ok(())
    }

    /// What it has come to.
    #[must_use]
    pub fn changes(&self) -> Changes {
        let own = read(&self.own);
        // a branch may have brought some that are below, too
        let blocks = own.blocks.range(own.shared.get()..);
        let user_data = own.user_data.iter();
        Changes {
            shared: own.shared,
            head: own.head.clone(),
            blocks: blocks.map(|(_, block)| block.clone()).collect(),
            user_data: user_data
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect(),
        }
    }
}

impl Own {
    fn apply(&mut self, batch: Batch) {
        if let Some(length) = batch.truncate {
            self.drop_blocks(length.get()..u64::MAX);
            self.nodes
                .retain(|index, _| NodeIndex::new(*index).end() <= length);
            self.shared = self.shared.min(length);
        }
        let roots = batch.head.iter().flat_map(Head::roots);
        for node in batch.nodes.iter().chain(roots) {
            self.nodes.insert(node.index.get(), *node);
        }
        for (index, bytes) in batch.blocks {
            self.bitfield.set(index.get());
            self.blocks.insert(index.get(), bytes);
        }
        self.head = batch.head.unwrap_or_else(|| self.head.clone());
        for range in batch.clears.into_iter().filter(|range| !range.is_empty()) {
            self.drop_blocks(range);
        }
        self.user_data.extend(batch.user_data);
    }

    fn drop_blocks(&mut self, range: Range<u64>) {
        self.blocks.retain(|index, _| !range.contains(index));
        self.bitfield.unset_range(range);
    }
}

impl CoreRead for Overlay {
    fn auth(&self) -> Result<Auth, StorageError> {
        self.below.auth()
    }

    fn head(&self) -> Result<Head, StorageError> {
        Ok(read(&self.own).head.clone())
    }

    fn bitfield(&self) -> Result<Bitfield, StorageError> {
        let mut bits = self.below.bitfield()?;
        let own = read(&self.own);
        bits.unset_range(own.shared.get()..u64::MAX);
        for range in own.bitfield.ranges(0..u64::MAX) {
            bits.set_range(range);
        }
        Ok(bits)
    }

    fn hints(&self) -> Result<Hints, StorageError> {
        self.below.hints()
    }

    fn block(&self, index: BlockIndex) -> Result<Option<Bytes>, StorageError> {
        let own = read(&self.own);
        match own.blocks.get(&index.get()) {
            Some(block) => Ok(Some(block.clone())),
            None if index.get() < own.shared.get() => self.below.block(index),
            None => Ok(None),
        }
    }

    fn blocks(
        &self,
        range: Range<BlockIndex>,
        visit: &mut dyn FnMut(BlockIndex, Bytes) -> ControlFlow<()>,
    ) -> Result<(), StorageError> {
        let bits = self.bitfield()?;
        for index in bits.ranges(range.start.get()..range.end.get()).flatten() {
            let index = BlockIndex::new(index);
            if let Some(block) = self.block(index)?
                && visit(index, block).is_break()
            {
                break;
            }
        }
        Ok(())
    }

    fn nodes(
        &self,
        indexes: &[NodeIndex],
        out: &mut Vec<Option<Node>>,
    ) -> Result<(), StorageError> {
        let mut below = Vec::with_capacity(indexes.len());
        self.below.nodes(indexes, &mut below)?;
        let own = read(&self.own);
        let pairs = indexes.iter().zip(below);
        out.extend(pairs.map(|(index, below)| {
            let known = own.nodes.get(&index.get()).copied();
            known.or(below.filter(|_| index.end() <= own.shared))
        }));
        Ok(())
    }

    fn user_data(&self, key: &str) -> Result<Option<Bytes>, StorageError> {
        match read(&self.own).user_data.get(key) {
            Some(value) => Ok(value.clone()),
            None => self.below.user_data(key),
        }
    }

    fn lineage(&self) -> Result<Option<Lineage>, StorageError> {
        let length = read(&self.own).shared;
        Ok(Some(Lineage { length, cut: false }))
    }

    fn alias(&self) -> Result<Option<Alias>, StorageError> {
        self.below.alias()
    }

    fn group(&self) -> Result<Option<Topic>, StorageError> {
        self.below.group()
    }

    fn user_data_between(
        &self,
        bounds: (Bound<&str>, Bound<&str>),
    ) -> Result<Vec<(String, Bytes)>, StorageError> {
        let below = self.below.user_data_between(bounds)?;
        let mut all: BTreeMap<String, Bytes> = below.into_iter().collect();
        for (key, value) in &read(&self.own).user_data {
            match value {
                Some(value) => all.insert(key.clone(), value.clone()),
                None => all.remove(key),
            };
        }
        Ok(between(&all, bounds))
    }
}

impl fmt::Debug for Overlay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Overlay")
            .field("shared", &read(&self.own).shared)
            .finish_non_exhaustive()
    }
}
