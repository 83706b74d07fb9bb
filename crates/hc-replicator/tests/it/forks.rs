//! Logs that are cut, and readers that follow them to the later fork.

use std::time::Duration;

use hc_protocol::message::{Message, Range};
use hc_replicator::{Config, Demand, Notice, Outcome};

use crate::download::{span, writer_and_reader};
use crate::log::{Log, index};
use crate::world::World;

#[test]
fn a_cut_log_says_so_and_ends_what_waited_for_the_cut_part() {
    let mut world = writer_and_reader(10);
    world.connect(0, 1);
    world.run();
    world.change(0, |log| log.clear(2..8));
    let cut = world.demand(0, Demand::Block(index(7)));
    let kept = world.demand(0, Demand::Block(index(3)));
    let beyond = world.demand(0, Demand::Block(index(20)));
    world.change(0, |log| log.truncate(5));
    assert_eq!(world.outcome(0, cut), Some(Outcome::Gone));
    world.run();
    assert_eq!(world.outcome(0, kept), None);
    assert_eq!(world.outcome(0, beyond), None);
    let drop = Message::Range(Range {
        drop: true,
        start: 5,
        length: 5,
    });
    assert!(
        world.nodes[0]
            .sent
            .iter()
            .any(|(_, message)| *message == drop)
    );
}

#[test]
fn who_does_not_follow_forks_is_told_of_them_and_left_alone() {
    let mut writer = Log::writer(1);
    writer.append(10);
    let reader = writer.reader();
    let config = |seed| {
        let mut config = Config::new(seed);
        config.follow_forks = false;
        config
    };
    let mut world = World::with(vec![writer, reader], config);
    world.connect(0, 1);
    world.demand(1, span(0, 10));
    world.run();
    world.change(0, |log| log.truncate(5));
    world.change(0, |log| log.append(20));
    let id = world.demand(1, Demand::Block(index(15)));
    let update = world.demand(1, Demand::Upgrade);
    world.run();
    assert_eq!(world.outcome(1, id), None);
    assert_eq!(world.outcome(1, update), Some(Outcome::Unchanged));
    assert_eq!(world.nodes[1].log.length(), 10);
    assert!(world.links[0].up);
    let seen = |notice: &Notice| matches!(notice, Notice::HigherFork { .. });
    assert!(world.nodes[1].notices.iter().any(seen));
}

/// Requests for hashes that a node sent.
fn hashes(world: &World, node: usize) -> usize {
    world.count(
        node,
        |message| matches!(message, Message::Request(request) if request.want.hash.is_some()),
    )
}

fn is_same(world: &World, a: usize, b: usize) -> bool {
    let (a, b) = (&world.nodes[a].log, &world.nodes[b].log);
    a.head == b.head && a.blocks == b.blocks
}

#[test]
fn a_reader_follows_its_writer_to_a_later_fork_and_keeps_what_they_share() {
    let mut world = writer_and_reader(50);
    world.connect(0, 1);
    world.demand(1, span(0, 50));
    world.run();
    world.change(0, |log| log.truncate(30));
    world.change(0, |log| log.append(50));
    world.run_for(Duration::from_millis(2));
    let update = world.demand(1, Demand::Upgrade);
    let all = world.demand(1, span(0, 80));
    world.run();
    assert_eq!(world.outcome(1, update), Some(Outcome::Upgraded));
    assert_eq!(world.outcome(1, all), Some(Outcome::Available));
    assert!(is_same(&world, 0, 1));
    // what is shared was not fetched again
    assert!(world.nodes[1].log.stored.values().all(|times| *times == 1));
    assert_eq!(world.nodes[0].machine.stats().blocks_uploaded, 50 + 50);
    assert_eq!(world.nodes[1].hangups, []);
    assert_eq!(world.nodes[1].stale, 0);
    // and the new fork is followed as it grows
    world.change(0, |log| log.append(1));
    world.run();
    assert_eq!(world.nodes[1].log.length(), 81);
}

#[test]
fn what_waits_for_a_block_that_was_cut_fails_and_what_waits_for_a_later_one_does_not() {
    let mut world = writer_and_reader(20);
    let link = world.connect(0, 1);
    let held = (0..12).filter(|at| *at != 3).map(index).collect();
    world.demand(1, Demand::Blocks(held));
    world.run();
    world.cut(link);
    let cut = world.demand(1, Demand::Block(index(15)));
    let later = world.demand(1, Demand::Block(index(25)));
    let kept = world.demand(1, Demand::Block(index(3)));
    world.run();
    world.change(0, |log| log.truncate(12));
    world.change(0, |log| log.append(3));
    world.connect(0, 1);
    world.run();
    assert_eq!(world.outcome(1, cut), Some(Outcome::Gone));
    assert_eq!(world.outcome(1, kept), Some(Outcome::Available));
    assert_eq!(world.outcome(1, later), None);
    world.change(0, |log| log.append(20));
    world.run();
    assert_eq!(world.outcome(1, later), Some(Outcome::Available));
}

