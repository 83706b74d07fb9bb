//! What to ask one peer for next. Knows nothing of answers.
//!
//! What somebody waits for comes first, then ranges, then a longer tree by itself; a longer tree rides
//! along with the first request that can carry it. A peer for which nothing was found is not looked at
//! again until there is something new: more to do for us, or news of the peer.

use alloc::vec::Vec;
use core::time::Duration;

use hc_merkle::proof::{BlockRequest, Request as Wanted, UpgradeRequest};
use hc_merkle::{BlockIndex, Length};
use hc_protocol::message::{Request, RequestId};

use crate::config::PullPolicy;
use crate::demand::Order;
use crate::id::DemandId;
use crate::inflight::{Aim, Sent};
use crate::limits::{HOTSWAPS_PER_PASS, RANGES_PER_PASS, RUN, WANTS_PER_PASS};
use crate::local::ManifestState;
use crate::path;
use crate::peer::Peer;
use crate::peer::want::Cause;
use crate::shared::{Shared, Tie};
use crate::timer::Timer;
use crate::{fork, seek};

/// What somebody waits for.
pub(crate) const URGENT: u64 = 1;
/// Everything else.
pub(crate) const NORMAL: u64 = 0;

/// Blocks that a search passes over in one step.
const PASSED_AT_ONCE: u64 = 64;

/// How long a peer may take to give a longer log once another could: this many times what the other takes
/// for an answer. Then the other is asked too, and the first may still be the first to answer. As long is
/// a peer waited for that says that it has more than another.
pub(crate) const UPGRADE_SWAP: u32 = 4;
/// The same where it is not known how long an answer takes.
pub(crate) const FIRST_SWAP: Duration = Duration::from_millis(100);
/// Bounds of it.
pub(crate) const LEAST_SWAP: Duration = Duration::from_millis(20);
pub(crate) const MOST_SWAP: Duration = Duration::from_millis(500);

/// Asks a peer for all that it can be asked for, and says whether it could take more.
pub(crate) fn fill(shared: &mut Shared, peer: &mut Peer) -> bool {
    shared.stats.looked_at += 1;
    let pull = shared.config.pull;
    let asked = peer.remote.is_some_and(|remote| remote.uploading)
        && peer.policy.downloads
        && pull != PullPolicy::Nothing
        && !peer.shunned;
    let mut free = peer.free_window(shared);
    if !asked || free == 0 {
        return false;
    }
    if pull == PullPolicy::All {
        fork::ask(shared, peer);
        hasten_upgrade(shared, peer);
    }
    free -= take_up_stuck(shared, peer, free);
    if !is_anything_wanted(shared, peer) || peer.exhausted == Some((shared.work, peer.news)) {
        return true;
    }
    if pull == PullPolicy::All && wants_manifest_alone(shared, peer) {
        shared.manifest_from = Some(peer.id);
        request(shared, peer, None, NORMAL, None);
        free -= 1;
    }
    while free > 0 && request_waiting(shared, peer) {
        free -= 1;
    }
    if pull == PullPolicy::All {
        while free > 0 && seek::request(shared, peer) {
            free -= 1;
        }
        free = fill_with_ranges(shared, peer, free);
    }
    if free > 0 {
        want(shared, peer);
        peer.exhausted = Some((shared.work, peer.news));
    }
    free > 0
}

/// Asks for blocks that only peers have been asked for which stalled since. Says for how many.
fn take_up_stuck(shared: &mut Shared, peer: &mut Peer, free: usize) -> usize {
    if !peer.standing.is_good() {
        return 0;
    }
    let bound = peer.bound(shared);
    let stuck = shared.flights.stuck(peer.id).take(HOTSWAPS_PER_PASS);
    let here = stuck.filter(|index| *index < bound && peer.blocks.get(*index));
    let blocks: Vec<u64> = here.take(free).collect();
    for index in &blocks {
        let waits = shared.demands.waits_within(*index..index.saturating_add(1));
        let priority = if waits { URGENT } else { NORMAL };
        request_copy(shared, peer, *index, priority);
    }
    blocks.len()
}

