//! Many ranges at once: none is forgotten, whoever else waits, and what is here already ends at once.

use hc_protocol::message::{Message, Range};
use hc_replicator::{Demand, Input, Outcome};

use crate::download::{span, writer_and_reader};
use crate::log::index;
use crate::script::{PEER, Script, requests, resolved, sync};

/// More than are looked at in one pass.
const MANY: u64 = hc_replicator::limits::RANGES_PER_PASS as u64 + 1;

#[test]
fn a_range_past_those_of_one_pass_gets_its_turn() {
    let mut script = Script::new(1000, 0..0);
    script.open(PEER);
    script.receive(Message::Sync(sync(1000, 1000)));
    let has = |length| {
        Message::Range(Range {
            drop: false,
            start: 0,
            length,
        })
    };
    script.receive(has(5));
    // all but the last want what the peer does not have
    let mut ids = Vec::new();
    for at in 1..MANY {
        ids.push(script.demand(span(200 + at, 201 + at)).0);
    }
    let (last, outputs) = script.demand(span(5, 6));
    let mut asked = requests(&outputs).len();
    // one ends, and brings the last into what is looked at, if it was not
    let outputs = script.publish(201..202);
    assert_eq!(resolved(&outputs), [(ids[0], Outcome::Available)]);
    asked += requests(&outputs).len();
    asked += requests(&script.receive(has(200))).len();
    assert_eq!(asked, 1);
    assert_eq!(
        resolved(&script.publish(5..6)),
        [(last, Outcome::Available)]
    );
}

#[test]
fn hundreds_of_ranges_that_are_here_end_at_once() {
    let mut script = Script::new(1000, 0..1000);
    for at in 0..150 {
        let (id, outputs) = script.demand(span(at, at + 10));
        assert_eq!(resolved(&outputs), [(id, Outcome::Available)]);
    }
    for _ in 0..1000 {
        let (id, outputs) = script.demand(span(0, 1000));
        assert_eq!(resolved(&outputs), [(id, Outcome::Available)]);
    }
    let (id, outputs) = script.demand(Demand::Blocks(Vec::new()));
    assert_eq!(resolved(&outputs), [(id, Outcome::Available)]);
}

#[test]
fn hundreds_of_ranges_end_with_the_block_that_they_wait_for() {
    let mut script = Script::new(1000, 0..0);
    let ids: Vec<_> = (0..150).map(|_| script.demand(span(7, 8)).0).collect();
    // every third is given up meanwhile
    for id in ids.iter().step_by(3) {
        script.input(Input::Cancelled { id: *id });
    }
    let ended = resolved(&script.publish(7..8));
    let left: Vec<_> = ids
        .iter()
        .enumerate()
        .filter(|(at, _)| at % 3 != 0)
        .map(|(_, id)| (*id, Outcome::Available))
        .collect();
    assert_eq!(ended, left);
}

#[test]
fn ranges_of_every_kind_end_side_by_side() {
    let mut world = writer_and_reader(300);
    world.connect(0, 1);
    let mut ids = vec![
        world.demand(1, span(200, 250)),
        world.demand(1, span(0, 50)),
        world.demand(1, Demand::Blocks([0, 60, 299].map(index).to_vec())),
    ];
    ids.extend((0..100).map(|at| world.demand(1, span(at * 3, at * 3 + 2))));
    world.run();
    for id in ids {
        assert_eq!(world.outcome(1, id), Some(Outcome::Available));
    }
    assert!(world.nodes[1].log.stored.values().all(|times| *times == 1));
}

#[test]
fn a_range_that_is_given_up_frees_its_requests() {
    let mut script = Script::with_peer(1000, 0..0, 1000);
    let (first, outputs) = script.demand(span(0, 500));
    let asked = requests(&outputs);
    assert_eq!(asked.len(), 64);
    let indexes: Vec<u64> = asked
        .iter()
        .filter_map(|request| request.want.block.map(|block| block.index.get()))
        .collect();
    // another range and somebody who waits want some of them
    let (second, _) = script.demand(Demand::Blocks(
        indexes[..10].iter().copied().map(index).collect(),
    ));
    script.demand(Demand::Block(index(indexes[10])));
    let outputs = script.input(Input::Cancelled { id: first });
    let cancels = |outputs: &[hc_replicator::Output]| {
        let cancel = |message: &&Message| matches!(message, Message::Cancel(_));
        crate::script::sent(outputs)
            .into_iter()
            .filter(cancel)
            .count()
    };
    assert_eq!(cancels(&outputs), 64 - 11);
    assert_eq!(script.machine.under_way(0..1000).count(), 11);
    assert_eq!(cancels(&script.input(Input::Cancelled { id: second })), 10);
    // there is room for what is wanted now
    let (_, outputs) = script.demand(span(500, 1000));
    assert_eq!(requests(&outputs).len(), 63);
}

#[test]
fn a_block_that_was_cleared_is_fetched_again() {
    let mut world = writer_and_reader(100);
    world.connect(0, 1);
    let first = world.demand(1, span(0, 100));
    world.run();
    assert_eq!(world.outcome(1, first), Some(Outcome::Available));
    world.change(1, |log| log.clear(40..41));
    let again = world.demand(1, span(0, 100));
    world.run();
    assert_eq!(world.outcome(1, again), Some(Outcome::Available));
    assert!(world.nodes[1].log.has(40));
}

#[test]
fn a_longer_tree_that_rode_along_with_a_cancelled_request_is_asked_for_again() {
    let mut script = Script::new(10, 0..10);
    script.open(PEER);
    script.receive(Message::Range(Range {
        drop: false,
        start: 0,
        length: 20,
    }));
    let (id, _) = script.demand(Demand::Block(index(15)));
    let asked = requests(&script.receive(Message::Sync(sync(20, 10))));
    assert!(asked[0].want.block.is_some() && asked[0].want.upgrade.is_some());
    let outputs = script.input(Input::Cancelled { id });
    let again = requests(&outputs);
    assert!(again[0].want.block.is_none() && again[0].want.upgrade.is_some());
}

#[test]
fn a_missing_block_holds_up_nothing_else() {
    let mut script = Script::new(100, 0..0);
    script.open(PEER);
    script.receive(Message::Sync(sync(100, 100)));
    for (start, length) in [(0, 40), (41, 59)] {
        script.receive(Message::Range(Range {
            drop: false,
            start,
            length,
        }));
    }
    let (_, outputs) = script.demand(span(0, 100));
    let mut asked: Vec<u64> = Vec::new();
    asked.extend(
        requests(&outputs)
            .iter()
            .filter_map(|request| request.want.block.map(|block| block.index.get())),
    );
    for at in 0..100 {
        if at != 40 {
            let outputs = script.publish(at..at + 1);
            asked.extend(
                requests(&outputs)
                    .iter()
                    .filter_map(|request| request.want.block.map(|block| block.index.get())),
            );
        }
    }
    assert!(!asked.contains(&40));
    let has = Range {
        drop: false,
        start: 40,
        length: 1,
    };
    assert_eq!(requests(&script.receive(Message::Range(has))).len(), 1);
    assert_eq!(resolved(&script.publish(40..41)).len(), 1);
}
