//! Peers that say they are on a later fork: asked to prove it, found out, passed over.

use std::time::Duration;

use bytes::Bytes;
use hc_merkle::proof::{HashProof, Proof, UpgradeProof, Wanted};
use hc_merkle::{Fork, Length, NodeIndex};
use hc_protocol::message::{Data, Message, NoData, NoDataReason, Range, Request, RequestId, Sync};
use hc_replicator::limits::{FORFEITED_BLOCKS, FORK_HEADS, FORK_ROUNDS};
use hc_replicator::{
    Demand, Effect, Fault, Hangup, Limited, Outcome, Output, PeerId, Rejection, Reply,
};

use crate::script::{PEER, Script, effects, hangup, requests, resolved, sent, sync};

/// A machine with ten blocks, and peers that say they are on a later fork.
fn offered(peers: u64) -> (Script, Vec<Request>) {
    let mut script = Script::new(10, 0..10);
    let mut asked = Vec::new();
    for peer in 1..=peers {
        script.open(PeerId(peer));
        let forked = Message::Sync(Sync {
            fork: Fork::new(3),
            ..sync(12, 0)
        });
        asked.extend(requests(&script.receive_from(PeerId(peer), forked)));
        let all = Message::Range(Range {
            drop: false,
            start: 0,
            length: 12,
        });
        script.receive_from(PeerId(peer), all);
    }
    (script, asked)
}

fn head(fork: u64) -> Proof {
    let upgrade = UpgradeProof {
        start: Length::ZERO,
        length: Length::new(12),
        nodes: Vec::new(),
        additional_nodes: Vec::new(),
        signature: Bytes::new(),
    };
    Proof {
        fork: Fork::new(fork),
        upgrade: Some(upgrade),
        ..Proof::default()
    }
}

fn hash(index: NodeIndex) -> Proof {
    let nodes = Vec::new();
    Proof {
        fork: Fork::new(3),
        hash: Some(HashProof { index, nodes }),
        ..Proof::default()
    }
}

fn data(id: RequestId, proof: Proof) -> Message {
    Message::Data(Data { id, proof })
}

fn wanted(blocks: std::ops::Range<u64>, nodes: u64) -> Reply {
    Reply::Wanted(Wanted { blocks, nodes })
}

#[test]
fn as_many_peers_as_the_limit_are_asked_for_a_fork_and_no_more() {
    let limit = FORK_HEADS as u64;
    let (_, asked) = offered(limit);
    assert_eq!(asked.len(), FORK_HEADS);
    let upgrade = asked[0].want.upgrade.unwrap();
    assert_eq!(
        (upgrade.start, upgrade.length),
        (Length::ZERO, Length::new(12))
    );
    let (mut script, asked) = offered(limit + 1);
    assert_eq!(asked.len(), FORK_HEADS);
    // the next one is asked when one of them is late
    let later = requests(&script.elapse(Duration::from_secs(5)));
    assert_eq!(later.len(), 1);
    // and who was late may still be the first to answer
    let outputs = script.receive(data(asked[0].id, head(3)));
    assert_eq!(effects(&outputs).len(), 1);
}

#[test]
fn who_lies_about_a_fork_is_let_go_and_another_is_asked() {
    let (mut script, asked) = offered(2);
    let outputs = script.receive(data(asked[0].id, head(3)));
    let (ticket, _) = effects(&outputs)[0];
    let outputs = script.complete(ticket, Reply::Rejected(Rejection::Signature));
    let fault = Fault::BadData(Rejection::Signature);
    assert_eq!(hangup(&outputs), Some(Hangup::Fault(fault)));
    let other = PeerId(2);
    let outputs = script.receive_from(other, data(asked[1].id, head(3)));
    let outputs = script.complete(effects(&outputs)[0].0, wanted(0..8, 3));
    let hashes = requests(&outputs);
    assert!((2..=4).contains(&hashes.len()));
    assert!(
        hashes
            .iter()
            .all(|asked| asked.want.hash.unwrap().nodes == 3)
    );
    // a hash that was not asked for costs the channel
    let outputs = script.receive_from(other, data(hashes[0].id, hash(NodeIndex::new(40))));
    assert_eq!(hangup(&outputs), Some(Hangup::Fault(Fault::Unsolicited)));
}

