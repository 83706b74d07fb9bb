//! One machine and messages written by hand: what it says and does, one input at a time.

use std::time::Duration;

use bytes::Bytes;
use hc_bitfield::Bitfield;
use hc_merkle::proof::{BlockProof, BlockRequest, Proof, Request as Wanted, UpgradeProof};
use hc_merkle::{Fork, Length};
use hc_protocol::Time;
use hc_protocol::message::{
    Data, Message, NoData, NoDataReason, Range, Request, RequestId, Sync, Want,
};
use hc_replicator::{
    Config, Demand, DemandId, Effect, Fault, Hangup, Input, LocalView, ManifestState, Outcome,
    Output, PeerId, PeerInfo, Published, Replicator, Reply, Ticket,
};

use crate::log::index;

pub(crate) const PEER: PeerId = PeerId(1);

pub(crate) struct Script {
    pub(crate) machine: Replicator,
    pub(crate) now: Time,
    pub(crate) wait: Option<Time>,
    view: LocalView,
    demands: u64,
}

/// All blocks up to there.
fn has(length: u64) -> Range {
    Range {
        drop: false,
        start: 0,
        length,
    }
}

/// A config with something changed.
pub(crate) fn tuned(mut config: Config, tune: impl FnOnce(&mut Config)) -> Config {
    tune(&mut config);
    config
}

pub(crate) fn sync(length: u64, remote_length: u64) -> Sync {
    Sync {
        fork: Fork::ZERO,
        length: Length::new(length),
        remote_length: Length::new(remote_length),
        can_upgrade: true,
        uploading: true,
        downloading: true,
        has_manifest: true,
        allow_push: false,
    }
}

pub(crate) fn view(length: u64, blocks: std::ops::Range<u64>) -> LocalView {
    let blocks: Bitfield = std::iter::once(blocks).collect();
    LocalView {
        fork: Fork::ZERO,
        length: Length::new(length),
        contiguous: Length::new(blocks.contiguous_len()),
        blocks,
        manifest: ManifestState::Known,
        least: Length::ZERO,
    }
}

pub(crate) fn block_request(id: u64, block: u64, priority: u64) -> Request {
    let block = BlockRequest {
        index: index(block),
        nodes: 0,
    };
    let want = Wanted {
        block: Some(block),
        ..Wanted::default()
    };
    Request {
        id: RequestId(id),
        fork: Fork::ZERO,
        want,
        priority,
    }
}

pub(crate) fn block_proof(block: u64) -> Proof {
    let value = Bytes::from_static(b"value");
    let block = BlockProof {
        index: index(block),
        value,
        nodes: Vec::new(),
    };
    Proof {
        block: Some(block),
        ..Proof::default()
    }
}

impl Script {
    /// A machine over a log of this length that has these blocks.
    pub(crate) fn new(length: u64, blocks: std::ops::Range<u64>) -> Self {
        Self::with(Config::new(7), length, blocks)
    }

    pub(crate) fn with(config: Config, length: u64, blocks: std::ops::Range<u64>) -> Self {
        let view = view(length, blocks);
        let machine = Replicator::new(config, view.clone());
        let mut script = Self {
            machine,
            now: Time::ZERO,
            wait: None,
            view,
            demands: 0,
        };
        script.input(Input::Activity { active: true });
        script
    }

    /// The same with a peer of that length, that has all blocks of it.
    pub(crate) fn with_peer(length: u64, blocks: std::ops::Range<u64>, theirs: u64) -> Self {
        let mut script = Self::new(length, blocks);
        script.open(PEER);
        script.receive(Message::Sync(sync(theirs, length)));
        script.receive(Message::Range(has(theirs)));
        script
    }

    pub(crate) fn input(&mut self, input: Input) -> Vec<Output> {
        self.machine.handle(self.now, input);
        let mut outputs = Vec::new();
        loop {
            match self.machine.poll_output() {
                Output::Wait(wait) => {
                    self.wait = wait;
                    return outputs;
                }
                output => outputs.push(output),
            }
        }
    }

    pub(crate) fn open(&mut self, peer: PeerId) -> Vec<Output> {
        self.input(Input::PeerOpened {
            peer,
            info: PeerInfo::new(true),
        })
    }

