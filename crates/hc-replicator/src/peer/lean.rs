//! Proofs that lean on others. A peer answers in turn, so a request may leave out what the answer to an
//! earlier one will bring. Owns which answers those are, and the order in which they are checked; knows
//! nothing of what is asked for.
//!
//! Should one of them not come or not hold, whatever leans on it cannot be judged and is asked for
//! again; nobody is to blame. From then on nothing leans on anything asked before, so that one failure
//! costs no more than what was under way.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use hc_bitfield::Bitfield;
use hc_merkle::proof::Proof;

use crate::id::PeerId;
use crate::output::Effect;
use crate::peer::{Applying, Peer, Task};
use crate::shared::Shared;

#[derive(Debug, Default)]
pub(crate) struct Coming {
    /// Blocks that were asked for or are being checked, on which others may lean.
    blocks: Bitfield,
    /// Answers that came before what they lean on, by their block.
    held: BTreeMap<u64, (Applying, Proof)>,
    /// The block waited for, and the one that waits.
    behind: BTreeSet<(u64, u64)>,
}

impl Coming {
    /// Blocks on which others may lean.
    pub(crate) fn blocks(&self) -> &Bitfield {
        &self.blocks
    }

    pub(crate) fn asked(&mut self, index: u64) {
        self.blocks.set(index);
    }

    /// Blocks whose answers are held back.
    pub(crate) fn held(&self) -> impl Iterator<Item = u64> + '_ {
        self.held.keys().copied()
    }

    /// A block has come, from whomever.
    pub(crate) fn came(&mut self, index: u64) {
        self.blocks.unset(index);
    }

    /// A block has not come.
    pub(crate) fn failed(&mut self, index: u64) {
        if self.blocks.get(index) {
            self.lean_no_more();
        }
    }

    /// What is asked for from now on leans on nothing that was asked for before.
    pub(crate) fn lean_no_more(&mut self) {
        self.blocks = Bitfield::new();
    }

    /// Takes out what waits for one block.
    fn take_behind(&mut self, index: u64) -> Vec<(u64, (Applying, Proof))> {
        let behind: Vec<(u64, u64)> = self
            .behind
            .range((index, 0)..=(index, u64::MAX))
            .copied()
            .collect();
        let taken = behind.into_iter().filter_map(|pair| {
            self.behind.remove(&pair);
            Some((pair.1, self.held.remove(&pair.1)?))
        });
        taken.collect()
    }
}

impl Peer {
    /// Has an answer checked, once what it leans on is.
    pub(crate) fn check(&mut self, shared: &mut Shared, task: Applying, data: Proof) {
        let waits_for = task.leans_on.filter(|index| {
            self.coming.held.contains_key(index) || is_open(shared, *index, self.id)
        });
        if let (Some(index), Some(before)) = (task.block, waits_for) {
            self.coming.behind.insert((before, index));
            self.coming.held.insert(index, (task, data));
            return;
        }
        let block = task.block;
        self.judge(shared, task, data);
        if let Some(index) = block {
            self.check_behind(shared, index);
        }
    }

    fn judge(&self, shared: &mut Shared, task: Applying, data: Proof) {
        shared.checking += usize::from(task.is_upgrade());
        shared.run(self, Task::Apply(task), Effect::Apply { data });
    }

    /// What waits for a block need not any more: it is being checked, or will not come.
    pub(crate) fn check_behind(&mut self, shared: &mut Shared, index: u64) {
        let mut next = self.coming.take_behind(index);
        while let Some((index, (task, data))) = next.pop() {
            self.judge(shared, task, data);
            next.extend(self.coming.take_behind(index));
        }
    }

    /// This peer will not give a block that it was asked for.
    pub(crate) fn will_not_give(&mut self, shared: &mut Shared, index: u64) {
        if shared.view.blocks.get(index) || shared.flights.is_answered(index) {
            self.coming.came(index);
        } else {
            self.coming.failed(index);
        }
        self.check_behind(shared, index);
    }
}

/// Whether a peer has yet to answer a request for a block.
fn is_open(shared: &Shared, index: u64, peer: PeerId) -> bool {
    let mut asked = shared.flights.asked(index);
    asked.any(|asked| asked.peer == peer && asked.request.is_some())
}
