//! An honest peer beside peers that say that they have everything, and are of no use.

use std::time::Duration;

use hc_protocol::message::{Data, Message, NoData, NoDataReason, Range, Request, RequestId};
use hc_replicator::{Config, Demand, Input, Outcome, Output, PeerId, Reply};

use crate::download::span;
use crate::log::{Log, index};
use crate::script::{PEER, Script, block_proof, effects, sync, tuned};
use crate::world::{Vice, World};

const BLOCKS: u64 = 2_000;
const MILLISECOND: Duration = Duration::from_millis(1);

/// A reader, which is the first, an honest source, and sources of these vices that were there before it.
fn beside(vices: &[Vice]) -> World {
    let mut writer = Log::writer(1);
    writer.append(BLOCKS);
    let mut logs = vec![writer.reader()];
    logs.extend(vec![writer; vices.len() + 1]);
    let mut world = World::new(logs);
    for (vice, node) in vices.iter().zip(2..) {
        world.vices.insert(node, *vice);
        world.connect(node, 0);
    }
    world.connect_with(1, 0, MILLISECOND, Duration::from_micros(50));
    world
}

/// How long it takes until something that is asked for has come.
fn time_to(world: &mut World, what: Demand) -> Duration {
    let begun = world.now;
    let id = world.demand(0, what);
    while world.outcome(0, id).is_none() {
        world.run_for(MILLISECOND);
        assert!(world.now.since(begun) < Duration::from_secs(30), "{id:?}");
    }
    assert_eq!(world.outcome(0, id), Some(Outcome::Available));
    world.now.since(begun)
}

const ALL: [[Vice; 5]; 4] = [
    [Vice::Silent; 5],
    [Vice::Refuses; 5],
    [Vice::Empty; 5],
    [
        Vice::Silent,
        Vice::Refuses,
        Vice::Silent,
        Vice::Empty,
        Vice::Silent,
    ],
];

#[test]
fn a_download_beside_five_that_are_of_no_use_takes_little_longer_than_without_them() {
    let alone = time_to(&mut beside(&[]), span(0, BLOCKS));
    for vices in ALL {
        let mut world = beside(&vices);
        let time = time_to(&mut world, span(0, BLOCKS));
        let most = alone + alone / 4 + Duration::from_millis(250);
        assert!(time <= most, "{vices:?}: {time:?}, {alone:?} alone");
        assert!(world.nodes[0].log.stored.values().all(|times| *times == 1));
    }
}

#[test]
fn once_they_are_known_a_block_comes_as_quickly_as_without_them() {
    let get = |world: &mut World, at: u64| time_to(world, Demand::Block(index(at)));
    let mut honest = beside(&[]);
    get(&mut honest, 0);
    let alone = get(&mut honest, 1);
    for vices in ALL {
        let mut world = beside(&vices);
        // whoever is asked first has to be found out
        let first = get(&mut world, 0);
        assert!(first < Duration::from_secs(1), "{vices:?}: {first:?}");
        for at in 1..50 {
            let time = get(&mut world, 7 * at);
            assert!(
                time <= alone,
                "{vices:?}, block {at}: {time:?}, {alone:?} alone"
            );
        }
    }
}

#[test]
fn a_block_that_any_number_of_peers_sit_on_is_asked_of_one_that_comes_later() {
    let mut world = beside(&[Vice::Silent; 12]);
    world.cut(PeerId(12));
    let id = world.demand(0, Demand::Block(index(3)));
    world.run_for(Duration::from_secs(5));
    assert_eq!(world.outcome(0, id), None);
    // busy from the start: it is asked for the block all the same, and before what nobody waits for
    world.demand(0, span(0, BLOCKS));
    world.run_for(Duration::from_secs(5));
    world.connect_with(1, 0, MILLISECOND, Duration::from_micros(50));
    world.run_for(Duration::from_millis(100));
    assert_eq!(world.outcome(0, id), Some(Outcome::Available));
}

const OTHER: PeerId = PeerId(2);

/// A machine that lacks everything, and two peers that say that they have it.
fn between_two() -> Script {
    let config = tuned(Config::new(7), |config| config.window.max = 64);
    let mut script = Script::with(config, 1_000, 0..0);
    for peer in [PEER, OTHER] {
        script.open(peer);
        script.receive_from(peer, Message::Sync(sync(1_000, 1_000)));
        let all = Range {
            drop: false,
            start: 0,
            length: 1_000,
        };
        script.receive_from(peer, Message::Range(all));
    }
    script
}

/// Who is asked for something, and for what.
fn asked(outputs: &[Output]) -> Vec<(PeerId, Request)> {
    let asked = outputs.iter().filter_map(|output| match output {
        Output::Send {
            peer,
            message: Message::Request(request),
        } => Some((*peer, *request)),
        _ => None,
    });
    asked.collect()
}

