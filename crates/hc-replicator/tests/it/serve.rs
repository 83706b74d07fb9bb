//! What a machine does for a remote, and what it does not put up with.

use std::time::Duration;

use hc_merkle::proof::{HashProof, Proof, Request as Wanted, SeekProof};
use hc_merkle::{Fork, Length};
use hc_protocol::message::{
    Bitfield, Cancel, Extension, Message, NoData, NoDataReason, Range, Request, RequestId, Want,
};
use hc_replicator::{
    Config, Demand, Effect, Fault, Hangup, Input, Limited, Notice, Output, PushPolicy, Reply,
    limits,
};

use crate::script::{
    PEER, Script, block_proof, block_request, effects, hangup, requests, sent, sync,
};

const NOTHING: [&Message; 0] = [];

fn room(script: &mut Script, room: bool) -> Vec<Output> {
    script.input(Input::Writable { peer: PEER, room })
}

fn refusal(id: u64, reason: NoDataReason) -> Message {
    Message::NoData(NoData {
        id: RequestId(id),
        reason,
    })
}

#[test]
fn a_request_is_proven_and_answered() {
    let mut script = Script::with_peer(10, 0..10, 0);
    let outputs = script.receive(Message::Request(block_request(1, 4, 0)));
    let [(ticket, Effect::Prove { .. })] = effects(&outputs)[..] else {
        panic!("{outputs:?}")
    };
    let outputs = script.complete(ticket, Reply::Proof(block_proof(4)));
    let [Message::Data(data)] = sent(&outputs)[..] else {
        panic!("{outputs:?}")
    };
    assert_eq!(data.id, RequestId(1));
    assert_eq!(script.machine.peer_stats(PEER).unwrap().blocks_uploaded, 1);
}

#[test]
fn what_is_not_here_is_refused_at_once() {
    let mut script = Script::with_peer(10, 0..5, 0);
    let outputs = script.receive(Message::Request(block_request(1, 7, 0)));
    assert_eq!(sent(&outputs), [&refusal(1, NoDataReason::NotAvailable)]);
    let other = Request {
        fork: Fork::new(3),
        ..block_request(2, 1, 0)
    };
    let outputs = script.receive(Message::Request(other));
    assert_eq!(sent(&outputs), [&refusal(2, NoDataReason::NotAvailable)]);
    // but the manifest is given, whatever else was asked for
    let want = Wanted {
        manifest: true,
        ..block_request(3, 7, 0).want
    };
    let outputs = script.receive(Message::Request(Request {
        want,
        ..block_request(3, 7, 0)
    }));
    let [(_, Effect::Prove { request, .. })] = effects(&outputs)[..] else {
        panic!("{outputs:?}")
    };
    assert_eq!(
        *request,
        Wanted {
            manifest: true,
            ..Wanted::default()
        }
    );
}

#[test]
fn what_is_taken_back_is_not_answered() {
    let mut script = Script::with_peer(10, 0..10, 0);
    let outputs = script.receive(Message::Request(block_request(1, 4, 0)));
    let first = effects(&outputs)[0].0;
    script.receive(Message::Cancel(Cancel { id: RequestId(1) }));
    assert_eq!(
        sent(&script.complete(first, Reply::Proof(block_proof(4)))),
        NOTHING
    );
    // a second request with one number takes the first back
    let first = effects(&script.receive(Message::Request(block_request(2, 4, 0))))[0].0;
    let second = effects(&script.receive(Message::Request(block_request(2, 5, 0))))[0].0;
    assert_eq!(
        sent(&script.complete(first, Reply::Proof(block_proof(4)))),
        NOTHING
    );
    assert_eq!(
        sent(&script.complete(second, Reply::Proof(block_proof(5)))).len(),
        1
    );
}

#[test]
fn without_room_requests_wait_and_the_urgent_ones_come_first() {
    let mut script = Script::with_peer(100, 0..100, 0);
    room(&mut script, false);
    for (id, priority) in [(1, 0), (2, 0), (3, 1), (4, 1)] {
        let outputs = script.receive(Message::Request(block_request(id, id, priority)));
        assert_eq!(outputs, []);
    }
    let outputs = room(&mut script, true);
    let blocks: Vec<u64> = effects(&outputs)
        .into_iter()
        .filter_map(|(_, effect)| match effect {
            Effect::Prove { request, .. } => request.block.map(|block| block.index.get()),
            _ => None,
        })
        .collect();
    assert_eq!(blocks, [4, 3, 1, 2]);
}