#[test]
fn a_log_cut_to_nothing_is_followed_once_it_has_a_block() {
    let mut world = writer_and_reader(20);
    world.connect(0, 1);
    world.demand(1, span(0, 20));
    world.run();
    world.change(0, |log| log.truncate(0));
    world.run();
    assert_eq!(world.nodes[1].log.length(), 20);
    assert_eq!(world.nodes[1].hangups, []);
    world.change(0, |log| log.append(5));
    world.run();
    let all = world.demand(1, span(0, 5));
    world.run();
    assert_eq!(world.outcome(1, all), Some(Outcome::Available));
    assert!(is_same(&world, 0, 1));
}

#[test]
fn five_forks_are_followed_at_once_and_one_after_the_other() {
    for connected in [false, true] {
        let mut world = writer_and_reader(64);
        let mut link = world.connect(0, 1);
        world.demand(1, span(0, 64));
        world.run();
        for length in [50, 60, 33, 7, 20] {
            if !connected {
                world.cut(link);
            }
            world.change(0, |log| log.truncate(length));
            world.change(0, |log| log.append(30));
            if connected {
                world.run();
            }
        }
        if !connected {
            link = world.connect(0, 1);
        }
        world.run();
        let end = world.nodes[0].log.length();
        let all = world.demand(1, span(0, end));
        world.run();
        assert_eq!(world.outcome(1, all), Some(Outcome::Available));
        assert!(is_same(&world, 0, 1), "link {link:?}");
        assert_eq!(world.nodes[1].hangups, []);
    }
}

#[test]
fn a_fork_travels_through_a_relay_that_has_few_blocks() {
    let mut writer = Log::writer(1);
    writer.append(200);
    let (relay, reader) = (writer.reader(), writer.reader());
    let mut world = World::new(vec![writer, relay, reader]);
    let first = world.connect(0, 1);
    let second = world.connect(0, 2);
    world.demand(1, Demand::Block(index(100)));
    world.demand(2, Demand::Blocks([3, 100, 150].map(index).into()));
    world.run();
    world.cut(first);
    world.cut(second);
    world.change(0, |log| log.truncate(120));
    world.change(0, |log| log.append(100));
    // the relay takes the fork over, and has one block of it besides
    let first = world.connect(0, 1);
    world.run();
    world.demand(1, Demand::Block(index(130)));
    world.run();
    world.cut(first);
    assert_eq!(world.nodes[1].log.head, world.nodes[0].log.head);
    world.connect(1, 2);
    world.run();
    let new = world.demand(2, Demand::Block(index(130)));
    world.run();
    assert_eq!(world.outcome(2, new), Some(Outcome::Available));
    assert_eq!(world.nodes[2].log.head, world.nodes[0].log.head);
    assert!(world.nodes[2].log.has(3) && world.nodes[2].log.has(100));
    // no storm of questions
    let wants = |message: &Message| matches!(message, Message::Want(_) | Message::Unwant(_));
    assert!(world.count(2, wants) <= 2);
    // what was kept can be passed on
    let third = world.nodes[0].log.reader();
    let mut end = World::new(vec![world.nodes[2].log.clone(), third]);
    end.connect(0, 1);
    let kept = end.demand(1, Demand::Blocks([3, 100, 130].map(index).into()));
    end.run();
    assert_eq!(end.outcome(1, kept), Some(Outcome::Available));
}

#[test]
fn an_earlier_fork_is_left_alone_and_its_peer_follows() {
    let mut writer = Log::writer(1);
    writer.append(40);
    let mut stale = writer.reader();
    let mut world = World::new(vec![writer.clone(), stale.clone()]);
    world.connect(0, 1);
    world.demand(1, span(0, 40));
    world.run();
    stale = world.nodes[1].log.clone();
    writer.truncate(20);
    writer.append(5);
    let reader = writer.reader();
    let mut world = World::new(vec![writer, stale, reader]);
    world.connect(0, 2);
    world.demand(2, span(0, 25));
    world.run();
    world.connect(1, 2);
    world.run();
    assert_eq!(world.nodes[2].log.head, world.nodes[0].log.head);
    assert_eq!(world.nodes[1].log.head, world.nodes[0].log.head);
    assert_eq!(world.nodes[1].log.blocks.len(), 20);
    assert_eq!(world.nodes[2].hangups, []);
}

