//! Bytes that somebody looks for, and who was asked where they are. Knows nothing of trees.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::ops::Range;

use hc_merkle::{Fork, Length};

use crate::demand::Ended;
use crate::id::{DemandId, PeerId};
use crate::input::Seek;
use crate::local::LocalView;
use crate::output::Outcome;

/// Up to this many blocks, one of them is fetched instead of hashes: the sizes of two leaves are only
/// known for certain with the block of one of them.
const FEW: u64 = 2;

#[derive(Debug, Default)]
pub(crate) struct Seeks {
    all: BTreeMap<DemandId, SeekDemand>,
    /// Those of them for which nobody is asked.
    waiting: BTreeSet<DemandId>,
}

#[derive(Debug)]
pub(crate) struct SeekDemand {
    pub(crate) what: Seek,
    asked: Option<PeerId>,
    /// What peers have not answered.
    refused: BTreeMap<PeerId, Refused>,
}

/// What a peer did not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Refused {
    /// Where the byte is.
    Byte,
    /// Not even a hash of a block that it has.
    Hash,
}

impl SeekDemand {
    /// The blocks that it is in one of, up to where a peer can prove them.
    pub(crate) fn within(&self, bound: u64) -> Range<u64> {
        let Range { start, end } = self.what.blocks;
        start..end.min(bound).max(start)
    }

    /// A block is as good as hashes.
    pub(crate) fn is_narrow(&self) -> bool {
        let Range { start, end } = self.what.blocks;
        end.saturating_sub(start) <= FEW
    }

    pub(crate) fn refused(&self, peer: PeerId) -> Option<Refused> {
        self.refused.get(&peer).copied()
    }

    /// The log was too short.
    fn is_past(&self) -> bool {
        self.what.blocks.is_empty()
    }
}

impl Seeks {
    /// Takes one up, unless what is known of the log has changed since the caller looked.
    pub(crate) fn add(&mut self, id: DemandId, what: Seek, view: &LocalView) -> Option<Ended> {
        if what.at != (view.fork, view.length) {
            return Some((id, Outcome::Upgraded));
        }
        if view.blocks.any_set(what.blocks.clone()) {
            return Some((id, Outcome::Available));
        }
        let seek = SeekDemand {
            what,
            asked: None,
            refused: BTreeMap::new(),
        };
        if !seek.is_past() {
            self.waiting.insert(id);
        }
        self.all.insert(id, seek);
        None
    }

    pub(crate) fn get(&self, id: DemandId) -> Option<&SeekDemand> {
        self.all.get(&id)
    }

    /// Whether anything may be asked for.
    pub(crate) fn is_quiet(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether some byte lies past the end of the log, as far as it is known.
    pub(crate) fn is_any_past(&self) -> bool {
        self.all.values().any(SeekDemand::is_past)
    }

    /// Whether somebody is asked for another byte among the same blocks: the answer may tell as much of
    /// this one.
    pub(crate) fn is_joined(&self, seek: &SeekDemand) -> bool {
        let mut asked = self.all.values().filter(|other| other.asked.is_some());
        asked.any(|other| other.what.blocks == seek.what.blocks)
    }

    /// Nodes on the way to a byte have come: whoever looks for one among the same blocks knows more.
    pub(crate) fn found(&mut self, id: DemandId, ended: &mut Vec<Ended>) {
        let Some(found) = self.all.get(&id) else {
            return;
        };
        let blocks = found.what.blocks.clone();
        let same = |seek: &SeekDemand| seek.what.blocks == blocks;
        self.end(Outcome::Available, same, ended);
    }

    /// Those for which nobody is asked.
    pub(crate) fn waiting(&self) -> Vec<DemandId> {
        self.waiting.iter().copied().collect()
    }

    pub(crate) fn asked(&mut self, id: DemandId, peer: PeerId) {
        if let Some(seek) = self.all.get_mut(&id) {
            seek.asked = Some(peer);
            self.waiting.remove(&id);
        }
    }

    /// A peer does not answer.
    pub(crate) fn refuse(&mut self, id: DemandId, peer: PeerId, what: Refused) {
        let Some(seek) = self.all.get_mut(&id) else {
            return;
        };
        let refused = seek.refused.entry(peer).or_insert(what);
        *refused = (*refused).max(what);
        if seek.asked == Some(peer) {
            seek.asked = None;
            self.waiting.insert(id);
        }
    }

    /// Who is asked, if anybody.
    pub(crate) fn who(&self, id: DemandId) -> Option<PeerId> {
        self.all.get(&id)?.asked
    }

    pub(crate) fn remove(&mut self, id: DemandId) -> Option<SeekDemand> {
        self.waiting.remove(&id);
        self.all.remove(&id)
    }

    /// Blocks have come, and with them their paths: whoever looks among them knows more.
    pub(crate) fn gained(&mut self, gained: &Range<u64>, ended: &mut Vec<Ended>) {
        let meets = |seek: &SeekDemand| {
            seek.what.blocks.start < gained.end && gained.start < seek.what.blocks.end
        };
        self.end(Outcome::Available, meets, ended);
    }

    /// The log is another one: all is to be looked for anew that was past its end, and all there is
    /// where it was cut.
    pub(crate) fn moved(&mut self, to: (Fork, Length), cut: bool, ended: &mut Vec<Ended>) {
        let affected = |seek: &SeekDemand| cut || (seek.is_past() && seek.what.at != to);
        self.end(Outcome::Upgraded, affected, ended);
    }

    fn end(
        &mut self,
        outcome: Outcome,
        which: impl Fn(&SeekDemand) -> bool,
        ended: &mut Vec<Ended>,
    ) {
        let waiting = &mut self.waiting;
        self.all.retain(|id, seek| {
            let ends = which(seek);
            if ends {
                waiting.remove(id);
                ended.push((*id, outcome));
            }
            !ends
        });
    }
}