    pub(crate) fn receive(&mut self, message: Message) -> Vec<Output> {
        self.receive_from(PEER, message)
    }

    pub(crate) fn receive_from(&mut self, peer: PeerId, message: Message) -> Vec<Output> {
        self.input(Input::Received { peer, message })
    }

    pub(crate) fn demand(&mut self, what: Demand) -> (DemandId, Vec<Output>) {
        let id = DemandId(self.demands);
        self.demands += 1;
        (id, self.input(Input::Demanded { id, what }))
    }

    pub(crate) fn complete(&mut self, ticket: Ticket, reply: Reply) -> Vec<Output> {
        self.input(Input::Completed { ticket, reply })
    }

    pub(crate) fn elapse(&mut self, time: Duration) -> Vec<Output> {
        self.now = self.now.after(time);
        self.input(Input::Elapsed)
    }

    /// The log has grown, with all its blocks.
    pub(crate) fn grow(&mut self, count: u64) -> Vec<Output> {
        let length = self.view.length.get();
        self.view.length = Length::new(length + count);
        self.publish(length..length + count)
    }

    /// Blocks have come.
    pub(crate) fn publish(&mut self, gained: std::ops::Range<u64>) -> Vec<Output> {
        self.view.blocks.set_range(gained.clone());
        self.view.contiguous = Length::new(self.view.blocks.contiguous_len());
        let change = Published {
            gained: vec![gained],
            ..Published::default()
        };
        self.input(Input::Published {
            change,
            view: self.view.clone(),
        })
    }
}

pub(crate) fn sent(outputs: &[Output]) -> Vec<&Message> {
    let sent = outputs.iter().filter_map(|output| match output {
        Output::Send { message, .. } => Some(message),
        _ => None,
    });
    sent.collect()
}

pub(crate) fn requests(outputs: &[Output]) -> Vec<Request> {
    let requests = sent(outputs)
        .into_iter()
        .filter_map(|message| match message {
            Message::Request(request) => Some(*request),
            _ => None,
        });
    requests.collect()
}

pub(crate) fn effects(outputs: &[Output]) -> Vec<(Ticket, &Effect)> {
    let effects = outputs.iter().filter_map(|output| match output {
        Output::Run { ticket, effect, .. } => Some((*ticket, effect)),
        _ => None,
    });
    effects.collect()
}

pub(crate) fn hangup(outputs: &[Output]) -> Option<Hangup> {
    outputs.iter().find_map(|output| match output {
        Output::Hangup { reason, .. } => Some(*reason),
        _ => None,
    })
}

pub(crate) fn resolved(outputs: &[Output]) -> Vec<(DemandId, Outcome)> {
    let resolved = outputs.iter().filter_map(|output| match output {
        Output::Resolve { id, outcome } => Some((*id, *outcome)),
        _ => None,
    });
    resolved.collect()
}

fn no_data(id: RequestId, reason: NoDataReason) -> Message {
    Message::NoData(NoData { id, reason })
}

#[test]
fn a_cancelled_demand_takes_its_request_back() {
    let mut script = Script::with_peer(10, 0..0, 10);
    let (id, outputs) = script.demand(Demand::Block(index(3)));
    let request = requests(&outputs)[0];
    let outputs = script.input(Input::Cancelled { id });
    let cancel = hc_protocol::message::Cancel { id: request.id };
    assert_eq!(sent(&outputs), [&Message::Cancel(cancel)]);
    // the answer crossed the cancel: no fault, nothing stored, nobody told
    let outputs = script.receive(Message::Data(Data {
        id: request.id,
        proof: block_proof(3),
    }));
    assert_eq!(outputs, []);
    // and once more would be one answer too many
    let outputs = script.receive(Message::Data(Data {
        id: request.id,
        proof: block_proof(3),
    }));
    assert_eq!(hangup(&outputs), Some(Hangup::Fault(Fault::Unsolicited)));
}

#[test]
fn a_demand_of_another_keeps_the_request() {
    let mut script = Script::with_peer(10, 0..0, 10);
    let (first, outputs) = script.demand(Demand::Block(index(3)));
    assert_eq!(requests(&outputs).len(), 1);
    let (second, outputs) = script.demand(Demand::Block(index(3)));
    assert_eq!(requests(&outputs).len(), 0);
    assert_eq!(script.input(Input::Cancelled { id: first }), []);
    let outputs = script.publish(3..4);
    assert_eq!(resolved(&outputs), [(second, Outcome::Available)]);
}

