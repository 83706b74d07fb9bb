//! A writer, readers, connections and demands; what happens to them, as the seed has it.

use std::time::{Duration, Instant};

use bytes::Bytes;
use hc_storage::fault::Survival;
use hc_testkit::sim::{Plug, Relay, Sim, Task, Vices, link};
use hypercore::{
    CoreKey, DownloadError, Ended, GetError, KeyPair, ReplicateError, Role, UpdateError,
};

use crate::check;
use crate::node::{Identity, Node};
use crate::oracle::Oracle;

/// Connections at a time, the cut ones not counted.
const MAX_LINKS: usize = 6;
/// Virtual time within which everything has to come, once it is quiet.
const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) struct World {
    sim: Sim,
    nodes: Vec<Node>,
    links: Vec<Connection>,
    demands: Vec<Demand>,
    oracle: Oracle,
    key: CoreKey,
    trace: Vec<String>,
    /// Whether it tells what happens while it happens.
    loud: bool,
    seen: Seen,
}

/// How often something came about, to tell that the world is as bad as it should be.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Connections that ended because the remote lied.
    pub(crate) liars: u64,
    pub(crate) restarts: u64,
    pub(crate) cuts: u64,
    /// Blocks, ranges and updates that came.
    pub(crate) met: u64,
}

struct Connection {
    ends: [usize; 2],
    plug: Plug,
    sides: Vec<Task<Result<Ended, ReplicateError>>>,
    /// The liar in between.
    relay: Option<Task<()>>,
}

/// Something that a node waits for.
struct Demand {
    node: usize,
    what: Wanted,
}