fn is_anything_wanted(shared: &Shared, peer: &Peer) -> bool {
    if shared.config.pull != PullPolicy::All {
        return !shared.demands.waiting(shared.config.pull).is_empty();
    }
    !shared.demands.is_quiet() || should_upgrade(shared, peer) || wants_manifest_alone(shared, peer)
}

/// Asks for what nobody waits for: blocks of ranges, then a longer tree. Gives back how many requests
/// there is still room for.
fn fill_with_ranges(shared: &mut Shared, peer: &mut Peer, mut free: usize) -> usize {
    let mut ranges = shared.demands.ranges_in_turn(RANGES_PER_PASS);
    while free > 0 && !ranges.is_empty() {
        ranges.retain(|id| {
            let asked = free > 0 && request_from_range(shared, peer, *id);
            free -= usize::from(asked);
            asked
        });
    }
    if free > 0 && should_upgrade(shared, peer) {
        let block = last_block(shared, peer);
        free -= 1;
        request_upgrade(shared, peer, block);
    }
    free
}

/// The manifest comes with the first upgrade; from a peer without blocks it is asked for by itself.
fn wants_manifest_alone(shared: &Shared, peer: &Peer) -> bool {
    shared.view.manifest == ManifestState::Unknown
        && shared.manifest_from.is_none()
        && peer
            .remote
            .is_some_and(|remote| remote.has_manifest && remote.length == Length::ZERO)
}

fn should_upgrade(shared: &Shared, peer: &Peer) -> bool {
    shared.wants_longer() && shared.upgrading.is_none() && peer.can_upgrade_us(shared)
}

/// Another peer is asked for a longer log, which this one could give as well: the sooner, the more have let
/// us wait.
fn hasten_upgrade(shared: &mut Shared, peer: &Peer) {
    let other = shared.upgrading.is_some_and(|id| id != peer.id);
    if other && peer.can_upgrade_us(shared) {
        let halved = peer.patience() / 2_u32.saturating_pow(shared.swaps);
        let due = shared.now.after(halved.max(LEAST_SWAP));
        shared.timers.set_earlier(Timer::Upgrade, due);
    }
}

fn request_waiting(shared: &mut Shared, peer: &mut Peer) -> bool {
    let waiting = shared.demands.waiting(shared.config.pull);
    if waiting.is_empty() {
        return false;
    }
    let bound = peer.bound(shared);
    let found = waiting.first_common(&peer.blocks, 0..bound);
    shared.stats.looked_at += 1;
    if let Some(index) = found {
        request_block(shared, peer, index, URGENT);
        return true;
    }
    // past our length a block can only come with the tree that spans it, and one at a time
    let ours = shared.view.length.get();
    let theirs = peer.length(shared).unwrap_or(0);
    let beyond = waiting.first_common(&peer.blocks, ours..theirs);
    let Some(index) = beyond else { return false };
    if shared.upgrading.is_some() || !peer.can_upgrade_us(shared) {
        return false;
    }
    request_upgrade(shared, peer, Some((index, URGENT)));
    true
}

fn request_from_range(shared: &mut Shared, peer: &mut Peer, id: DemandId) -> bool {
    let bound = peer.bound(shared);
    let Some(range) = shared.demands.range(id) else {
        return false;
    };
    let looked_at = &mut shared.stats.looked_at;
    let mut search = |from: u64, to: u64| {
        let found = range.first(&peer.blocks, &shared.taken, from, to);
        let from = from.max(range.lacking());
        let end = found.unwrap_or(to.min(range.end()));
        *looked_at += 1 + end.saturating_sub(from) / PASSED_AT_ONCE;
        found
    };
    let index = match range.order() {
        Order::Linear => search(0, bound),
        Order::Scattered => {
            let (from, to) = peer.runs.get(&id).copied().unwrap_or((0, 0));
            let found = search(from, to.min(bound)).or_else(|| {
                // a new run: somewhere, else the first there is
                let start = range.lacking();
                let span = range.end().min(bound).saturating_sub(start);
                let from = (start + shared.rng.below(span)) & !(RUN - 1);
                search(from, bound).or_else(|| search(start, from))
            });
            if let Some(index) = found {
                shared.traced.insert(id);
                peer.runs.insert(id, (index + 1, (index | (RUN - 1)) + 1));
            }
            found
        }
    };
    let Some(index) = index else { return false };
    request_block(shared, peer, index, NORMAL);
    true
}

