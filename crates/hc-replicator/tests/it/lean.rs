//! Requests that leave out what the answers to earlier ones bring.

use std::time::Duration;

use hc_protocol::message::{Data, Message, NoData, NoDataReason, Request};
use hc_replicator::{Demand, Effect, Order, Outcome, Output, Reply, Span, Ticket};

use crate::download::writer_and_reader;
use crate::log::{Log, index};
use crate::script::{self, PEER, Script, block_proof, effects, hangup, requests};
use crate::world::World;

fn span(order: Order, end: u64) -> Demand {
    Demand::Span(Span {
        start: index(0),
        end: Some(index(end)),
        order,
    })
}

/// Nodes that a node asked for, and nodes that all nodes sent with blocks.
fn nodes(world: &World, reader: usize) -> (u64, usize) {
    let asked = world.nodes[reader]
        .sent
        .iter()
        .map(|(_, message)| match message {
            Message::Request(request) => request.want.block.map_or(0, |block| block.nodes),
            _ => 0,
        });
    let given = world.nodes.iter().flat_map(|node| &node.sent);
    let given = given.map(|(_, message)| match message {
        Message::Data(data) => data
            .proof
            .block
            .as_ref()
            .map_or(0, |block| block.nodes.len()),
        _ => 0,
    });
    (asked.sum(), given.sum())
}

#[test]
fn one_node_a_block_is_asked_for_in_either_order() {
    const BLOCKS: u64 = 20_000;
    for order in [Order::Linear, Order::Scattered] {
        let mut world = writer_and_reader(BLOCKS);
        world.connect(0, 1);
        let id = world.demand(1, span(order, BLOCKS));
        world.run();
        assert_eq!(world.outcome(1, id), Some(Outcome::Available));
        world.nodes[1].log.audit(&world.nodes[0].log);
        assert!(world.nodes[1].log.stored.values().all(|times| *times == 1));
        assert_eq!(world.nodes[1].stale, 0);
        let (asked, given) = nodes(&world, 1);
        assert!(
            asked <= BLOCKS * 11 / 10,
            "{asked} nodes asked for, {order:?}"
        );
        assert!(
            given as u64 <= BLOCKS * 11 / 10,
            "{given} nodes given, {order:?}"
        );
    }
}

#[test]
fn three_peers_give_every_block_once_with_few_nodes() {
    const BLOCKS: u64 = 3000;
    for order in [Order::Linear, Order::Scattered] {
        let mut writer = Log::writer(1);
        writer.append(BLOCKS);
        let reader = writer.reader();
        let mut world = World::new(vec![writer.clone(), writer.clone(), writer, reader]);
        for (source, delay) in [(0, 1), (1, 3), (2, 20)] {
            let delay = Duration::from_millis(delay);
            world.connect_with(source, 3, delay, Duration::from_micros(100));
        }
        let id = world.demand(3, span(order, BLOCKS));
        world.run();
        assert_eq!(world.outcome(3, id), Some(Outcome::Available));
        world.nodes[3].log.audit(&world.nodes[0].log);
        assert_eq!(world.nodes[3].stale, 0);
        assert_eq!(world.nodes[3].hangups, []);
        let (asked, _) = nodes(&world, 3);
        // in linear order the three take turns at neighbours, and know nothing of each other's
        let most = if order == Order::Linear { 25 } else { 12 };
        assert!(asked <= BLOCKS * most / 10, "{asked} nodes, {order:?}");
    }
}

#[test]
fn blocks_that_are_gone_by_the_time_they_are_asked_for_cost_a_window_and_nobody_the_channel() {
    let mut writer = Log::writer(1);
    writer.append(2000);
    let reader = writer.reader();
    let mut world = World::new(vec![writer.clone(), writer, reader]);
    world.connect(0, 2);
    let id = world.demand(2, span(Order::Linear, 2000));
    world.run_for(Duration::from_millis(6));
    let had = world.nodes[2].log.blocks.len() as u64;
    assert!((1..1000).contains(&had), "{had}");
    for block in (had..2000).step_by(100) {
        world.change(0, |log| log.clear(block..block + 1));
    }
    world.run();
    assert_eq!(world.outcome(2, id), None);
    assert_eq!(
        world.nodes[2].log.blocks.len() as u64,
        2000 - (2000 - had).div_ceil(100)
    );
    world.connect(1, 2);
    world.run();
    assert_eq!(world.outcome(2, id), Some(Outcome::Available));
    world.nodes[2].log.audit(&world.nodes[1].log);
    assert!(world.nodes[2].log.stored.values().all(|times| *times == 1));
    assert_eq!(world.nodes[2].hangups, []);
    let stale = world.nodes[2].stale;
    assert!(
        (1..512).contains(&stale),
        "{stale} answers that lean on nothing"
    );
}

/// A reader of 64 blocks that asked for the first eight.
fn eight() -> (Script, Vec<Request>) {
    let mut script = Script::with_peer(64, 0..0, 64);
    let (_, outputs) = script.demand(span(Order::Linear, 8));
    let asked = requests(&outputs);
    let nodes: Vec<u64> = asked.iter().map(nodes_of).collect();
    assert_eq!(nodes, [6, 0, 1, 0, 2, 0, 1, 0]);
    (script, asked)
}

fn nodes_of(request: &Request) -> u64 {
    request.want.block.unwrap().nodes
}

