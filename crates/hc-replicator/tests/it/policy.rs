//! What an owner decides: of whom is taken what, who is given what, and at what price.

use std::time::Duration;

use hc_protocol::message::{Message, NoData, NoDataReason, Range, RequestId, Sync, Want};
use hc_replicator::{
    Config, Demand, Hangup, Input, Outcome, Output, PeerId, PeerInfo, PeerPolicy, PullPolicy,
    Window,
};

use crate::download::{span, writer_and_reader};
use crate::log::{Log, index};
use crate::script::{PEER, Script, block_request, effects, hangup, requests, sent, sync, tuned};
use crate::world::World;

const NOTHING: [&Message; 0] = [];

fn range(length: u64) -> Message {
    Message::Range(Range {
        drop: false,
        start: 0,
        length,
    })
}

fn open_with(script: &mut Script, policy: PeerPolicy) -> Vec<Output> {
    let info = PeerInfo::new(true).with_policy(policy);
    script.input(Input::PeerOpened { peer: PEER, info })
}

fn told(outputs: &[Output]) -> Option<Sync> {
    sent(outputs).into_iter().find_map(|message| match message {
        Message::Sync(sync) => Some(*sync),
        _ => None,
    })
}

#[test]
fn who_is_given_nothing_is_told_so_and_refused() {
    let policy = PeerPolicy {
        uploads: false,
        ..PeerPolicy::default()
    };
    let mut script = Script::new(10, 0..10);
    let outputs = open_with(&mut script, policy);
    assert_eq!(sent(&outputs).len(), 1, "no range");
    assert!(!told(&outputs).unwrap().uploading);
    script.receive(Message::Sync(sync(0, 10)));
    let refused = |script: &mut Script, id: u64| {
        let outputs = script.receive(Message::Request(block_request(id, 4, 0)));
        let refusal = Message::NoData(NoData {
            id: RequestId(id),
            reason: NoDataReason::NotAvailable,
        });
        sent(&outputs).contains(&&refusal)
    };
    assert!(refused(&mut script, 1));
    let want = Want {
        start: 0,
        length: 32,
        any: false,
    };
    assert_eq!(sent(&script.receive(Message::Want(want))), NOTHING);
    // and then it is given something
    let policy = PeerPolicy::default();
    let outputs = script.input(Input::Policy { peer: PEER, policy });
    assert!(told(&outputs).unwrap().uploading);
    assert!(sent(&outputs).contains(&&range(10)));
    assert!(!refused(&mut script, 2));
    // nobody is given anything
    let config = tuned(script.machine.config().clone(), |config| {
        config.uploads = false;
    });
    let outputs = script.input(Input::Configured { config });
    assert!(!told(&outputs).unwrap().uploading);
    assert!(refused(&mut script, 3));
}

#[test]
fn what_waits_is_refused_when_giving_ends() {
    let mut script = Script::with_peer(10, 0..10, 0);
    script.input(Input::Writable {
        peer: PEER,
        room: false,
    });
    script.receive(Message::Request(block_request(1, 4, 0)));
    let policy = PeerPolicy {
        uploads: false,
        ..PeerPolicy::default()
    };
    script.input(Input::Policy { peer: PEER, policy });
    let outputs = script.input(Input::Writable {
        peer: PEER,
        room: true,
    });
    assert_eq!(effects(&outputs), []);
    assert!(
        sent(&outputs)
            .into_iter()
            .any(|message| matches!(message, Message::NoData(_)))
    );
}

#[test]
fn of_whom_nothing_is_taken_is_asked_nothing() {
    let policy = PeerPolicy {
        downloads: false,
        ..PeerPolicy::default()
    };
    let mut script = Script::new(10, 0..0);
    let outputs = open_with(&mut script, policy);
    assert!(!told(&outputs).unwrap().downloading);
    script.receive(Message::Sync(sync(20, 10)));
    script.receive(range(20));
    let (_, outputs) = script.demand(Demand::Block(index(3)));
    assert_eq!(requests(&outputs), []);
    // nor is it waited for
    let (update, outputs) = script.demand(Demand::Upgrade);
    assert_eq!(
        crate::script::resolved(&outputs),
        [(update, Outcome::Unchanged)]
    );
    let policy = PeerPolicy::default();
    let outputs = script.input(Input::Policy { peer: PEER, policy });
    assert!(told(&outputs).unwrap().downloading);
    assert_eq!(requests(&outputs).len(), 1);
    // taken back again, and asked of another
    let other = PeerId(2);
    script.open(other);
    script.receive_from(other, Message::Sync(sync(10, 10)));
    script.receive_from(other, range(10));
    let policy = PeerPolicy {
        downloads: false,
        ..PeerPolicy::default()
    };
    let outputs = script.input(Input::Policy { peer: PEER, policy });
    let cancels = sent(&outputs)
        .into_iter()
        .filter(|message| matches!(message, Message::Cancel(_)));
    assert_eq!(cancels.count(), 1);
    let again = outputs.iter().any(|output| {
        matches!(output, Output::Send { peer, message: Message::Request(_) } if *peer == other)
    });
    assert!(again);
}