/// A range without an end wants the newest block: it comes with the tree that spans it.
fn last_block(shared: &Shared, peer: &Peer) -> Option<(u64, u64)> {
    let index = peer.length(shared)?.checked_sub(1)?;
    let wanted = (shared.demands.follows() || shared.config.latest_block)
        && peer.blocks.get(index)
        && !shared.taken.get(index);
    wanted.then_some((index, NORMAL))
}

/// Asks for a block that our tree spans, and for a longer tree if that can ride along.
pub(crate) fn request_block(shared: &mut Shared, peer: &mut Peer, index: u64, priority: u64) {
    let upgrade = should_upgrade(shared, peer)
        .then(|| upgrade_request(shared, peer))
        .flatten();
    let block = block_request(shared, peer, index, priority);
    request(shared, peer, Some(block), priority, upgrade);
}

/// Asks one more peer for a block that our tree spans.
pub(crate) fn request_copy(shared: &mut Shared, peer: &mut Peer, index: u64, priority: u64) {
    shared.stats.hotswaps += 1;
    peer.stats.hotswaps += 1;
    let block = block_request(shared, peer, index, priority);
    request(shared, peer, Some(block), priority, None);
}

/// A block to ask for, and the block of another request that its answer will lean on.
#[derive(Clone, Copy)]
struct Block {
    request: BlockRequest,
    leans_on: Option<u64>,
}

/// What is urgent overtakes what was asked for before, the last first, and may lean on none of it.
fn block_request(shared: &Shared, peer: &Peer, index: u64, priority: u64) -> Block {
    let length = shared
        .view
        .length
        .get()
        .min(peer.length(shared).unwrap_or(0));
    let tie = shared.untied.get(&index);
    let coming = (tie.is_none() && priority == NORMAL).then(|| peer.coming.blocks());
    let (nodes, leans_on) = match tie {
        Some(Tie::Roots) => (path::path_to_root(index, length), None),
        _ => path::missing_nodes(&shared.view.blocks, coming, index, length),
    };
    Block {
        request: BlockRequest {
            index: BlockIndex::new(index),
            nodes,
        },
        leans_on,
    }
}

fn request_upgrade(shared: &mut Shared, peer: &mut Peer, block: Option<(u64, u64)>) {
    let upgrade = upgrade_request(shared, peer);
    let priority = block.map_or(NORMAL, |(_, priority)| priority);
    let block = block.map(|(index, _)| Block {
        request: BlockRequest {
            index: BlockIndex::new(index),
            nodes: 0,
        },
        leans_on: None,
    });
    request(shared, peer, block, priority, upgrade);
}

fn upgrade_request(shared: &Shared, peer: &Peer) -> Option<UpgradeRequest> {
    let start = shared.view.length;
    let length = if peer.is_adoptable(shared) {
        peer.remote?.length.get()
    } else {
        peer.length(shared)?.checked_sub(start.get())?
    };
    Some(UpgradeRequest {
        start,
        length: Length::new(length),
    })
}