#[test]
fn no_more_is_proven_at_once_than_the_limit() {
    let mut script = Script::with_peer(1000, 0..1000, 0);
    let mut tickets = Vec::new();
    for id in 1..=limits::PROVING as u64 + 1 {
        let outputs = script.receive(Message::Request(block_request(id, id, 0)));
        tickets.extend(effects(&outputs).into_iter().map(|(ticket, _)| ticket));
    }
    assert_eq!(tickets.len(), limits::PROVING);
    let outputs = script.complete(tickets[0], Reply::Proof(block_proof(1)));
    assert_eq!(effects(&outputs).len(), 1);
}

#[test]
fn open_requests_end_at_the_limit() {
    let mut script = Script::with_peer(10_000, 0..10_000, 0);
    room(&mut script, false);
    let limit = limits::OPEN_REQUESTS;
    for id in 1..=limit as u64 {
        assert_eq!(
            script.receive(Message::Request(block_request(id, id, 0))),
            []
        );
    }
    // the same number again is not one more
    assert_eq!(script.receive(Message::Request(block_request(1, 2, 0))), []);
    let outputs = script.receive(Message::Request(block_request(limit as u64 + 1, 0, 0)));
    let fault = Fault::OverLimit {
        what: Limited::OpenRequests,
        limit,
    };
    assert_eq!(hangup(&outputs), Some(Hangup::Fault(fault)));
}

#[test]
fn requests_that_come_and_go_leave_nothing_behind() {
    let mut script = Script::with_peer(100, 0..100, 0);
    room(&mut script, false);
    for id in 0..20_000 {
        script.receive(Message::Request(block_request(id, 1, id % 2)));
        script.receive(Message::Cancel(Cancel { id: RequestId(id) }));
    }
    script.receive(Message::Request(block_request(5, 1, 0)));
    assert_eq!(effects(&room(&mut script, true)).len(), 1);
}

#[test]
fn invalid_requests_are_refused_later_and_later_until_the_limit() {
    let mut script = Script::with_peer(10, 0..10, 0);
    let empty = |id| Request {
        want: Wanted::default(),
        ..block_request(id, 0, 0)
    };
    assert_eq!(sent(&script.receive(Message::Request(empty(1)))), NOTHING);
    assert_eq!(sent(&script.elapse(Duration::from_millis(199))), NOTHING);
    let outputs = script.elapse(Duration::from_millis(1));
    assert_eq!(sent(&outputs), [&refusal(1, NoDataReason::Invalid)]);
    let outputs = script.receive(Message::Request(block_request(2, 3, 0)));
    script.complete(effects(&outputs)[0].0, Reply::Invalid);
    assert_eq!(sent(&script.elapse(Duration::from_millis(499))), NOTHING);
    assert_eq!(sent(&script.elapse(Duration::from_millis(1))).len(), 1);
    for id in 3..u64::from(limits::INVALID_REQUESTS) {
        assert_eq!(hangup(&script.receive(Message::Request(empty(id)))), None);
    }
    let count = limits::INVALID_REQUESTS;
    let outputs = script.receive(Message::Request(empty(count.into())));
    assert_eq!(
        hangup(&outputs),
        Some(Hangup::Fault(Fault::InvalidRequests { count }))
    );
}

#[test]
fn delays_are_those_of_the_reference() {
    let delays = [1, 2, 4, 5, 39, 40].map(|count| limits::refusal_delay(count).as_millis());
    assert_eq!(delays, [200, 500, 500, 1000, 1000, 5000]);
}

#[test]
fn a_want_is_answered_once_a_moment() {
    let mut script = Script::with_peer(1000, 300..400, 0);
    let want = Message::Want(Want {
        start: 0,
        length: 2_097_152,
        any: false,
    });
    let outputs = script.receive(want.clone());
    let [Message::Bitfield(Bitfield { start: 0, words })] = sent(&outputs)[..] else {
        panic!("{outputs:?}")
    };
    assert_eq!(words.len(), 32);
    let storm = (0..1000).map(|_| {
        script.receive(Message::Unwant(Want {
            start: 0,
            length: 2_097_152,
            any: false,
        }));
        sent(&script.receive(want.clone())).len()
    });
    assert_eq!(storm.sum::<usize>(), 0);
    script.elapse(limits::WANT_REPEAT);
    assert_eq!(sent(&script.receive(want.clone())).len(), 1);
    // with news, at once: the block itself, as it is wanted, and the answer
    assert_eq!(sent(&script.publish(20..21)).len(), 1);
    assert_eq!(sent(&script.receive(want)).len(), 1);
}

