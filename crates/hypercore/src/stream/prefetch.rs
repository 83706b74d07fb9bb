//! Having the next blocks fetched while one is read.

use hc_merkle::BlockIndex;
use hc_replicator::{Demand, Order, Span};

use crate::read::Reader;
use crate::replicate::Demanded;

/// What is being fetched ahead of a stream.
#[derive(Default)]
pub(super) struct Prefetch {
    /// How many blocks ahead.
    pub(super) blocks: u64,
    /// Dropping it takes the rest back.
    under_way: Option<Demanded>,
}

impl Prefetch {
    pub(super) fn of(blocks: u64) -> Self {
        Self {
            blocks,
            under_way: None,
        }
    }

    /// Has the blocks from `next` on fetched, up to `end`, if any of them is not here.
    pub(super) fn ahead(&mut self, reader: &Reader, next: u64, end: u64) {
        let core = &reader.handle.core;
        let view = core.view.load();
        let end = next.saturating_add(self.blocks).min(end);
        let end = end.min(view.head.length().get());
        if next >= end || !view.have.any_unset(next..end) {
            self.under_way = None;
            return;
        }
        // The new demand first: what both want is not taken back in between.
        let demand = core.demand(Demand::Span(Span {
            start: BlockIndex::new(next),
            end: Some(BlockIndex::new(end)),
            order: Order::Linear,
        }));
        self.under_way = Some(demand);
    }
}
