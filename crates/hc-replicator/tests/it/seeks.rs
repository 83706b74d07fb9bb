//! Where a byte lies, asked of peers.

use std::time::Duration;

use hc_merkle::proof::Proof;
use hc_merkle::{ByteOffset, Fork, Length, Seek as Walk, Sought};
use hc_protocol::message::{Data, Message, NoData, NoDataReason, Range};
use hc_replicator::{Demand, DemandId, Input, Outcome, PeerId, PeerInfo, Reply, Seek};

use crate::download::{span, writer_and_reader};
use crate::log::{Log, index};
use crate::script::{Script, effects, requests, resolved, sent, sync};
use crate::world::World;

/// What a caller does: looks, asks for what is lacking, looks again.
struct Seeker {
    node: usize,
    bytes: u64,
    demand: Option<DemandId>,
    demands: usize,
}

impl Seeker {
    fn new(node: usize, bytes: u64) -> Self {
        Self {
            node,
            bytes,
            demand: None,
            demands: 0,
        }
    }

    /// Where the byte is, once that is known.
    fn step(&mut self, world: &mut World) -> Option<(u64, u64)> {
        if let Some(demand) = self.demand {
            world.outcome(self.node, demand)?;
        }
        let log = &world.nodes[self.node].log;
        let bytes = ByteOffset::new(self.bytes);
        let at = (log.head.fork(), log.head.length());
        let blocks = match log.walk(Walk::new(&log.head, bytes, 0)) {
            Sought::Block { index, offset } => return Some((index.get(), offset)),
            Sought::Within { blocks } => blocks,
            Sought::Past => at.1.get()..at.1.get(),
        };
        let seek = Seek {
            bytes,
            padding: 0,
            blocks,
            at,
        };
        self.demands += 1;
        self.demand = Some(world.demand(self.node, Demand::Seek(seek)));
        None
    }

    fn run(&mut self, world: &mut World) -> Option<(u64, u64)> {
        for _ in 0..200 {
            if let Some(found) = self.step(world) {
                return Some(found);
            }
            world.run_for(Duration::from_millis(50));
        }
        None
    }
}

/// Where a byte is for sure.
fn truth(log: &Log, bytes: u64) -> (u64, u64) {
    let bytes = ByteOffset::new(bytes);
    match log.walk(Walk::new(&log.head, bytes, 0)) {
        Sought::Block { index, offset } => (index.get(), offset),
        other => panic!("{other:?}"),
    }
}

fn wants(world: &World, node: usize) -> usize {
    world.count(node, |message| {
        matches!(message, Message::Want(_) | Message::Unwant(_))
    })
}

#[test]
fn a_byte_is_found_with_two_questions_and_one_block() {
    for bytes in [1, 700, 9999, 12_000] {
        let mut world = writer_and_reader(1000);
        world.connect(0, 1);
        world.run();
        let mut seeker = Seeker::new(1, bytes);
        let found = seeker.run(&mut world);
        assert_eq!(found, Some(truth(&world.nodes[0].log, bytes)));
        assert!(seeker.demands <= 2, "{}", seeker.demands);
        assert!(world.nodes[1].log.blocks.len() <= 1);
        assert_eq!(wants(&world, 1), 0);
        assert_eq!(world.nodes[1].hangups, []);
    }
}

#[test]
fn those_who_look_for_one_byte_ask_once() {
    let asked = |seekers: usize| {
        let mut world = writer_and_reader(1000);
        world.connect(0, 1);
        world.run();
        let mut seekers: Vec<Seeker> = (0..seekers).map(|_| Seeker::new(1, 9999)).collect();
        for _ in 0..200 {
            let found: Vec<_> = seekers
                .iter_mut()
                .map(|seeker| seeker.step(&mut world))
                .collect();
            let known = truth(&world.nodes[0].log, 9999);
            if found.iter().all(|found| *found == Some(known)) {
                return world.count(1, |message| matches!(message, Message::Request(_)));
            }
            world.run_for(Duration::from_millis(50));
        }
        panic!("somebody never found it");
    };
    assert_eq!(asked(3), asked(1));
}

