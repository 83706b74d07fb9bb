//! What machines tell each other without being asked for blocks: how much, and when.

use std::time::Duration;

use hc_protocol::message::{Message, Range};
use hc_replicator::{Demand, Notice, Outcome};

use crate::download::{span, writer_and_reader};
use crate::log::{Log, index};
use crate::world::World;

/// Messages of each kind that a node sent: sync, request, data, want, bitfield, range.
fn sent(world: &World, node: usize) -> [usize; 6] {
    let kinds: [fn(&Message) -> bool; 6] = [
        |message| matches!(message, Message::Sync(_)),
        |message| matches!(message, Message::Request(_)),
        |message| matches!(message, Message::Data(_)),
        |message| matches!(message, Message::Want(_)),
        |message| matches!(message, Message::Bitfield(_)),
        |message| matches!(message, Message::Range(_)),
    ];
    kinds.map(|kind| world.count(node, kind))
}

fn ranges(world: &World, node: usize) -> Vec<Range> {
    let ranges = world.nodes[node]
        .sent
        .iter()
        .filter_map(|(_, message)| match message {
            Message::Range(range) => Some(*range),
            _ => None,
        });
    ranges.collect()
}

/// A writer of `blocks` blocks, a reader that has `held` of them, not connected.
fn with_held(blocks: u64, held: std::ops::Range<u64>) -> World {
    let mut world = writer_and_reader(blocks);
    let link = world.connect(0, 1);
    if !held.is_empty() {
        world.demand(1, span(held.start, held.end));
    }
    world.run();
    world.cut(link);
    world.nodes.iter_mut().for_each(|node| node.sent.clear());
    world
}

#[test]
fn quiet_connections_cost_no_more_than_in_the_reference() {
    // empty and full: there 3 syncs each way, 1 request, 1 data, 1 range
    let mut world = writer_and_reader(10);
    world.connect(0, 1);
    world.run();
    assert_eq!(sent(&world, 0), [1, 0, 1, 0, 0, 1]);
    assert_eq!(sent(&world, 1), [2, 1, 0, 0, 0, 0]);

    // empty and sparse: there 3 syncs each way, 1 request, 1 data
    let mut writer = Log::writer(1);
    writer.append(1000);
    let (sparse, empty) = (writer.reader(), writer.reader());
    let mut world = World::new(vec![writer, sparse, empty]);
    let link = world.connect(0, 1);
    world.demand(1, Demand::Block(index(5)));
    world.run();
    world.cut(link);
    world.nodes[1].sent.clear();
    world.connect(1, 2);
    world.run();
    assert_eq!(sent(&world, 1), [1, 0, 1, 0, 0, 0]);
    assert_eq!(sent(&world, 2), [2, 1, 0, 0, 0, 0]);

    // two sparse, two full, two empty of one length: there 1 sync each, and 1 range each if full
    let mut world = with_held(1000, 400..500);
    world.connect(0, 1);
    world.run();
    assert_eq!(sent(&world, 1), [1, 0, 0, 0, 0, 0]);
    let mut world = with_held(20, 0..20);
    world.connect(0, 1);
    world.run();
    for node in [0, 1] {
        assert_eq!(sent(&world, node), [1, 0, 0, 0, 0, 1]);
    }
    let mut world = World::new(vec![Log::writer(1), Log::writer(1)]);
    world.connect(0, 1);
    world.run();
    for node in [0, 1] {
        assert_eq!(sent(&world, node), [1, 0, 0, 0, 0, 0]);
    }
    // who lacks the manifest gets it, and is told no more than that
    let mut world = writer_and_reader(0);
    world.connect(0, 1);
    world.run();
    assert_eq!(sent(&world, 0), [1, 0, 1, 0, 0, 0]);
    assert_eq!(sent(&world, 1), [2, 1, 0, 0, 0, 0]);
}

#[test]
fn a_full_log_is_announced_once_per_length() {
    let mut world = writer_and_reader(4);
    world.connect(0, 1);
    world.run();
    world.change(0, |log| log.append(2));
    world.run();
    let range = |length| Range {
        drop: false,
        start: 0,
        length,
    };
    assert_eq!(ranges(&world, 0), [range(4), range(6)]);
    // the reader says so when it becomes full, once, and as long as it is not it is silent
    world.demand(1, span(0, 5));
    world.run();
    assert_eq!(ranges(&world, 1), []);
    world.demand(1, Demand::Block(index(5)));
    world.run();
    assert_eq!(ranges(&world, 1), [range(6)]);
    let hints: Vec<_> = world.nodes[0]
        .notices
        .iter()
        .filter(|notice| matches!(notice, Notice::RemoteContiguous { .. }))
        .collect();
    assert_eq!(hints.len(), 1);
}

