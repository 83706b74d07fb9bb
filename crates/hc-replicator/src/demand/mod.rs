//! What our side asked for. Owns the demands and who waits for them; knows nothing of peers.

mod range;
mod seek;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::ops::{Bound, Range as Span};

use hc_bitfield::Bitfield;
use hc_merkle::{Fork, Length};

use crate::config::PullPolicy;
use crate::id::DemandId;
use crate::input::Demand;
use crate::local::LocalView;
use crate::output::Outcome;

pub(crate) use range::{Order, RangeDemand};
pub(crate) use seek::{Refused, Seeks};

/// A demand that has ended.
pub(crate) type Ended = (DemandId, Outcome);

#[derive(Debug, Default)]
pub(crate) struct Demands {
    kinds: BTreeMap<DemandId, Kind>,
    /// Who waits for a block, by block.
    blocks: BTreeMap<u64, Vec<Waiter>>,
    /// Blocks that somebody waits for and that are not under way.
    waiting: Bitfield,
    /// Those of them that somebody demands by force.
    forced: Bitfield,
    ranges: BTreeMap<DemandId, RangeDemand>,
    /// Every range by the first block that it lacks.
    lacking: BTreeSet<(u64, DemandId)>,
    /// Fork and length when it was asked.
    upgrades: BTreeMap<DemandId, (Fork, Length)>,
    pub(crate) seeks: Seeks,
    /// Ranges without an end.
    following: usize,
    /// The range that was last looked at first.
    turn: Option<DemandId>,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Block(u64),
    Range,
    Upgrade,
    Seek,
}

#[derive(Debug, Clone, Copy)]
struct Waiter {
    id: DemandId,
    /// The log spanned the block when it was asked for.
    existed: bool,
    /// It is asked for even where little else is.
    forced: bool,
}

impl Demands {
    /// Gives back its memory where nobody wants anything.
    pub(crate) fn rest(&mut self) {
        if self.kinds.is_empty() {
            *self = Self::default();
        }
    }

    /// Takes up a demand; says how it ended if it has at once.
    pub(crate) fn add(
        &mut self,
        id: DemandId,
        what: Demand,
        view: &LocalView,
        under_way: impl Fn(u64) -> bool,
    ) -> Option<Ended> {
        let forced = matches!(what, Demand::Forced(_));
        let kind = match what {
            Demand::Block(index) | Demand::Forced(index) => {
                let index = index.get();
                if view.blocks.get(index) {
                    return Some((id, Outcome::Available));
                }
                let waiter = Waiter {
                    id,
                    existed: index < view.length.get(),
                    forced,
                };
                self.blocks.entry(index).or_default().push(waiter);
                if !under_way(index) {
                    self.wait_for(index);
                }
                Kind::Block(index)
            }
            Demand::Span(span) => {
                return self.add_range(id, RangeDemand::span(span), view);
            }
            Demand::Blocks(blocks) => {
                let blocks = blocks.into_iter().map(hc_merkle::BlockIndex::get);
                return self.add_range(id, RangeDemand::list(blocks), view);
            }
            Demand::Upgrade => {
                self.upgrades.insert(id, (view.fork, view.length));
                Kind::Upgrade
            }
            Demand::Seek(seek) => {
                if let Some(ended) = self.seeks.add(id, seek, view) {
                    return Some(ended);
                }
                Kind::Seek
            }
        };
        self.kinds.insert(id, kind);
        None
    }

    fn add_range(
        &mut self,
        id: DemandId,
        mut range: RangeDemand,
        view: &LocalView,
    ) -> Option<Ended> {
        if range.advance(&view.blocks) {
            return Some((id, Outcome::Available));
        }
        self.following += usize::from(range.is_open());
        self.lacking.insert((range.lacking(), id));
        self.ranges.insert(id, range);
        self.kinds.insert(id, Kind::Range);
        None
    }

