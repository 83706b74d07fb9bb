//! What it costs to tell of what is here: large logs with holes, windows of all sizes, many peers. In
//! messages, bytes and steps, counted.

use hc_bitfield::Bitfield;
use hc_merkle::Length;
use hc_protocol::message::{Bitfield as Bits, Message, Range, Want};
use hc_replicator::{Demand, Input, LocalView, ManifestState, Output, PeerId, Published};

use crate::download::span;
use crate::log::index;
use crate::script::{PEER, Script, block_request, effects, requests, sent, sync};

const MILLION: u64 = 1_000_000;
const HOLE: u64 = 48;

fn range(start: u64, length: u64) -> Message {
    Message::Range(Range {
        drop: false,
        start,
        length,
    })
}

fn want(start: u64, length: u64) -> Message {
    let any = false;
    Message::Want(Want { start, length, any })
}

fn gained(blocks: std::ops::Range<u64>) -> Published {
    Published {
        gained: vec![blocks],
        ..Published::default()
    }
}

/// A log of a million blocks, all but one of which are here.
fn with_a_hole(script: &mut Script) -> LocalView {
    let mut view = LocalView {
        fork: 0.into(),
        length: Length::new(MILLION),
        contiguous: Length::new(MILLION),
        blocks: Bitfield::contiguous(MILLION),
        manifest: ManifestState::Known,
        least: Length::ZERO,
    };
    view.blocks.unset(HOLE);
    view.contiguous = Length::new(HOLE);
    let lost = HOLE..HOLE + 1;
    let change = Published {
        lost: vec![lost],
        ..Published::default()
    };
    script.input(Input::Published {
        change,
        view: view.clone(),
    });
    view
}

#[test]
fn one_hole_in_a_million_blocks_costs_one_bitfield_of_each_reader() {
    let mut script = Script::new(MILLION, 0..MILLION);
    let mut view = with_a_hole(&mut script);
    let opened = script.open(PEER);
    assert_eq!(sent(&opened).len(), 1, "a sync, and nothing else");
    script.receive(Message::Sync(sync(MILLION, MILLION)));
    // a reader looks for block 49: one answer, of a bit for each block
    let outputs = script.receive(want(0, 2_097_152));
    let [Message::Bitfield(Bits { start: 0, words })] = sent(&outputs)[..] else {
        panic!("{outputs:?}")
    };
    assert_eq!(words.len() as u64, MILLION.div_ceil(32));
    let outputs = script.receive(Message::Request(block_request(1, HOLE + 1, 1)));
    assert_eq!(effects(&outputs).len(), 1);
    // whatever is appended from now on costs one message, of a range
    for length in MILLION..MILLION + 100 {
        view.length = Length::new(length + 1);
        view.blocks.set(length);
        let outputs = script.input(Input::Published {
            change: gained(length..length + 1),
            view: view.clone(),
        });
        let ranges = sent(&outputs)
            .into_iter()
            .filter(|message| matches!(message, Message::Range(_)));
        assert_eq!(ranges.collect::<Vec<_>>(), [&range(length, 1)]);
    }
    // and the hole, once it is filled, is told as no hole at all
    view.blocks.set(HOLE);
    view.contiguous = view.length;
    let outputs = script.input(Input::Published {
        change: gained(HOLE..HOLE + 1),
        view: view.clone(),
    });
    assert_eq!(sent(&outputs), [&range(0, view.length.get())]);
}