#[test]
fn a_log_that_is_full_says_so_to_each_peer_whenever_it_has_become_so() {
    let mut writer = Log::writer(1);
    writer.append(2);
    let readers = vec![writer.reader(); 2];
    let mut world = World::new([vec![writer], readers].concat());
    for (a, b) in [(0, 1), (0, 2), (1, 2)] {
        world.connect(a, b);
    }
    world.run();
    let range = |length| Range {
        drop: false,
        start: 0,
        length,
    };
    // the writer to both, on opening; the readers have nothing to say
    assert_eq!(ranges(&world, 0), [range(2); 2]);
    for node in [1, 2] {
        assert_eq!(ranges(&world, node), []);
        world.demand(node, span(0, 2));
        world.run();
        assert_eq!(ranges(&world, node), [range(2); 2]);
    }
    // longer, and not full before the new block is there
    world.change(0, |log| log.append(1));
    world.run();
    assert_eq!(ranges(&world, 0), [range(2), range(2), range(3), range(3)]);
    assert_eq!(ranges(&world, 1), [range(2); 2]);
    world.demand(1, Demand::Block(index(2)));
    world.run();
    assert_eq!(ranges(&world, 1), [range(2), range(2), range(3), range(3)]);
    assert_eq!(ranges(&world, 2), [range(2); 2]);
    assert!(ranges(&world, 0).len() == 4);
}

#[test]
fn a_sparse_log_announces_its_end_and_what_is_wanted() {
    let mut writer = Log::writer(1);
    writer.append(1000);
    let (relay, reader) = (writer.reader(), writer.reader());
    let mut world = World::new(vec![writer, relay, reader]);
    world.connect(0, 1);
    world.connect(1, 2);
    world.run();
    let to_reader = |world: &World| {
        let peer = hc_replicator::PeerId(1);
        let sent = world.nodes[1].sent.iter();
        sent.filter(|(to, message)| *to == peer && matches!(message, Message::Range(_)))
            .count()
    };
    world.demand(1, Demand::Block(index(10)));
    world.run();
    assert_eq!(to_reader(&world), 0);
    world.demand(1, Demand::Block(index(744)));
    world.run();
    assert_eq!(to_reader(&world), 1);
    world.demand(1, Demand::Block(index(743)));
    world.run();
    assert_eq!(to_reader(&world), 1);
    // the reader wants something there: from then on it is told
    let id = world.demand(2, Demand::Block(index(20)));
    world.run();
    assert_eq!(world.outcome(2, id), None);
    world.demand(1, Demand::Block(index(20)));
    world.run();
    assert_eq!(to_reader(&world), 2);
    assert_eq!(world.outcome(2, id), Some(Outcome::Available));
    // who has a block itself is not told: the writer never was
    let to_writer = world.nodes[1].sent.iter().filter(|(to, message)| {
        *to == hc_replicator::PeerId(0) && matches!(message, Message::Range(_))
    });
    assert_eq!(to_writer.count(), 0);
}

#[test]
fn what_is_cleared_is_taken_back() {
    let mut world = writer_and_reader(50);
    world.connect(0, 1);
    world.run();
    world.change(0, |log| log.clear(7..9));
    let id = world.demand(1, Demand::Block(index(8)));
    let near = world.demand(1, Demand::Block(index(9)));
    world.run();
    assert_eq!(
        ranges(&world, 0)[1],
        Range {
            drop: true,
            start: 7,
            length: 2
        }
    );
    assert_eq!(world.outcome(1, id), None);
    assert_eq!(world.outcome(1, near), Some(Outcome::Available));
}

#[test]
fn a_cut_is_told_and_lowers_what_peers_are_taken_to_have() {
    let mut world = writer_and_reader(10);
    let peer = world.connect(0, 1);
    world.run();
    let contiguous = |world: &World| {
        let state = world.nodes[1].machine.peer_state(peer);
        state.unwrap().contiguous.get()
    };
    assert_eq!(contiguous(&world), 10);
    world.change(0, |log| log.truncate(4));
    world.run();
    let cut = Range {
        drop: true,
        start: 4,
        length: 6,
    };
    assert_eq!(ranges(&world, 0)[1], cut);
    assert_eq!(contiguous(&world), 4);
}

#[test]
fn blocks_beyond_a_page_of_bits_are_announced() {
    let blocks = 32_777;
    let mut writer = Log::writer(1);
    writer.append(blocks);
    let (relay, reader) = (writer.reader(), writer.reader());
    let mut world = World::new(vec![writer, relay, reader]);
    world.connect(0, 1);
    world.connect(1, 2);
    world.run();
    world.demand(1, Demand::Block(index(blocks - 1)));
    world.run();
    let last = world.demand(2, Demand::Block(index(blocks - 1)));
    let other = world.demand(2, Demand::Block(index(1)));
    world.run();
    assert_eq!(world.outcome(2, last), Some(Outcome::Available));
    assert_eq!(world.outcome(2, other), None);
}

#[test]
fn channels_close_when_neither_side_wants_anything() {
    let mut world = writer_and_reader(5);
    world.connect(0, 1);
    world.run();
    for node in [0, 1] {
        world.input(node, hc_replicator::Input::Activity { active: false });
    }
    world.run_for(Duration::from_secs(15));
    assert!(world.links[0].up);
    world.run_for(Duration::from_secs(60));
    assert!(!world.links[0].up);
    let hangups = world.nodes.iter().flat_map(|node| &node.hangups);
    assert!(hangups.clone().count() > 0);
    assert!(
        hangups
            .into_iter()
            .all(|(_, reason)| *reason == hc_replicator::Hangup::Idle)
    );
}
