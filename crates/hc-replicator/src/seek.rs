//! Asking where a byte lies: a few hashes, or the last block in question. Knows nothing of how a byte is
//! found among nodes.

use alloc::vec::Vec;

use hc_bitfield::Bitfield;
use hc_merkle::BlockIndex;
use hc_merkle::proof::{HashRequest, Proof, Request, SeekRequest};

use crate::demand::Refused;
use crate::id::DemandId;
use crate::inflight::{Aim, Sent};
use crate::peer::{Applying, Peer};
use crate::schedule::{self, URGENT};
use crate::shared::Shared;
use crate::timer::Timer;

/// Asks a peer for what one of those who wait for a byte lacks; says whether there was anything.
pub(crate) fn request(shared: &mut Shared, peer: &mut Peer) -> bool {
    let waiting = shared.demands.seeks.waiting();
    waiting.into_iter().any(|id| ask(shared, peer, id))
}

fn ask(shared: &mut Shared, peer: &mut Peer, id: DemandId) -> bool {
    shared.stats.looked_at += 1;
    let bound = peer.bound(shared);
    let Some(seek) = shared.demands.seeks.get(id) else {
        return false;
    };
    let blocks = seek.within(bound);
    let refused = seek.refused(peer.id);
    if blocks.is_empty() || refused == Some(Refused::Hash) || shared.demands.seeks.is_joined(seek) {
        return false;
    }
    if seek.is_narrow() {
        let all = seek.what.blocks.clone();
        let under_way = shared.flights.within(all).next().is_some();
        let Some(index) = peer.blocks.first_set(blocks.start) else {
            return false;
        };
        if under_way || index >= blocks.end {
            return false;
        }
        schedule::request_block(shared, peer, index, URGENT);
        return true;
    }
    let nodes = u64::from((seek.what.blocks.end - seek.what.blocks.start).ilog2());
    let bytes = (peer.info.seeks && refused.is_none()).then_some(seek.what.bytes);
    let padding = seek.what.padding;
    let at = blocks.start + shared.rng.below(blocks.end - blocks.start);
    let Some(index) = pick(&peer.blocks, &shared.taken, blocks, at) else {
        return false;
    };
    let Some(leaf) = BlockIndex::new(index).leaf() else {
        return false;
    };
    let want = Request {
        hash: Some(HashRequest { index: leaf, nodes }),
        seek: bytes.map(|bytes| SeekRequest { bytes, padding }),
        ..Request::default()
    };
    let aim = Aim::Byte {
        demand: id,
        leaf,
        bytes,
    };
    let sent = Sent::new(shared.view.fork, aim, shared.now);
    if schedule::post(shared, peer, sent, want, URGENT).is_none() {
        return false;
    }
    shared.demands.seeks.asked(id, peer.id);
    let late = shared.now.after(shared.config.upgrade_patience);
    shared.timers.set(Timer::Seek(id), late);
    true
}

/// One of the blocks of a range that a peer has, from `at` on; one that is not under way, if there is.
fn pick(held: &Bitfield, taken: &Bitfield, blocks: core::ops::Range<u64>, at: u64) -> Option<u64> {
    held.first_difference(taken, at..blocks.end)
        .or_else(|| held.first_difference(taken, blocks.start..at))
        .or_else(|| {
            held.first_set(blocks.start)
                .filter(|found| *found < blocks.end)
        })
}

impl Peer {
    /// An answer about where a byte lies.
    pub(crate) fn on_sought(&mut self, shared: &mut Shared, sent: &Sent, proof: Proof) {
        let Aim::Byte { demand, bytes, .. } = sent.aim else {
            return;
        };
        if proof.hash.is_none() || shared.demands.seeks.get(demand).is_none() {
            self.did_not_find(shared, demand, bytes.is_some());
            return;
        }
        let task = Applying {
            block: None,
            bytes: 0,
            asked: true,
            leans_on: None,
            upgrade: false,
            from: None,
            seek: Some((demand, bytes.is_some())),
            elapsed: Some(shared.now.since(sent.at)),
        };
        self.applying += 1;
        shared.under_way += 1;
        self.check(shared, task, proof);
    }

    /// Nodes on the way to a byte are here.
    pub(crate) fn found(&self, shared: &mut Shared, demand: DemandId) {
        let mut ended = Vec::new();
        shared.demands.found(demand, &mut ended);
        for (id, _) in &ended {
            shared.timers.unset(Timer::Seek(*id));
        }
        shared.resolve(ended);
    }

    /// It did not say where a byte is; `byte` if it was asked for more than a hash.
    pub(crate) fn did_not_find(&self, shared: &mut Shared, demand: DemandId, byte: bool) {
        let refused = if byte { Refused::Byte } else { Refused::Hash };
        shared.seek_on(demand, self.id, refused);
    }
}
