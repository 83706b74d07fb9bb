//! Several peers at once.

use std::time::Duration;

use bytes::Bytes;
use hc_merkle::Length;
use hc_merkle::proof::{Proof, UpgradeProof};
use hc_protocol::message::{Data, Message, Range};
use hc_replicator::{Config, Demand, Input, Outcome, Output, PeerId, Reply};

use crate::download::span;
use crate::log::{Log, index};
use crate::script::{Script, block_proof, effects, requests, resolved, sent, sync};
use crate::world::World;

/// Full sources and one reader, which is the last.
fn sources(count: usize, blocks: u64) -> World {
    let mut writer = Log::writer(1);
    writer.append(blocks);
    let mut logs = vec![writer.clone(); count];
    logs.push(writer.reader());
    World::new(logs)
}

#[test]
fn the_faster_peer_gives_more() {
    let mut world = sources(2, 1500);
    let slow = Duration::from_millis(5);
    world.connect_with(0, 2, Duration::from_millis(1), slow);
    world.connect(1, 2);
    let id = world.demand(2, span(0, 1500));
    world.run_for(Duration::from_secs(1));
    assert_eq!(world.outcome(2, id), Some(Outcome::Available));
    let given = |node: usize| world.nodes[node].machine.stats().blocks_uploaded;
    assert!(given(1) > 5 * given(0), "{} and {}", given(0), given(1));
    assert!(world.nodes[2].log.stored.values().all(|times| *times == 1));
}

#[test]
fn a_slow_tail_is_taken_over_and_taken_back_from_the_slow() {
    let mut world = sources(2, 200);
    world.connect_with(0, 2, Duration::from_secs(10), Duration::ZERO);
    world.connect(1, 2);
    world.run_for(Duration::from_secs(60));
    let id = world.demand(2, span(0, 200));
    world.run_for(Duration::from_secs(1));
    assert_eq!(world.outcome(2, id), Some(Outcome::Available));
    assert!(world.nodes[2].machine.stats().hotswaps > 0);
    assert!(world.count(2, |message| matches!(message, Message::Cancel(_))) > 0);
    world.run_for(Duration::from_secs(60));
    assert!(world.nodes[2].log.stored.values().all(|times| *times == 1));
    assert_eq!(world.nodes[2].hangups, []);
}

#[test]
fn one_quick_peer_among_twenty_that_stall_is_enough() {
    let mut world = sources(21, 500);
    for source in 0..20 {
        world.connect_with(source, 21, Duration::from_secs(10), Duration::ZERO);
    }
    world.connect(20, 21);
    world.run_for(Duration::from_secs(100));
    let id = world.demand(21, span(0, 500));
    world.run_for(Duration::from_secs(5));
    assert_eq!(world.outcome(21, id), Some(Outcome::Available));
}

#[test]
fn a_peer_that_keeps_an_upgrade_waiting_does_not_keep_the_others() {
    let mut world = sources(2, 50);
    world.connect(0, 2);
    world.run_for(Duration::from_millis(1));
    // it has been asked, and what it says from now on takes an hour
    world.links[0].delay = Duration::from_secs(3600);
    world.connect_with(1, 2, Duration::from_millis(50), Duration::ZERO);
    let id = world.demand(2, Demand::Block(index(30)));
    world.run_for(Duration::from_secs(1));
    assert_eq!(world.nodes[2].log.length(), 50);
    assert_eq!(world.outcome(2, id), Some(Outcome::Available));
}

#[test]
fn a_peer_that_keeps_a_block_past_the_end_waiting_does_not_keep_it_from_others() {
    let mut writer = Log::writer(1);
    writer.append(50);
    let logs = vec![writer.clone(), writer.clone(), writer.reader()];
    let lazy = |seed| {
        let mut config = Config::new(seed);
        config.eager_upgrade = false;
        config
    };
    let mut world = World::with(logs, lazy);
    world.connect(0, 2);
    world.connect(1, 2);
    world.run_for(Duration::from_secs(1));
    assert_eq!(world.nodes[2].log.length(), 0);
    // both can give it, the first is asked, and what it says from now on takes an hour
    world.links[0].delay = Duration::from_secs(3600);
    let id = world.demand(2, Demand::Block(index(30)));
    world.run_for(Duration::from_secs(1));
    assert_eq!(world.outcome(2, id), Some(Outcome::Available));
}

/// Who is asked for a longer tree.
fn asked_of(outputs: &[Output]) -> Vec<PeerId> {
    let asked = outputs.iter().filter_map(|output| match output {
        Output::Send {
            peer,
            message: Message::Request(request),
        } => request.want.upgrade.map(|_| *peer),
        _ => None,
    });
    asked.collect()
}

#[test]
fn who_brings_a_tree_that_ties_to_nothing_is_not_asked_again_before_it_has_news() {
    let mut script = Script::new(10, 0..10);
    let (first, second) = (PeerId(1), PeerId(2));
    script.open(first);
    let asked = requests(&script.receive_from(first, Message::Sync(sync(12, 10))));
    script.open(second);
    script.receive_from(second, Message::Sync(sync(12, 10)));
    let upgrade = UpgradeProof {
        start: Length::new(10),
        length: Length::new(12),
        nodes: Vec::new(),
        additional_nodes: Vec::new(),
        signature: Bytes::new(),
    };
    let proof = Proof {
        upgrade: Some(upgrade),
        ..Proof::default()
    };
    let id = asked[0].id;
    let data = Message::Data(Data { id, proof });
    let outputs = script.receive_from(first, data);
    let outputs = script.complete(effects(&outputs)[0].0, Reply::Stale);
    assert_eq!(asked_of(&outputs), [second]);
    // what is new is asked for
    script.input(Input::PeerClosed { peer: second });
    let outputs = script.receive_from(first, Message::Sync(sync(13, 10)));
    assert_eq!(asked_of(&outputs), [first]);
}