#[test]
fn a_number_is_not_used_again_before_a_round_trip() {
    let mut script = Script::with_peer(100, 0..0, 100);
    let (id, outputs) = script.demand(Demand::Block(index(0)));
    assert_eq!(requests(&outputs)[0].id, RequestId(1));
    script.input(Input::Cancelled { id });
    let (_, outputs) = script.demand(Demand::Block(index(0)));
    assert_eq!(requests(&outputs)[0].id, RequestId(2));
    script.receive(Message::Data(Data {
        id: RequestId(2),
        proof: block_proof(0),
    }));
    let (_, outputs) = script.demand(Demand::Block(index(1)));
    assert_eq!(requests(&outputs)[0].id, RequestId(1));
}

#[test]
fn what_was_not_asked_for_costs_the_channel() {
    let asked = |script: &mut Script| requests(&script.demand(Demand::Block(index(3))).1)[0].id;
    let upgrade = UpgradeProof {
        start: Length::new(10),
        length: Length::new(1),
        nodes: Vec::new(),
        additional_nodes: Vec::new(),
        signature: Bytes::new(),
    };
    let wrong = [
        block_proof(4),
        Proof {
            upgrade: Some(upgrade),
            ..block_proof(3)
        },
    ];
    for proof in wrong {
        let mut script = Script::with_peer(10, 0..0, 10);
        let id = asked(&mut script);
        let outputs = script.receive(Message::Data(Data { id, proof }));
        assert_eq!(hangup(&outputs), Some(Hangup::Fault(Fault::Unsolicited)));
        assert_eq!(effects(&outputs), []);
        // nothing more is heard of or said to that peer
        assert_eq!(script.receive(Message::Request(block_request(1, 0, 0))), []);
    }
    let mut script = Script::with_peer(10, 0..0, 10);
    let outputs = script.receive(Message::Data(Data {
        id: RequestId(9),
        proof: block_proof(3),
    }));
    assert_eq!(hangup(&outputs), Some(Hangup::Fault(Fault::Unsolicited)));
}

#[test]
fn bad_data_costs_the_channel_and_is_asked_of_another() {
    let mut script = Script::with_peer(10, 0..0, 10);
    let (_, outputs) = script.demand(Demand::Block(index(3)));
    let id = requests(&outputs)[0].id;
    let other = PeerId(2);
    script.open(other);
    script.receive_from(other, Message::Sync(sync(10, 10)));
    script.receive_from(other, Message::Range(has(10)));
    let outputs = script.receive(Message::Data(Data {
        id,
        proof: block_proof(3),
    }));
    let (ticket, _) = effects(&outputs)[0];
    let rejection = hc_replicator::Rejection::Proof;
    let outputs = script.complete(ticket, Reply::Rejected(rejection));
    let again = outputs.iter().any(|output| {
        matches!(output, Output::Send { peer, message: Message::Request(_) } if *peer == other)
    });
    assert!(again);
    assert_eq!(script.machine.stats().invalid_data, 1);
    // it is heard once more, as it may be that the log was signed twice
    let outputs = script.receive(no_data(RequestId(0), NoDataReason::NotAvailable));
    assert_eq!(
        hangup(&outputs),
        Some(Hangup::Fault(Fault::BadData(rejection)))
    );
}

#[test]
fn stale_data_is_asked_for_again_with_the_whole_path_and_is_nobodys_fault() {
    let mut script = Script::with_peer(16, 2..3, 16);
    let (_, outputs) = script.demand(Demand::Block(index(3)));
    let request = requests(&outputs)[0];
    assert_eq!(request.want.block.unwrap().nodes, 0);
    let outputs = script.receive(Message::Data(Data {
        id: request.id,
        proof: block_proof(3),
    }));
    let outputs = script.complete(effects(&outputs)[0].0, Reply::Stale);
    assert_eq!(hangup(&outputs), None);
    let request = requests(&outputs)[0];
    assert_eq!(request.want.block.unwrap().nodes, 4);
    // a second time: this peer is no longer asked for it
    let outputs = script.receive(Message::Data(Data {
        id: request.id,
        proof: block_proof(3),
    }));
    let outputs = script.complete(effects(&outputs)[0].0, Reply::Stale);
    assert_eq!(requests(&outputs), []);
}

