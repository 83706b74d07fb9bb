//! Logs that are cut. A later fork is taken over by who has no block yet; others do not follow it yet,
//! and nothing may break for it.

use hc_merkle::Fork;
use hc_protocol::message::{Message, NoData, NoDataReason, Range, Sync};
use hc_replicator::{Demand, Notice, Outcome};

use crate::download::{span, writer_and_reader};
use crate::log::{Log, index};
use crate::script::{PEER, Script, requests, resolved, sync};
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
fn a_longer_fork_is_reported_and_left_alone() {
    let mut world = writer_and_reader(10);
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
fn who_offers_a_later_fork_and_does_not_give_it_is_asked_once() {
    let mut script = Script::new(0, 0..0);
    script.open(PEER);
    let forked = Sync {
        fork: Fork::new(3),
        ..sync(10, 0)
    };
    let outputs = script.receive(Message::Sync(forked));
    let asked = requests(&outputs);
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].fork, Fork::new(3));
    let refusal = NoData {
        id: asked[0].id,
        reason: NoDataReason::NotAvailable,
    };
    assert_eq!(requests(&script.receive(Message::NoData(refusal))), []);
    let (update, outputs) = script.demand(Demand::Upgrade);
    assert_eq!(resolved(&outputs), [(update, Outcome::Unchanged)]);
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
