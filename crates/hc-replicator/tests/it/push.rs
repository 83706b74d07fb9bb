//! Blocks that nobody asked for: who gets them, who takes them, and when that ends.

use std::time::Duration;

use hc_merkle::proof::{Proof, Request as Wanted, UpgradeProof, UpgradeRequest};
use hc_merkle::{BlockIndex, Hash, Length, Node, NodeIndex};
use hc_protocol::message::{Data, Message, Request, RequestId, Sync};
use hc_replicator::{
    Config, Demand, Effect, Fault, Hangup, Input, Outcome, Output, PullPolicy, PushPolicy,
    Rejection, Reply, Ticket, limits,
};

use crate::log::{Log, index};
use crate::script::{
    PEER, Script, block_proof, block_request, effects, hangup, requests, sent, sync, tuned,
};
use crate::world::World;

/// A writer, and a reader that takes pushes and asks for nothing by itself.
fn writer_and_taker() -> World {
    let writer = Log::writer(1);
    let reader = writer.reader();
    World::with(vec![writer, reader], |seed| {
        tuned(Config::new(seed), |config| {
            config.pull = if seed == 2 {
                PullPolicy::Forced
            } else {
                PullPolicy::All
            };
            config.push = if seed == 2 {
                PushPolicy::Accept
            } else {
                PushPolicy::Refuse
            };
        })
    })
}

fn push(world: &mut World, at: u64) {
    let index = index(at);
    world.input(0, Input::Push { index });
}

fn append_and_push(world: &mut World) {
    world.change(0, |log| log.append(1));
    let last = world.nodes[0].log.length() - 1;
    push(world, last);
}

fn asked(world: &World, node: usize) -> usize {
    world.count(node, |message| matches!(message, Message::Request(_)))
}

#[test]
fn what_is_pushed_arrives_without_being_asked_for() {
    let mut world = writer_and_taker();
    world.connect(0, 1);
    world.run();
    // without waiting for each other
    (0..5).for_each(|_| append_and_push(&mut world));
    world.run();
    assert_eq!((0..5).filter(|at| world.nodes[1].log.has(*at)).count(), 5);
    assert_eq!(asked(&world, 1), 0);
    assert_eq!(world.nodes[1].log.head, world.nodes[0].log.head);
    assert_eq!(world.nodes[0].machine.stats().pushed, 5);
    assert_eq!(world.nodes[1].machine.stats().pushes_taken, 5);
    assert_eq!(world.nodes[1].machine.stats().invalid_data, 0);
    // again: it is there
    push(&mut world, 3);
    world.run();
    assert_eq!(world.nodes[0].machine.stats().pushed, 5);
}

#[test]
fn what_is_demanded_by_force_is_asked_for_beside_what_is_pushed() {
    let mut world = writer_and_taker();
    world.connect(0, 1);
    world.change(0, |log| log.append(4));
    world.run();
    let quiet = world.demand(1, Demand::Block(index(0)));
    let forced = world.demand(1, Demand::Forced(index(1)));
    world.demand(1, crate::download::span(0, 10));
    (0..3).for_each(|_| append_and_push(&mut world));
    world.run();
    assert_eq!(world.outcome(1, forced), Some(Outcome::Available));
    assert_eq!(world.outcome(1, quiet), None);
    assert_eq!(asked(&world, 1), 1);
    let held: Vec<u64> = (0..7).filter(|at| world.nodes[1].log.has(*at)).collect();
    assert_eq!(held, [1, 4, 5, 6]);
    push(&mut world, 0);
    world.run();
    assert_eq!(world.outcome(1, quiet), Some(Outcome::Available));
    assert_eq!(world.nodes[1].log.head, world.nodes[0].log.head);
    assert!(world.nodes[1].hangups.is_empty());
}

