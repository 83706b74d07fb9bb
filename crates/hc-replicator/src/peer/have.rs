//! What a peer says it has. Knows nothing of what we want of it.

use hc_merkle::Length;
use hc_protocol::message::{Bitfield, Range};

use crate::output::Notice;
use crate::peer::Peer;
use crate::shared::Shared;

impl Peer {
    /// It has, or no longer has, a run of blocks. What goes over the bounds of a set is not remembered:
    /// nothing breaks, it is only not asked for those.
    pub(crate) fn on_range(&mut self, shared: &mut Shared, range: Range) {
        if !range.drop && !self.may_remember() {
            return;
        }
        if self
            .blocks
            .receive_range(range.start, range.length, !range.drop)
            .is_err()
            || range.drop
        {
            return;
        }
        if range.start == 0 {
            self.hint(shared, range.length);
        }
        self.has_news(shared);
    }

    /// It has exactly these blocks of a window.
    pub(crate) fn on_bitfield(&mut self, shared: &mut Shared, bitfield: &Bitfield) {
        if !self.may_remember() {
            return;
        }
        if self
            .blocks
            .receive_words(bitfield.start, &bitfield.words)
            .is_ok()
        {
            self.has_news(shared);
        }
    }

    /// What it says it has takes less memory than it may.
    fn may_remember(&self) -> bool {
        self.blocks.memory() < self.policy.memory
    }

    fn hint(&mut self, shared: &mut Shared, contiguous: u64) {
        let length = Length::new(contiguous);
        // It may say so before it says how long its log is by now.
        let known = self
            .same_fork(shared)
            .is_some_and(|remote| length <= remote.length.max(shared.view.length));
        if known && length > shared.remote_contiguous {
            shared.remote_contiguous = length;
            shared.notify(Notice::RemoteContiguous {
                peer: self.id,
                length,
            });
        }
    }
}