/// Logs are mostly cut near their end, and sometimes anywhere.
#[test]
fn where_forks_part_is_found_with_few_questions() {
    const LENGTH: u64 = 5000;
    for (kept, rounds) in [
        (LENGTH - 1, 4),
        (LENGTH - 40, 4),
        (LENGTH / 2, 7),
        (777, 7),
        (1, 7),
    ] {
        let mut world = writer_and_reader(LENGTH);
        world.connect(0, 1);
        world.demand(1, span(0, LENGTH));
        world.run_for(Duration::from_secs(60));
        world.change(0, |log| log.truncate(kept));
        world.change(0, |log| log.append(60));
        world.run();
        assert_eq!(world.nodes[1].log.head, world.nodes[0].log.head);
        assert_eq!(world.nodes[1].log.blocks.len() as u64, kept);
        assert!(
            hashes(&world, 1) <= 4 * rounds,
            "{kept}: {}",
            hashes(&world, 1)
        );
    }
}

#[test]
fn a_later_fork_yet_is_followed_while_another_is() {
    let mut writer = Log::writer(1);
    writer.append(400);
    let reader = writer.reader();
    let mut world = World::new(vec![writer.clone(), writer.clone(), reader]);
    world.connect(0, 2);
    world.demand(2, span(0, 400));
    world.run();
    world.change(0, |log| log.truncate(300));
    world.change(0, |log| log.append(10));
    // the other copy of the writer is two forks ahead
    world.change(1, |log| log.truncate(350));
    world.change(1, |log| log.truncate(200));
    world.change(1, |log| log.append(50));
    world.connect(1, 2);
    world.run();
    assert_eq!(world.nodes[2].log.head, world.nodes[1].log.head);
    // the first copy hears of it from a reader that has not got any of the new blocks, and follows
    // although nobody can tell of the last few
    assert_eq!(world.nodes[0].log.head, world.nodes[1].log.head);
    assert!((136..=200).contains(&world.nodes[0].log.blocks.len()));
    assert_eq!(world.nodes[2].hangups, []);
}

/// A writer that cut its log three times, and a reader that has nothing.
fn cut_three_times() -> World {
    let mut writer = Log::writer(1);
    for length in [10, 20, 30] {
        writer.append(40);
        writer.truncate(length);
    }
    writer.append(100);
    let reader = writer.reader();
    World::new(vec![writer, reader])
}

#[test]
fn an_empty_reader_takes_over_a_later_fork() {
    let mut world = cut_three_times();
    let get = world.demand(1, Demand::Block(index(70)));
    world.connect(0, 1);
    let update = world.demand(1, Demand::Upgrade);
    let all = world.demand(1, span(0, 130));
    world.run();
    assert_eq!(world.outcome(1, update), Some(Outcome::Upgraded));
    assert_eq!(world.outcome(1, get), Some(Outcome::Available));
    assert_eq!(world.outcome(1, all), Some(Outcome::Available));
    assert_eq!(world.nodes[1].log.head, world.nodes[0].log.head);
    assert_eq!(world.nodes[1].log.blocks, world.nodes[0].log.blocks);
    assert_eq!(world.nodes[1].stale, 0);
    let seen = |notice: &Notice| matches!(notice, Notice::HigherFork { .. });
    assert!(!world.nodes[1].notices.iter().any(seen));
    // and follows it as it grows
    world.change(0, |log| log.append(1));
    world.run();
    assert_eq!(world.nodes[1].log.length(), 131);
    assert!(world.links[0].up);
}

#[test]
fn an_empty_reader_between_two_forks_ends_on_one_of_them() {
    let mut writer = Log::writer(1);
    writer.append(40);
    let stale = writer.clone();
    writer.truncate(10);
    writer.append(20);
    let reader = writer.reader();
    for first in [0, 1] {
        let mut world = World::new(vec![stale.clone(), writer.clone(), reader.clone()]);
        world.connect(first, 2);
        world.connect(1 - first, 2);
        let update = world.demand(2, Demand::Upgrade);
        world.run();
        assert_eq!(world.outcome(2, update), Some(Outcome::Upgraded));
        let head = &world.nodes[2].log.head;
        assert!(*head == stale.head || *head == writer.head);
        assert_eq!(world.nodes[2].hangups, []);
    }
}

#[test]
fn a_cut_in_the_middle_of_a_download_costs_nobody_the_channel() {
    let mut world = writer_and_reader(1000);
    world.connect(0, 1);
    world.demand(1, span(0, 1000));
    world.run_for(std::time::Duration::from_millis(6));
    world.change(0, |log| log.truncate(500));
    world.run();
    assert!(world.links[0].up);
    assert!(world.nodes[1].log.blocks.len() < 1000);
    assert_eq!(world.nodes[1].hangups, []);
}
