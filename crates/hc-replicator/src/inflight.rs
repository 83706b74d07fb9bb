//! The requests under way to one peer. Owns their numbers and when one may be used again; knows nothing
//! of what is asked for.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use hc_merkle::{ByteOffset, Fork, Length, NodeIndex};
use hc_protocol::Time;
use hc_protocol::message::RequestId;

use crate::id::DemandId;
use crate::limits::REQUEST_IDS;

/// What is remembered of a request until its answer comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sent {
    /// Fork it was asked on.
    pub(crate) fork: Fork,
    pub(crate) aim: Aim,
    /// Block it asked for.
    pub(crate) block: Option<u64>,
    /// Block of another request of the same peer without which the answer ties to nothing.
    pub(crate) leans_on: Option<u64>,
    /// Length that it asked to go on from.
    pub(crate) upgrade: Option<Length>,
    /// When it was sent.
    pub(crate) at: Time,
    /// The window was full with it.
    pub(crate) filled: bool,
}

/// What a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Aim {
    /// Blocks, a longer tree, the manifest.
    Log,
    /// Where a byte lies: the hash of this leaf, and the path to the byte from who can tell.
    Byte {
        demand: DemandId,
        leaf: NodeIndex,
        bytes: Option<ByteOffset>,
    },
    /// The whole of a later fork.
    Fork,
    /// The hash of this leaf of a later fork.
    Parting(NodeIndex),
}

impl Sent {
    /// A request that asks neither for a block nor for a longer tree.
    pub(crate) fn new(fork: Fork, aim: Aim, at: Time) -> Self {
        Self {
            fork,
            aim,
            block: None,
            leans_on: None,
            upgrade: None,
            at,
            filled: false,
        }
    }

    /// It asks where the byte of this demand lies.
    pub(crate) fn is_for(&self, id: DemandId) -> bool {
        matches!(self.aim, Aim::Byte { demand, .. } if demand == id)
    }
}

/// What a number stands for when an answer with it arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answered {
    /// A request that is waited for.
    Open(Sent),
    /// One that was cancelled; the answer crossed the cancel.
    Cancelled,
    /// Nothing that was asked for.
    Unknown,
}

/// Numbered from 1. A number whose request was cancelled is not used again until a request that was
/// sent after the cancel has been answered: only then is it certain that no answer to the cancelled one
/// is on its way.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    slots: Vec<Slot>,
    free: Vec<u64>,
    /// (tick of the cancel, number), in order of ticks.
    cancelled: VecDeque<(u64, u64)>,
    tick: u64,
    open: usize,
}

#[derive(Debug)]
enum Slot {
    Free,
    Open { sent: Sent, tick: u64 },
    Cancelled { tick: u64 },
}

impl Requests {
    /// How many are waited for.
    pub(crate) fn open(&self) -> usize {
        self.open
    }

    /// Whether there is a number for one more.
    pub(crate) fn has_room(&self) -> bool {
        !self.free.is_empty() || self.slots.len() < REQUEST_IDS
    }

    /// Gives a request its number; `None` at the limit.
    pub(crate) fn add(&mut self, sent: Sent) -> Option<RequestId> {
        let slot = Slot::Open {
            sent,
            tick: self.tick,
        };
        let number = if let Some(number) = self.free.pop() {
            *self.slot_mut(number)? = slot;
            number
        } else {
            if self.slots.len() >= REQUEST_IDS {
                return None;
            }
            self.slots.push(slot);
            self.slots.len() as u64
        };
        self.open += 1;
        Some(RequestId(number))
    }

    /// Takes out what was asked for under this number, now that it is answered.
    pub(crate) fn answer(&mut self, id: RequestId) -> Answered {
        let Some(slot) = self.slot_mut(id.0) else {
            return Answered::Unknown;
        };
        let (answered, tick) = match slot {
            Slot::Free => return Answered::Unknown,
            Slot::Cancelled { .. } => (Answered::Cancelled, None),
            Slot::Open { sent, tick } => (Answered::Open(*sent), Some(*tick)),
        };
        *slot = Slot::Free;
        self.free.push(id.0);
        if let Some(tick) = tick {
            self.open -= 1;
            self.acknowledge(tick);
        }
        answered
    }