#[test]
fn a_block_that_is_not_there_yet_is_not_pushed_and_comes_later() {
    let mut world = writer_and_taker();
    world.connect(0, 1);
    world.run();
    append_and_push(&mut world);
    push(&mut world, 1);
    world.run();
    assert_eq!(world.nodes[0].machine.stats().pushed, 1);
    append_and_push(&mut world);
    world.run();
    assert!(world.nodes[1].log.has(1));
}

#[test]
fn only_who_takes_them_downloads_and_lacks_them_is_pushed_blocks() {
    let open = Sync {
        allow_push: true,
        ..sync(10, 10)
    };
    let pushed = |theirs: Sync, at: u64| {
        let mut script = Script::new(10, 0..10);
        script.open(PEER);
        script.receive(Message::Sync(theirs));
        let index = BlockIndex::new(at);
        let outputs = script.input(Input::Push { index });
        effects(&outputs).len()
    };
    assert_eq!(pushed(open, 3), 1);
    assert_eq!(pushed(sync(10, 10), 3), 0);
    let idle = Sync {
        downloading: false,
        ..open
    };
    assert_eq!(pushed(idle, 3), 0);
    let forked = Sync {
        fork: 1.into(),
        ..open
    };
    assert_eq!(pushed(forked, 3), 0);
    assert_eq!(pushed(open, 10), 0);
    let mut script = Script::new(10, 0..5);
    script.open(PEER);
    script.receive(Message::Sync(open));
    let index = BlockIndex::new(7);
    assert_eq!(script.input(Input::Push { index }), []);
}

#[test]
fn taking_pushes_is_switched_at_run_time_and_ends_with_interest() {
    let mut world = writer_and_taker();
    world.connect(0, 1);
    world.run();
    let told = |world: &World| {
        let syncs = world.nodes[1].sent.iter();
        let last = syncs.rev().find_map(|(_, message)| match message {
            Message::Sync(sync) => Some((sync.allow_push, sync.downloading)),
            _ => None,
        });
        last.unwrap()
    };
    assert_eq!(told(&world), (true, true));
    let config = world.nodes[1].machine.config().clone();
    let refusing = tuned(config.clone(), |config| {
        config.push = PushPolicy::Refuse;
    });
    world.input(1, Input::Configured { config: refusing });
    world.run_for(Duration::from_secs(1));
    assert_eq!(told(&world), (false, true));
    append_and_push(&mut world);
    world.run_for(Duration::from_secs(1));
    assert_eq!(world.nodes[0].machine.stats().pushed, 0);
    world.input(1, Input::Configured { config });
    world.run_for(Duration::from_secs(1));
    assert_eq!(told(&world), (true, true));
    // withdrawn at once, though it goes on saying that it downloads
    world.input(1, Input::Activity { active: false });
    world.run_for(Duration::from_secs(1));
    assert_eq!(told(&world), (false, true));
    world.input(1, Input::Activity { active: true });
    world.run_for(Duration::from_secs(1));
    assert_eq!(told(&world), (true, true));
    push(&mut world, 0);
    world.run_for(Duration::from_secs(1));
    assert!(world.nodes[1].log.has(0));
}

fn upgrade_request(id: u64, start: u64, length: u64) -> Message {
    let upgrade = UpgradeRequest {
        start: Length::new(start),
        length: Length::new(length),
    };
    let want = Wanted {
        upgrade: Some(upgrade),
        ..Wanted::default()
    };
    Message::Request(Request {
        want,
        ..block_request(id, 0, 0)
    })
}

/// The upgrade that is to be proven: its ticket, start and length.
fn proven(outputs: &[Output]) -> (Ticket, u64, u64) {
    let [(ticket, Effect::Prove { request, .. })] = effects(outputs)[..] else {
        panic!("{outputs:?}")
    };
    let upgrade = request.upgrade.unwrap();
    (ticket, upgrade.start.get(), upgrade.length.get())
}