#[test]
fn who_says_nothing_of_its_fork_is_passed_over_and_the_search_goes_on_with_another() {
    let (mut script, asked) = offered(2);
    let outputs = script.receive(data(asked[0].id, head(3)));
    let outputs = script.complete(effects(&outputs)[0].0, wanted(0..8, 3));
    let first = requests(&outputs);
    assert!(!first.is_empty());
    let outputs = script.elapse(Duration::from_secs(5));
    // both were asked for something and are late; nobody is left
    assert_eq!(requests(&outputs), []);
    let (update, outputs) = script.demand(Demand::Upgrade);
    assert_eq!(resolved(&outputs), [(update, Outcome::Unchanged)]);
    // the answer that comes at last is as good as one in time
    let leaf = first[0].want.hash.unwrap().index;
    script.receive(data(first[0].id, hash(leaf)));
    let outputs = script.receive(data(asked[1].id, head(3)));
    assert!(effects(&outputs).len() <= 1);
}

#[test]
fn a_search_ends_with_the_rounds_that_a_tree_can_take() {
    let (mut script, asked) = offered(1);
    let outputs = script.receive(data(asked[0].id, head(3)));
    let mut outputs = script.complete(effects(&outputs)[0].0, wanted(0..8, 3));
    for round in 1..=FORK_ROUNDS {
        let open = requests(&outputs);
        assert!(!open.is_empty(), "round {round}");
        for asked in open {
            assert_eq!(hangup(&outputs), None, "round {round}");
            let leaf = asked.want.hash.unwrap().index;
            let received = script.receive(data(asked.id, hash(leaf)));
            outputs = script.complete(effects(&received)[0].0, wanted(0..8, 3));
        }
    }
    let (what, limit) = (Limited::ForkRounds, FORK_ROUNDS as usize);
    let fault = Fault::OverLimit { what, limit };
    assert_eq!(hangup(&outputs), Some(Hangup::Fault(fault)));
}

#[test]
fn who_refuses_a_hash_is_asked_for_others_and_then_no_more() {
    let (mut script, asked) = offered(1);
    let outputs = script.receive(data(asked[0].id, head(3)));
    let mut outputs = script.complete(effects(&outputs)[0].0, wanted(0..8, 3));
    let mut refused = 0;
    loop {
        let open = requests(&outputs);
        if open.is_empty() {
            break;
        }
        for asked in open {
            let refusal = NoData {
                id: asked.id,
                reason: NoDataReason::NotAvailable,
            };
            outputs = script.receive(Message::NoData(refusal));
            refused += 1;
        }
    }
    assert!(refused <= 8);
    // nothing but, once, where the blocks are
    let wants = sent(&outputs);
    assert!(
        wants
            .iter()
            .all(|message| matches!(message, Message::Want(_)))
    );
    assert!(wants.len() <= 1);
}

/// Takes over a fork of which nobody can tell more, where so many blocks are at stake.
fn gives_up(at_stake: u64) -> bool {
    let mut script = Script::new(128, 0..at_stake);
    script.open(PEER);
    let forked = Sync {
        fork: Fork::new(3),
        ..sync(200, 0)
    };
    let asked = requests(&script.receive(Message::Sync(forked)));
    let outputs = script.receive(data(asked[0].id, head(3)));
    // it has said of no block that it has it: it is asked for that, and says nothing
    let mut outputs = script.complete(effects(&outputs)[0].0, wanted(0..128, 7));
    assert!(matches!(sent(&outputs)[..], [Message::Want(_)]));
    assert_eq!(effects(&outputs), []);
    let is_adopted = |outputs: &[Output]| {
        let effects = effects(outputs);
        matches!(effects[..], [(_, Effect::AdoptFork { fork })] if *fork == Fork::new(3))
    };
    for _ in 0..3 {
        if is_adopted(&outputs) {
            return true;
        }
        outputs = script.elapse(Duration::from_secs(5));
    }
    assert_eq!(effects(&outputs), []);
    // somebody who can tell is asked all the same
    let held = Message::Range(Range {
        drop: false,
        start: 60,
        length: 10,
    });
    assert!(!requests(&script.receive(held)).is_empty());
    false
}

#[test]
fn as_many_blocks_as_the_limit_are_given_up_for_a_fork_and_no_more() {
    assert!(gives_up(FORFEITED_BLOCKS));
    assert!(!gives_up(FORFEITED_BLOCKS + 1));
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