    /// Drops a demand. Returns where there may be blocks that nobody wants any more.
    pub(crate) fn cancel(&mut self, id: DemandId) -> Option<Span<u64>> {
        match self.kinds.remove(&id)? {
            Kind::Block(index) => {
                let waiters = self.blocks.get_mut(&index)?;
                waiters.retain(|waiter| waiter.id != id);
                if !waiters.is_empty() {
                    if !waiters.iter().any(|waiter| waiter.forced) {
                        self.forced.unset(index);
                    }
                    return None;
                }
                self.blocks.remove(&index);
                self.started(index);
                Some(index..index.saturating_add(1))
            }
            Kind::Range => {
                let range = self.remove_range(id)?;
                Some(range.lacking()..range.end())
            }
            Kind::Upgrade => {
                self.upgrades.remove(&id);
                None
            }
            Kind::Seek => {
                self.seeks.remove(id);
                None
            }
        }
    }

    /// Ends a seek for which nodes have come, and those that they tell as much.
    pub(crate) fn found(&mut self, id: DemandId, ended: &mut Vec<Ended>) {
        let from = ended.len();
        self.seeks.found(id, ended);
        self.forget(from, ended);
    }

    fn remove_range(&mut self, id: DemandId) -> Option<RangeDemand> {
        let range = self.ranges.remove(&id)?;
        self.lacking.remove(&(range.lacking(), id));
        self.following -= usize::from(range.is_open());
        Some(range)
    }

    /// Blocks have come: ends what waited for them.
    pub(crate) fn gained(&mut self, gained: Span<u64>, view: &LocalView, ended: &mut Vec<Ended>) {
        let blocks: Vec<u64> = self
            .blocks
            .range(gained.clone())
            .map(|(index, _)| *index)
            .collect();
        for index in blocks.into_iter().filter(|index| view.blocks.get(*index)) {
            self.started(index);
            for waiter in self.blocks.remove(&index).unwrap_or_default() {
                self.kinds.remove(&waiter.id);
                ended.push((waiter.id, Outcome::Available));
            }
        }
        let first = (gained.start, DemandId(0));
        let touched: Vec<DemandId> = self
            .lacking
            .range(first..(gained.end, DemandId(0)))
            .map(|(_, id)| *id)
            .collect();
        for id in touched {
            self.advance(id, view, ended);
        }
        let from = ended.len();
        self.seeks.gained(&gained, ended);
        self.forget(from, ended);
    }

    fn forget(&mut self, from: usize, ended: &[Ended]) {
        for (id, _) in ended.iter().skip(from) {
            self.kinds.remove(id);
        }
    }

    fn advance(&mut self, id: DemandId, view: &LocalView, ended: &mut Vec<Ended>) {
        let Some(range) = self.ranges.get_mut(&id) else {
            return;
        };
        self.lacking.remove(&(range.lacking(), id));
        if range.advance(&view.blocks) {
            self.following -= usize::from(range.is_open());
            self.ranges.remove(&id);
            self.kinds.remove(&id);
            ended.push((id, Outcome::Available));
        } else {
            self.lacking.insert((range.lacking(), id));
        }
    }

    /// Blocks are gone or the log was cut: ranges that spanned them want them again.
    pub(crate) fn rewind(&mut self, view: &LocalView, ended: &mut Vec<Ended>) {
        let ids: Vec<DemandId> = self.ranges.keys().copied().collect();
        for id in ids {
            if let Some(range) = self.ranges.get_mut(&id) {
                self.lacking.remove(&(range.lacking(), id));
                range.rewind();
                self.lacking.insert((range.lacking(), id));
            }
            self.advance(id, view, ended);
        }
    }

    /// The log was cut to `length`: ends what waited for a block that is no more.
    pub(crate) fn truncated(&mut self, length: Length, ended: &mut Vec<Ended>) {
        let cut: Vec<u64> = self
            .blocks
            .range(length.get()..)
            .map(|(index, _)| *index)
            .collect();
        for index in cut {
            let Some(waiters) = self.blocks.get_mut(&index) else {
                continue;
            };
            let kinds = &mut self.kinds;
            waiters.retain(|waiter| {
                if waiter.existed {
                    kinds.remove(&waiter.id);
                    ended.push((waiter.id, Outcome::Gone));
                }
                !waiter.existed
            });
            if waiters.is_empty() {
                self.blocks.remove(&index);
                self.started(index);
            }
        }
    }

