//! Logs that are cut. A longer fork is not followed yet; nothing may break for it.

use hc_protocol::message::{Message, Range};
use hc_replicator::{Demand, Notice, Outcome};

use crate::download::{span, writer_and_reader};
use crate::log::index;

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
