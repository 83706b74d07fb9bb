//! The commits that nearly all are: those that only add to a log what it lacks, be they appended or fetched.
//!
//! Such a commit takes nothing away. So nobody has to be asked who else has it, nothing becomes void, and
//! what the log was before shows in no other than it did. Owns how one is told from the others, and its way
//! into the log and to its readers. Knows nothing of branches: what is added to those goes the
//! [way of all](super::commit).

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use hc_merkle::{BlockIndex, Head, Node};

use super::Engine;
use super::commit::{front_len, other_roots, slot, slots};
use super::core::CoreHandle;
use super::state::{Core, Gain};
use crate::batch::Batch;
use crate::durability::Durability;
use crate::error::StorageError;
use crate::lock::{lock, read, write};
use crate::log::committer::Placed;
use crate::log::frame::Draft;
use crate::record::entry::{HeadRecord, data_len, encode_addition};

/// What is added to a log.
#[derive(Debug)]
struct Addition {
    nodes: Vec<Node>,
    blocks: Vec<(BlockIndex, Bytes)>,
    head: Option<Head>,
}

impl CoreHandle {
    /// Checks a batch that only adds to the log, and writes it. `None` where it does more, or where that is
    /// not all that there is to know; the batch is then as it was.
    pub(crate) fn add(
        &self,
        batch: &mut Batch,
        level: Durability,
    ) -> Result<Option<Placed>, StorageError> {
        if !batch.only_adds() {
            return Ok(None);
        }
        // of a log that is no branch this is the writer
        let _writer = lock(&self.core.writer);
        if !self.takes(batch)? {
            return Ok(None);
        }
        if batch.head.is_some() {
            self.engine.check_unharmed(&self.core)?;
        }
        let addition = Addition {
            nodes: std::mem::take(&mut batch.nodes),
            blocks: std::mem::take(&mut batch.blocks),
            head: batch.head.take(),
        };
        self.engine.add(&self.core, addition, level).map(Some)
    }

    /// Whether a batch that only adds does so to the log as it is.
    fn takes(&self, batch: &Batch) -> Result<bool, StorageError> {
        let state = read(&self.core.state);
        self.core.check_there(&state)?;
        if state.lineage.is_some() || !state.resolved {
            return Ok(false);
        }
        state.check_batch(batch)?;
        let new = batch
            .blocks
            .iter()
            .all(|(block, _)| !state.has(block.get()));
        let ascending = batch.blocks.is_sorted_by(|(a, _), (b, _)| a < b);
        let old = state.facts.head.roots();
        let rooted = |head: &Head| other_roots(head, old, &batch.nodes).next().is_none();
        Ok(new && ascending && batch.head.as_ref().is_none_or(rooted))
    }
}

impl Engine {
    /// Writes what is added to a log as one frame, and makes it visible.
    fn add(
        &self,
        core: &Arc<Core>,
        addition: Addition,
        level: Durability,
    ) -> Result<Placed, StorageError> {
        let Addition {
            nodes,
            blocks,
            head,
        } = addition;
        let (single, several);
        let slots = if let [block] = blocks.as_slice() {
            single = [slot(block)?];
            single.as_slice()
        } else {
            several = slots(&blocks)?;
            several.as_slice()
        };
        let head = head.map(|head| {
            let record = HeadRecord::of(&head);
            (head, record)
        });
        let mut body = Draft::body_buffer(front_len(nodes.len(), &blocks));
        let record = head.as_ref().map(|(_, record)| record);
        let nodes_at = encode_addition(core.id, &nodes, slots, record, &mut body);
        let _open = read(&self.gate);
        let placed = self.put(body, blocks.into_iter().map(|(_, bytes)| bytes), level)?;
        let gain = Gain {
            nodes: &nodes,
            nodes_at: nodes_at.and_then(|at| placed.start.checked_add(at)),
            blocks: slots,
            head,
        };
        let first = write(&core.state).gain(gain, &placed);
        let entries = nodes.len() + slots.len();
        self.pressure.entries.fetch_add(entries, Ordering::Relaxed);
        let mut registry = lock(&self.registry);
        registry.note_data(placed.segment, data_len(slots));
        if first {
            registry.note_changed(core);
        }
        Ok(placed)
    }
}
