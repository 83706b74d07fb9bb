//! The blocks under way to us, and from whom. Knows nothing of why a block is wanted.

use alloc::collections::btree_map::{BTreeMap, Entry};
use alloc::collections::{BTreeSet, VecDeque};
use alloc::vec::Vec;
use core::ops::Range;

use hc_protocol::Time;
use hc_protocol::message::RequestId;

use crate::id::PeerId;
use crate::limits::COPIES;

/// One peer that a block was asked of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) peer: PeerId,
    /// Under which number; `None` once it has answered and the answer is being checked.
    pub(crate) request: Option<RequestId>,
    /// The peer has stalled since.
    doubted: bool,
}

#[derive(Debug)]
pub(crate) struct Flight {
    /// Most are asked of one peer alone.
    first: Asked,
    more: Vec<Asked>,
}

impl Flight {
    /// Everyone it was asked of.
    pub(crate) fn asked(&self) -> impl Iterator<Item = Asked> + '_ {
        core::iter::once(self.first).chain(self.more.iter().copied())
    }

    fn asked_mut(&mut self) -> impl Iterator<Item = &mut Asked> {
        core::iter::once(&mut self.first).chain(&mut self.more)
    }

    /// Whether one more peer may be asked: of those that stalled there may be any number.
    fn has_room(&self) -> bool {
        self.asked().filter(|asked| !asked.doubted).count() < COPIES
    }

    /// Nobody is left of whom an answer is expected.
    fn is_stuck(&self) -> bool {
        self.asked()
            .all(|asked| asked.doubted && asked.request.is_some())
    }

    /// Who was asked first and has not answered, though another was asked too.
    pub(crate) fn overtaken(&self) -> Option<PeerId> {
        let late = self.first.request.is_some() && !self.more.is_empty();
        late.then_some(self.first.peer)
    }

    /// Forgets that a peer was asked; says whether nobody is left.
    fn remove(&mut self, peer: PeerId) -> bool {
        self.more.retain(|asked| asked.peer != peer);
        if self.first.peer != peer {
            return false;
        }
        match self.more.pop() {
            Some(next) => self.first = next,
            None => return true,
        }
        false
    }
}

#[derive(Debug, Default)]
pub(crate) struct Flights {
    blocks: BTreeMap<u64, Flight>,
    /// Blocks that were asked only of peers that stalled since.
    stuck: BTreeSet<u64>,
    /// When each block was first asked for, oldest first; some are no longer under way.
    ages: VecDeque<(Time, u64)>,
}

impl Flights {
    /// Gives back its memory where nothing is under way.
    pub(crate) fn rest(&mut self) {
        if self.is_empty() {
            *self = Self::default();
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// The last block that is under way.
    pub(crate) fn last(&self) -> Option<u64> {
        self.blocks.last_key_value().map(|(index, _)| *index)
    }

    pub(crate) fn contains(&self, index: u64) -> bool {
        self.blocks.contains_key(&index)
    }

    /// Everyone that a block was asked of.
    pub(crate) fn asked(&self, index: u64) -> impl Iterator<Item = Asked> + '_ {
        self.blocks.get(&index).into_iter().flat_map(Flight::asked)
    }

    /// Notes that a block was asked of one more peer.
    pub(crate) fn add(&mut self, index: u64, peer: PeerId, request: RequestId, now: Time) {
        let asked = Asked {
            peer,
            request: Some(request),
            doubted: false,
        };
        self.stuck.remove(&index);
        match self.blocks.entry(index) {
            Entry::Vacant(entry) => {
                self.ages.push_back((now, index));
                entry.insert(Flight {
                    first: asked,
                    more: Vec::new(),
                });
            }
            Entry::Occupied(mut entry) => {
                if entry.get().has_room() {
                    entry.get_mut().more.push(asked);
                }
            }
        }
        if self.ages.len() > 2 * self.blocks.len() + 64 {
            let blocks = &self.blocks;
            self.ages.retain(|(_, index)| blocks.contains_key(index));
        }
    }

    /// Notes that a peer has answered.
    pub(crate) fn answered(&mut self, index: u64, peer: PeerId) {
        let Some(flight) = self.blocks.get_mut(&index) else {
            return;
        };
        for asked in flight.asked_mut().filter(|asked| asked.peer == peer) {
            asked.request = None;
        }
        self.stuck.remove(&index);
    }

    /// Whether an answer for a block is being checked.
    pub(crate) fn is_answered(&self, index: u64) -> bool {
        self.asked(index).any(|asked| asked.request.is_none())
    }

    /// Notes that a peer has stalled: another may be asked.
    pub(crate) fn doubt(&mut self, index: u64, peer: PeerId) {
        let Some(flight) = self.blocks.get_mut(&index) else {
            return;
        };
        for asked in flight.asked_mut().filter(|asked| asked.peer == peer) {
            asked.doubted = true;
        }
        if flight.is_stuck() {
            self.stuck.insert(index);
        }
    }

    /// Blocks that nobody is asked for but peers that stalled, and not this one.
    pub(crate) fn stuck(&self, peer: PeerId) -> impl Iterator<Item = u64> + '_ {
        let asked = move |index: &u64| self.asked(*index).any(|asked| asked.peer == peer);
        self.stuck
            .iter()
            .copied()
            .filter(move |index| !asked(index))
    }

    /// Forgets that a peer was asked.
    pub(crate) fn remove(&mut self, index: u64, peer: PeerId) {
        let Entry::Occupied(mut entry) = self.blocks.entry(index) else {
            return;
        };
        if entry.get_mut().remove(peer) {
            entry.remove();
            self.stuck.remove(&index);
        } else if entry.get().is_stuck() {
            self.stuck.insert(index);
        }
    }

    /// Takes out all blocks of a range.
    pub(crate) fn take(&mut self, range: Range<u64>) -> Vec<(u64, Flight)> {
        let indexes: Vec<u64> = self.within(range).collect();
        indexes
            .into_iter()
            .filter_map(|index| {
                self.stuck.remove(&index);
                self.blocks.remove(&index).map(|flight| (index, flight))
            })
            .collect()
    }

    /// The blocks of a range that are under way.
    pub(crate) fn within(&self, range: Range<u64>) -> impl Iterator<Item = u64> + '_ {
        self.blocks.range(range).map(|(index, _)| *index)
    }

    /// Blocks under way that could also be asked of `peer`, longest under way first, with the time they
    /// were first asked for. Looks at no more than `limit`.
    pub(crate) fn shareable(
        &mut self,
        peer: PeerId,
        limit: usize,
    ) -> impl Iterator<Item = (Time, u64)> + '_ {
        while self
            .ages
            .front()
            .is_some_and(|(_, index)| !self.blocks.contains_key(index))
        {
            self.ages.pop_front();
        }
        let blocks = &self.blocks;
        self.ages
            .iter()
            .take(limit)
            .copied()
            .filter(move |(_, index)| {
                blocks.get(index).is_some_and(|flight| {
                    flight.has_room()
                        && flight
                            .asked()
                            .all(|asked| asked.peer != peer && asked.request.is_some())
                })
            })
    }
}
