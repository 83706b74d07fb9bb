//! Random runs: links come and go, demands are made and dropped, logs grow and lose blocks. Always:
//! only what was verified is stored, nothing is resolved twice. Once things are quiet: every demand
//! that can end has ended.

use std::time::Duration;

use hc_replicator::{Demand, DemandId, Input, Order, Outcome, PeerId, Span};
use proptest::prelude::*;

use crate::download::span;
use crate::log::{Log, index};
use crate::world::World;

#[derive(Debug, Clone)]
enum Step {
    Append(u64),
    Truncate(u64),
    Clear(u64, u64),
    Get(usize, u64),
    Download(usize, u64, u64, bool),
    List(usize, Vec<u64>),
    Update(usize),
    Drop(usize),
    Cut(usize),
    Connect(usize, usize, u64),
    Full(usize, usize, bool),
    Run(u64),
}

const NODES: usize = 4;

fn step() -> impl Strategy<Value = Step> {
    let node = 1..NODES;
    prop_oneof![
        (1..40_u64).prop_map(Step::Append),
        (0..60_u64).prop_map(Step::Truncate),
        (0..100_u64, 1..30_u64).prop_map(|(start, length)| Step::Clear(start, length)),
        (node.clone(), 0..150_u64).prop_map(|(node, block)| Step::Get(node, block)),
        (node.clone(), 0..100_u64, 1..100_u64, any::<bool>())
            .prop_map(|(node, start, length, linear)| Step::Download(node, start, length, linear)),
        (node.clone(), prop::collection::vec(0..120_u64, 1..10))
            .prop_map(|(node, blocks)| Step::List(node, blocks)),
        node.prop_map(Step::Update),
        (0..40_usize).prop_map(Step::Drop),
        (0..20_usize).prop_map(Step::Cut),
        (0..NODES, 0..NODES, 0..50_u64).prop_map(|(a, b, delay)| Step::Connect(a, b, delay)),
        (0..20_usize, 0..2_usize, any::<bool>())
            .prop_map(|(link, end, room)| Step::Full(link, end, room)),
        (0..100_u64).prop_map(Step::Run),
    ]
}

/// A world under way, and what is still waited for.
struct Run {
    world: World,
    waiting: Vec<(usize, DemandId, Vec<u64>)>,
    /// The log was cut: what was had may be gone.
    cut: bool,
}

impl Run {
    fn new() -> Self {
        let mut writer = Log::writer(1);
        writer.append(30);
        let readers = (1..NODES).map(|_| writer.reader()).collect();
        Self {
            world: World::new([vec![writer], readers].concat()),
            waiting: Vec::new(),
            cut: false,
        }
    }

    fn demand(&mut self, node: usize, what: Demand, blocks: Vec<u64>) {
        let id = self.world.demand(node, what);
        self.waiting.push((node, id, blocks));
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Append(count) => self.world.change(0, |log| log.append(count)),
            Step::Truncate(back) => {
                self.cut = true;
                let length = self.world.nodes[0].log.length().saturating_sub(back);
                self.world.change(0, |log| log.truncate(length));
                // a log of no blocks is not followed
                self.world.change(0, |log| log.append(1));
            }
            Step::Clear(start, length) => {
                let end = self.world.nodes[0].log.length();
                let range = start.min(end)..(start + length).min(end);
                self.world.change(0, |log| log.clear(range));
            }
            Step::Get(node, block) => self.demand(node, Demand::Block(index(block)), vec![block]),
            Step::Download(node, start, length, linear) => {
                let order = if linear {
                    Order::Linear
                } else {
                    Order::Scattered
                };
                let end = Some(index(start + length));
                let what = Demand::Span(Span {
                    start: index(start),
                    end,
                    order,
                });
                self.demand(node, what, (start..start + length).collect());
            }
            Step::List(node, blocks) => {
                let what = Demand::Blocks(blocks.iter().copied().map(index).collect());
                self.demand(node, what, blocks);
            }
            Step::Update(node) => self.demand(node, Demand::Upgrade, Vec::new()),
            Step::Drop(at) => {
                if at < self.waiting.len() {
                    let (node, id, _) = self.waiting.swap_remove(at);
                    self.world.input(node, Input::Cancelled { id });
                }
            }
            Step::Cut(link) => {
                if link < self.world.links.len() {
                    self.world.cut(PeerId(link as u64));
                }
            }
            Step::Connect(a, b, delay) => {
                if a != b {
                    let delay = Duration::from_millis(delay);
                    self.world.connect_with(a, b, delay, Duration::ZERO);
                }
            }
            Step::Full(link, end, room) => self.world.set_room(link, end, room),
            Step::Run(time) => self.world.run_for(Duration::from_millis(time)),
        }
        for node in &self.world.nodes {
            node.log.audit(&self.world.nodes[0].log);
        }
    }

    /// Everyone is connected to the writer, everything is there, and there is time.
    fn quiet(&mut self) {
        let links = self.world.links.len();
        for link in 0..links {
            self.world.set_room(link, 0, true);
            self.world.set_room(link, 1, true);
        }
        for node in 1..NODES {
            self.world.connect(0, node);
        }
        self.world.demand(0, span(0, 30));
        self.world.run_for(Duration::from_secs(60));
    }

    fn check(&self) {
        let writer = &self.world.nodes[0].log;
        for (node, id, blocks) in &self.waiting {
            let there = blocks.iter().all(|block| writer.has(*block));
            let outcome = self.world.outcome(*node, *id);
            if there {
                assert!(
                    outcome.is_some(),
                    "{id:?} of node {node} for {blocks:?} waits"
                );
            }
            if outcome == Some(Outcome::Available) && !self.cut {
                let held = &self.world.nodes[*node].log;
                assert!(blocks.iter().all(|block| held.has(*block)));
            }
        }
        for (at, node) in self.world.nodes.iter().enumerate() {
            assert_eq!(node.hangups, [], "node {at}");
            assert_eq!(node.log.head, writer.head, "node {at}");
        }
        for node in &self.world.nodes[1..] {
            // twice only where a copy was stored while the first answer, with a longer tree, arrived
            assert!(node.log.stored.values().all(|times| *times <= 2));
            let again = node
                .log
                .stored
                .values()
                .filter(|times| **times == 2)
                .count();
            assert!(again <= 1, "{again} blocks were stored twice");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn honest_peers_never_fall_out_and_every_demand_ends(
        steps in prop::collection::vec(step(), 1..40),
    ) {
        let mut run = Run::new();
        for step in steps {
            run.step(step);
        }
        run.quiet();
        run.check();
    }
}