#[test]
fn a_byte_past_the_end_is_found_once_the_log_has_it() {
    let mut world = writer_and_reader(10);
    world.connect(0, 1);
    world.run();
    let bytes = world.nodes[0].log.head.byte_length().get() + 40;
    let mut seeker = Seeker::new(1, bytes);
    assert_eq!(seeker.step(&mut world), None);
    world.run();
    assert_eq!(seeker.step(&mut world), None);
    world.change(0, |log| log.append(100));
    let found = seeker.run(&mut world);
    assert_eq!(found, Some(truth(&world.nodes[0].log, bytes)));
}

#[test]
fn a_byte_is_looked_for_before_anything_is_known_of_the_log() {
    let mut world = writer_and_reader(300);
    let mut seeker = Seeker::new(1, 500);
    assert_eq!(seeker.step(&mut world), None);
    world.connect(0, 1);
    let found = seeker.run(&mut world);
    assert_eq!(found, Some(truth(&world.nodes[0].log, 500)));
}

#[test]
fn who_cannot_answer_seeks_is_asked_for_hashes() {
    let mut writer = Log::writer(1);
    writer.append(500);
    let reader = writer.reader();
    let mut world = World::new(vec![writer, reader]);
    world.connect_as(0, 1, PeerInfo::new(false));
    world.run();
    let mut seeker = Seeker::new(1, 3333);
    let found = seeker.run(&mut world);
    assert_eq!(found, Some(truth(&world.nodes[0].log, 3333)));
    let asked = world.count(
        1,
        |message| matches!(message, Message::Request(request) if request.want.seek.is_some()),
    );
    assert_eq!(asked, 0);
    assert!(seeker.demands <= 12, "{}", seeker.demands);
}

#[test]
fn a_peer_in_the_middle_with_one_block_tells_what_it_knows() {
    let mut writer = Log::writer(1);
    writer.append(100);
    let (relay, reader) = (writer.reader(), writer.reader());
    let mut world = World::new(vec![writer, relay, reader]);
    let source = world.connect(0, 1);
    world.demand(1, Demand::Block(index(41)));
    world.run();
    world.cut(source);
    world.connect(1, 2);
    world.run();
    let before = world.nodes[0].log.blocks.range(..41);
    let bytes = before.map(|(_, block)| block.len() as u64).sum::<u64>() + 3;
    let mut seeker = Seeker::new(2, bytes);
    let found = seeker.run(&mut world);
    assert_eq!(found, Some((41, 3)));
    assert!(wants(&world, 2) <= 3);

    // of what it does not know it says so, and nobody asks without end
    let mut lost = Seeker::new(2, 5);
    assert_eq!(lost.run(&mut world), None);
    assert!(wants(&world, 2) <= 6);
    assert!(world.count(2, |message| matches!(message, Message::Request(_))) < 20);
    assert_eq!(world.nodes[2].hangups, []);
    // until somebody comes who does
    world.connect(0, 2);
    assert_eq!(lost.run(&mut world), Some(truth(&world.nodes[0].log, 5)));
}

#[test]
fn a_byte_is_found_while_everything_is_downloaded() {
    let mut world = writer_and_reader(2000);
    world.connect_with(0, 1, Duration::from_millis(20), Duration::from_millis(1));
    world.demand(1, span(0, 2000));
    world.run_for(Duration::from_millis(300));
    let mut seeker = Seeker::new(1, 20_000);
    let found = seeker.run(&mut world);
    assert_eq!(found, Some(truth(&world.nodes[0].log, 20_000)));
    assert!(world.nodes[1].log.blocks.len() < 2000);
}

fn seek(blocks: std::ops::Range<u64>) -> Demand {
    Demand::Seek(Seek {
        bytes: ByteOffset::new(77),
        padding: 8,
        blocks,
        at: (Fork::ZERO, Length::new(64)),
    })
}