    /// Takes back a request that is waited for.
    pub(crate) fn cancel(&mut self, id: RequestId) -> Option<Sent> {
        let tick = self.tick + 1;
        let slot = self.slot_mut(id.0)?;
        let Slot::Open { sent, .. } = slot else {
            return None;
        };
        let sent = *sent;
        *slot = Slot::Cancelled { tick };
        self.tick = tick;
        self.cancelled.push_back((tick, id.0));
        self.open -= 1;
        Some(sent)
    }

    /// All that are waited for.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (RequestId, &Sent)> {
        self.slots
            .iter()
            .zip(1..)
            .filter_map(|(slot, number)| match slot {
                Slot::Open { sent, .. } => Some((RequestId(number), sent)),
                _ => None,
            })
    }

    /// A request that was sent at `tick` is answered: so are all cancels up to then.
    fn acknowledge(&mut self, tick: u64) {
        while let Some((cancelled, number)) = self.cancelled.front().copied() {
            if cancelled > tick {
                break;
            }
            self.cancelled.pop_front();
            let slot = self.slot_mut(number);
            let own =
                |slot: &&mut Slot| matches!(slot, Slot::Cancelled { tick } if *tick == cancelled);
            if let Some(slot) = slot.filter(own) {
                *slot = Slot::Free;
                self.free.push(number);
            }
        }
    }

    fn slot_mut(&mut self, number: u64) -> Option<&mut Slot> {
        let at = usize::try_from(number.checked_sub(1)?).ok()?;
        self.slots.get_mut(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent() -> Sent {
        Sent {
            block: Some(0),
            ..Sent::new(Fork::ZERO, Aim::Log, Time::ZERO)
        }
    }

    #[test]
    fn numbers_start_at_one_and_are_reused_once_answered() {
        let mut requests = Requests::default();
        assert_eq!(requests.add(sent()), Some(RequestId(1)));
        assert_eq!(requests.add(sent()), Some(RequestId(2)));
        assert_eq!(requests.answer(RequestId(1)), Answered::Open(sent()));
        assert_eq!(requests.add(sent()), Some(RequestId(1)));
        assert_eq!(requests.open(), 2);
        assert_eq!(requests.answer(RequestId(0)), Answered::Unknown);
        assert_eq!(requests.answer(RequestId(3)), Answered::Unknown);
        assert_eq!(requests.answer(RequestId(u64::MAX)), Answered::Unknown);
    }

    #[test]
    fn a_cancelled_number_waits_for_a_later_request_to_be_answered() {
        let mut requests = Requests::default();
        requests.add(sent());
        requests.add(sent());
        assert!(requests.cancel(RequestId(1)).is_some());
        assert!(requests.cancel(RequestId(1)).is_none());
        // sent before the cancel: says nothing about it
        requests.answer(RequestId(2));
        assert_eq!(requests.add(sent()), Some(RequestId(2)));
        assert_eq!(requests.add(sent()), Some(RequestId(3)));
        // sent after the cancel
        requests.answer(RequestId(2));
        assert_eq!(requests.add(sent()), Some(RequestId(1)));
    }

    #[test]
    fn an_answer_that_crosses_its_cancel_frees_the_number_once() {
        let mut requests = Requests::default();
        requests.add(sent());
        requests.cancel(RequestId(1));
        assert_eq!(requests.answer(RequestId(1)), Answered::Cancelled);
        assert_eq!(requests.answer(RequestId(1)), Answered::Unknown);
        assert_eq!(requests.add(sent()), Some(RequestId(1)));
        requests.cancel(RequestId(1));
        // sent between the two cancels of the same number: frees nothing
        assert_eq!(requests.add(sent()), Some(RequestId(2)));
        requests.answer(RequestId(2));
        assert_eq!(requests.add(sent()), Some(RequestId(1)));
        assert_eq!(requests.open(), 1);
    }

    #[test]
    fn numbers_end_at_the_limit() {
        let mut requests = Requests::default();
        for number in 1..=REQUEST_IDS as u64 {
            assert!(requests.has_room());
            assert_eq!(requests.add(sent()), Some(RequestId(number)));
            requests.cancel(RequestId(number));
        }
        assert!(!requests.has_room());
        assert_eq!(requests.add(sent()), None);
        requests.answer(RequestId(7));
        assert_eq!(requests.add(sent()), Some(RequestId(7)));
        requests.answer(RequestId(7));
        assert!(requests.has_room());
    }
}
