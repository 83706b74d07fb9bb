//! What a machine says of itself first, and which blocks it asks a shorter peer for.

use hc_protocol::message::{Message, Range};
use hc_replicator::{Config, Demand, Effect, Input, PeerId, Replicator, Reply};

use crate::log::index;
use crate::script::{PEER, Script, effects, requests, sent, sync, view};

#[test]
fn interest_is_told_with_the_first_message() {
    let mut script = Script::new(0, 0..0);
    let outputs = script.open(PEER);
    let [Message::Sync(first)] = sent(&outputs)[..] else {
        panic!("{outputs:?}")
    };
    assert!(first.downloading);
    // and that there is none
    let mut machine = Replicator::new(Config::new(1), view(0, 0..0));
    let info = hc_replicator::PeerInfo::new(true);
    machine.handle(
        hc_protocol::Time::ZERO,
        Input::PeerOpened { peer: PEER, info },
    );
    let hc_replicator::Output::Send { message, .. } = machine.poll_output() else {
        panic!("nothing was sent")
    };
    assert!(matches!(message, Message::Sync(first) if !first.downloading));
}

/// Our tree is 13 blocks long, and nothing but the last is here: how it stood at 5 is not known.
#[test]
fn a_shorter_peer_is_asked_only_where_its_tree_can_be_tied_to_ours() {
    for can in [false, true] {
        let mut script = Script::new(13, 12..13);
        script.open(PEER);
        let outputs = script.receive(Message::Sync(sync(5, 13)));
        let [(ticket, Effect::CheckUpgrade { .. })] = effects(&outputs)[..] else {
            panic!("{outputs:?}")
        };
        script.complete(ticket, Reply::Upgradeable(can));
        script.receive(Message::Range(Range {
            drop: false,
            start: 0,
            length: 5,
        }));
        let (_, outputs) = script.demand(Demand::Block(index(2)));
        assert_eq!(requests(&outputs).len(), usize::from(can));
        // once it is as long as we are, it is asked
        let outputs = script.receive(Message::Sync(sync(13, 13)));
        assert_eq!(requests(&outputs).len(), usize::from(!can));
    }
}

#[test]
fn an_update_ends_when_a_peer_goes_before_it_has_said_anything() {
    let mut script = Script::new(0, 0..0);
    let peer = PeerId(9);
    script.input(Input::PeerExpected { peer });
    let (update, outputs) = script.demand(Demand::Upgrade);
    assert_eq!(crate::script::resolved(&outputs), []);
    script.open(peer);
    let outputs = script.input(Input::PeerClosed { peer });
    let ended = (update, hc_replicator::Outcome::Unchanged);
    assert_eq!(crate::script::resolved(&outputs), [ended]);
}