#[test]
fn who_is_not_asked_and_does_not_ask_is_let_go() {
    let mut script = Script::with_peer(10, 0..10, 10);
    let idle = Sync {
        downloading: false,
        ..sync(10, 10)
    };
    assert_eq!(hangup(&script.receive(Message::Sync(idle))), None);
    let policy = PeerPolicy {
        downloads: false,
        ..PeerPolicy::default()
    };
    let outputs = script.input(Input::Policy { peer: PEER, policy });
    assert_eq!(hangup(&outputs), Some(Hangup::Idle));
}

#[test]
fn a_log_that_pulls_nothing_says_so_and_asks_for_nothing() {
    let config = tuned(Config::new(1), |config| {
        config.pull = PullPolicy::Nothing;
    });
    let mut script = Script::with(config, 10, 0..0);
    let outputs = script.open(PEER);
    assert!(!told(&outputs).unwrap().downloading);
    script.receive(Message::Sync(sync(20, 10)));
    script.receive(range(20));
    assert_eq!(
        requests(&script.demand(Demand::Forced(index(3))).1),
        [],
        "not even by force"
    );
    let config = tuned(script.machine.config().clone(), |config| {
        config.pull = PullPolicy::All;
    });
    let outputs = script.input(Input::Configured { config });
    assert!(told(&outputs).unwrap().downloading);
    assert_eq!(requests(&outputs).len(), 1);
}

#[test]
fn what_a_peer_says_it_has_ends_at_its_memory() {
    let policy = PeerPolicy {
        memory: 64 * 1024,
        ..PeerPolicy::default()
    };
    let mut script = Script::new(1 << 40, 0..0);
    open_with(&mut script, policy);
    script.receive(Message::Sync(sync(1 << 40, 1 << 40)));
    let scattered = |script: &mut Script, at: u64| {
        let start = at << 21;
        let range = Range {
            drop: false,
            start,
            length: 1,
        };
        script.receive(Message::Range(range));
        let (id, outputs) = script.demand(Demand::Block(index(start)));
        script.input(Input::Cancelled { id });
        requests(&outputs).len()
    };
    assert_eq!(scattered(&mut script, 0), 1);
    let known = (1..1000)
        .map(|at| scattered(&mut script, at))
        .sum::<usize>();
    assert!(known < 1000, "{known}");
    // once it is full, nothing more: and nothing breaks
    assert_eq!(scattered(&mut script, 1001), 0);
    assert_eq!(scattered(&mut script, 0), 1);
}

#[test]
fn the_window_follows_its_bounds_at_run_time() {
    let window = |min, max| Window {
        min,
        start: max,
        max,
        bytes: u64::MAX,
    };
    let config = tuned(Config::new(1), |config| {
        config.window = window(4, 8);
    });
    let mut script = Script::with(config, 1000, 0..0);
    script.open(PEER);
    script.receive(Message::Sync(sync(1000, 1000)));
    script.receive(range(1000));
    assert_eq!(requests(&script.demand(span(0, 1000)).1).len(), 8);
    let state = script.machine.peer_state(PEER).unwrap();
    assert_eq!((state.in_flight, state.window), (8, 8));
    assert_eq!(script.machine.under_way(0..1000).count(), 8);
    let config = tuned(script.machine.config().clone(), |config| {
        config.window = window(32, 64);
    });
    let outputs = script.input(Input::Configured { config });
    assert_eq!(requests(&outputs).len(), 24);
    let config = tuned(script.machine.config().clone(), |config| {
        config.window = window(4, 16);
    });
    assert_eq!(requests(&script.input(Input::Configured { config })), []);
    // it goes back to what it had found out, within the new bounds
    assert_eq!(script.machine.peer_state(PEER).unwrap().window, 8);
}