/// A proof of a block with an upgrade that leads so far, and then on by these nodes.
fn leads(block: u64, start: u64, length: u64, further: &[u64]) -> Reply {
    let node = |index: &u64| Node {
        index: NodeIndex::new(*index),
        size: 0.into(),
        hash: Hash([0; 32]),
    };
    Reply::Proof(Proof {
        upgrade: Some(UpgradeProof {
            start: Length::new(start),
            length: Length::new(length),
            nodes: Vec::new(),
            additional_nodes: further.iter().map(node).collect(),
            signature: bytes::Bytes::new(),
        }),
        ..block_proof(block)
    })
}

#[test]
fn a_push_goes_on_from_where_what_was_sent_before_leads() {
    let mut script = Script::new(10, 0..10);
    script.open(PEER);
    let open = Sync {
        allow_push: true,
        ..sync(4, 10)
    };
    script.receive(Message::Sync(open));
    let push = |script: &mut Script, at: u64| {
        let index = BlockIndex::new(at);
        script.input(Input::Push { index })
    };
    let (ticket, start, length) = proven(&push(&mut script, 9));
    assert_eq!((start, length), (4, 6));
    // the next waits until it is known where this one leads
    assert_eq!(push(&mut script, 8), []);
    script.grow(2);
    assert_eq!(push(&mut script, 11), []);
    // by the time it is proven the log has two blocks more, and the proof leads to its end
    let outputs = script.complete(ticket, leads(9, 4, 6, &[21]));
    assert!(
        sent(&outputs)
            .into_iter()
            .any(|message| matches!(message, Message::Data(data) if data.id == RequestId(0)))
    );
    let pushed: Vec<_> = effects(&outputs)
        .into_iter()
        .filter_map(|(_, effect)| match effect {
            Effect::Prove { request, .. } => request
                .block
                .map(|block| (block.index.get(), request.upgrade.is_some())),
            _ => None,
        })
        .collect();
    assert_eq!(pushed, [(8, false), (11, false)]);
    // what could not be proven leads nowhere
    script.grow(1);
    let (ticket, start, length) = proven(&push(&mut script, 12));
    assert_eq!((start, length), (12, 1));
    script.complete(ticket, Reply::NotAvailable);
    assert_eq!(proven(&push(&mut script, 12)).1, 12);
}

/// Ten blocks, and a peer that has four, takes pushes, and has asked for the other six: what is to be
/// proven for it.
fn asked_for_the_rest() -> (Script, Ticket) {
    let mut script = Script::new(10, 0..10);
    script.open(PEER);
    let open = Sync {
        allow_push: true,
        ..sync(4, 10)
    };
    script.receive(Message::Sync(open));
    let (ticket, start, length) = proven(&script.receive(upgrade_request(1, 4, 6)));
    assert_eq!((start, length), (4, 6));
    (script, ticket)
}

#[test]
fn an_answer_goes_on_from_what_was_pushed_and_a_push_from_the_answer() {
    let (mut script, ticket) = asked_for_the_rest();
    let index = BlockIndex::new(9);
    assert_eq!(script.input(Input::Push { index }), []);
    let outputs = script.complete(ticket, leads(5, 4, 6, &[]));
    let [(_, Effect::Prove { request, .. })] = effects(&outputs)[..] else {
        panic!("{outputs:?}")
    };
    assert_eq!(request.block.unwrap().index, index);
    assert!(request.upgrade.is_none());
    // it asks before it has got the answer: nothing is left, so it is answered as it asked
    let asked = proven(&script.receive(upgrade_request(2, 4, 6)));
    assert_eq!((asked.1, asked.2), (4, 6));
    // where the log has grown, the answer begins where the one before ended
    script.grow(2);
    let asked = proven(&script.receive(upgrade_request(3, 4, 8)));
    assert_eq!((asked.1, asked.2), (10, 2));
}