fn refuses(script: &mut Script, peer: PeerId, id: RequestId) -> Vec<Output> {
    let reason = NoDataReason::NotAvailable;
    script.receive_from(peer, Message::NoData(NoData { id, reason }))
}

/// A peer gives a block, and it is stored.
fn gives(script: &mut Script, peer: PeerId, request: &Request) -> Vec<Output> {
    let (id, at) = (request.id, block_of(request));
    let proof = block_proof(at);
    let mut outputs = script.receive_from(peer, Message::Data(Data { id, proof }));
    let ticket = effects(&outputs)[0].0;
    outputs.extend(script.publish(at..at + 1));
    outputs.extend(script.complete(ticket, Reply::Applied));
    outputs
}

fn block_of(request: &Request) -> u64 {
    request.want.block.unwrap().index.get()
}

fn standing(script: &Script, peer: PeerId) -> (bool, usize) {
    let state = script.machine.peer_state(peer).unwrap();
    (state.doubted, state.window)
}

/// What one request for a block was sent for, and to whom.
fn only(outputs: &[Output], peer: PeerId) -> Request {
    let [(who, request)] = asked(outputs)[..] else {
        panic!("{outputs:?}")
    };
    assert_eq!(who, peer);
    request
}

const MOMENT: Duration = Duration::from_millis(10);

#[test]
fn who_refuses_what_it_said_it_has_is_asked_less_and_last_until_it_gives_again() {
    let mut script = between_two();
    let mut window = standing(&script, PEER).1;
    for at in 0..6 {
        let (_, outputs) = script.demand(Demand::Block(index(at)));
        let request = only(&outputs, PEER);
        let outputs = refuses(&mut script, PEER, request.id);
        let request = only(&outputs, OTHER);
        script.elapse(MOMENT);
        gives(&mut script, OTHER, &request);
        let less = standing(&script, PEER).1;
        assert!(less < window, "{less} after {window}");
        window = less;
    }
    assert!(standing(&script, PEER).0);
    assert_eq!(standing(&script, OTHER), (false, 64));
    let (_, outputs) = script.demand(Demand::Block(index(6)));
    let request = only(&outputs, OTHER);
    script.elapse(MOMENT);
    gives(&mut script, OTHER, &request);
    // it is the only one: it is asked as if nothing had happened
    script.input(Input::PeerClosed { peer: OTHER });
    assert_eq!(standing(&script, PEER), (true, 64));
    for at in 10..12 {
        let (_, outputs) = script.demand(Demand::Block(index(at)));
        gives(&mut script, PEER, &only(&outputs, PEER));
    }
    assert!(!standing(&script, PEER).0);
}

#[test]
fn who_says_nothing_is_left_with_one_request_and_what_it_sits_on_is_asked_of_others_first() {
    let mut script = between_two();
    let (_, outputs) = script.demand(span(0, 1_000));
    let of_silent = |(peer, _): &(PeerId, Request)| *peer == PEER;
    let (silent, mut open): (Vec<_>, Vec<_>) = asked(&outputs).into_iter().partition(of_silent);
    assert_eq!((silent.len(), open.len()), (64, 64));
    let sits_on = |request: &Request| {
        let same = |(_, other): &(PeerId, Request)| block_of(other) == block_of(request);
        silent.iter().any(same)
    };
    let mut next = |script: &mut Script| {
        let mut more = asked(&script.elapse(MOMENT));
        for (_, request) in open.drain(..8).collect::<Vec<_>>() {
            more.extend(asked(&gives(script, OTHER, &request)));
        }
        open.extend(more.clone());
        more
    };
    for _ in 0..49 {
        let more = next(&mut script);
        assert!(
            more.iter()
                .all(|(peer, request)| *peer == OTHER && !sits_on(request))
        );
        assert!(!standing(&script, PEER).0);
    }
    let more = next(&mut script);
    assert_eq!(standing(&script, PEER), (true, 1));
    assert!(!more.is_empty() && more.iter().all(|(_, request)| sits_on(request)));
    // what it gives after all is taken, and counts
    gives(&mut script, PEER, &silent[0].1);
    assert!(standing(&script, PEER).1 > 1);
}

#[test]
fn a_peer_whose_answer_is_still_being_stored_has_not_stalled() {
    let mut script = between_two();
    let (_, outputs) = script.demand(span(0, 100));
    let request = asked(&outputs)[0].1;
    script.elapse(MOMENT);
    let proof = block_proof(block_of(&request));
    let id = request.id;
    let outputs = script.receive(Message::Data(Data { id, proof }));
    let ticket = effects(&outputs)[0].0;
    for _ in 0..5 {
        script.elapse(Duration::from_secs(1));
        assert!(!standing(&script, PEER).0);
    }
    script.complete(ticket, Reply::Applied);
    script.elapse(Duration::from_secs(1));
    assert!(standing(&script, PEER).0);
}