#[test]
fn an_update_does_not_wait_without_end_for_who_does_not_say_where_it_stands() {
    let mut script = Script::new(10, 0..10);
    // one says nothing at all, the other that it has more, but not that it heard of what is here
    script.open(PeerId(1));
    script.open(PeerId(2));
    script.receive_from(PeerId(2), Message::Sync(sync(12, 0)));
    let (id, outputs) = script.demand(Demand::Upgrade);
    assert_eq!(resolved(&outputs), []);
    let patience = Config::new(0).upgrade_patience;
    let nearly = patience.checked_sub(Duration::from_millis(1)).unwrap();
    assert_eq!(resolved(&script.elapse(nearly)), []);
    let outputs = script.elapse(Duration::from_millis(1));
    assert_eq!(resolved(&outputs), [(id, Outcome::Unchanged)]);
    // once it has heard, it is asked
    let outputs = script.receive_from(PeerId(2), Message::Sync(sync(12, 10)));
    assert_eq!(asked_of(&outputs), [PeerId(2)]);
}

#[test]
fn a_diamond_shares_what_it_has() {
    let mut writer = Log::writer(1);
    writer.append(600);
    let readers = vec![writer.reader(); 3];
    let mut world = World::new([vec![writer], readers].concat());
    world.connect(0, 1);
    world.connect(0, 2);
    world.connect(1, 3);
    world.connect(2, 3);
    let ids = [1, 2, 3].map(|node| (node, world.demand(node, span(0, 600))));
    world.run();
    for (node, id) in ids {
        assert_eq!(
            world.outcome(node, id),
            Some(Outcome::Available),
            "node {node}"
        );
        world.nodes[node].log.audit(&world.nodes[0].log);
    }
}

#[test]
fn a_diamond_whose_source_lacks_a_block_shares_the_rest() {
    let mut writer = Log::writer(1);
    writer.append(600);
    let source = writer.reader();
    let readers = vec![writer.reader(); 3];
    let mut world = World::new([vec![writer, source], readers].concat());
    let whole = world.connect(0, 1);
    world.demand(1, span(1, 600));
    world.run();
    world.cut(whole);
    for (a, b) in [(1, 2), (1, 3), (2, 4), (3, 4)] {
        world.connect(a, b);
    }
    let ids = [2, 3, 4].map(|node| (node, world.demand(node, span(1, 600))));
    let first = world.demand(4, Demand::Block(index(0)));
    world.run();
    for (node, id) in ids {
        assert_eq!(
            world.outcome(node, id),
            Some(Outcome::Available),
            "node {node}"
        );
    }
    assert_eq!(world.outcome(4, first), None);
}

#[test]
fn a_lost_source_is_replaced_by_another() {
    let mut world = sources(2, 100);
    let slow = world.connect_with(0, 2, Duration::from_millis(500), Duration::ZERO);
    world.run_for(Duration::from_secs(5));
    let id = world.demand(2, Demand::Block(index(3)));
    world.run_for(Duration::from_millis(100));
    world.cut(slow);
    world.connect(1, 2);
    world.run();
    assert_eq!(world.outcome(2, id), Some(Outcome::Available));
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let run = || {
        let mut world = sources(3, 700);
        for source in 0..3 {
            world.connect_with(
                source,
                3,
                Duration::from_millis(source as u64 + 1),
                Duration::ZERO,
            );
        }
        world.demand(3, span(0, 700));
        world.run();
        world
            .nodes
            .into_iter()
            .map(|node| node.sent)
            .collect::<Vec<_>>()
    };
    assert!(run() == run());
}

#[test]
fn a_block_that_one_peer_sits_on_is_taken_over_by_one_that_comes_later() {
    let mut world = sources(2, 50);
    world.connect(0, 2);
    world.run();
    world.links[0].delay = Duration::from_secs(3600);
    let id = world.demand(2, Demand::Block(index(30)));
    world.connect(1, 2);
    world.run_for(Duration::from_secs(1));
    assert_eq!(world.outcome(2, id), Some(Outcome::Available));
}

#[test]
fn a_slower_copy_is_taken_back_once_the_block_is_here() {
    let mut script = Script::with_peer(10, 0..0, 10);
    let other = PeerId(2);
    script.open(other);
    script.receive_from(other, Message::Sync(sync(10, 10)));
    script.receive_from(
        other,
        Message::Range(Range {
            drop: false,
            start: 0,
            length: 10,
        }),
    );
    let (_, outputs) = script.demand(Demand::Block(index(3)));
    let first = requests(&outputs)[0].id;
    let copy = requests(&script.elapse(Duration::from_millis(100)))[0].id;
    script.receive_from(
        other,
        Message::Data(Data {
            id: copy,
            proof: block_proof(3),
        }),
    );
    let outputs = script.publish(3..4);
    let cancel = Message::Cancel(hc_protocol::message::Cancel { id: first });
    assert!(sent(&outputs).contains(&&cancel));
}
