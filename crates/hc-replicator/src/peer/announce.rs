//! Telling a peer which blocks came and went. Knows nothing of what it makes of that.

use core::ops::Range as Span;

use hc_bitfield::RangeSet;
use hc_merkle::Length;
use hc_protocol::message::Range;

use crate::limits::{BACKLOG_RUNS, LAST_BLOCKS};
use crate::peer::Peer;
use crate::shared::Shared;

/// What a peer without room has not been told yet.
#[derive(Debug, Default)]
pub(crate) struct Backlog {
    gained: RangeSet,
    lost: RangeSet,
    /// Too much to keep: windows are answered anew instead.
    overflown: bool,
    /// It was to be told where we stand.
    pub(crate) sync: bool,
}

impl Peer {
    /// Blocks have come: tells it, where it cares and does not have them itself.
    ///
    /// A log without holes is announced as a whole, once per length. Otherwise only blocks at the end
    /// of the log or in a window that it wants are worth a message.
    pub(crate) fn announce_gained(&mut self, shared: &mut Shared, gained: &Span<u64>) {
        if !self.uploads(shared) {
            return;
        }
        let view = &shared.view;
        let length = view.length.get();
        if view.is_full() {
            self.announce_full(shared);
            return;
        }
        let at_end = gained.start.saturating_add(LAST_BLOCKS) >= length;
        if !at_end && !self.asking.wants.intersects(gained.clone()) {
            return;
        }
        if !self.blocks.any_unset(gained.clone()) {
            return;
        }
        if self.room {
            self.send_range(shared, gained, false);
        } else {
            self.backlog.lost.remove(gained.clone());
            self.backlog.gained.insert(gained.clone());
            self.backlog.bound();
        }
    }

    /// It is given what is here from now on, or not any more.
    pub(crate) fn switch_uploads(&mut self, shared: &mut Shared) {
        self.told_full = Length::ZERO;
        let contiguous = shared.view.contiguous.get();
        if contiguous > 0 {
            self.announce_gained(shared, &(0..contiguous));
        }
        // What it asked for before is refused now.
        self.serve(shared);
    }

    /// There are no holes: says so, once per length.
    pub(crate) fn announce_full(&mut self, shared: &mut Shared) {
        let length = shared.view.length;
        if self.told_full >= length || !self.uploads(shared) {
            return;
        }
        if self.room {
            self.told_full = length;
            self.send_range(shared, &(0..length.get()), false);
        } else {
            self.backlog.gained.clear();
        }
    }

    /// Blocks are gone.
    pub(crate) fn announce_lost(&mut self, shared: &mut Shared, lost: &Span<u64>) {
        self.told_full = self.told_full.min(lost.start.into());
        if self.room {
            self.send_range(shared, lost, true);
        } else {
            self.backlog.gained.remove(lost.clone());
            self.backlog.lost.insert(lost.clone());
            self.backlog.bound();
        }
    }

    /// There is room again: says what is left to say.
    pub(crate) fn announce_backlog(&mut self, shared: &mut Shared) {
        let backlog = core::mem::take(&mut self.backlog);
        for lost in backlog.lost.iter() {
            self.send_range(shared, &lost, true);
        }
        for gained in backlog.gained.iter() {
            self.announce_gained(shared, &gained);
        }
        if shared.view.is_full() {
            self.announce_full(shared);
        }
        if backlog.overflown {
            self.answer_anew(shared);
        }
        if backlog.sync {
            self.tell(shared);
        }
    }

    fn send_range(&mut self, shared: &mut Shared, range: &Span<u64>, drop: bool) {
        let length = range.end.saturating_sub(range.start);
        shared.send(
            self,
            Range {
                drop,
                start: range.start,
                length,
            },
        );
    }
}

impl Backlog {
    /// Keeps it small. To say that more is gone than is costs a question; to forget what came is made
    /// good by answering windows anew.
    fn bound(&mut self) {
        if self.gained.range_count() > BACKLOG_RUNS {
            self.gained.clear();
            self.overflown = true;
        }
        if self.lost.range_count() > BACKLOG_RUNS {
            let start = self.lost.iter().next().map_or(0, |run| run.start);
            let end = self.lost.iter().next_back().map_or(0, |run| run.end);
            self.lost.clear();
            self.lost.insert(start..end);
            self.overflown = true;
        }
    }
}