fn data(request: &Request) -> Message {
    let proof = block_proof(request.want.block.unwrap().index.get());
    Message::Data(Data {
        id: request.id,
        proof,
    })
}

fn no_data(request: &Request) -> Message {
    Message::NoData(NoData {
        id: request.id,
        reason: NoDataReason::NotAvailable,
    })
}

/// Blocks that are to be checked.
fn checks(outputs: &[Output]) -> Vec<(Ticket, u64)> {
    let checks = effects(outputs).into_iter().map(|(ticket, effect)| {
        let Effect::Apply { data } = effect else {
            unreachable!("nothing was asked of us")
        };
        (ticket, data.block.as_ref().unwrap().index.get())
    });
    checks.collect()
}

#[test]
fn answers_out_of_turn_are_checked_in_the_order_in_which_they_lean() {
    let (mut script, asked) = eight();
    for request in asked[1..].iter().rev() {
        assert_eq!(checks(&script.receive(data(request))), []);
    }
    let outputs = script.receive(data(&asked[0]));
    let order: Vec<u64> = checks(&outputs).iter().map(|(_, block)| *block).collect();
    assert_eq!(order.len(), 8);
    // each after the one on whose path its own ends
    for (at, block) in order.iter().enumerate() {
        let before = [0, 0, 0, 2, 0, 4, 4, 6][usize::try_from(*block).unwrap()];
        assert!(*block == 0 || order[..at].contains(&before) || order[..at].contains(&(block - 1)));
    }
}

#[test]
fn what_leans_on_a_refused_block_is_asked_for_again_without_leaning() {
    let (mut script, asked) = eight();
    for request in &asked[1..3] {
        assert_eq!(checks(&script.receive(data(request))), []);
    }
    let outputs = script.receive(no_data(&asked[0]));
    assert_eq!(requests(&outputs), []);
    let jobs = checks(&outputs);
    let blocks: Vec<u64> = jobs.iter().map(|(_, block)| *block).collect();
    assert_eq!(blocks, [1, 2]);
    for (ticket, block) in jobs {
        let outputs = script.complete(ticket, Reply::Stale);
        assert_eq!(hangup(&outputs), None);
        let mut again = requests(&outputs);
        let request = again.remove(0);
        assert_eq!((again.len(), nodes_of(&request)), (0, 6), "block {block}");
        // without leaning, then with the whole path, then not at all of this peer
        let (ticket, _) = checks(&script.receive(data(&request)))[0];
        let outputs = script.complete(ticket, Reply::Stale);
        let request = requests(&outputs)[0];
        assert_eq!(nodes_of(&request), 6);
        let (ticket, _) = checks(&script.receive(data(&request)))[0];
        let outputs = script.complete(ticket, Reply::Stale);
        assert_eq!(requests(&outputs), []);
        assert_eq!(hangup(&outputs), None);
    }
}

#[test]
fn what_is_urgent_leans_on_nothing() {
    let (mut script, _) = eight();
    let (_, outputs) = script.demand(Demand::Block(index(9)));
    let urgent = requests(&outputs)[0];
    assert_eq!((urgent.priority, nodes_of(&urgent)), (1, 6));
    // but what comes after it does on it
    let (_, outputs) = script.demand(Demand::Span(Span {
        start: index(8),
        end: Some(index(11)),
        order: Order::Linear,
    }));
    let nodes: Vec<u64> = requests(&outputs).iter().map(nodes_of).collect();
    assert_eq!(nodes, [0, 1]);
}

#[test]
fn a_copy_leans_on_what_was_asked_of_the_same_peer_alone() {
    const OTHER: hc_replicator::PeerId = hc_replicator::PeerId(2);
    let (mut script, asked) = eight();
    script.open(OTHER);
    script.receive_from(OTHER, Message::Sync(script::sync(64, 64)));
    script.receive_from(
        OTHER,
        Message::Range(hc_protocol::message::Range {
            drop: false,
            start: 0,
            length: 64,
        }),
    );
    let outputs = script.elapse(Duration::from_secs(1));
    let copies = requests(&outputs);
    let nodes: Vec<u64> = copies.iter().map(nodes_of).collect();
    assert_eq!(nodes, [6, 0, 1, 0, 2, 0, 1, 0]);
    // what the other gives lets go of what waits for it
    assert_eq!(checks(&script.receive_from(PEER, data(&asked[1]))), []);
    let jobs = checks(&script.receive_from(OTHER, data(&copies[0])));
    assert_eq!(
        jobs.iter().map(|(_, block)| *block).collect::<Vec<_>>(),
        [0]
    );
    let jobs = checks(&script.publish(0..1));
    assert_eq!(
        jobs.iter().map(|(_, block)| *block).collect::<Vec<_>>(),
        [1]
    );
}

#[test]
fn a_cancelled_request_lets_go_of_what_leans_on_it() {
    let mut script = Script::with_peer(64, 0..0, 64);
    let (id, outputs) = script.demand(Demand::Block(index(0)));
    assert_eq!(requests(&outputs).len(), 1);
    let (_, outputs) = script.demand(Demand::Blocks(vec![index(1)]));
    let leaning = requests(&outputs)[0];
    assert_eq!(nodes_of(&leaning), 0);
    assert_eq!(checks(&script.receive(data(&leaning))), []);
    let outputs = script.input(hc_replicator::Input::Cancelled { id });
    assert_eq!(checks(&outputs).len(), 1);
}
