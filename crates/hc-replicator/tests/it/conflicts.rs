//! Two histories under one key: seen, told to everybody, and the end of the log.

use std::time::Duration;

use bytes::Bytes;
use hc_merkle::Length;
use hc_merkle::proof::{Proof, UpgradeProof};
use hc_protocol::message::{Data, Message, NoData, NoDataReason, RequestId};
use hc_replicator::limits::{CONFLICT_CHECKS, CONFLICT_PATIENCE};
use hc_replicator::{Demand, Effect, Fault, Hangup, PeerId, Rejection, Reply};

use crate::download::{span, writer_and_reader};
use crate::log::{Log, index};
use crate::script::{Script, block_proof, effects, hangup, requests, sent};
use crate::world::World;

/// A writer and a copy of it that went another way after five blocks.
fn two_histories() -> (Log, Log) {
    let mut writer = Log::writer(1);
    writer.append(5);
    let mut copy = writer.clone();
    writer.append(2);
    copy.append_own("another history");
    copy.append(3);
    (writer, copy)
}

fn all_let_go(world: &World, node: usize) -> bool {
    let let_go = &world.nodes[node].hangups;
    !let_go.is_empty() && let_go.iter().all(|(_, why)| *why == Hangup::Conflict)
}

#[test]
fn both_sides_see_a_conflict_and_have_no_more_to_do_with_it() {
    let (writer, copy) = two_histories();
    let mut world = World::new(vec![writer, copy]);
    world.connect(0, 1);
    world.demand(0, Demand::Upgrade);
    world.run();
    assert!(world.nodes[0].log.frozen && world.nodes[1].log.frozen);
    assert!(all_let_go(&world, 0));
}

#[test]
fn a_reader_of_one_history_sees_the_other_and_tells_its_peers() {
    let (writer, copy) = two_histories();
    let (reader, other) = (writer.reader(), writer.reader());
    let mut world = World::new(vec![writer, copy, reader, other]);
    world.connect(0, 2);
    world.connect(0, 3);
    world.demand(2, span(0, 7));
    world.run();
    world.connect(2, 3);
    world.run();
    world.connect(1, 2);
    world.run();
    for node in 0..4 {
        assert!(world.nodes[node].log.frozen, "node {node}");
    }
    assert!(all_let_go(&world, 2));
    // nobody is let in any more
    let peer = world.connect(0, 2);
    assert!(world.nodes[2].hangups.contains(&(peer, Hangup::Conflict)));
}

#[test]
fn a_peer_that_lies_is_no_conflict() {
    let mut world = writer_and_reader(10);
    world.connect(0, 1);
    world.run();
    world.nodes[0].log.spoil(3);
    world.demand(1, Demand::Block(index(3)));
    world.run();
    assert!(!world.nodes[1].log.frozen);
    let fault = Fault::BadData(Rejection::Proof);
    assert!(matches!(world.nodes[1].hangups[..], [(_, Hangup::Fault(why))] if why == fault));
}

/// A peer that sent a block that does not hold, and the question that follows.
fn doubted() -> Script {
    let mut script = Script::with_peer(10, 0..0, 8);
    let (_, outputs) = script.demand(Demand::Block(index(3)));
    let id = requests(&outputs)[0].id;
    let proof = block_proof(3);
    let outputs = script.receive(Message::Data(Data { id, proof }));
    let (ticket, _) = effects(&outputs)[0];
    let outputs = script.complete(ticket, Reply::Rejected(Rejection::Proof));
    assert_eq!(hangup(&outputs), None);
    let question = requests(&outputs)[0];
    assert_eq!(question.id, RequestId(0));
    let upgrade = question.want.upgrade.unwrap();
    assert_eq!(
        (upgrade.start, upgrade.length),
        (Length::ZERO, Length::new(8))
    );
    script
}

fn whole(length: u64) -> Message {
    let upgrade = UpgradeProof {
        start: Length::ZERO,
        length: Length::new(length),
        nodes: Vec::new(),
        additional_nodes: Vec::new(),
        signature: Bytes::new(),
    };
    let proof = Proof {
        upgrade: Some(upgrade),
        ..Proof::default()
    };
    let id = RequestId(0);
    Message::Data(Data { id, proof })
}

#[test]
fn who_cannot_prove_its_log_is_let_go_for_what_it_did() {
    let fault = Some(Hangup::Fault(Fault::BadData(Rejection::Proof)));
    // it refuses
    let refusal = NoData {
        id: RequestId(0),
        reason: NoDataReason::NotAvailable,
    };
    assert_eq!(hangup(&doubted().receive(Message::NoData(refusal))), fault);
    // it says nothing
    let mut script = doubted();
    let before = CONFLICT_PATIENCE - Duration::from_millis(1);
    assert_eq!(hangup(&script.elapse(before)), None);
    assert_eq!(hangup(&script.elapse(Duration::from_millis(1))), fault);
    // it proves what is ours too
    let mut script = doubted();
    let outputs = script.receive(whole(8));
    let [(ticket, Effect::CheckConflict { .. })] = effects(&outputs)[..] else {
        panic!("{outputs:?}")
    };
    assert_eq!(hangup(&script.complete(ticket, Reply::Consistent)), fault);
    // it proves something that has nothing to do with the question
    assert_eq!(hangup(&doubted().receive(whole(11))), fault);
    // and asks for nothing more meanwhile
    let mut script = doubted();
    assert_eq!(requests(&script.demand(Demand::Block(index(4))).1), []);
}

#[test]
fn proofs_that_nobody_asked_for_are_compared_as_often_as_the_limit_says() {
    let mut script = Script::with_peer(10, 0..10, 10);
    for _ in 0..CONFLICT_CHECKS {
        let outputs = script.receive(whole(10));
        let (ticket, _) = effects(&outputs)[0];
        assert_eq!(script.complete(ticket, Reply::Consistent), []);
    }
    assert_eq!(script.receive(whole(10)), []);
    // both sides of a conflict at once, and no more
    let mut script = Script::with_peer(10, 0..10, 10);
    let checks = (0..4).map(|_| effects(&script.receive(whole(10))).len());
    assert_eq!(checks.collect::<Vec<_>>(), [1, 1, 0, 0]);
    // a log that we do not have, or that is another fork's, is compared with nothing
    let mut script = Script::with_peer(10, 0..10, 10);
    assert_eq!(effects(&script.receive(whole(11))), []);
}

#[test]
fn a_conflict_is_told_to_all_peers_before_they_are_let_go() {
    let mut script = Script::with_peer(10, 0..10, 10);
    let other = PeerId(2);
    script.open(other);
    script.receive_from(other, Message::Sync(crate::script::sync(4, 10)));
    let outputs = script.receive(whole(10));
    let (ours, theirs) = (block_proof(1), block_proof(2));
    let conflict = Reply::Conflict {
        ours: Some(ours.clone().into()),
        theirs: theirs.clone().into(),
    };
    let outputs = script.complete(effects(&outputs)[0].0, conflict);
    let id = RequestId(0);
    let ours = Message::Data(Data { id, proof: ours });
    let theirs = Message::Data(Data { id, proof: theirs });
    // who sent it does not get it back
    assert_eq!(sent(&outputs), [&ours, &ours, &theirs]);
    let hangups = outputs.iter().filter(|output| {
        matches!(
            output,
            hc_replicator::Output::Hangup {
                reason: Hangup::Conflict,
                ..
            }
        )
    });
    assert_eq!(hangups.count(), 2);
}
