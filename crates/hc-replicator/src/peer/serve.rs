//! The requests of a peer: taken in, answered in turn, taken back, refused. Knows nothing of how a proof
//! is made.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use hc_merkle::Fork;
use hc_merkle::proof::{Proof, Request as Wanted};
use hc_protocol::Time;
use hc_protocol::message::{Data, NoData, NoDataReason, Request, RequestId};

use crate::error::{Fault, Limited};
use crate::input::Reply;
use crate::limits::{INVALID_REQUESTS, OPEN_REQUESTS, PROVING, refusal_delay};
use crate::output::{Effect, Hangup, Notice};
use crate::peer::{Peer, Task};
use crate::shared::Shared;
use crate::timer::Timer;

#[derive(Debug, Default)]
pub(crate) struct Serving {
    /// All that are not answered.
    open: BTreeMap<RequestId, Entry>,
    /// What somebody waits for: the last first, as in the reference.
    urgent: Vec<Place>,
    /// The rest: the first first.
    normal: VecDeque<Place>,
    /// Refusals that are held back, by when they are due.
    held: VecDeque<(Time, Place)>,
    /// Answers that are being proven.
    proving: usize,
    /// Counts requests, to tell two with one number apart.
    turn: u64,
    invalid: u32,
}

#[derive(Debug)]
struct Entry {
    turn: u64,
    fork: Fork,
    want: Wanted,
}

/// A request as it stands in a queue: void if the number has been taken back or given to another.
type Place = (RequestId, u64);

impl Serving {
    fn stands(&self, (id, turn): Place) -> bool {
        self.open.get(&id).is_some_and(|entry| entry.turn == turn)
    }

    fn next(&mut self) -> Option<Place> {
        while let Some(place) = self.urgent.pop() {
            if self.stands(place) {
                return Some(place);
            }
        }
        while let Some(place) = self.normal.pop_front() {
            if self.stands(place) {
                return Some(place);
            }
        }
        None
    }

    /// Throws out what was taken back, once that is more than may be open.
    fn tidy(&mut self) {
        if self.urgent.len() + self.normal.len() <= 2 * OPEN_REQUESTS {
            return;
        }
        let open = &self.open;
        let stands = |(id, turn): &Place| open.get(id).is_some_and(|entry| entry.turn == *turn);
        self.urgent.retain(stands);
        self.normal.retain(stands);
    }

    /// Bytes that the requests take, about.
    pub(crate) fn memory(&self) -> usize {
        // as much again for the nodes of the map
        let entries = self.open.len() * 2 * size_of::<(RequestId, Entry)>();
        let places = self.urgent.capacity() + self.normal.capacity();
        entries + places * size_of::<Place>()
    }

    fn close(&mut self, place: Place) -> Option<Entry> {
        if self.stands(place) {
            self.open.remove(&place.0)
        } else {
            None
        }
    }
}

impl Peer {
    /// A second request with one number takes the first back.
    pub(crate) fn on_request(&mut self, shared: &mut Shared, request: Request) {
        let serving = &mut self.serving;
        if serving.open.len() >= OPEN_REQUESTS && !serving.open.contains_key(&request.id) {
            let (what, limit) = (Limited::OpenRequests, OPEN_REQUESTS);
            self.fault(shared, Fault::OverLimit { what, limit });
            return;
        }
        serving.turn += 1;
        let place = (request.id, serving.turn);
        let entry = Entry {
            turn: serving.turn,
            fork: request.fork,
            want: request.want,
        };
        serving.open.insert(request.id, entry);
        if request.priority > 0 {
            serving.urgent.push(place);
        } else {
            serving.normal.push_back(place);
        }
        serving.tidy();
        self.serve(shared);
    }

    pub(crate) fn on_cancel(&mut self, id: RequestId) {
        self.serving.open.remove(&id);
    }

    /// Starts to answer, as far as there is room.
    pub(crate) fn serve(&mut self, shared: &mut Shared) {
        while self.room && self.serving.proving < PROVING {
            let Some(place) = self.serving.next() else {
                return;
            };
            let Some(entry) = self.serving.open.get(&place.0) else {
                return;
            };
            let (fork, want) = (entry.fork, entry.want);
            self.prove(shared, place, fork, want);
        }
    }

