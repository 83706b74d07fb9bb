//! How long an update waits, and for whom.

use std::time::Duration;

use hc_merkle::Length;
use hc_merkle::proof::{Proof, UpgradeProof};
use hc_protocol::message::{Data, Message, RequestId, Sync};
use hc_replicator::{Config, Demand, DemandId, Input, Outcome, Output, PeerId, Reply};

use crate::script::{Script, effects, requests, resolved, sync};

const HONEST: PeerId = PeerId(1);
const OTHER: PeerId = PeerId(2);

/// Opens a channel that takes so long to open.
fn open_in(script: &mut Script, peer: PeerId, time: Duration) {
    script.input(Input::PeerExpected { peer });
    script.elapse(time);
    script.open(peer);
}

/// A log of ten blocks, and a peer with the very same.
fn beside_an_honest_one() -> Script {
    let mut script = Script::new(10, 0..10);
    script.open(HONEST);
    script.receive_from(HONEST, Message::Sync(sync(10, 10)));
    script
}

fn update(script: &mut Script) -> DemandId {
    let (id, outputs) = script.demand(Demand::Upgrade);
    assert_eq!(resolved(&outputs), []);
    id
}

/// How long it is until an update ends, and how.
fn ends_after(script: &mut Script, id: DemandId) -> (Duration, Outcome) {
    let begun = script.now;
    loop {
        let wait = script.wait.unwrap().since(script.now);
        if let [(ended, outcome)] = resolved(&script.elapse(wait))[..] {
            assert_eq!(ended, id);
            return (script.now.since(begun), outcome);
        }
    }
}

/// It claims to have more, and not to have heard of what is here.
fn claims(script: &mut Script, length: u64) -> Vec<Output> {
    script.receive_from(OTHER, Message::Sync(sync(length, 0)))
}

#[test]
fn who_claims_more_is_waited_for_a_few_round_trips_beside_one_that_has_what_is_here() {
    for (round_trip, patience) in [(1, 20), (30, 120), (1000, 500)] {
        let mut script = beside_an_honest_one();
        open_in(&mut script, OTHER, Duration::from_millis(round_trip));
        claims(&mut script, 12);
        let id = update(&mut script);
        let (time, outcome) = ends_after(&mut script, id);
        assert_eq!(time, Duration::from_millis(patience));
        assert_eq!(outcome, Outcome::Unchanged);
        // the next update does not wait for it again, until it says something
        let (id, outputs) = script.demand(Demand::Upgrade);
        assert_eq!(resolved(&outputs), [(id, Outcome::Unchanged)]);
        claims(&mut script, 13);
        let id = update(&mut script);
        assert_eq!(
            ends_after(&mut script, id).0,
            Duration::from_millis(patience)
        );
    }
}

#[test]
fn what_a_liar_says_while_it_is_waited_for_makes_no_update_wait_longer() {
    let mut script = beside_an_honest_one();
    open_in(&mut script, OTHER, Duration::from_millis(1));
    let id = update_of(&mut script);
    for length in 0..19 {
        assert_eq!(resolved(&claims(&mut script, 12 + length)), []);
        assert_eq!(resolved(&script.elapse(Duration::from_millis(1))), []);
    }
    let outputs = script.elapse(Duration::from_millis(1));
    assert_eq!(resolved(&outputs), [(id, Outcome::Unchanged)]);
}

fn update_of(script: &mut Script) -> DemandId {
    claims(script, 11);
    update(script)
}

#[test]
fn nothing_is_lost_of_an_honest_peer_that_is_far_away() {
    let mut script = beside_an_honest_one();
    open_in(&mut script, OTHER, Duration::from_millis(200));
    claims(&mut script, 12);
    let id = update(&mut script);
    // its word after a round trip, and its longer log after another
    script.elapse(Duration::from_millis(200));
    let asked = requests(&script.receive_from(OTHER, Message::Sync(sync(12, 10))));
    script.elapse(Duration::from_millis(200));
    let outputs = script.receive_from(OTHER, longer(asked[0].id, 12));
    let ticket = effects(&outputs)[0].0;
    // what has come is looked at however long that takes
    assert_eq!(resolved(&script.elapse(Duration::from_secs(1))), []);
    assert_eq!(resolved(&script.grow(2)), [(id, Outcome::Upgraded)]);
    script.complete(ticket, Reply::Applied);
}

fn longer(id: RequestId, length: u64) -> Message {
    let upgrade = UpgradeProof {
        start: Length::new(10),
        length: Length::new(length - 10),
        nodes: Vec::new(),
        additional_nodes: Vec::new(),
        signature: bytes::Bytes::new(),
    };
    let proof = Proof {
        upgrade: Some(upgrade),
        ..Proof::default()
    };
    Message::Data(Data { id, proof })
}

#[test]
fn who_was_asked_for_more_and_does_not_give_it_is_waited_for_as_long() {
    let mut script = beside_an_honest_one();
    open_in(&mut script, OTHER, Duration::from_millis(1));
    let asked = requests(&script.receive_from(OTHER, Message::Sync(sync(12, 10))));
    assert!(asked[0].want.upgrade.is_some());
    let id = update(&mut script);
    let (time, outcome) = ends_after(&mut script, id);
    assert_eq!(
        (time, outcome),
        (Duration::from_millis(20), Outcome::Unchanged)
    );
    // what it gives all the same is taken
    let outputs = script.receive_from(OTHER, longer(asked[0].id, 12));
    assert_eq!(effects(&outputs).len(), 1);
}

#[test]
fn who_claims_a_later_fork_and_does_not_prove_it_is_waited_for_as_long() {
    let mut script = beside_an_honest_one();
    open_in(&mut script, OTHER, Duration::from_millis(1));
    let later = Sync {
        fork: 3.into(),
        ..sync(12, 0)
    };
    let outputs = script.receive_from(OTHER, Message::Sync(later));
    assert_eq!(requests(&outputs).len(), 1);
    let id = update(&mut script);
    let (time, outcome) = ends_after(&mut script, id);
    assert_eq!(
        (time, outcome),
        (Duration::from_millis(20), Outcome::Unchanged)
    );
}

#[test]
fn who_does_not_open_its_channel_is_waited_for_half_a_second() {
    let mut script = beside_an_honest_one();
    script.input(Input::PeerExpected { peer: OTHER });
    let id = update(&mut script);
    let (time, outcome) = ends_after(&mut script, id);
    assert_eq!(
        (time, outcome),
        (Duration::from_millis(500), Outcome::Unchanged)
    );
}

#[test]
fn where_nobody_has_what_is_here_the_only_one_that_may_have_more_is_waited_for() {
    let mut script = Script::new(10, 0..10);
    // another reader, that has nothing
    script.open(HONEST);
    script.receive_from(HONEST, Message::Sync(sync(0, 10)));
    open_in(&mut script, OTHER, Duration::from_millis(1));
    claims(&mut script, 12);
    let id = update(&mut script);
    let (time, outcome) = ends_after(&mut script, id);
    assert_eq!(
        (time, outcome),
        (Config::new(0).upgrade_patience, Outcome::Unchanged)
    );
}