#[test]
fn a_refused_block_is_not_asked_of_the_same_peer_again() {
    let mut script = Script::with_peer(10, 0..0, 10);
    let (_, outputs) = script.demand(Demand::Block(index(3)));
    let id = requests(&outputs)[0].id;
    let outputs = script.receive(no_data(id, NoDataReason::NotAvailable));
    assert_eq!(requests(&outputs), []);
    // unless it says that it has it now
    let has = Range {
        drop: false,
        start: 3,
        length: 1,
    };
    assert_eq!(requests(&script.receive(Message::Range(has))).len(), 1);
}

#[test]
fn a_peer_that_refuses_and_refuses_is_left_alone() {
    for reason in [NoDataReason::NotAvailable, NoDataReason::Invalid] {
        let mut script = Script::with_peer(100, 0..0, 100);
        for block in 0..32 {
            let (_, outputs) = script.demand(Demand::Block(index(block)));
            let id = requests(&outputs)[0].id;
            script.receive(no_data(id, reason));
        }
        assert_eq!(requests(&script.demand(Demand::Block(index(50))).1), []);
        let mut script = Script::with_peer(100, 0..0, 100);
        for block in 0..31 {
            let (_, outputs) = script.demand(Demand::Block(index(block)));
            let id = requests(&outputs)[0].id;
            script.receive(no_data(id, reason));
        }
        assert_eq!(
            requests(&script.demand(Demand::Block(index(50))).1).len(),
            1
        );
    }
}

#[test]
fn a_full_disk_stops_the_asking() {
    let mut script = Script::with_peer(10, 0..0, 10);
    let (_, outputs) = script.demand(Demand::Block(index(3)));
    let id = requests(&outputs)[0].id;
    let outputs = script.receive(Message::Data(Data {
        id,
        proof: block_proof(3),
    }));
    let outputs = script.complete(effects(&outputs)[0].0, Reply::Failed);
    assert_eq!(hangup(&outputs), None);
    assert_eq!(requests(&outputs), []);
}

#[test]
fn a_window_is_kept() {
    let mut config = Config::new(1);
    config.window = hc_replicator::Window {
        min: 4,
        start: 8,
        max: 12,
        bytes: u64::MAX,
    };
    let mut script = Script::with(config, 100, 0..0);
    script.open(PEER);
    script.receive(Message::Sync(sync(100, 100)));
    script.receive(Message::Range(Range {
        drop: false,
        start: 0,
        length: 100,
    }));
    let (_, outputs) = script.demand(crate::download::span(0, 100));
    let asked = requests(&outputs);
    assert_eq!(asked.len(), 8);
    // an answer that is still being checked keeps its place
    let proof = block_proof(asked[0].want.block.unwrap().index.get());
    let outputs = script.receive(Message::Data(Data {
        id: asked[0].id,
        proof,
    }));
    assert_eq!(requests(&outputs).len(), 0);
}

#[test]
fn a_peer_that_does_not_upload_is_not_asked() {
    let mut script = Script::new(10, 0..0);
    script.open(PEER);
    script.receive(Message::Sync(Sync {
        uploading: false,
        ..sync(10, 10)
    }));
    script.receive(Message::Range(has(10)));
    assert_eq!(requests(&script.demand(Demand::Block(index(3))).1), []);
}

#[test]
fn an_upgrade_waits_until_our_length_is_acknowledged() {
    let mut script = Script::new(10, 0..10);
    script.open(PEER);
    assert_eq!(requests(&script.receive(Message::Sync(sync(20, 0)))), []);
    let outputs = script.receive(Message::Sync(Sync {
        can_upgrade: false,
        ..sync(20, 10)
    }));
    assert_eq!(requests(&outputs), []);
    let outputs = script.receive(Message::Sync(sync(20, 10)));
    let upgrade = requests(&outputs)[0].want.upgrade.unwrap();
    assert_eq!((upgrade.start.get(), upgrade.length.get()), (10, 10));
    // and there is one at a time
    let other = PeerId(2);
    script.open(other);
    assert_eq!(
        requests(&script.receive_from(other, Message::Sync(sync(30, 10)))),
        []
    );
}

