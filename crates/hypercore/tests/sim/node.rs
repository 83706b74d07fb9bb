//! One process: a store on a disk that can lose power, and the log in it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hc_storage::fault::{FaultDisk, Survival};
use hc_storage::{DiskStore, Store, StoreOptions};
use hc_testkit::sim::Sim;
use hypercore::{CoreKey, Durability, Hypercore, KeyPair, Storage};

use crate::runtime::SimRuntime;

/// Time within which opening ends.
const OPEN: Duration = Duration::from_secs(60);

/// Who a node is: it opens the same log each time.
#[derive(Clone)]
pub(crate) enum Identity {
    Writer(KeyPair),
    Reader(CoreKey),
}

pub(crate) struct Node {
    identity: Identity,
    runtime: SimRuntime,
    level: Durability,
    disk: FaultDisk,
    pub(crate) store: Arc<DiskStore>,
    pub(crate) log: Hypercore,
    /// Blocks that were compared with the oracle, on the fork that they were compared on.
    pub(crate) checked: (u64, BTreeSet<u64>),
}

impl Node {
    pub(crate) fn new(sim: &Sim, epoch: Instant, identity: Identity) -> Self {
        let wait = Duration::from_millis(1 + sim.below(20));
        let runtime = SimRuntime::new(sim, epoch, wait);
        let level = if sim.chance(30) {
            Durability::Disk
        } else {
            Durability::Os
        };
        let disk = FaultDisk::new();
        let (store, log) = open(sim, &disk, &identity, &runtime, level);
        Self {
            identity,
            runtime,
            level,
            disk,
            store,
            log,
            checked: (0, BTreeSet::new()),
        }
    }

    pub(crate) fn is_writer(&self) -> bool {
        matches!(self.identity, Identity::Writer(_))
    }

    /// The process dies, or the power goes, and it starts again. Everything that it ran has to have
    /// been dropped before.
    pub(crate) fn restart(&mut self, sim: &Sim, survival: Survival) {
        self.disk = self.disk.image(survival);
        let (store, log) = open(sim, &self.disk, &self.identity, &self.runtime, self.level);
        self.store = store;
        self.log = log;
        self.checked = (0, BTreeSet::new());
    }
}

fn open(
    sim: &Sim,
    disk: &FaultDisk,
    identity: &Identity,
    runtime: &SimRuntime,
    level: Durability,
) -> (Arc<DiskStore>, Hypercore) {
    let options = StoreOptions::default().create(true);
    let store = Arc::new(
        disk.open(options)
            .expect("a disk that was written to by us"),
    );
    let shared: Arc<dyn Store> = store.clone();
    let builder = Hypercore::builder(Storage::open(shared))
        .runtime(runtime.clone())
        .durability(level);
    let builder = match identity {
        Identity::Writer(pair) => builder.key_pair(pair.clone()),
        Identity::Reader(key) => builder.key(*key),
    };
    let opened = sim.run(OPEN, builder.open()).expect("opening ends");
    (store, opened.expect("a store that is whole"))
}
