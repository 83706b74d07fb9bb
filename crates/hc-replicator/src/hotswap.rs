//! Near the end: an idle peer is asked for blocks that others were asked for and have not given. Knows
//! nothing of answers.

use alloc::vec::Vec;
use core::time::Duration;

use crate::limits::HOTSWAPS_PER_PASS;
use crate::peer::Peer;
use crate::schedule::{NORMAL, request_copy};
use crate::shared::Shared;
use crate::timer::Timer;

/// How long another peer may take before one that has not answered yet takes over.
const PATIENCE: Duration = Duration::from_millis(100);

/// An idle peer keeps this many requests under way, or half its window, whichever is more. As the
/// reference has it.
const AT_LEAST: usize = 16;

/// Asks a peer that has nothing else to do for what others are slow to give: slow is what takes twice
/// as long as this peer would.
pub(crate) fn take_over(shared: &mut Shared, peer: &mut Peer) {
    if shared.flights.is_empty() || !peer.standing.is_good() {
        return;
    }
    let limit = (peer.pace.limit(&shared.config.window) / 2).max(AT_LEAST);
    let mut free = limit.saturating_sub(peer.requests.open() + peer.applying);
    let patience = peer
        .pace
        .smooth()
        .map_or(PATIENCE, |smooth| smooth.saturating_mul(2));
    let bound = peer.bound(shared);
    let blocks: Vec<_> = shared
        .flights
        .shareable(peer.id, HOTSWAPS_PER_PASS)
        .filter(|(_, index)| *index < bound && peer.blocks.get(*index))
        .collect();
    for (since, index) in blocks {
        let due = since.after(patience);
        if due > shared.now {
            shared.timers.set_earlier(Timer::Hotswap(peer.id), due);
            return;
        }
        if free == 0 || !peer.requests.has_room() {
            return;
        }
        free -= 1;
        request_copy(shared, peer, index, NORMAL);
    }
}