#[test]
fn a_shorter_peer_is_told_our_view_of_it_once() {
    let mut script = Script::new(10, 0..10);
    script.open(PEER);
    let outputs = script.receive(Message::Sync(sync(4, 0)));
    let [Message::Sync(told)] = sent(&outputs)[..] else {
        panic!("{outputs:?}")
    };
    assert_eq!((told.remote_length.get(), told.can_upgrade), (4, true));
    assert_eq!(
        sent(&script.receive(Message::Sync(sync(4, 10)))),
        Vec::<&Message>::new()
    );
}

#[test]
fn what_the_bits_do_not_tell_is_looked_up_once() {
    let mut script = Script::new(13, 12..13);
    script.open(PEER);
    let outputs = script.receive(Message::Sync(sync(5, 13)));
    let [(ticket, Effect::CheckUpgrade { length, .. })] = effects(&outputs)[..] else {
        panic!("{outputs:?}")
    };
    assert_eq!(length.get(), 5);
    assert_eq!(sent(&outputs), Vec::<&Message>::new());
    assert_eq!(effects(&script.receive(Message::Sync(sync(5, 13)))), []);
    let outputs = script.complete(ticket, Reply::Upgradeable(false));
    let [Message::Sync(told)] = sent(&outputs)[..] else {
        panic!("{outputs:?}")
    };
    assert!(!told.can_upgrade);
}

#[test]
fn wants_are_sent_lazily_and_once() {
    let mut script = Script::new(5_000_000, 0..0);
    script.open(PEER);
    let outputs = script.receive(Message::Sync(sync(5_000_000, 5_000_000)));
    assert_eq!(sent(&outputs), Vec::<&Message>::new());
    let (_, outputs) = script.demand(Demand::Block(index(3_000_000)));
    let want = Want {
        start: 2_097_152,
        length: 2_097_152,
        any: false,
    };
    assert_eq!(sent(&outputs), [&Message::Want(want)]);
    let (_, outputs) = script.demand(Demand::Block(index(3_000_001)));
    assert_eq!(sent(&outputs), Vec::<&Message>::new());
}

#[test]
fn of_two_answers_for_a_block_the_second_is_not_checked_while_the_first_is() {
    let mut script = Script::with_peer(10, 0..0, 10);
    let other = PeerId(2);
    script.open(other);
    script.receive_from(other, Message::Sync(sync(10, 10)));
    script.receive_from(other, Message::Range(has(10)));
    let (_, outputs) = script.demand(Demand::Block(index(3)));
    let first = requests(&outputs)[0].id;
    // the other is idle, and takes over
    let copies = requests(&script.elapse(Duration::from_millis(100)));
    assert_eq!(copies.len(), 1);
    assert_eq!(script.machine.stats().hotswaps, 1);
    let outputs = script.receive(Message::Data(Data {
        id: first,
        proof: block_proof(3),
    }));
    let (ticket, _) = effects(&outputs)[0];
    let late = Data {
        id: copies[0].id,
        proof: block_proof(3),
    };
    assert_eq!(
        effects(&script.receive_from(other, Message::Data(late))),
        []
    );
    // should the first fail, the block is asked for again
    let outputs = script.complete(ticket, Reply::Stale);
    assert_eq!(requests(&outputs).len(), 1);
}

#[test]
fn a_flood_of_lengths_makes_the_store_look_once_at_a_time() {
    let mut script = Script::new(1000, 999..1000);
    script.open(PEER);
    let mut looks = Vec::new();
    for length in 1..900 {
        let outputs = script.receive(Message::Sync(sync(length, 1000)));
        looks.extend(effects(&outputs).into_iter().map(|(ticket, _)| ticket));
    }
    assert_eq!(looks.len(), 1);
    // what it found is of no use by now: it looks again, for the last length
    let outputs = script.complete(looks[0], Reply::Upgradeable(true));
    let [(ticket, Effect::CheckUpgrade { length, .. })] = effects(&outputs)[..] else {
        panic!("{outputs:?}")
    };
    assert_eq!(length.get(), 899);
    let outputs = script.complete(ticket, Reply::Upgradeable(true));
    let [Message::Sync(told)] = sent(&outputs)[..] else {
        panic!("{outputs:?}")
    };
    assert_eq!(told.remote_length.get(), 899);
}