#[test]
fn a_want_of_a_contiguous_part_is_answered_by_a_range() {
    let mut script = Script::with_peer(10_000, 0..9000, 0);
    let window = |start, length, any| Message::Want(Want { start, length, any });
    let range = |start, length| {
        Message::Range(Range {
            drop: false,
            start,
            length,
        })
    };
    assert_eq!(
        sent(&script.receive(window(0, 4096, false))),
        [&range(0, 9000)]
    );
    assert_eq!(
        sent(&script.receive(window(8192, 9999, true))),
        [&range(0, 9000)]
    );
    assert_eq!(sent(&script.receive(window(0, 2_097_153, false))), NOTHING);
    let mut script = Script::with_peer(10_000, 500..600, 0);
    assert_eq!(
        sent(&script.receive(window(0, 1000, true))),
        [&range(500, 1)]
    );
    assert_eq!(sent(&script.receive(window(600, 1000, true))), NOTHING);
}

#[test]
fn wants_without_room_end_at_the_limit() {
    let mut script = Script::with_peer(1_000_000, 300..400, 0);
    room(&mut script, false);
    let want = |at: usize| {
        Message::Want(Want {
            start: 32 * at as u64,
            length: 32,
            any: false,
        })
    };
    for at in 0..limits::UNANSWERED_WANTS {
        assert_eq!(script.receive(want(at)), []);
    }
    let outputs = script.receive(want(limits::UNANSWERED_WANTS));
    let (what, limit) = (Limited::UnansweredWants, limits::UNANSWERED_WANTS);
    assert_eq!(
        hangup(&outputs),
        Some(Hangup::Fault(Fault::OverLimit { what, limit }))
    );
}

#[test]
fn without_room_announcements_are_gathered() {
    let mut script = Script::with_peer(100, 0..0, 0);
    room(&mut script, false);
    for block in [10, 12, 11, 40] {
        assert_eq!(sent(&script.publish(block..block + 1)), NOTHING);
    }
    let range = |start, length| {
        Message::Range(Range {
            drop: false,
            start,
            length,
        })
    };
    assert_eq!(
        sent(&room(&mut script, true)),
        [&range(10, 3), &range(40, 1)]
    );
    assert_eq!(sent(&room(&mut script, true)), NOTHING);
}

#[test]
fn too_many_announcements_become_answers_to_what_was_wanted() {
    let blocks = 2 * limits::BACKLOG_RUNS as u64 + 10;
    let mut script = Script::with_peer(1_000_000, 0..0, 0);
    let window = Want {
        start: 0,
        length: 2_097_152,
        any: false,
    };
    assert_eq!(sent(&script.receive(Message::Want(window))).len(), 1);
    room(&mut script, false);
    for block in (0..blocks).step_by(2) {
        script.publish(block..block + 1);
    }
    let outputs = room(&mut script, true);
    let bitfields = sent(&outputs).into_iter();
    assert_eq!(
        bitfields
            .filter(|message| matches!(message, Message::Bitfield(_)))
            .count(),
        1
    );
    assert!(sent(&outputs).len() < 10);
}

#[test]
fn bits_out_of_bounds_are_not_remembered() {
    let mut script = Script::with_peer(10, 0..0, 10);
    for range in [(u64::MAX, 1), (1, u64::MAX), (1 << 53, 1)] {
        let range = Range {
            drop: false,
            start: range.0,
            length: range.1,
        };
        assert_eq!(hangup(&script.receive(Message::Range(range))), None);
    }
    let odd = Bitfield {
        start: 7,
        words: vec![u32::MAX],
    };
    assert_eq!(hangup(&script.receive(Message::Bitfield(odd))), None);
}

#[test]
fn a_length_beyond_all_counting_does_no_harm() {
    let mut script = Script::new(10, 0..10);
    script.open(PEER);
    let outputs = script.receive(Message::Sync(sync(u64::MAX, 10)));
    assert_eq!(
        requests(&outputs)[0].want.upgrade.unwrap().length,
        Length::new(u64::MAX - 10)
    );
    script.receive(Message::Range(Range {
        drop: false,
        start: 0,
        length: 1 << 53,
    }));
    script.demand(hc_replicator::Demand::Block(crate::log::index(u64::MAX)));
    script.demand(crate::download::span(0, u64::MAX));
    script.demand(hc_replicator::Demand::Blocks(vec![crate::log::index(
        u64::MAX,
    )]));
}

