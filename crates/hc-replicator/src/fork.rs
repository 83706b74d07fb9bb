//! Following peers to a later fork: who is asked for the whole of it, and then for the hashes that show
//! where it parts from ours. What those say is for the driver to find out; knows no hashes.
//!
//! A fork that a peer merely claims costs one request. Only one whose signature holds is searched, and
//! of those only the latest. The answers of a round come from one peer; who is slow is passed over.
//! Where nothing of ours is at stake the search ends early, and where little is and nobody can tell more.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::ops::Range;

use hc_bitfield::Bitfield;
use hc_merkle::proof::{HashRequest, Proof, Request, UpgradeRequest, Wanted};
use hc_merkle::{BlockIndex, Fork, Length, NodeIndex};

use crate::error::{Fault, Limited};
use crate::id::PeerId;
use crate::inflight::{Aim, Sent};
use crate::input::Reply;
use crate::limits::{FORFEITED_BLOCKS, FORK_HEADS, FORK_ROUNDS};
use crate::local::ManifestState;
use crate::machine::Replicator;
use crate::output::{Effect, Notice};
use crate::peer::want::Cause;
use crate::peer::{Peer, Task};
use crate::schedule::{self, NORMAL};
use crate::shared::Shared;
use crate::timer::Timer;

/// What is under way to follow a later fork.
#[derive(Debug, Default)]
pub(crate) struct Forks {
    /// Peers that have yet to prove the fork that they are on.
    heads: BTreeSet<PeerId>,
    /// Answers that are being examined.
    examining: usize,
    search: Option<Search>,
}

/// A fork whose signature holds, on the way to where it parts from ours.
#[derive(Debug)]
struct Search {
    fork: Fork,
    wanted: Wanted,
    /// Requests that are not answered, by who was asked.
    open: BTreeMap<PeerId, usize>,
    rounds: u32,
}

impl Forks {
    /// Something may yet come of what was asked.
    pub(crate) fn is_busy(&self) -> bool {
        let asking = |search: &Search| !search.open.is_empty();
        self.examining > 0 || !self.heads.is_empty() || self.search.as_ref().is_some_and(asking)
    }

    /// A later fork was proven, or something that may prove one is here.
    pub(crate) fn is_on_trail(&self) -> bool {
        self.examining > 0 || self.search.is_some()
    }

    /// The log is another than the one that the search began with.
    pub(crate) fn restart(&mut self) {
        self.search = None;
    }

    /// A peer is gone, or too late.
    pub(crate) fn pass_over(&mut self, peer: PeerId) {
        self.heads.remove(&peer);
        if let Some(search) = &mut self.search {
            search.open.remove(&peer);
        }
    }

    /// What a peer that is gone had sent is not looked at.
    pub(crate) fn not_examined(&mut self) {
        self.examining -= 1;
    }

    /// An answer of a peer is here; says whether it was the last that it owed.
    fn answered(&mut self, peer: PeerId, aim: Aim) -> bool {
        if aim == Aim::Fork {
            return self.heads.remove(&peer);
        }
        let Some(search) = &mut self.search else {
            return false;
        };
        let Some(open) = search.open.get_mut(&peer) else {
            return false;
        };
        *open -= 1;
        let last = *open == 0;
        if last {
            search.open.remove(&peer);
        }
        last
    }

    /// A peer was asked, and has yet to answer.
    pub(crate) fn is_owed(&self, peer: PeerId) -> bool {
        let asked = |search: &Search| search.open.contains_key(&peer);
        self.heads.contains(&peer) || self.search.as_ref().is_some_and(asked)
    }

    /// The fork that is searched for, where nothing is under way, and among which blocks.
    pub(crate) fn resting(&self) -> Option<(Fork, Range<u64>)> {
        let search = self.search.as_ref()?;
        let rests = self.examining == 0 && search.open.is_empty();
        rests.then(|| (search.fork, search.wanted.blocks.clone()))
    }
}

impl Peer {
    /// Whether it is on a later fork that we would follow it to, and can prove it as far as we know.
    pub(crate) fn offers_fork(&self, shared: &Shared) -> bool {
        let view = &shared.view;
        let later = |remote: &hc_protocol::message::Sync| {
            remote.fork > view.fork
                && remote.length > Length::ZERO
                && remote.uploading
                && self.fork_refused != Some((remote.fork, remote.length))
        };
        shared.config.follow_forks
            && view.length > Length::ZERO
            && !self.shunned
            && !self.fork_late
            && self.remote.as_ref().is_some_and(later)
    }

