//! The effects that are being run, by their tickets. Knows nothing of what they do.

use alloc::vec::Vec;

use crate::id::{PeerId, Ticket};
use crate::peer::Task;

/// Places, as many as effects were ever out at once: a peer that keeps its own waiting makes no
/// difference to others.
#[derive(Debug, Default)]
pub(crate) struct Tasks {
    places: Vec<Option<(Ticket, PeerId, Task)>>,
    free: Vec<u32>,
    /// Counts effects, so that a ticket that is void means nothing to whoever has its place.
    count: u32,
}

impl Tasks {
    /// Notes an effect that runs on behalf of a peer.
    pub(crate) fn add(&mut self, peer: PeerId, task: Task) -> Ticket {
        let place = self.free.pop().unwrap_or_else(|| {
            self.places.push(None);
            // each takes far more than one byte of memory
            u32::try_from(self.places.len() - 1).unwrap_or(u32::MAX)
        });
        let ticket = Ticket(u64::from(self.count) << 32 | u64::from(place));
        self.count = self.count.wrapping_add(1);
        if let Some(slot) = self.places.get_mut(place as usize) {
            *slot = Some((ticket, peer, task));
        }
        ticket
    }

    /// Takes out what a ticket stands for; `None` where it has come back, or is void.
    pub(crate) fn remove(&mut self, ticket: Ticket) -> Option<(PeerId, Task)> {
        let place = u32::try_from(ticket.0 & u64::from(u32::MAX)).ok()?;
        let slot = self.places.get_mut(place as usize)?;
        let (_, peer, task) = slot.take_if(|(own, _, _)| *own == ticket)?;
        self.free.push(place);
        Some((peer, task))
    }

    /// Takes out all that runs on behalf of a peer.
    pub(crate) fn take_of(&mut self, peer: PeerId) -> Vec<(Ticket, Task)> {
        let mut taken = Vec::new();
        for (slot, place) in self.places.iter_mut().zip(0..) {
            if let Some((ticket, _, task)) = slot.take_if(|(_, who, _)| *who == peer) {
                taken.push((ticket, task));
                self.free.push(place);
            }
        }
        taken
    }

    /// Gives back its memory where nothing is out.
    pub(crate) fn rest(&mut self) {
        if self.free.len() == self.places.len() {
            self.places = Vec::new();
            self.free = Vec::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(tasks: &mut Tasks, peer: u64) -> Ticket {
        tasks.add(PeerId(peer), Task::CheckConflict)
    }

    #[test]
    fn each_ticket_comes_back_once_and_in_any_order() {
        let mut tasks = Tasks::default();
        let tickets: Vec<Ticket> = (0..5).map(|_| add(&mut tasks, 1)).collect();
        for at in [2, 0, 4, 1, 3] {
            assert!(tasks.remove(tickets[at]).is_some(), "{at}");
            assert!(tasks.remove(tickets[at]).is_none(), "{at}");
        }
        let later = add(&mut tasks, 1);
        assert!(!tickets.contains(&later));
        for ticket in tickets {
            assert!(tasks.remove(ticket).is_none());
        }
        assert!(tasks.remove(Ticket(u64::MAX)).is_none());
        assert!(tasks.remove(later).is_some());
    }

    #[test]
    fn what_runs_for_a_peer_that_is_gone_is_void() {
        let mut tasks = Tasks::default();
        let tickets: Vec<Ticket> = [1, 2, 1].map(|peer| add(&mut tasks, peer)).into();
        let taken = tasks.take_of(PeerId(1));
        let taken: Vec<Ticket> = taken.into_iter().map(|(ticket, _)| ticket).collect();
        assert_eq!(taken, [tickets[0], tickets[2]]);
        assert!(tasks.remove(tickets[0]).is_none());
        assert!(tasks.remove(tickets[1]).is_some());
    }

    #[test]
    fn what_is_never_answered_takes_one_place_however_many_come_after_it() {
        let mut tasks = Tasks::default();
        let first = add(&mut tasks, 1);
        for _ in 0..1000 {
            let ticket = add(&mut tasks, 2);
            tasks.rest();
            assert!(tasks.remove(ticket).is_some());
        }
        assert_eq!(tasks.places.len(), 2);
        assert!(tasks.remove(first).is_some());
        tasks.rest();
        assert_eq!(tasks.places.capacity(), 0);
        assert!(tasks.remove(first).is_none());
        assert_ne!(add(&mut tasks, 1), first);
    }
}
