//! Random sequences of everything that can be done to a log by itself, against a plain list of blocks.
//!
//! Each sequence follows from its number. `HYPERCORE_MODEL=memory:17` or `disk:17` runs that one alone
//! and prints what it does.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use futures_lite::future::block_on;
use hc_storage::fault::{FaultDisk, Survival};
use hc_storage::{Durability, MemoryStore, Store, StoreOptions};
use hypercore::{GetError, Hypercore, Snapshot, Storage, TruncateError, UserDataError, Wait};

const SEED: [u8; 32] = [3; 32];
/// Sequences in memory, and on a disk that crashes: 10,000 together.
const IN_MEMORY: u64 = 8_500;
const ON_DISK: u64 = 1_500;
const STEPS: usize = 14;

#[test]
fn in_memory_as_a_list() {
    run_all("memory", IN_MEMORY, |seed| World::new(seed, None));
}

#[test]
fn on_a_disk_that_crashes_as_a_list() {
    run_all("disk", ON_DISK, |seed| {
        World::new(seed, Some(FaultDisk::new()))
    });
}

#[allow(clippy::print_stdout)] // the one that was asked for
fn run_all(engine: &str, count: u64, world: impl Fn(u64) -> World) {
    let chosen = std::env::var("HYPERCORE_MODEL").ok();
    let chosen = chosen.and_then(|one| one.strip_prefix(engine)?.strip_prefix(':')?.parse().ok());
    let seeds = chosen.map_or(0..count, |seed: u64| seed..seed + 1);
    for seed in seeds {
        let mut world = world(seed);
        for _ in 0..STEPS {
            block_on(world.step());
        }
        block_on(world.check());
        if chosen.is_some() {
            println!("{}", world.trace);
        }
    }
}

/// What a log has to be.
#[derive(Debug, Clone, Default)]
struct Model {
    fork: u64,
    /// Each block, and whether it is stored.
    blocks: Vec<(Vec<u8>, bool)>,
    user_data: BTreeMap<String, Vec<u8>>,
}

/// A snapshot, what it has to show, and how much of that the log still has.
struct Seen {
    snapshot: Snapshot,
    blocks: Vec<(Vec<u8>, bool)>,
    shared: usize,
}

struct World {
    seed: u64,
    random: u64,
    disk: Option<FaultDisk>,
    store: Arc<dyn Store>,
    level: Durability,
    handles: Vec<Hypercore>,
    snapshots: Vec<Seen>,
    model: Model,
    /// What was done so far.
    trace: String,
}

fn options() -> StoreOptions {
    let options = StoreOptions::default().create(true).background(false);
    options.segment_len(4 << 10).checkpoint_every(30, 4 << 10)
}

fn open_disk(disk: &FaultDisk) -> Arc<dyn Store> {
    Arc::new(disk.open(options()).unwrap())
}

fn open_log(store: &Arc<dyn Store>, level: Durability) -> Hypercore {
    let builder = Hypercore::builder(Storage::open(store.clone())).seed(&SEED);
    block_on(builder.durability(level).open()).unwrap()
}

impl World {
    fn new(seed: u64, disk: Option<FaultDisk>) -> Self {
        let store = match &disk {
            Some(disk) => open_disk(disk),
            None => Arc::new(MemoryStore::new()),
        };
        // The power may only go where everything was on the device before it was acknowledged.
        let level = if disk.is_some() && seed.is_multiple_of(5) {
            Durability::Disk
        } else {
            Durability::Os
        };
        Self {
            seed,
            random: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1,
            handles: vec![open_log(&store, level)],
            disk,
            store,
            level,
            snapshots: Vec::new(),
            model: Model::default(),
            trace: String::new(),
        }
    }

    fn below(&mut self, bound: usize) -> usize {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        usize::try_from((self.random >> 20) % bound.max(1) as u64).unwrap()
    }

    fn note(&mut self, what: std::fmt::Arguments<'_>) {
        writeln!(self.trace, "{what}").unwrap();
    }

    fn any_handle(&mut self) -> Hypercore {
        let at = self.below(self.handles.len());
        // A clone is a session like any other.
        self.handles[at].clone()
    }

    fn bytes(&mut self) -> Vec<u8> {
        let len = self.below(24);
        (0..len)
            .map(|_| self.below(256).try_into().unwrap())
            .collect()
    }