    fn is_on(&self, fork: Fork) -> bool {
        self.remote.is_some_and(|remote| remote.fork == fork)
    }

    /// Has the fork that is searched taken over as far as it is known.
    fn adopt(&mut self, shared: &mut Shared, fork: Fork) {
        let task = Task::Fork { fork, whole: false };
        self.examine(shared, task, Effect::AdoptFork { fork });
    }

    fn examine(&mut self, shared: &mut Shared, task: Task, effect: Effect) {
        shared.forks.examining += 1;
        shared.under_way += 1;
        self.applying += 1;
        shared.run(self, task, effect);
    }
}

impl Replicator {
    /// Where nobody can tell more of a fork that is searched: takes it over if little is at stake, gives
    /// it up if nobody is on it any more. Says whether it was given up.
    pub(crate) fn tidy_forks(&mut self) -> bool {
        let shared = &mut self.shared;
        let Some((fork, blocks)) = shared.forks.resting() else {
            return false;
        };
        let mut on_it = self
            .peers
            .values_mut()
            .filter(|peer| peer.offers_fork(shared) && peer.is_on(fork))
            .peekable();
        if on_it.peek().is_none() {
            shared.forks.search = None;
            shared.work += 1;
            return true;
        }
        let last = on_it.try_fold(None, |_, peer| peer.fork_dry.then_some(Some(peer)));
        if let Some(Some(peer)) = last
            && shared.view.blocks.count(blocks) <= FORFEITED_BLOCKS
        {
            peer.adopt(shared, fork);
        }
        false
    }
}

/// Asks a peer on a later fork for what is lacking to follow it.
pub(crate) fn ask(shared: &mut Shared, peer: &mut Peer) {
    // what is examined may change what is to be asked
    let examining = shared.forks.examining > 0;
    if examining || !peer.offers_fork(shared) || !shared.wants_longer() {
        return;
    }
    let Some(remote) = peer.remote else { return };
    let searched = shared.forks.search.as_ref().map(|search| search.fork);
    match searched {
        Some(searched) if remote.fork < searched => {}
        Some(searched) if remote.fork == searched => ask_hashes(shared, peer),
        _ => ask_head(shared, peer, remote.fork, remote.length),
    }
}

/// Asks for the whole of its fork.
fn ask_head(shared: &mut Shared, peer: &mut Peer, fork: Fork, length: Length) {
    let heads = &shared.forks.heads;
    if heads.len() >= FORK_HEADS || heads.contains(&peer.id) {
        return;
    }
    let want = Request {
        upgrade: Some(UpgradeRequest {
            start: Length::ZERO,
            length,
        }),
        manifest: shared.view.manifest == ManifestState::Unknown,
        ..Request::default()
    };
    let sent = Sent::new(fork, Aim::Fork, shared.now);
    if schedule::post(shared, peer, sent, want, NORMAL).is_some() {
        shared.forks.heads.insert(peer.id);
        set_patience(shared, peer);
    }
}

/// Asks for the hashes of a few of the blocks among which the forks part: the answer to one tells, of
/// every node on its path, whether the forks part before it or after.
fn ask_hashes(shared: &mut Shared, peer: &mut Peer) {
    let Some(search) = shared.forks.search.as_ref() else {
        return;
    };
    if !search.open.is_empty() {
        return;
    }
    if search.rounds >= FORK_ROUNDS {
        shared.forks.search = None;
        let (what, limit) = (Limited::ForkRounds, FORK_ROUNDS as usize);
        peer.fault(shared, Fault::OverLimit { what, limit });
        return;
    }
    let (fork, nodes) = (search.fork, search.wanted.nodes);
    let blocks = search.wanted.blocks.clone();
    if !shared.view.blocks.any_set(blocks.clone()) && !shared.demands.waits_within(blocks.clone()) {
        peer.adopt(shared, fork);
        return;
    }
    let leaves = leaves(&peer.blocks, &blocks);
    if leaves.is_empty() {
        if schedule::want_windows(shared, peer, blocks, Cause::Fork) {
            set_patience(shared, peer);
        } else {
            peer.fork_dry = shared.timers.is_unset(Timer::Fork(peer.id));
        }
        return;
    }
    let mut open = 0;
    for leaf in leaves {
        let want = Request {
            hash: Some(HashRequest { index: leaf, nodes }),
            ..Request::default()
        };
        let sent = Sent::new(fork, Aim::Parting(leaf), shared.now);
        open += usize::from(schedule::post(shared, peer, sent, want, NORMAL).is_some());
    }
    if let Some(search) = shared.forks.search.as_mut().filter(|_| open > 0) {
        search.open.insert(peer.id, open);
        search.rounds += 1;
        set_patience(shared, peer);
    }
}

