//! A range of blocks to fetch: a span, with or without an end, or a list. Knows nothing of who gives
//! them.

use hc_bitfield::Bitfield;

use crate::input;
pub(crate) use crate::input::Order;

#[derive(Debug)]
pub(crate) struct RangeDemand {
    blocks: Blocks,
    start: u64,
    /// No block of it before this one is lacking.
    lacking: u64,
    order: Order,
}

#[derive(Debug)]
enum Blocks {
    Until(u64),
    Following,
    Listed(Bitfield),
}

impl RangeDemand {
    pub(crate) fn span(span: input::Span) -> Self {
        let start = span.start.get();
        let blocks = span
            .end
            .map_or(Blocks::Following, |end| Blocks::Until(end.get()));
        Self {
            blocks,
            start,
            lacking: start,
            order: span.order,
        }
    }

    pub(crate) fn list(blocks: impl Iterator<Item = u64>) -> Self {
        let listed: Bitfield = blocks.map(|index| index..index.saturating_add(1)).collect();
        Self {
            blocks: Blocks::Listed(listed),
            start: 0,
            lacking: 0,
            order: Order::Linear,
        }
    }

    /// The first block that is lacking, as of the last [`advance`](Self::advance).
    pub(crate) fn lacking(&self) -> u64 {
        self.lacking
    }

    /// It has no end.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.blocks, Blocks::Following)
    }

    pub(crate) fn order(&self) -> Order {
        self.order
    }

    /// One past its last block, if it has one.
    pub(crate) fn end(&self) -> u64 {
        match &self.blocks {
            Blocks::Until(end) => *end,
            Blocks::Following => u64::MAX,
            Blocks::Listed(listed) => listed.last_set(u64::MAX).map_or(0, |last| last + 1),
        }
    }

    pub(crate) fn contains(&self, index: u64) -> bool {
        match &self.blocks {
            Blocks::Until(end) => (self.start..*end).contains(&index),
            Blocks::Following => index >= self.start,
            Blocks::Listed(listed) => listed.get(index),
        }
    }

    /// Moves on to the first block that is lacking, and says whether there is none.
    pub(crate) fn advance(&mut self, held: &Bitfield) -> bool {
        match &self.blocks {
            Blocks::Until(end) => {
                self.lacking = held.first_unset(self.lacking).min((*end).max(self.start));
                self.lacking >= *end
            }
            Blocks::Following => {
                self.lacking = held.first_unset(self.lacking);
                false
            }
            Blocks::Listed(listed) => match listed.first_difference(held, self.lacking..u64::MAX) {
                Some(index) => {
                    self.lacking = index;
                    false
                }
                None => true,
            },
        }
    }

    /// Starts over.
    pub(crate) fn rewind(&mut self) {
        self.lacking = self.start;
    }

    /// The first block of `from..to` that it wants, that `there` has and that is not `taken`.
    pub(crate) fn first(
        &self,
        there: &Bitfield,
        taken: &Bitfield,
        from: u64,
        to: u64,
    ) -> Option<u64> {
        let mut at = from.max(self.lacking);
        let to = to.min(self.end());
        let Blocks::Listed(listed) = &self.blocks else {
            return there.first_difference(taken, at..to);
        };
        loop {
            at = listed.first_difference(taken, at..to)?;
            if there.get(at) {
                return Some(at);
            }
            at = there.first_set(at)?;
        }
    }

    /// The first block of `from..to` that it wants and that is not `taken`, whoever has it.
    pub(crate) fn first_wanted(&self, taken: &Bitfield, from: u64, to: u64) -> Option<u64> {
        let at = from.max(self.lacking);
        let to = to.min(self.end());
        match &self.blocks {
            Blocks::Listed(listed) => listed.first_difference(taken, at..to),
            _ => Some(taken.first_unset(at)).filter(|index| *index < to),
        }
    }
}