    async fn step(&mut self) {
        match self.below(20) {
            0..=6 => self.append().await,
            7..=9 => self.truncate().await,
            10..=11 => self.clear().await,
            12..=13 => self.set_user_data().await,
            14..=15 => self.snapshot(),
            16 => self.sessions().await,
            17 => self.reopen().await,
            _ => self.crash(),
        }
        self.glance();
    }

    async fn append(&mut self) {
        let count = [0, 1, 1, 2, 5, 9][self.below(6)];
        let blocks: Vec<Vec<u8>> = (0..count).map(|_| self.bytes()).collect();
        self.note(format_args!("append {count}"));
        let appended = self
            .any_handle()
            .append_batch(blocks.clone())
            .await
            .unwrap();
        self.model
            .blocks
            .extend(blocks.into_iter().map(|block| (block, true)));
        assert_eq!(
            appended.length.get(),
            self.model.blocks.len() as u64,
            "{self}"
        );
    }

    async fn truncate(&mut self) {
        let length = self.below(self.model.blocks.len() + 2);
        let more = [1, 1, 1, 4, 0][self.below(5)];
        let fork = self.model.fork + more;
        self.note(format_args!("truncate {length} on {fork}"));
        let done = self.any_handle().truncate(length as u64).fork(fork).await;
        if more == 0 {
            assert!(
                matches!(done, Err(TruncateError::ForkNotHigher { .. })),
                "{self}"
            );
        } else if length > self.model.blocks.len() {
            assert!(matches!(done, Err(TruncateError::Longer { .. })), "{self}");
        } else {
            assert_eq!(done.unwrap().length.get(), length as u64, "{self}");
            self.model.fork = fork;
            self.model.blocks.truncate(length);
            for seen in &mut self.snapshots {
                seen.shared = seen.shared.min(length);
            }
        }
    }

    async fn clear(&mut self) {
        let start = self.below(self.model.blocks.len() + 1);
        let end = start + self.below(8);
        self.note(format_args!("clear {start}..{end}"));
        let range = start as u64..end as u64;
        let cleared = self.any_handle().clear(range).diff().await.unwrap();
        let mut expected = (0, 0);
        for (block, stored) in self.model.blocks.iter_mut().take(end).skip(start) {
            if std::mem::take(stored) {
                expected = (expected.0 + 1, expected.1 + block.len() as u64);
            }
        }
        assert_eq!((cleared.blocks, cleared.bytes.get()), expected, "{self}");
    }

    async fn set_user_data(&mut self) {
        let key = ["a", "b", "c"][self.below(3)];
        let handle = self.any_handle();
        self.note(format_args!("user data {key}"));
        if self.below(3) == 0 {
            handle.remove_user_data(key).await.unwrap();
            self.model.user_data.remove(key);
        } else {
            let value = self.bytes();
            handle.set_user_data(key, value.clone()).await.unwrap();
            self.model.user_data.insert(key.to_owned(), value);
        }
    }

    fn snapshot(&mut self) {
        if self.snapshots.len() > 2 {
            let at = self.below(self.snapshots.len());
            self.note(format_args!("drop snapshot {at}"));
            self.snapshots.remove(at);
            return;
        }
        self.note(format_args!("snapshot"));
        let snapshot = self.any_handle().snapshot().unwrap();
        let blocks = self.model.blocks.clone();
        let shared = blocks.len();
        self.snapshots.push(Seen {
            snapshot,
            blocks,
            shared,
        });
    }

    async fn sessions(&mut self) {
        if self.handles.len() < 3 {
            self.note(format_args!("session"));
            let session = self.any_handle().session().open().unwrap();
            self.handles.push(session);
            return;
        }
        let at = self.below(self.handles.len());
        self.note(format_args!("close session {at}"));
        let closed = self.handles.remove(at);
        closed.close().await.unwrap();
        assert!(
            matches!(closed.get(0).await, Err(GetError::Closed)),
            "{self}"
        );
        let refused = closed.set_user_data("a", "b").await;
        assert!(matches!(refused, Err(UserDataError::Closed)), "{self}");
    }