#[test]
fn a_seek_asks_for_a_hash_and_the_byte_with_its_padding() {
    let mut script = Script::with_peer(64, 0..0, 64);
    let (id, outputs) = script.demand(seek(0..64));
    let asked = requests(&outputs);
    assert_eq!(asked.len(), 1);
    let (hash, sought) = (asked[0].want.hash.unwrap(), asked[0].want.seek.unwrap());
    assert!(hash.index.is_leaf() && hash.nodes == 6);
    assert_eq!((sought.bytes.get(), sought.padding), (77, 8));
    assert_eq!(asked[0].priority, 1);
    // nobody waits any more: taken back
    let outputs = script.input(Input::Cancelled { id });
    assert!(matches!(sent(&outputs)[..], [Message::Cancel(_)]));
}

#[test]
fn who_refuses_a_byte_is_asked_for_a_hash_and_then_another_is() {
    let mut script = Script::with_peer(64, 0..0, 64);
    let refuse = |script: &mut Script, id| {
        let reason = NoDataReason::NotAvailable;
        script.receive(Message::NoData(NoData { id, reason }))
    };
    let (_, outputs) = script.demand(seek(0..64));
    let outputs = refuse(&mut script, requests(&outputs)[0].id);
    let second = requests(&outputs);
    assert!(second[0].want.hash.is_some() && second[0].want.seek.is_none());
    let outputs = refuse(&mut script, second[0].id);
    assert_eq!(requests(&outputs), []);
    let other = PeerId(2);
    script.open(other);
    script.receive_from(other, Message::Sync(sync(64, 64)));
    let all = Range {
        drop: false,
        start: 0,
        length: 64,
    };
    assert_eq!(
        requests(&script.receive_from(other, Message::Range(all))).len(),
        1
    );
    // who says nothing is passed over too
    assert_eq!(requests(&script.elapse(Duration::from_secs(5))), []);
}

#[test]
fn a_seek_that_is_answered_ends_and_one_that_is_stale_goes_on() {
    let mut script = Script::with_peer(64, 0..0, 64);
    let (id, outputs) = script.demand(seek(0..64));
    let asked = requests(&outputs)[0];
    let hash = hc_merkle::proof::HashProof {
        index: asked.want.hash.unwrap().index,
        nodes: Vec::new(),
    };
    let proof = Proof {
        hash: Some(hash),
        ..Proof::default()
    };
    let data = Message::Data(Data {
        id: asked.id,
        proof: proof.clone(),
    });
    let outputs = script.receive(data);
    let (ticket, _) = effects(&outputs)[0];
    let outputs = script.complete(ticket, Reply::Stale);
    let again = requests(&outputs)[0];
    assert!(again.want.seek.is_none());
    let hash = hc_merkle::proof::HashProof {
        index: again.want.hash.unwrap().index,
        nodes: Vec::new(),
    };
    let proof = Proof {
        hash: Some(hash),
        ..proof
    };
    let outputs = script.receive(Message::Data(Data {
        id: again.id,
        proof,
    }));
    let outputs = script.complete(effects(&outputs)[0].0, Reply::Applied);
    assert_eq!(resolved(&outputs), [(id, Outcome::Available)]);
    assert_eq!(script.elapse(Duration::from_secs(60)), []);
    // blocks that come by another way do it too
    let (id, _) = script.demand(seek(0..64));
    let outputs = script.publish(12..13);
    assert_eq!(resolved(&outputs), [(id, Outcome::Available)]);
    // and one who looked at another log has to look again
    let old = Demand::Seek(Seek {
        bytes: ByteOffset::new(77),
        padding: 0,
        blocks: 0..32,
        at: (Fork::ZERO, Length::new(32)),
    });
    let (id, outputs) = script.demand(old);
    assert_eq!(resolved(&outputs), [(id, Outcome::Upgraded)]);
}