#[test]
fn an_answer_that_is_not_sent_leads_nowhere() {
    let (mut script, ticket) = asked_for_the_rest();
    let id = RequestId(1);
    script.receive(Message::Cancel(hc_protocol::message::Cancel { id }));
    assert_eq!(script.complete(ticket, leads(5, 4, 6, &[])), []);
    let index = BlockIndex::new(9);
    let (_, start, length) = proven(&script.input(Input::Push { index }));
    assert_eq!((start, length), (4, 6));
}

#[test]
fn pushes_that_wait_end_at_the_limit() {
    let mut script = Script::new(0, 0..0);
    let limit = limits::PUSHES_WAITING as u64;
    script.grow(limit + 2);
    script.open(PEER);
    let open = Sync {
        allow_push: true,
        ..sync(0, limit + 2)
    };
    script.receive(Message::Sync(open));
    let mut ticket = None;
    for at in 0..limit + 2 {
        let index = BlockIndex::new(at);
        let outputs = script.input(Input::Push { index });
        ticket = ticket.or(effects(&outputs).first().map(|(ticket, _)| *ticket));
    }
    let outputs = script.complete(ticket.unwrap(), leads(0, 0, limit + 2, &[]));
    assert_eq!(effects(&outputs).len() as u64, limit);
}

fn taking(length: u64) -> Script {
    let config = tuned(Config::new(1), |config| {
        config.push = PushPolicy::Accept;
    });
    let mut script = Script::with(config, length, 0..0);
    script.open(PEER);
    script.receive(Message::Sync(sync(length, length)));
    script
}

fn pushed(script: &mut Script, block: u64) -> Vec<Output> {
    script.receive(Message::Data(Data {
        id: RequestId(0),
        proof: block_proof(block),
    }))
}

#[test]
fn pushes_that_are_being_checked_end_at_the_limit() {
    let limit = limits::PUSHES as u64;
    let mut script = taking(2 * limit);
    let mut tickets = Vec::new();
    for block in 0..limit {
        let outputs = pushed(&mut script, block);
        tickets.extend(effects(&outputs).into_iter().map(|(ticket, _)| ticket));
    }
    assert_eq!(tickets.len(), limits::PUSHES);
    assert_eq!(effects(&pushed(&mut script, limit)), []);
    script.complete(tickets[0], Reply::Stale);
    assert_eq!(effects(&pushed(&mut script, limit)).len(), 1);
}

#[test]
fn pushes_that_do_not_hold_cost_the_channel_at_the_limit() {
    let mut script = taking(1000);
    let rejection = Rejection::Proof;
    for block in 1..u64::from(limits::PUSH_REJECTIONS) {
        let outputs = pushed(&mut script, block);
        let outputs = script.complete(effects(&outputs)[0].0, Reply::Rejected(rejection));
        assert_eq!(hangup(&outputs), None);
    }
    let outputs = pushed(&mut script, 999);
    let outputs = script.complete(effects(&outputs)[0].0, Reply::Rejected(rejection));
    assert_eq!(
        hangup(&outputs),
        Some(Hangup::Fault(Fault::BadData(rejection)))
    );
}

#[test]
fn a_push_overtakes_the_answer_to_a_request() {
    let mut script = taking(100);
    let range = hc_protocol::message::Range {
        drop: false,
        start: 0,
        length: 100,
    };
    script.receive(Message::Range(range));
    let (_, outputs) = script.demand(Demand::Block(index(7)));
    let id = requests(&outputs)[0].id;
    let outputs = pushed(&mut script, 7);
    let (ticket, _) = effects(&outputs)[0];
    let outputs = script.publish(7..8);
    let cancel = hc_protocol::message::Cancel { id };
    assert!(sent(&outputs).contains(&&Message::Cancel(cancel)));
    script.complete(ticket, Reply::Applied);
    // its answer was on its way
    let late = Data {
        id,
        proof: Proof::default(),
    };
    assert_eq!(hangup(&script.receive(Message::Data(late))), None);
}