    /// Ends the upgrades that the log as it is now satisfies, and seeks that may find more in it. `cut`:
    /// part of what it was is no more.
    pub(crate) fn upgraded(&mut self, view: &LocalView, cut: bool, ended: &mut Vec<Ended>) {
        let from = ended.len();
        self.seeks.moved((view.fork, view.length), cut, ended);
        self.forget(from, ended);
        let kinds = &mut self.kinds;
        self.upgrades.retain(|id, asked| {
            let same = *asked == (view.fork, view.length);
            if !same {
                kinds.remove(id);
                ended.push((*id, Outcome::Upgraded));
            }
            same
        });
    }

    /// Ends all upgrades: nobody can give one.
    pub(crate) fn unchanged(&mut self, ended: &mut Vec<Ended>) {
        for (id, _) in core::mem::take(&mut self.upgrades) {
            self.kinds.remove(&id);
            ended.push((id, Outcome::Unchanged));
        }
    }

    /// A block is under way.
    pub(crate) fn started(&mut self, index: u64) {
        self.waiting.unset(index);
        self.forced.unset(index);
    }

    /// A block is under way no longer, and has not come.
    pub(crate) fn stopped(&mut self, index: u64) {
        if self.blocks.contains_key(&index) {
            self.wait_for(index);
        }
    }

    fn wait_for(&mut self, index: u64) {
        self.waiting.set(index);
        let waiters = self.blocks.get(&index);
        if waiters.is_some_and(|waiters| waiters.iter().any(|waiter| waiter.forced)) {
            self.forced.set(index);
        }
    }

    /// Blocks that somebody waits for, that are not under way, and that may be asked for.
    pub(crate) fn waiting(&self, pull: PullPolicy) -> &Bitfield {
        match pull {
            PullPolicy::All => &self.waiting,
            PullPolicy::Forced | PullPolicy::Nothing => &self.forced,
        }
    }

    /// Whether somebody waits for one of these blocks.
    pub(crate) fn waits_within(&self, blocks: Span<u64>) -> bool {
        self.blocks.range(blocks).next().is_some()
    }

    /// One of those who wait for a block.
    pub(crate) fn waiter(&self, index: u64) -> Option<DemandId> {
        self.blocks.get(&index)?.first().map(|waiter| waiter.id)
    }

    /// Nothing is left to ask anybody for but a longer tree.
    pub(crate) fn is_quiet(&self) -> bool {
        self.ranges.is_empty() && self.waiting.is_empty() && self.seeks.is_quiet()
    }

    /// Somebody waits to be told whether there is a longer log.
    pub(crate) fn is_updating(&self) -> bool {
        !self.upgrades.is_empty()
    }

    pub(crate) fn wants_upgrade(&self) -> bool {
        self.is_updating() || self.seeks.is_any_past()
    }

    /// Whether there is a range that follows the log as it grows.
    pub(crate) fn follows(&self) -> bool {
        self.following > 0
    }

    /// Whether somebody waits for a block, or some range wants it.
    pub(crate) fn wants(&self, index: u64) -> bool {
        self.blocks.contains_key(&index) || self.ranges.values().any(|range| range.contains(index))
    }

    pub(crate) fn range(&self, id: DemandId) -> Option<&RangeDemand> {
        self.ranges.get(&id)
    }

    /// Up to `limit` ranges, beginning with another one each time.
    pub(crate) fn ranges_in_turn(&mut self, limit: usize) -> Vec<DemandId> {
        let after = self.turn.map_or(Bound::Unbounded, Bound::Excluded);
        let later = self
            .ranges
            .range((after, Bound::Unbounded))
            .map(|(id, _)| *id);
        let earlier = self
            .ranges
            .keys()
            .copied()
            .take_while(|id| self.turn.is_some_and(|turn| *id <= turn));
        let ids: Vec<DemandId> = later.chain(earlier).take(limit).collect();
        self.turn = ids.first().copied();
        ids
    }
}
