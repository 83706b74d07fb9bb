//! What an owner changes while a machine runs: how it behaves, toward all peers or one, and what is
//! pushed. Knows nothing of why.

use hc_merkle::BlockIndex;

use crate::config::Config;
use crate::id::PeerId;
use crate::machine::Replicator;
use crate::policy::PeerPolicy;

impl Replicator {
    /// Behaves otherwise from now on. The seed stays what it was.
    pub(crate) fn configure(&mut self, config: Config) {
        let shared = &mut self.shared;
        let before = core::mem::replace(&mut shared.config, config);
        shared.config.seed = before.seed;
        shared.work += 1;
        shared.sync_due.extend(self.peers.keys());
        if shared.config.uploads != before.uploads {
            for peer in self.peers.values_mut() {
                peer.switch_uploads(shared);
            }
        }
    }

    /// Behaves otherwise toward one peer from now on.
    pub(crate) fn set_policy(&mut self, id: PeerId, policy: PeerPolicy) {
        let (shared, Some(peer)) = (&mut self.shared, self.peers.get_mut(&id)) else {
            return;
        };
        let before = core::mem::replace(&mut peer.policy, policy);
        shared.sync_due.insert(id);
        if before.uploads != policy.uploads {
            peer.switch_uploads(shared);
        }
        if before.downloads && !policy.downloads {
            peer.take_back_requests(shared);
            peer.close_if_idle(shared);
        }
        peer.has_news(shared);
    }

    /// Sends a block to all peers that take what they did not ask for.
    pub(crate) fn push(&mut self, index: BlockIndex) {
        for peer in self.peers.values_mut() {
            peer.push(&mut self.shared, index);
        }
    }
}