fn set_patience(shared: &mut Shared, peer: &Peer) {
    let late = shared.now.after(shared.config.upgrade_patience);
    shared.timers.set(Timer::Fork(peer.id), late);
}

/// Leaves to ask for out of some blocks, of those that a peer has, whose leaves it surely has. Logs are
/// mostly cut near their end: so the last, and quarters for those that are not.
fn leaves(held: &Bitfield, blocks: &Range<u64>) -> BTreeSet<NodeIndex> {
    let size = blocks.end.saturating_sub(blocks.start);
    let places = [
        size.saturating_sub(1),
        size / 2,
        size / 4,
        size / 2 + size / 4,
    ];
    let near = |place: u64| {
        let at = blocks.start + place;
        let before = held.last_set(at).filter(|found| *found >= blocks.start);
        before.or_else(|| held.first_set(at).filter(|found| *found < blocks.end))
    };
    let found: Vec<u64> = places.into_iter().filter_map(near).collect();
    let leaf = |index: u64| BlockIndex::new(index).leaf();
    found.into_iter().filter_map(leaf).collect()
}

impl Peer {
    /// An answer about a later fork.
    pub(crate) fn on_fork_data(&mut self, shared: &mut Shared, sent: &Sent, proof: Proof) {
        self.fork_answered(shared, sent.aim);
        let whole = sent.aim == Aim::Fork;
        let answers = if whole {
            proof.upgrade.is_some()
        } else {
            proof.hash.is_some()
        };
        if !answers {
            return self.refused_fork(shared, sent);
        }
        let searched = shared.forks.search.as_ref().map(|search| search.fork);
        let of_use = if whole {
            proof.fork > shared.view.fork && searched.is_none_or(|searched| proof.fork > searched)
        } else {
            searched == Some(proof.fork)
        };
        if proof.fork != sent.fork || !of_use {
            return;
        }
        let task = Task::Fork {
            fork: proof.fork,
            whole,
        };
        self.examine(shared, task, Effect::ExamineFork { data: proof });
    }

    /// It does not prove what it was asked for.
    pub(crate) fn refused_fork(&mut self, shared: &mut Shared, sent: &Sent) {
        self.fork_answered(shared, sent.aim);
        match sent.aim {
            Aim::Parting(leaf) => {
                if let Some(block) = leaf.block() {
                    self.blocks.unset(block.get());
                }
            }
            _ => self.refuse_this_fork(),
        }
    }

    /// What it was asked of its fork is answered, or taken back.
    pub(crate) fn fork_answered(&mut self, shared: &mut Shared, aim: Aim) {
        self.fork_late = false;
        if shared.forks.answered(self.id, aim) {
            shared.timers.unset(Timer::Fork(self.id));
        }
        shared.work += 1;
    }

    /// What it sent of a later fork has been examined.
    pub(crate) fn on_fork_examined(
        &mut self,
        shared: &mut Shared,
        (fork, whole): (Fork, bool),
        reply: Reply,
    ) {
        shared.forks.examining -= 1;
        shared.under_way -= 1;
        self.applying -= 1;
        self.has_room(shared);
        shared.work += 1;
        match reply {
            Reply::Wanted(wanted) => search_on(shared, (fork, whole), wanted),
            Reply::Applied => shared.forks.search = None,
            Reply::Rejected(rejection) => {
                shared.stats.invalid_data += 1;
                self.stats.invalid_data += 1;
                self.fault(shared, Fault::BadData(rejection));
            }
            // the log has moved, or the search was over: from the start, if there is anything to follow
            Reply::Stale if whole => self.refuse_this_fork(),
            Reply::Stale => shared.forks.search = None,
            _ => {
                self.shunned = true;
                shared.notify(Notice::StorageFailed { peer: self.id });
            }
        }
    }

    fn refuse_this_fork(&mut self) {
        self.fork_refused = self.remote.map(|remote| (remote.fork, remote.length));
    }
}

fn search_on(shared: &mut Shared, (fork, whole): (Fork, bool), wanted: Wanted) {
    let search = &mut shared.forks.search;
    if whole {
        *search = Some(Search {
            fork,
            wanted,
            open: BTreeMap::new(),
            rounds: 0,
        });
    } else if let Some(search) = search.as_mut().filter(|search| search.fork == fork) {
        search.wanted = wanted;
    }
}