enum Wanted {
    /// Which, the fork and length that the node was on when it asked, and the wait.
    Block(u64, (u64, u64), Task<Result<Bytes, GetError>>),
    Range(u64, u64, Task<Result<(), DownloadError>>),
    Update(Task<Result<bool, UpdateError>>),
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let sim = Sim::new(seed);
        let epoch = Instant::now();
        let pair = KeyPair::from_seed(&[7; 32]);
        let writer = Node::new(&sim, epoch, Identity::Writer(pair));
        let key = writer.log.key();
        let mut nodes = vec![writer];
        for _ in 0..1 + sim.below(3) {
            nodes.push(Node::new(&sim, epoch, Identity::Reader(key)));
        }
        Self {
            sim,
            nodes,
            links: Vec::new(),
            demands: Vec::new(),
            oracle: Oracle::new(),
            key,
            trace: Vec::new(),
            loud: std::env::var_os("HC_SIM_SEED").is_some(),
            seen: Seen::default(),
        }
    }

    /// What happened, to compare two runs of one seed by.
    pub(crate) fn trace(mut self) -> (Vec<String>, Seen) {
        (std::mem::take(&mut self.trace), self.seen)
    }

    #[allow(clippy::print_stdout)] // where one seed is looked at
    fn note(&mut self, what: &str) {
        if self.loud {
            println!("{:?} {what}", self.sim.now());
        }
        self.trace.push(format!("{:?} {what}", self.sim.now()));
    }

    fn node(&self) -> usize {
        usize::try_from(self.sim.below(self.nodes.len() as u64)).unwrap_or(0)
    }

    fn reader(&self) -> usize {
        1 + usize::try_from(self.sim.below(self.nodes.len() as u64 - 1)).unwrap_or(0)
    }

    /// A while in which anything may go wrong.
    pub(crate) fn faults(&mut self) {
        for _ in 0..20 + self.sim.below(40) {
            self.step();
            let millis = if self.sim.chance(80) { 60 } else { 4_000 };
            let time = Duration::from_millis(self.sim.below(millis));
            self.sim.run_for(time);
            self.harvest();
            self.safety();
        }
    }

    fn safety(&mut self) {
        for node in &mut self.nodes {
            check::safety(node, &self.oracle);
        }
        let states: Vec<String> = self
            .nodes
            .iter()
            .map(|node| format!("{}/{}", node.log.count(..), node.log.length()))
            .collect();
        self.note(&states.join(" "));
    }

    fn step(&mut self) {
        match self.sim.below(100) {
            0..=12 => self.append(),
            13..=15 => self.truncate(),
            16..=17 => self.clear(),
            18..=32 => self.connect_any(),
            33..=48 => self.connect_through_a_liar(),
            49..=55 => self.cut(),
            56..=61 => self.disturb(),
            62..=83 => self.want(),
            84..=87 => self.give_up(),
            88..=93 => self.restart(),
            _ => {}
        }
    }

    fn append(&mut self) {
        let many = if self.sim.chance(80) { 8 } else { 80 };
        let blocks = self.oracle.blocks(1 + self.sim.below(many));
        self.note(&format!("append {}", blocks.len()));
        let append = self.nodes[0].log.append_batch(blocks.clone());
        let appended = self.sim.run(PATIENCE, async move { append.await });
        appended.expect("an append ends").expect("a disk with room");
        self.oracle.append(blocks);
    }

    fn truncate(&mut self) {
        let length = self.sim.below(self.oracle.length() + 1);
        self.note(&format!("truncate to {length}"));
        let log = self.nodes[0].log.clone();
        let cut = self
            .sim
            .run(PATIENCE, async move { log.truncate(length).await });
        cut.expect("a truncation ends").expect("a disk with room");
        self.oracle.truncate(length);
        self.seen.cuts += 1;
    }

    /// A reader forgets blocks; the writer has them still.
    fn clear(&mut self) {
        let node = self.reader();
        let start = self.sim.below(self.oracle.length() + 1);
        let end = start + 1 + self.sim.below(20);
        self.note(&format!("clear {node} {start}..{end}"));
        let log = self.nodes[node].log.clone();
        let cleared = self
            .sim
            .run(PATIENCE, async move { log.clear(start..end).await });
        cleared.expect("a clear ends").expect("a disk with room");
        self.nodes[node]
            .checked
            .1
            .retain(|index| !(start..end).contains(index));
    }

    fn connect_any(&mut self) {
        let (a, b) = (self.node(), self.node());
        if a != b && self.links.len() < MAX_LINKS {
            let delay = Duration::from_millis(self.sim.below(80));
            self.connect(a, b, delay);
        }
    }

    fn connect(&mut self, a: usize, b: usize, delay: Duration) {
        self.note(&format!("connect {a} {b} {delay:?}"));
        let (ours, theirs, plug) = link(&self.sim, delay);
        let sides = vec![
            self.sim
                .spawn(self.nodes[a].log.replicate(ours, Role::Initiator)),
            self.sim
                .spawn(self.nodes[b].log.replicate(theirs, Role::Responder)),
        ];
        self.links.push(Connection {
            ends: [a, b],
            plug,
            sides,
            relay: None,
        });
    }

    /// A reader connects to somebody who passes on what another node says, or something else.
    fn connect_through_a_liar(&mut self) {
        let (victim, source) = (self.reader(), self.node());
        if victim == source || self.links.len() >= MAX_LINKS {
            return;
        }
        let sim = self.sim.clone();
        let some = |percent: u64| {
            if sim.chance(40) {
                sim.below(percent)
            } else {
                0
            }
        };
        let vices = Vices {
            corrupt: some(30),
            withhold: some(50),
            refuse: some(50),
            boast: some(30),
            replay: some(10),
            intrude: some(10),
            pester: some(10),
        };
        self.note(&format!("connect {victim} to {source} through {vices:?}"));
        let (ours, near, plug) = link(&sim, Duration::from_millis(sim.below(20)));
        let (far, theirs, _) = link(&sim, Duration::from_millis(sim.below(20)));
        let relay = Relay::new(&sim, self.key, far, near, vices);
        let sides = vec![
            sim.spawn(self.nodes[victim].log.replicate(ours, Role::Initiator)),
            sim.spawn(self.nodes[source].log.replicate(theirs, Role::Responder)),
        ];
        self.links.push(Connection {
            ends: [victim, source],
            plug,
            sides,
            relay: Some(sim.spawn(relay.run())),
        });
    }

    fn pick(&self) -> Option<usize> {
        let links = self.links.len() as u64;
        (links > 0).then(|| usize::try_from(self.sim.below(links)).unwrap_or(0))
    }

    fn cut(&mut self) {
        if let Some(at) = self.pick() {
            self.note(&format!("cut {:?}", self.links[at].ends));
            self.links.remove(at).plug.cut();
        }
    }

    /// One direction of a connection is late, or dead without anybody being told.
    fn disturb(&mut self) {
        let Some(at) = self.pick() else { return };
        let direction = usize::from(self.sim.chance(50));
        let dead = self.sim.chance(30);
        self.note(&format!(
            "disturb {:?} {direction} dead {dead}",
            self.links[at].ends
        ));
        if dead {
            self.links[at].plug.deaden(direction);
        } else {
            let late = Duration::from_millis(self.sim.below(15_000));
            self.links[at].plug.stall(direction, self.sim.now() + late);
        }
    }

    fn want(&mut self) {
        let node = self.reader();
        let log = self.nodes[node].log.clone();
        let length = self.oracle.length();
        let at = (log.fork().get(), log.length().get());
        let what = match self.sim.below(10) {
            0..=5 => {
                let index = self.sim.below(length + 4);
                self.note(&format!("get {node} {index}"));
                let get = self.sim.spawn(async move { log.get(index).await });
                Wanted::Block(index, at, get)
            }
            6..=7 => {
                let start = self.sim.below(length + 1);
                let end = start + 1 + self.sim.below(40);
                let linear = self.sim.chance(50);
                self.note(&format!("download {node} {start}..{end} linear {linear}"));
                let task = self.sim.spawn(async move {
                    let download = log.download(start..end);
                    if linear {
                        download.linear().await
                    } else {
                        download.await
                    }
                });
                Wanted::Range(start, end, task)
            }
            _ => {
                self.note(&format!("update {node}"));
                Wanted::Update(self.sim.spawn(async move { log.update().await }))
            }
        };
        self.demands.push(Demand { node, what });
    }

    fn give_up(&mut self) {
        if !self.demands.is_empty() {
            let at = usize::try_from(self.sim.below(self.demands.len() as u64)).unwrap_or(0);
            let demand = self.demands.swap_remove(at);
            self.note(&format!("give up at {}", demand.node));
            demand.cancel();
        }
    }

    /// A process dies and starts again; only a reader's power goes, for a writer that has not synced
    /// must not go on after that.
    fn restart(&mut self) {
        let at = self.node();
        let seed = self.sim.below(u64::MAX);
        let power = !self.nodes[at].is_writer() && self.sim.chance(50);
        self.note(&format!("restart {at} power {power}"));
        self.demands.retain(|demand| {
            let stays = demand.node != at;
            if !stays {
                demand.cancel();
            }
            stays
        });
        self.links.retain(|link| {
            let stays = !link.ends.contains(&at);
            if !stays {
                link.end();
            }
            stays
        });
        let survival = if power {
            Survival::Power(seed)
        } else {
            Survival::Process(seed)
        };
        self.nodes[at].restart(&self.sim, survival);
        self.seen.restarts += 1;
    }

    /// Takes in what has come.
    fn harvest(&mut self) {
        let before = self.demands.len();
        let oracle = &self.oracle;
        let nodes = &self.nodes;
        self.demands.retain(|demand| {
            let fork = nodes[demand.node].log.fork().get();
            !demand.is_met(oracle, fork)
        });
        self.seen.met += (before - self.demands.len()) as u64;
        for side in self.links.iter().flat_map(|link| &link.sides) {
            if let Some(Err(error)) = side.take() {
                self.seen.liars += u64::from(error.is_remotes_fault());
                self.trace.push(format!("  {error}"));
            }
        }
    }

    /// No more faults: readers are connected to the writer and some to each other.
    pub(crate) fn quiet(&mut self) {
        self.note("quiet");
        for link in self.links.drain(..) {
            link.end();
        }
        self.sim.run_for(Duration::from_millis(1));
        while self.oracle.length() < self.farthest().max(1) {
            self.append();
        }
        for node in 1..self.nodes.len() {
            let delay = Duration::from_millis(1 + self.sim.below(30));
            self.connect(node, 0, delay);
            if node > 1 && self.sim.chance(50) {
                self.connect(node, node - 1, delay);
            }
        }
        let end = self.sim.now() + PATIENCE;
        while self.sim.now() < end && !(self.demands.is_empty() && self.is_even()) {
            self.sim.run_for(Duration::from_millis(500));
            self.harvest();
        }
        self.safety();
        let waits: Vec<String> = self.demands.iter().map(Demand::name).collect();
        assert!(waits.is_empty(), "still waits: {waits:?}");
        assert!(self.is_even(), "not all have the same length");
        for node in &mut self.nodes {
            check::audit(node, &self.oracle);
        }
    }

    fn farthest(&self) -> u64 {
        let ends = self.demands.iter().map(|demand| match &demand.what {
            Wanted::Block(index, ..) => index + 1,
            Wanted::Range(_, end, _) => *end,
            Wanted::Update(_) => 0,
        });
        ends.max().unwrap_or(0)
    }

    /// Whether everybody knows of the same log.
    fn is_even(&self) -> bool {
        let at = |node: &Node| (node.log.fork().get(), node.log.length().get());
        let writer = (self.oracle.fork(), self.oracle.length());
        self.nodes.iter().all(|node| at(node) == writer)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.links.clear();
        self.demands.clear();
        self.nodes.clear();
        self.sim.end();
    }
}