    fn prove(&mut self, shared: &mut Shared, place: Place, fork: Fork, mut want: Wanted) {
        if want == Wanted::default() {
            self.invalid_request(shared, place);
            return;
        }
        if !self.uploads(shared) {
            self.refuse(shared, place, NoDataReason::NotAvailable);
            return;
        }
        if self.remote.is_some_and(|remote| remote.allow_push) {
            want.upgrade = want.upgrade.map(|asked| self.after_pushes(shared, asked));
        }
        let view = &shared.view;
        want.manifest &= shared.gives_manifest();
        let here = want
            .block
            .is_none_or(|block| view.blocks.get(block.index.get()));
        if fork != view.fork || !here {
            // the manifest is the same on every fork
            want = Wanted {
                manifest: want.manifest,
                ..Wanted::default()
            };
        }
        if want == Wanted::default() {
            self.refuse(shared, place, NoDataReason::NotAvailable);
            return;
        }
        let (request, turn) = place;
        let fork = view.fork;
        self.serving.proving += 1;
        let upgrade = self.begins_upgrade(want.upgrade.is_some());
        let task = Task::Prove {
            request,
            turn,
            upgrade,
        };
        shared.run(
            self,
            task,
            Effect::Prove {
                fork,
                request: want,
            },
        );
    }

    /// The store has answered for us.
    pub(crate) fn on_proven(&mut self, shared: &mut Shared, place: Place, reply: Reply) {
        self.serving.proving -= 1;
        match reply {
            Reply::Proof(proof) => self.answer(shared, place, proof),
            Reply::Invalid => self.invalid_request(shared, place),
            _ => self.refuse(shared, place, NoDataReason::NotAvailable),
        }
        self.serve(shared);
    }

    fn answer(&mut self, shared: &mut Shared, place: Place, proof: Proof) {
        if self.serving.close(place).is_none() {
            return;
        }
        self.count_upload(shared, &proof);
        self.leads(shared, &proof);
        shared.send(self, Data { id: place.0, proof });
    }

    /// A proof is sent.
    pub(crate) fn count_upload(&mut self, shared: &mut Shared, proof: &Proof) {
        let Some(block) = &proof.block else { return };
        let (index, bytes) = (block.index, block.value.len() as u64);
        for stats in [&mut shared.stats, &mut self.stats] {
            stats.blocks_uploaded += 1;
            stats.bytes_uploaded += bytes;
        }
        shared.notify(Notice::Uploaded {
            peer: self.id,
            index,
            bytes,
        });
    }

    fn refuse(&mut self, shared: &mut Shared, place: Place, reason: NoDataReason) {
        if self.serving.close(place).is_some() {
            shared.send(
                self,
                NoData {
                    id: place.0,
                    reason,
                },
            );
        }
    }

    /// The refusal is held back, longer each time.
    fn invalid_request(&mut self, shared: &mut Shared, place: Place) {
        let serving = &mut self.serving;
        serving.invalid += 1;
        let count = serving.invalid;
        shared.stats.invalid_requests += 1;
        self.stats.invalid_requests += 1;
        shared.notify(Notice::InvalidRequest {
            peer: self.id,
            count,
        });
        if count >= INVALID_REQUESTS {
            shared.hang_up(self.id, Hangup::Fault(Fault::InvalidRequests { count }));
            return;
        }
        let due = shared.now.after(refusal_delay(count));
        self.serving.held.push_back((due, place));
        shared.timers.set_earlier(Timer::Refuse(self.id), due);
    }

    /// Refusals have been held back for long enough.
    pub(crate) fn refuse_due(&mut self, shared: &mut Shared) {
        while let Some((due, place)) = self.serving.held.front().copied() {
            if due > shared.now {
                shared.timers.set(Timer::Refuse(self.id), due);
                return;
            }
            self.serving.held.pop_front();
            self.refuse(shared, place, NoDataReason::Invalid);
        }
    }
}