#[test]
fn a_longer_tree_is_fetched_unasked_or_not_as_configured() {
    let mut writer = Log::writer(1);
    writer.append(10);
    let reader = writer.reader();
    let lazy = |seed| {
        tuned(Config::new(seed), |config| {
            config.eager_upgrade = false;
        })
    };
    let mut world = World::with(vec![writer, reader], lazy);
    world.connect(0, 1);
    world.run();
    assert_eq!(world.nodes[1].log.length(), 0);
    let update = world.demand(1, Demand::Upgrade);
    world.run();
    assert_eq!(world.outcome(1, update), Some(Outcome::Upgraded));
    assert_eq!(world.nodes[1].log.length(), 10);
    world.change(0, |log| log.append(1));
    world.run();
    assert_eq!(world.nodes[1].log.length(), 10);
    // a block past its end is fetched with the tree that spans it
    let block = world.demand(1, Demand::Block(index(10)));
    world.run();
    assert_eq!(world.outcome(1, block), Some(Outcome::Available));
    assert_eq!(world.nodes[1].log.length(), 11);
}

#[test]
fn the_newest_block_comes_with_each_longer_tree_if_wanted() {
    let mut writer = Log::writer(1);
    writer.append(10);
    let reader = writer.reader();
    let newest = |seed| {
        tuned(Config::new(seed), |config| {
            config.latest_block = true;
        })
    };
    let mut world = World::with(vec![writer, reader], newest);
    world.connect(0, 1);
    world.run();
    for length in [12, 13] {
        let more = length - world.nodes[0].log.length();
        world.change(0, |log| log.append(more));
        world.run();
        assert!(world.nodes[1].log.has(length - 1));
    }
    assert!(!world.nodes[1].log.has(10));
}

#[test]
fn of_a_peer_that_is_gone_nothing_is_wanted() {
    let mut script = Script::new(10_000_000, 0..0);
    script.open(PEER);
    script.receive(Message::Sync(sync(10_000_000, 10_000_000)));
    assert_eq!(sent(&script.demand(Demand::Block(index(5))).1).len(), 1);
    assert_eq!(
        sent(&script.input(Input::PeerClosed { peer: PEER })),
        NOTHING
    );
    let (_, outputs) = script.demand(Demand::Block(index(5_000_000)));
    assert_eq!(sent(&outputs), NOTHING);
    assert_eq!(sent(&script.receive(Message::Sync(sync(10, 10)))), NOTHING);
}

#[test]
fn who_does_not_linger_lets_go_at_once() {
    let mut world = writer_and_reader(5);
    for node in 0..2 {
        let config = tuned(world.nodes[node].machine.config().clone(), |config| {
            config.linger = Duration::ZERO;
        });
        world.input(node, Input::Configured { config });
    }
    world.connect(0, 1);
    world.run();
    for node in [0, 1] {
        world.input(node, Input::Activity { active: false });
    }
    world.run_for(Duration::from_millis(10));
    assert!(!world.links[0].up);
}

#[test]
fn what_a_peer_makes_a_machine_hold_goes_up_and_down_with_what_it_says() {
    let mut script = Script::with_peer(1_000_000, 0..1_000_000, 1_000_000);
    let held = |script: &Script| script.machine.peer_memory(PEER);
    let first = held(&script);
    assert!(first < 2048, "{first} bytes for a peer that has all");
    // no room: nothing is answered
    let room = |room| Input::Writable { peer: PEER, room };
    script.input(room(false));
    for id in 1..=1000 {
        script.receive(Message::Request(block_request(id, id, 0)));
    }
    let asked = held(&script) - first;
    assert!(
        (100_000..500_000).contains(&asked),
        "{asked} bytes for 1,000 requests"
    );
    for id in 1..=1000 {
        let id = RequestId(id);
        script.receive(Message::Cancel(hc_protocol::message::Cancel { id }));
    }
    assert!(held(&script) < first + asked / 4);
    let holes = hc_protocol::message::Bitfield {
        start: 0,
        words: vec![0x5555_5555; 30_000],
    };
    let before = held(&script);
    script.receive(Message::Bitfield(holes));
    assert!(held(&script) - before >= 4 * 30_000);
    script.receive(range(1_000_000));
    assert!(held(&script) < before + 4096);
    script.input(Input::PeerClosed { peer: PEER });
    assert_eq!(held(&script), 0);
}