fn request(
    shared: &mut Shared,
    peer: &mut Peer,
    block: Option<Block>,
    priority: u64,
    upgrade: Option<UpgradeRequest>,
) {
    let fork = peer.remote.map_or(shared.view.fork, |remote| remote.fork);
    let manifest = shared.view.manifest == ManifestState::Unknown
        && peer.remote.is_some_and(|remote| remote.has_manifest);
    let index = block.map(|block| block.request.index.get());
    let sent = Sent {
        block: index,
        leans_on: block.and_then(|block| block.leans_on),
        upgrade: upgrade.map(|upgrade| upgrade.start),
        ..Sent::new(fork, Aim::Log, shared.now)
    };
    let want = Wanted {
        block: block.map(|block| block.request),
        upgrade,
        manifest,
        hash: None,
        seek: None,
    };
    let Some(id) = post(shared, peer, sent, want, priority) else {
        return;
    };
    if let Some(index) = index {
        shared.flights.add(index, peer.id, id, shared.now);
        peer.coming.asked(index);
        shared.taken.set(index);
        shared.demands.started(index);
    }
    if upgrade.is_some() {
        shared.upgrading = Some(peer.id);
        let late = shared.now.after(shared.config.upgrade_patience);
        shared.timers.set(Timer::Upgrade, late);
    }
}

/// Sends a request, and gives it its number; `None` where there is none left.
pub(crate) fn post(
    shared: &mut Shared,
    peer: &mut Peer,
    sent: Sent,
    want: Wanted,
    priority: u64,
) -> Option<RequestId> {
    let filled = peer.free_window(shared) == 1;
    let id = peer.requests.add(Sent { filled, ..sent })?;
    shared.under_way += 1;
    peer.watch(shared);
    let fork = sent.fork;
    shared.send(
        peer,
        Request {
            id,
            fork,
            want,
            priority,
        },
    );
    Some(id)
}

/// Asks to be told of windows in which something is wanted that the peer has not said it has.
fn want(shared: &mut Shared, peer: &mut Peer) {
    let Some(theirs) = peer.length(shared) else {
        return;
    };
    let mut asked = 0;
    let mut at = 0;
    while let Some(index) = shared
        .demands
        .waiting(shared.config.pull)
        .first_difference(&peer.blocks, at..theirs)
    {
        at = next_window(index);
        let Some(demand) = shared.demands.waiter(index) else {
            continue;
        };
        asked += usize::from(peer.want(shared, index, Cause::Demand(demand)));
        if asked >= WANTS_PER_PASS {
            return;
        }
    }
    if shared.config.pull != PullPolicy::All {
        return;
    }
    let end = theirs.min(shared.view.length.get());
    for id in shared.demands.ranges_in_turn(RANGES_PER_PASS) {
        let mut at = 0;
        while let Some(index) = shared
            .demands
            .range(id)
            .and_then(|range| range.first_wanted(&shared.taken, at, end))
        {
            at = next_window(index);
            asked += usize::from(peer.want(shared, index, Cause::Demand(id)));
            if asked >= WANTS_PER_PASS {
                return;
            }
        }
    }
    for id in shared.demands.seeks.waiting() {
        let Some(seek) = shared.demands.seeks.get(id) else {
            continue;
        };
        want_windows(shared, peer, seek.within(end), Cause::Demand(id));
    }
}

/// Asks to be told of the windows of a range of blocks, where the peer has not said that it has any.
/// Says whether there was anything to ask.
pub(crate) fn want_windows(
    shared: &mut Shared,
    peer: &mut Peer,
    blocks: core::ops::Range<u64>,
    cause: Cause,
) -> bool {
    let known = peer.blocks.first_set(blocks.start);
    if known.is_some_and(|index| index < blocks.end) {
        return false;
    }
    let mut asked = 0;
    let mut at = blocks.start;
    for _ in 0..hc_bitfield::limits::MAX_WANTS {
        if at >= blocks.end || asked >= WANTS_PER_PASS {
            break;
        }
        asked += usize::from(peer.want(shared, at, cause));
        at = next_window(at);
    }
    asked > 0
}

fn next_window(index: u64) -> u64 {
    let window = hc_bitfield::limits::SEGMENT_BITS;
    (index / window + 1).saturating_mul(window)
}
