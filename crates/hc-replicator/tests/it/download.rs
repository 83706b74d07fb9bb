//! Blocks and ranges between two machines and more.

use std::time::Duration;

use hc_protocol::message::Message;
use hc_replicator::{Demand, Order, Outcome, Span};

use crate::log::{Log, index};
use crate::world::World;

pub(crate) fn span(start: u64, end: u64) -> Demand {
    Demand::Span(Span {
        start: index(start),
        end: Some(index(end)),
        order: Order::Scattered,
    })
}

pub(crate) fn writer_and_reader(blocks: u64) -> World {
    let mut writer = Log::writer(1);
    if blocks > 0 {
        writer.append(blocks);
    }
    let reader = writer.reader();
    World::new(vec![writer, reader])
}

#[test]
fn an_empty_reader_is_upgraded_at_once_with_few_messages() {
    let mut world = writer_and_reader(10);
    world.connect(0, 1);
    world.run();
    assert_eq!(world.nodes[1].log.length(), 10);
    for node in [0, 1] {
        assert!(world.count(node, |message| matches!(message, Message::Sync(_))) <= 3);
    }
    assert_eq!(
        world.count(1, |message| matches!(message, Message::Request(_))),
        1
    );
    assert_eq!(
        world.count(0, |message| matches!(message, Message::Data(_))),
        1
    );
    assert_eq!(
        world.count(0, |message| matches!(message, Message::Range(_))),
        1
    );
    assert_eq!(
        world.count(0, |message| matches!(message, Message::Bitfield(_))),
        0
    );
    assert_eq!(
        world.count(1, |message| matches!(message, Message::Range(_))),
        0
    );
}

#[test]
fn a_block_is_fetched() {
    let mut world = writer_and_reader(100);
    world.connect(0, 1);
    let id = world.demand(1, Demand::Block(index(42)));
    world.run();
    assert_eq!(world.outcome(1, id), Some(Outcome::Available));
    assert!(world.nodes[1].log.has(42));
    assert_eq!(world.nodes[1].log.blocks.len(), 1);
    world.nodes[1].log.audit(&world.nodes[0].log);
}

#[test]
fn a_range_is_fetched_in_either_order_each_block_once() {
    for order in [Order::Linear, Order::Scattered] {
        let mut world = writer_and_reader(1000);
        world.connect(0, 1);
        let span = Span {
            start: index(10),
            end: Some(index(900)),
            order,
        };
        let id = world.demand(1, Demand::Span(span));
        world.run();
        assert_eq!(world.outcome(1, id), Some(Outcome::Available));
        assert_eq!(world.nodes[1].log.blocks.len(), 890);
        assert!(world.nodes[1].log.stored.values().all(|times| *times == 1));
        let requests = world.count(1, |message| matches!(message, Message::Request(_)));
        assert!((890..=891).contains(&requests), "{requests} requests");
        world.nodes[1].log.audit(&world.nodes[0].log);
    }
}

#[test]
fn listed_blocks_are_fetched_and_no_others() {
    let mut world = writer_and_reader(200);
    world.connect(0, 1);
    let list = Demand::Blocks([0, 2, 3, 150].map(index).to_vec());
    let id = world.demand(1, list);
    let none = world.demand(1, Demand::Blocks(Vec::new()));
    world.run();
    assert_eq!(world.outcome(1, none), Some(Outcome::Available));
    assert_eq!(world.outcome(1, id), Some(Outcome::Available));
    let blocks: Vec<u64> = world.nodes[1].log.blocks.keys().copied().collect();
    assert_eq!(blocks, [0, 2, 3, 150]);
}

#[test]
fn a_live_reader_follows_the_writer() {
    let mut world = writer_and_reader(3);
    world.connect(0, 1);
    let live = Span {
        start: index(0),
        end: None,
        order: Order::Linear,
    };
    let id = world.demand(1, Demand::Span(live));
    world.run();
    for length in 4..40 {
        world.change(0, |log| log.append(1));
        world.run_for(Duration::from_millis(10));
        assert_eq!(world.nodes[1].log.blocks.len(), length);
    }
    assert_eq!(world.outcome(1, id), None);
    // one for the tree and three for its blocks; then one for both each time
    let requests = world.count(1, |message| matches!(message, Message::Request(_)));
    assert_eq!(requests, 1 + 3 + 36);
}

#[test]
fn a_block_past_our_length_comes_with_the_tree_that_spans_it() {
    let mut world = writer_and_reader(4);
    let id = world.demand(1, Demand::Block(index(7)));
    world.connect(0, 1);
    world.run();
    assert_eq!(world.outcome(1, id), None);
    world.change(0, |log| log.append(4));
    world.run();
    assert_eq!(world.outcome(1, id), Some(Outcome::Available));
    let requests = world.count(1, |message| matches!(message, Message::Request(_)));
    assert_eq!(requests, 2);
}

#[test]
fn two_demands_for_a_block_make_one_request() {
    let mut world = writer_and_reader(10);
    world.connect(0, 1);
    world.run();
    let before = world.count(1, |message| matches!(message, Message::Request(_)));
    let first = world.demand(1, Demand::Block(index(5)));
    let second = world.demand(1, Demand::Block(index(5)));
    let range = world.demand(1, span(5, 6));
    world.run();
    for id in [first, second, range] {
        assert_eq!(world.outcome(1, id), Some(Outcome::Available));
    }
    let after = world.count(1, |message| matches!(message, Message::Request(_)));
    assert_eq!(after - before, 1);
}

