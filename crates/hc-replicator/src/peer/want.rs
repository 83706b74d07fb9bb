//! Wants both ways: which windows each side asked the other to be told about. Knows nothing of what the
//! answers are used for.

use alloc::collections::{BTreeMap, VecDeque};

use hc_bitfield::{Ask, RemoteWants, Window};
use hc_protocol::Time;
use hc_protocol::message::{Bitfield, Message, Range, Want};

use crate::error::{Fault, Limited};
use crate::id::DemandId;
use crate::limits::{UNANSWERED_WANTS, WANT_REPEAT, WANTS_REMEMBERED};
use crate::output::Hangup;
use crate::peer::Peer;
use crate::shared::Shared;

/// What our side wants a window for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Cause {
    Demand(DemandId),
    /// To find where a later fork parts from ours.
    Fork,
}

/// What the remote wants to be told.
#[derive(Debug, Default)]
pub(crate) struct Asking {
    pub(crate) wants: RemoteWants,
    /// When a window was last answered, and how often our blocks had changed by then.
    answered: BTreeMap<(u64, u64, bool), (Time, u64)>,
    /// What waits for room.
    unanswered: VecDeque<Window>,
}

impl Asking {
    /// Bytes that the wants take, about.
    pub(crate) fn memory(&self) -> usize {
        // as much again for the nodes of the map
        let answered = self.answered.len() * 2 * size_of::<((u64, u64, bool), (Time, u64))>();
        let unanswered = self.unanswered.capacity() * size_of::<Window>();
        self.wants.memory() + answered + unanswered
    }
}

impl Peer {
    /// Wants the window around a block. Says whether that asked for anything.
    pub(crate) fn want(&mut self, shared: &mut Shared, index: u64, cause: Cause) -> bool {
        let window = index / hc_bitfield::limits::SEGMENT_BITS;
        let windows = self.wanted_for.entry(cause).or_default();
        if !windows.insert(window) {
            return false;
        }
        if let Cause::Demand(demand) = cause {
            shared.traced.insert(demand);
        }
        match self.wants.add(index, cause) {
            Ask::Send { want, unwant } => {
                if let Some(unwant) = unwant {
                    shared.send(self, Message::Unwant(message(unwant)));
                }
                shared.send(self, Message::Want(message(want)));
                true
            }
            Ask::Asked => false,
            Ask::Full => {
                windows.remove(&window);
                false
            }
        }
    }

    /// A demand is no more.
    pub(crate) fn forget_demand(&mut self, demand: DemandId) {
        self.runs.remove(&demand);
        self.want_no_more(Cause::Demand(demand));
    }

    /// What was wanted for this alone may be given up when room is needed.
    pub(crate) fn want_no_more(&mut self, cause: Cause) {
        for window in self.wanted_for.remove(&cause).unwrap_or_default() {
            self.wants
                .remove(window * hc_bitfield::limits::SEGMENT_BITS, &cause);
        }
    }

    pub(crate) fn on_want(&mut self, shared: &mut Shared, want: Want) {
        let window = Window {
            start: want.start,
            length: want.length,
            any: want.any,
        };
        if !self.asking.wants.add(window) {
            return;
        }
        if self.room {
            self.answer_want(shared, window);
        } else if self.asking.unanswered.len() < UNANSWERED_WANTS {
            self.asking.unanswered.push_back(window);
        } else {
            let (what, limit) = (Limited::UnansweredWants, UNANSWERED_WANTS);
            shared.hang_up(self.id, Hangup::Fault(Fault::OverLimit { what, limit }));
        }
    }

    pub(crate) fn on_unwant(&mut self, want: Want) {
        let Want { start, length, any } = want;
        self.asking.wants.remove(Window { start, length, any });
    }

    /// There is room again.
    pub(crate) fn answer_wants(&mut self, shared: &mut Shared) {
        while let Some(window) = self.asking.unanswered.pop_front() {
            self.answer_want(shared, window);
        }
    }

    /// Answers everything again that the remote has been told before.
    pub(crate) fn answer_anew(&mut self, shared: &mut Shared) {
        for (start, length, any) in core::mem::take(&mut self.asking.answered).into_keys() {
            self.answer_want(shared, Window { start, length, any });
        }
    }

    fn answer_want(&mut self, shared: &mut Shared, window: Window) {
        if !self.uploads(shared) || self.was_answered(shared, window) {
            return;
        }
        let Window { start, any, .. } = window;
        let contiguous = shared.view.contiguous.get();
        let end = window.range().end;
        if end < contiguous || shared.view.is_full() || (any && start < contiguous) {
            if contiguous > 0 {
                shared.send(
                    self,
                    Range {
                        drop: false,
                        start: 0,
                        length: contiguous,
                    },
                );
            }
            return;
        }
        if any {
            let found = shared
                .view
                .blocks
                .first_set(start)
                .filter(|index| *index < end);
            if let Some(start) = found {
                shared.send(
                    self,
                    Range {
                        drop: false,
                        start,
                        length: 1,
                    },
                );
            }
            return;
        }
        let blocks = shared.view.blocks.clone();
        for answer in blocks.answers(window.range(), shared.view.length.get()) {
            shared.send(
                self,
                Bitfield {
                    start: answer.start,
                    words: answer.words,
                },
            );
        }
    }

    /// Whether the same was asked a moment ago and nothing has changed. Notes that it is answered now.
    fn was_answered(&mut self, shared: &Shared, window: Window) -> bool {
        let answered = &mut self.asking.answered;
        let key = (window.start, window.length, window.any);
        let stands = answered.get(&key).is_some_and(|(at, version)| {
            *version == shared.version && shared.now.since(*at) < WANT_REPEAT
        });
        if !stands {
            if answered.len() >= WANTS_REMEMBERED {
                answered.clear();
            }
            answered.insert(key, (shared.now, shared.version));
        }
        stands
    }
}

fn message(window: Window) -> Want {
    let Window { start, length, any } = window;
    Want { start, length, any }
}
