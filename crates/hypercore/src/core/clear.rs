//! Clearing: drop stored blocks, keep their nodes, tell peers.

use std::ops::Range;
use std::sync::Arc;

use hc_merkle::{BlockIndex, ByteLength, ByteRange, Head};
use hc_storage::Durability;

use super::Core;
use super::publish::Staged;
use crate::sync::Gate;
use crate::view::View;
use crate::write::{ClearError, Cleared};

impl Core {
    /// Drops the stored blocks of a range, and says what that was if `measure` is set.
    pub(crate) async fn clear(
        self: &Arc<Self>,
        gate: &Gate,
        range: Range<u64>,
        measure: bool,
        level: Durability,
    ) -> Result<Cleared, ClearError> {
        let guard = self.enter(gate).await?;
        if self.store.access() == hc_storage::Access::ReadOnly {
            return Err(ClearError::ReadOnly);
        }
        let view = self.view.load();
        let range = range.start..range.end.min(view.head.length().get());
        if range.start >= range.end || view.have.count(range.clone()) == 0 {
            return Ok(Cleared::default());
        }
        let cleared = if measure {
            self.measure(&view, range.clone())?
        } else {
            Cleared::default()
        };
        let mut staged = Staged::on(&view);
        let blocks = BlockIndex::new(range.start)..BlockIndex::new(range.end);
        staged.batch.clear(blocks);
        staged.drop_blocks(range);
        self.commit(guard, staged, level).await?;
        Ok(cleared)
    }

    /// How many blocks and bytes of a range are stored: two lookups for each run of blocks.
    fn measure(&self, view: &View, range: Range<u64>) -> Result<Cleared, ClearError> {
        let mut cleared = Cleared::default();
        for run in view.have.ranges(range) {
            let last = run.end.saturating_sub(1);
            let start = self.bytes_of(&view.head, run.start)?.start;
            let end = self.bytes_of(&view.head, last)?.end;
            let bytes = end.saturating_sub(start);
            cleared.blocks = cleared
                .blocks
                .saturating_add(run.end.saturating_sub(run.start));
            cleared.bytes = ByteLength::new(cleared.bytes.get().saturating_add(bytes));
        }
        Ok(cleared)
    }

    /// Where a stored block lies in the bytes of the log.
    fn bytes_of(&self, head: &Head, block: u64) -> Result<Range<u64>, ClearError> {
        let block = BlockIndex::new(block);
        let lost = |_| ClearError::Lost { index: block };
        let plan = ByteRange::of_block(head, block).map_err(lost)?;
        let nodes = self.nodes(plan.nodes())?;
        plan.range(&nodes).map_err(lost)
    }
}