#[test]
fn a_user_comes_before_a_range() {
    let mut world = writer_and_reader(5000);
    world.connect(0, 1);
    world.run();
    world.demand(1, span(0, 5000));
    let id = world.demand(1, Demand::Block(index(4999)));
    world.run_for(Duration::from_millis(6));
    assert_eq!(world.outcome(1, id), Some(Outcome::Available));
    assert!(world.nodes[1].log.blocks.len() < 2500);
    let priorities: Vec<u64> = world.nodes[1]
        .sent
        .iter()
        .filter_map(|(_, message)| match message {
            Message::Request(request) if request.want.block.is_some() => Some(request.priority),
            _ => None,
        })
        .collect();
    assert_eq!(
        priorities.iter().filter(|priority| **priority == 1).count(),
        1
    );
}

#[test]
fn a_lost_peer_loses_nothing() {
    let mut world = writer_and_reader(2000);
    let first = world.connect(0, 1);
    let id = world.demand(1, span(0, 2000));
    world.run_for(Duration::from_millis(6));
    let had = world.nodes[1].log.blocks.len();
    assert!((1..2000).contains(&had), "{had}");
    world.cut(first);
    world.run();
    assert_eq!(world.outcome(1, id), None);
    world.connect(0, 1);
    world.run();
    assert_eq!(world.outcome(1, id), Some(Outcome::Available));
    assert!(world.nodes[1].log.stored.values().all(|times| *times == 1));
}

#[test]
fn a_relay_gives_what_it_holds_and_is_not_asked_for_the_rest() {
    let mut writer = Log::writer(1);
    writer.append(1000);
    let (relay, reader) = (writer.reader(), writer.reader());
    let mut world = World::new(vec![writer, relay, reader]);
    let first = world.connect(0, 1);
    world.demand(1, span(300, 500));
    world.run();
    world.cut(first);
    world.connect(1, 2);
    let held = world.demand(2, span(350, 400));
    let lacking = world.demand(2, Demand::Block(index(100)));
    world.run();
    assert_eq!(world.outcome(2, held), Some(Outcome::Available));
    assert_eq!(world.outcome(2, lacking), None);
    assert_eq!(
        world.count(1, |message| matches!(message, Message::NoData(_))),
        0
    );
    assert_eq!(
        world.count(2, |message| matches!(message, Message::Want(_))),
        1
    );
    assert_eq!(
        world.count(1, |message| matches!(message, Message::Bitfield(_))),
        1
    );
    // it gets the block elsewhere and says so, as it was wanted
    world.connect(0, 1);
    world.demand(1, Demand::Block(index(100)));
    world.run();
    assert_eq!(world.outcome(2, lacking), Some(Outcome::Available));
    world.nodes[2].log.audit(&world.nodes[0].log);
}

#[test]
fn a_cleared_writer_fetches_its_blocks_back() {
    let mut world = writer_and_reader(64);
    world.connect(0, 1);
    world.demand(1, span(0, 64));
    world.run();
    world.change(0, |log| log.clear(0..64));
    let id = world.demand(0, span(0, 64));
    world.run();
    assert_eq!(world.outcome(0, id), Some(Outcome::Available));
    assert_eq!(world.nodes[0].log.blocks, world.nodes[1].log.blocks);
}

#[test]
fn a_shorter_peer_gives_blocks_of_its_tree() {
    let mut writer = Log::writer(1);
    writer.append(5);
    let (short, long) = (writer.reader(), writer.reader());
    let mut world = World::new(vec![writer, short, long]);
    let first = world.connect(0, 1);
    world.demand(1, span(0, 5));
    world.run();
    world.cut(first);
    world.change(0, |log| log.append(8));
    let second = world.connect(0, 2);
    world.run();
    world.cut(second);
    // 13 blocks here, 5 there: our roots do not tie theirs unless one of their blocks is here
    world.connect(1, 2);
    let far = world.demand(2, Demand::Block(index(4)));
    world.run();
    assert_eq!(world.outcome(2, far), None);
    assert_eq!(
        world.count(1, |message| matches!(message, Message::NoData(_))),
        0
    );
    world.connect(0, 2);
    world.run();
    assert_eq!(world.outcome(2, far), Some(Outcome::Available));
}

#[test]
fn an_update_ends_either_way() {
    let mut world = writer_and_reader(0);
    let alone = world.demand(1, Demand::Upgrade);
    assert_eq!(world.outcome(1, alone), Some(Outcome::Unchanged));
    world.connect(0, 1);
    let waits = world.demand(1, Demand::Upgrade);
    assert_eq!(world.outcome(1, waits), None);
    world.run();
    assert_eq!(world.outcome(1, waits), Some(Outcome::Unchanged));
    world.change(0, |log| log.append(1));
    world.run_for(Duration::from_micros(1500));
    let grows = world.demand(1, Demand::Upgrade);
    world.run();
    assert_eq!(world.outcome(1, grows), Some(Outcome::Upgraded));
}

#[test]
fn the_manifest_comes_before_the_first_block() {
    let mut writer = Log::writer(1);
    let (relay, reader) = (writer.reader(), writer.reader());
    writer.append(0);
    let mut world = World::new(vec![writer, relay, reader]);
    world.connect(1, 2);
    world.connect(0, 1);
    world.run();
    for node in [1, 2] {
        let view = world.nodes[node].log.view();
        assert_eq!(
            view.manifest,
            hc_replicator::ManifestState::Known,
            "node {node}"
        );
        assert_eq!(
            world.count(node, |message| matches!(message, Message::Request(_))),
            1
        );
    }
}