#[test]
fn a_block_behind_a_hole_is_found_with_one_question() {
    let mut script = Script::new(MILLION, 0..0);
    script.open(PEER);
    script.receive(Message::Sync(sync(MILLION, MILLION)));
    script.receive(range(0, HOLE));
    let (_, outputs) = script.demand(Demand::Block(index(HOLE + 1)));
    assert_eq!(sent(&outputs), [&want(0, 2_097_152)]);
    let mut bits = Bitfield::contiguous(MILLION);
    bits.unset(HOLE);
    let answer = bits.answers(0..2_097_152, MILLION).next().unwrap();
    let outputs = script.receive(Message::Bitfield(Bits {
        start: answer.start,
        words: answer.words,
    }));
    assert_eq!(requests(&outputs).len(), 1);
    // the hole itself is never asked for
    let (_, outputs) = script.demand(Demand::Block(index(HOLE)));
    assert_eq!(sent(&outputs), Vec::<&Message>::new());
    let before = script.machine.stats().looked_at;
    script.demand(span(0, MILLION));
    let steps = script.machine.stats().looked_at - before;
    assert!(steps < 1000, "{steps} steps");
}

#[test]
fn small_windows_are_answered_one_by_one() {
    // every other block is missing
    let mut script = Script::new(MILLION, 0..0);
    for at in (0..MILLION).step_by(1000) {
        script.publish(at..at + 1);
    }
    script.open(PEER);
    script.receive(Message::Sync(sync(MILLION, MILLION)));
    let mut told = 0;
    for start in (0..MILLION).step_by(4096) {
        if let Some(old) = start.checked_sub(512 * 4096) {
            let (start, length, any) = (old, 4096, false);
            script.receive(Message::Unwant(Want { start, length, any }));
        }
        let outputs = script.receive(want(start, 4096));
        let [Message::Bitfield(bits)] = sent(&outputs)[..] else {
            panic!("{outputs:?}")
        };
        assert_eq!(bits.start, start);
        assert!(bits.words.len() <= 4096 / 32);
        told += bits.words.iter().map(|word| word.count_ones()).sum::<u32>();
    }
    assert_eq!(u64::from(told), MILLION / 1000);
    // a block in a window that is still wanted is told, one that was never wanted is not
    assert_eq!(sent(&script.publish(4097..4098)), [&range(4097, 1)]);
}

#[test]
fn a_loop_of_wants_costs_nothing_whatever_it_asks_for() {
    let mut script = Script::new(MILLION, 0..1000);
    script.open(PEER);
    script.receive(Message::Sync(sync(MILLION, MILLION)));
    let unwant = |start, length, any| Message::Unwant(Want { start, length, any });
    let mut answers = 0;
    for round in 0..2000 {
        for any in [false, true] {
            let (start, length) = if any { (7, 5000) } else { (0, 2_097_152) };
            let again = Want { start, length, any };
            answers += sent(&script.receive(Message::Want(again))).len();
            script.receive(unwant(start, length, any));
        }
        assert!(answers <= 2, "round {round}: {answers}");
    }
}

#[test]
fn an_event_of_one_peer_does_not_go_through_the_others() {
    const PEERS: u64 = 300;
    let mut script = Script::new(10_000, 0..0);
    for peer in (0..PEERS).map(PeerId) {
        script.open(peer);
        script.receive_from(peer, Message::Sync(sync(10_000, 10_000)));
    }
    // one has something
    script.receive_from(PeerId(7), range(0, 10_000));
    let steps = |script: &Script| script.machine.stats().looked_at;
    let before = steps(&script);
    let (_, outputs) = script.demand(span(0, 5000));
    assert!(!requests(&outputs).is_empty());
    let demanded = steps(&script) - before;
    // each peer is looked at once, with a step for 64 blocks that it does not have
    assert!(demanded < (5000 / 64 + 5) * PEERS, "{demanded} steps");
    // from then on each event concerns one peer
    let before = steps(&script);
    for at in 0..1000 {
        script.receive_from(PeerId(at % PEERS), range(20 * at, 1));
    }
    let each = (steps(&script) - before) / 1000;
    assert!(each < 5000 / 64 + 20, "{each} steps for an event");
    // a block that came is told to those who lack it, and to nobody twice
    let outputs = script.publish(9_999..10_000);
    let told = outputs.iter().filter(
        |output| matches!(output, Output::Send { message, .. } if *message == range(9_999, 1)),
    );
    assert_eq!(told.count() as u64, PEERS - 1);
}
