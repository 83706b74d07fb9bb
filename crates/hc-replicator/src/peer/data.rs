//! Answers of a peer to our requests: matched to what was asked, checked, and what a wrong one costs.
//! Knows nothing of how an answer is verified.

use hc_merkle::Length;
use hc_merkle::proof::Proof;
use hc_protocol::message::{Data, NoData, NoDataReason};

use crate::error::Fault;
use crate::inflight::{Aim, Answered, Sent};
use crate::input::Reply;
use crate::limits::REFUSALS;
use crate::output::{Hangup, Notice};
use crate::peer::push::UNASKED;
use crate::peer::{Applying, Peer};
use crate::shared::{Shared, Tie};

impl Peer {
    pub(crate) fn on_data(&mut self, shared: &mut Shared, data: Data) {
        let Data { id, proof } = data;
        if id == UNASKED {
            if let Some(proof) = self.testimony(shared, proof) {
                self.on_push(shared, proof);
            }
            return;
        }
        let sent = match self.requests.answer(id) {
            Answered::Open(sent) => sent,
            Answered::Cancelled => return self.has_room(shared),
            Answered::Unknown => return self.fault(shared, Fault::Unsolicited),
        };
        let late = sent
            .block
            .is_some_and(|index| shared.flights.is_answered(index));
        self.returned(shared, &sent);
        if !is_asked_for(&sent, &proof) {
            self.give_up(shared, &sent);
            self.fault(shared, Fault::Unsolicited);
            return;
        }
        if matches!(sent.aim, Aim::Fork | Aim::Parting(_)) {
            self.on_fork_data(shared, &sent, proof);
            return;
        }
        let view = &shared.view;
        let adopts = sent.fork > view.fork && view.length == Length::ZERO;
        if proof.fork != sent.fork || (sent.fork != view.fork && !adopts) {
            self.give_up(shared, &sent);
            return;
        }
        if matches!(sent.aim, Aim::Byte { .. }) {
            self.on_sought(shared, &sent, proof);
            return;
        }
        if proof.upgrade.is_none() && sent.upgrade.is_some() {
            self.dawdled = true;
            self.was_useless(shared);
            shared.upgrading = shared.upgrading.filter(|peer| *peer != self.id);
            shared.work += 1;
        }
        if let Some(index) = sent.block.filter(|_| proof.block.is_none()) {
            self.was_useless(shared);
            self.refused_block(shared, index);
        }
        self.apply(shared, proof, &sent, late);
    }

    /// Has an answer checked, if there is anything new in it. `late`: another peer's answer for the
    /// block is being checked already.
    fn apply(&mut self, shared: &mut Shared, proof: Proof, sent: &Sent, late: bool) {
        let block = proof
            .block
            .as_ref()
            .map(|block| (block.index.get(), block.value.len() as u64));
        let new = !late && block.is_some_and(|(index, _)| !shared.view.blocks.get(index));
        if !new && proof.upgrade.is_none() && proof.manifest.is_none() {
            self.give_up(shared, sent);
            return;
        }
        let task = Applying {
            block: block.map(|(index, _)| index),
            bytes: block.map_or(0, |(_, bytes)| bytes),
            asked: true,
            leans_on: sent.leans_on,
            upgrade: proof.upgrade.is_some(),
            from: sent.upgrade.map(|length| (sent.fork, length)),
            seek: None,
            elapsed: Some(shared.now.since(sent.at)),
        };
        self.applying += 1;
        shared.under_way += 1;
        self.check(shared, task, proof);
    }

    pub(crate) fn on_no_data(&mut self, shared: &mut Shared, refusal: NoData) {
        let sent = match self.requests.answer(refusal.id) {
            Answered::Open(sent) => sent,
            Answered::Cancelled => return self.has_room(shared),
            // also what is said to a check for conflicts, whose number is 0
            Answered::Unknown if refusal.id.0 == 0 => return self.end_doubt(shared),
            Answered::Unknown => return,
        };
        self.returned(shared, &sent);
        let count = if matches!(sent.aim, Aim::Byte { .. }) {
            // a part of a log seldom has the path to a byte: that says nothing against its peer
            0
        } else if refusal.reason == NoDataReason::Invalid {
            shared.stats.refused_as_invalid += 1;
            self.stats.refused_as_invalid += 1;
            self.stats.refused_as_invalid
        } else {
            shared.stats.not_available += 1;
            self.stats.not_available += 1;
            self.stats.not_available
        };
        if count > 0 {
            self.was_useless(shared);
        }
        if count >= u64::from(REFUSALS) && !self.shunned {
            self.shunned = true;
            shared.notify(Notice::Shunned { peer: self.id });
        }
        match sent.block {
            Some(index) => self.refused_block(shared, index),
            None => self.dawdled |= sent.upgrade.is_some(),
        }
        if matches!(sent.aim, Aim::Fork | Aim::Parting(_)) {
            self.refused_fork(shared, &sent);
            return;
        }
        self.give_up(shared, &sent);
    }

