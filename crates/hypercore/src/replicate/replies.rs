//! What is answered to the machines of a connection at the end of a turn. Knows nothing of the answers.

use std::collections::BTreeMap;

use hc_replicator::{Input, Reply, Ticket};

use super::router::Router;

/// Replies for each machine.
#[derive(Default)]
pub(super) struct Replies(pub(super) BTreeMap<usize, Vec<Input>>);

impl Replies {
    pub(super) fn add(&mut self, slot: usize, ticket: Ticket, reply: Reply) {
        let inputs = self.0.entry(slot).or_default();
        inputs.push(Input::Completed { ticket, reply });
    }
}

impl Router {
    /// Gives the machines what they asked for.
    pub(super) fn reply(&mut self, replies: Replies) {
        for (at, inputs) in replies.0 {
            if let Some(slot) = self.slots.get(&at) {
                slot.core.feed(inputs);
            }
            self.weigh(at);
        }
    }
}