impl Connection {
    fn end(&self) {
        self.plug.cut();
        self.sides.iter().for_each(Task::cancel);
        self.relay.iter().for_each(Task::cancel);
    }
}

impl Demand {
    fn cancel(&self) {
        match &self.what {
            Wanted::Block(_, _, task) => task.cancel(),
            Wanted::Range(_, _, task) => task.cancel(),
            Wanted::Update(task) => task.cancel(),
        }
    }

    /// Whether it has ended; and ended well. The node is on that fork by now.
    fn is_met(&self, oracle: &Oracle, now: u64) -> bool {
        match &self.what {
            Wanted::Block(index, (fork, length), task) => task.take().is_some_and(|got| {
                let forks = *fork..=now;
                if matches!(got, Err(GetError::Truncated { .. })) {
                    assert!(
                        index < length,
                        "block {index} was not there, and is said to be cut"
                    );
                    assert!(oracle.was_cut(*index, forks), "block {index} was not cut");
                    return true;
                }
                let block = got.expect("a block that comes, or none yet");
                assert!(
                    oracle.knows(*index, &block, forks.clone()),
                    "block {index} was not written on forks {forks:?}"
                );
                true
            }),
            Wanted::Range(_, _, task) => task.take().is_some_and(|done| {
                done.expect("a range that comes");
                true
            }),
            Wanted::Update(task) => task.take().is_some_and(|done| {
                done.expect("an update that ends");
                true
            }),
        }
    }

    fn name(&self) -> String {
        match &self.what {
            Wanted::Block(index, ..) => format!("block {index} at {}", self.node),
            Wanted::Range(start, end, _) => format!("range {start}..{end} at {}", self.node),
            Wanted::Update(_) => format!("update at {}", self.node),
        }
    }
}