    async fn reopen(&mut self) {
        self.note(format_args!("reopen"));
        self.snapshots.clear();
        let last = self.handles.pop().unwrap();
        last.close_all().await.unwrap();
        assert!(self.handles.iter().all(Hypercore::is_closed), "{self}");
        self.handles.clear();
        if let Some(disk) = &self.disk {
            self.store.close().unwrap();
            self.store = open_disk(disk);
        }
        self.handles.push(open_log(&self.store, self.level));
        self.check().await;
    }

    /// The process dies, or the power goes; nothing that was acknowledged may be missing.
    fn crash(&mut self) {
        let Some(disk) = &self.disk else { return };
        let luck = self.random;
        let image = disk.image(if self.level == Durability::Disk {
            Survival::Power(luck)
        } else {
            Survival::Process(luck)
        });
        self.note(format_args!("crash"));
        self.snapshots.clear();
        self.handles.clear();
        self.store = open_disk(&image);
        self.disk = Some(image);
        self.handles.push(open_log(&self.store, self.level));
        block_on(self.check());
    }

    /// What costs nothing to look at.
    fn glance(&mut self) {
        let log = self.any_handle();
        let blocks = &self.model.blocks;
        let bytes: usize = blocks.iter().map(|(block, _)| block.len()).sum();
        let contiguous = blocks.iter().take_while(|(_, stored)| *stored).count();
        let stored = blocks.iter().filter(|(_, stored)| *stored).count();
        let count = |count: usize| count as u64;
        let expected = [
            count(blocks.len()),
            self.model.fork,
            count(bytes),
            count(contiguous),
            count(stored),
        ];
        let state = log.state();
        let found = [
            state.length.get(),
            state.fork.get(),
            state.byte_length.get(),
            state.contiguous_length.get(),
            log.count(..),
        ];
        assert_eq!(found, expected, "{self}");
    }

    /// Everything.
    async fn check(&mut self) {
        self.glance();
        let log = self.any_handle();
        let mut offset = 0;
        for (index, (block, stored)) in (0..).zip(&self.model.blocks) {
            let found = log.get(index).wait(Wait::No).await;
            match found {
                Ok(found) => assert!(*stored && found == block, "block {index}: {self}"),
                Err(GetError::NotLocal { .. }) => assert!(!stored, "block {index}: {self}"),
                Err(error) => panic!("block {index}: {error}: {self}"),
            }
            assert_eq!(log.has(index..index + 1), *stored, "block {index}: {self}");
            // At the edges of empty blocks the shape of the tree decides.
            if block.len() > 1 {
                let found = log.seek_local(offset + 1).unwrap();
                assert_eq!((found.index.get(), found.offset), (index, 1), "{self}");
            }
            offset += block.len() as u64;
        }
        for key in ["a", "b", "c"] {
            let found = log.user_data(key).unwrap();
            let expected = self.model.user_data.get(key);
            assert_eq!(found.as_deref(), expected.map(Vec::as_slice), "{self}");
        }
        assert!(log.verify(|_| {}).unwrap().is_ok(), "{self}");
        for seen in &self.snapshots {
            seen.check(&self.model).await;
        }
    }
}

impl Seen {
    async fn check(&self, now: &Model) {
        let Self {
            snapshot, blocks, ..
        } = self;
        assert_eq!(snapshot.length().get(), blocks.len() as u64);
        assert_eq!(snapshot.signed_length().get(), self.shared as u64);
        for (index, (block, stored)) in blocks.iter().enumerate() {
            let found = snapshot.get(index as u64).wait(Wait::No).await;
            match found {
                Ok(found) => assert!(*stored && found == block, "block {index}"),
                Err(GetError::NotLocal { .. }) => {
                    assert!(!stored && index < self.shared, "block {index}");
                    assert!(!now.blocks[index].1, "block {index}");
                }
                Err(GetError::Truncated { .. }) => {
                    assert!(!stored && index >= self.shared, "block {index}");
                }
                Err(error) => panic!("block {index}: {error}"),
            }
        }
        let past = snapshot.get(blocks.len() as u64).await;
        assert!(matches!(past, Err(GetError::PastSnapshot { .. })));
    }
}

impl std::fmt::Display for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let engine = if self.disk.is_some() {
            "disk"
        } else {
            "memory"
        };
        writeln!(f, "HYPERCORE_MODEL={engine}:{}", self.seed)?;
        f.write_str(&self.trace)
    }
}