    /// Data has been checked.
    pub(crate) fn on_applied(&mut self, shared: &mut Shared, task: &Applying, reply: &Reply) {
        self.applying -= 1;
        shared.under_way -= 1;
        if task.is_upgrade() {
            shared.checking -= 1;
            self.end_upgrade(shared);
        }
        self.has_room(shared);
        if !task.asked {
            self.on_push_checked(shared, reply);
        }
        match reply {
            Reply::Applied => self.stored(shared, task),
            Reply::Rejected(rejection) => {
                shared.stats.invalid_data += 1;
                self.stats.invalid_data += 1;
                if task.asked {
                    self.doubt(shared, *rejection);
                }
            }
            Reply::Stale => self.untied(shared, task),
            _ => {
                self.shunned = true;
                shared.notify(Notice::StorageFailed { peer: self.id });
            }
        }
        if let Some(index) = task.block {
            shared.release(index, self.id);
        }
        match task.seek {
            Some((demand, _)) if *reply == Reply::Applied => self.found(shared, demand),
            Some((demand, byte)) => self.did_not_find(shared, demand, byte),
            None => {}
        }
    }

    /// An answer did not tie to the tree: asked again, it has to lean on less.
    fn untied(&mut self, shared: &mut Shared, task: &Applying) {
        // it had nothing else to tie to: whoever is asked next, it is another, until it has news
        let here = (shared.view.fork, shared.view.length);
        if task.upgrade && task.from == Some(here) {
            self.dawdled = true;
            self.was_useless(shared);
        }
        let Some(index) = task.block else { return };
        if shared.view.blocks.get(index) {
            self.coming.came(index);
            return;
        }
        self.coming.failed(index);
        // Of what was pushed nothing is remembered: a remote can push blocks without end.
        if task.upgrade || !task.asked {
            return;
        }
        let next = if task.leans_on.is_some() {
            Tie::Stored
        } else {
            Tie::Roots
        };
        if shared.untied.insert(index, next) == Some(Tie::Roots) {
            self.was_useless(shared);
            self.blocks.unset(index);
        }
    }

    fn stored(&mut self, shared: &mut Shared, task: &Applying) {
        if task.upgrade {
            self.dawdled = false;
            shared.swaps = 0;
        }
        if task.asked {
            self.was_useful(shared);
        }
        let Some(index) = task.block else { return };
        shared.untied.remove(&index);
        self.coming.came(index);
        self.pace.block(task.bytes);
        for stats in [&mut shared.stats, &mut self.stats] {
            stats.blocks_downloaded += 1;
            stats.bytes_downloaded += task.bytes;
        }
        shared.notify(Notice::Downloaded {
            peer: self.id,
            index: index.into(),
            bytes: task.bytes,
            elapsed: task.elapsed,
        });
    }

    /// An answer has come, whichever.
    fn returned(&mut self, shared: &mut Shared, sent: &Sent) {
        shared.under_way -= 1;
        if let Some(index) = sent.block {
            shared.flights.answered(index, self.id);
        }
        let took = shared.now.since(sent.at);
        self.pace.answered(took, sent.filled, &shared.config.window);
        self.is_heard(shared);
        self.has_room(shared);
    }

    /// What was asked for will not come of this request.
    pub(crate) fn give_up(&mut self, shared: &mut Shared, sent: &Sent) {
        if sent.upgrade.is_some() {
            self.end_upgrade(shared);
        }
        if let Some(index) = sent.block {
            shared.release(index, self.id);
            self.will_not_give(shared, index);
        }
        match sent.aim {
            Aim::Byte { demand, bytes, .. } => {
                self.did_not_find(shared, demand, bytes.is_some());
            }
            Aim::Fork | Aim::Parting(_) => self.fork_answered(shared, sent.aim),
            Aim::Log => {}
        }
    }

    /// The peer does not give us a longer log just now.
    pub(crate) fn end_upgrade(&mut self, shared: &mut Shared) {
        if shared.upgrading == Some(self.id) {
            shared.upgrading = None;
            shared.timers.unset(crate::timer::Timer::Upgrade);
        }
        shared.work += 1;
    }

    /// It said that it has a block, and does not.
    fn refused_block(&mut self, shared: &mut Shared, index: u64) {
        self.blocks.unset(index);
        shared.release(index, self.id);
        self.will_not_give(shared, index);
    }

    pub(crate) fn fault(&mut self, shared: &mut Shared, fault: Fault) {
        if matches!(fault, Fault::BadData(_) | Fault::Unsolicited) {
            shared.notify(Notice::InvalidData {
                peer: self.id,
                fault,
            });
        }
        shared.hang_up(self.id, Hangup::Fault(fault));
    }
}

/// Whether everything in an answer was asked for. It may hold less.
fn is_asked_for(sent: &Sent, proof: &Proof) -> bool {
    proof
        .block
        .as_ref()
        .is_none_or(|block| sent.block == Some(block.index.get()))
        && (proof.upgrade.is_none() || sent.upgrade.is_some() || sent.aim == Aim::Fork)
        && match (sent.aim, &proof.hash, &proof.seek) {
            (Aim::Byte { leaf, bytes, .. }, hash, seek) => {
                hash.as_ref().is_none_or(|hash| hash.index == leaf)
                    && seek.as_ref().is_none_or(|seek| bytes == Some(seek.bytes))
            }
            (Aim::Parting(leaf), Some(hash), None) => hash.index == leaf,
            (_, hash, seek) => hash.is_none() && seek.is_none(),
        }
}