#[test]
fn unsolicited_blocks_are_dropped_or_taken_as_policy_has_it() {
    let push = || {
        Message::Data(hc_protocol::message::Data {
            id: RequestId(0),
            proof: block_proof(3),
        })
    };
    let mut script = Script::with_peer(10, 0..0, 10);
    assert_eq!(script.receive(push()), []);
    let mut config = Config::new(1);
    config.push = PushPolicy::Accept;
    let mut script = Script::with(config, 10, 0..0);
    let outputs = script.open(PEER);
    let [Message::Sync(told)] = sent(&outputs)[..] else {
        panic!("{outputs:?}")
    };
    assert!(told.allow_push);
    script.receive(Message::Sync(sync(10, 10)));
    let outputs = script.receive(push());
    let [(ticket, Effect::Apply { .. })] = effects(&outputs)[..] else {
        panic!("{outputs:?}")
    };
    script.publish(3..4);
    script.complete(ticket, Reply::Applied);
    assert_eq!(script.receive(push()), []);
}

#[test]
fn what_is_pushed_is_plain_and_leaves_nothing_behind_where_it_does_not_tie() {
    let mut config = Config::new(1);
    config.push = PushPolicy::Accept;
    let mut script = Script::with(config, 10, 2..3);
    script.open(PEER);
    script.receive(Message::Sync(sync(10, 10)));
    let push = |proof: Proof| {
        Message::Data(hc_protocol::message::Data {
            id: RequestId(0),
            proof,
        })
    };
    let seek = SeekProof {
        bytes: 0.into(),
        nodes: Vec::new(),
    };
    let hash = HashProof {
        index: 0.into(),
        nodes: Vec::new(),
    };
    let with = |seek: Option<SeekProof>, hash: Option<HashProof>| Proof {
        seek,
        hash,
        ..block_proof(3)
    };
    assert_eq!(script.receive(push(with(Some(seek), None))), []);
    assert_eq!(script.receive(push(with(None, Some(hash)))), []);
    assert_eq!(script.receive(push(block_proof(10))), [], "past our length");
    for _ in 0..2 {
        let outputs = script.receive(push(block_proof(3)));
        let [(ticket, Effect::Apply { .. })] = effects(&outputs)[..] else {
            panic!("{outputs:?}")
        };
        script.complete(ticket, Reply::Stale);
    }
    script.receive(Message::Range(Range {
        drop: false,
        start: 0,
        length: 10,
    }));
    let (_, outputs) = script.demand(Demand::Block(3.into()));
    let asked = requests(&outputs)[0].want.block.unwrap();
    assert_eq!(asked.nodes, 0, "not the whole path");
}

#[test]
fn extension_names_are_said_once() {
    let mut script = Script::with_peer(10, 0..0, 10);
    let mut names = Vec::new();
    for name in ["a", "a", "b", "a"] {
        let message = bytes::Bytes::from_static(b"payload");
        let outputs = script.input(Input::Extend {
            peer: PEER,
            name: name.into(),
            message,
        });
        let [Message::Extension(sent)] = sent(&outputs)[..] else {
            panic!("{outputs:?}")
        };
        names.push(sent.name.clone());
    }
    assert_eq!(names, ["a", "", "b", "a"]);
    let mut heard = Vec::new();
    for name in ["x", "", "y"] {
        let message = Extension {
            name: name.into(),
            message: bytes::Bytes::new(),
        };
        let outputs = script.receive(Message::Extension(message));
        let [Output::Notify(Notice::Extension { name, .. })] = &outputs[..] else {
            panic!("{outputs:?}")
        };
        heard.push(name.clone());
    }
    assert_eq!(heard, ["x", "x", "y"]);
}

#[test]
fn a_closed_peers_tickets_are_void() {
    let mut script = Script::with_peer(10, 0..10, 0);
    let outputs = script.receive(Message::Request(block_request(1, 4, 0)));
    let ticket = effects(&outputs)[0].0;
    script.input(Input::PeerClosed { peer: PEER });
    assert_eq!(script.complete(ticket, Reply::Proof(Proof::default())), []);
}
