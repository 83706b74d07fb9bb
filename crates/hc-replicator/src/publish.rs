//! What a machine does when its log has changed. Knows nothing of what changed it.

use alloc::vec::Vec;

use hc_bitfield::RangeSet;

use crate::input::Published;
use crate::local::LocalView;
use crate::machine::Replicator;
use crate::peer::want::Cause;
use crate::shared::Shared;

impl Replicator {
    pub(crate) fn publish(&mut self, change: &Published, view: LocalView) {
        let before = core::mem::replace(&mut self.shared.view, view);
        let mut ended = Vec::new();
        let gained: RangeSet = change.gained.iter().cloned().collect();
        let mut lost: RangeSet = change.lost.iter().cloned().collect();
        if let Some(to) = change.truncated {
            let shared = &mut self.shared;
            lost.insert(to.get()..before.length.get());
            shared.remote_contiguous = shared.remote_contiguous.min(to);
            shared.demands.truncated(to, &mut ended);
            shared.untied.clear();
            // On another fork, answers to what was asked on this one are told by that.
            if before.fork == shared.view.fork {
                shared.recall();
            }
        }
        self.lose(&lost);
        self.gain(&gained, &mut ended);
        let shared = &mut self.shared;
        if !lost.is_empty() {
            shared.demands.rewind(&shared.view, &mut ended);
        }
        shared.version += u64::from(!lost.is_empty() || !gained.is_empty());
        let moved = (before.fork, before.length) != (shared.view.fork, shared.view.length);
        if before.fork != shared.view.fork || change.truncated.is_some() {
            self.peers
                .values_mut()
                .for_each(|peer| peer.coming.lean_no_more());
        }
        if moved {
            let cut = before.fork != shared.view.fork || change.truncated.is_some();
            shared.demands.upgraded(&shared.view, cut, &mut ended);
            shared.forks.restart();
            self.peers
                .values_mut()
                .for_each(|peer| peer.want_no_more(Cause::Fork));
            shared.work += 1;
            self.peers
                .values_mut()
                .for_each(|peer| peer.update_reach(shared));
        }
        if moved || before.manifest != shared.view.manifest {
            shared.sync_due.extend(self.peers.keys());
        }
        for (id, _) in &ended {
            if shared.traced.remove(id) {
                self.peers
                    .values_mut()
                    .for_each(|peer| peer.forget_demand(*id));
            }
        }
        shared.resolve(ended);
    }

    fn lose(&mut self, lost: &RangeSet) {
        for range in lost.iter() {
            self.shared.untake(range.clone());
            for peer in self.peers.values_mut() {
                peer.announce_lost(&mut self.shared, &range);
            }
        }
    }

    fn gain(&mut self, gained: &RangeSet, ended: &mut Vec<crate::demand::Ended>) {
        let shared = &mut self.shared;
        let mut overtaken = Vec::new();
        for range in gained.iter() {
            shared.taken.set_range(range.clone());
            // whoever has not given them yet need not any more
            for (_, flight) in shared.flights.take(range.clone()) {
                overtaken.extend(flight.overtaken());
                let open = flight
                    .asked()
                    .filter_map(|asked| Some((asked.peer, asked.request?)));
                shared.cancels.extend(open);
            }
            let Shared { demands, view, .. } = &mut *shared;
            demands.gained(range.clone(), view, ended);
        }
        for peer in overtaken {
            if let Some(peer) = self.peers.get_mut(&peer) {
                peer.was_useless(shared);
            }
        }
        for peer in self.peers.values_mut() {
            for range in gained.iter() {
                peer.announce_gained(shared, &range);
            }
        }
    }
}
