//! A writer beside the collector, both in virtual time: what the throttle holds to, whoever is the faster.
//!
//! The engine is the real one, on a disk in memory and without threads. Whatever the collector read or wrote
//! takes the time that a modelled device takes for it, and the writer goes on meanwhile as far as it may.

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hc_merkle::{BlockIndex, CoreKey, DiscoveryKey, Draft};

use super::core::CoreHandle;
use super::state::Core;
use super::throttle::Turn;
use super::{Engine, StoreOptions};
use crate::batch::Batch;
use crate::durability::Durability;
use crate::fault::FaultDisk;
use crate::record::{Auth, CoreRecord};
use crate::store::{CoreRead, CoreStore, Store};

type Outcome = Result<(), Box<dyn Error>>;

const MIB: u64 = 1 << 20;

/// Bytes that are stored at any time.
const STORED: u64 = 4 * MIB;

/// Bytes that are appended at once, and then as many cleared.
const BATCH: u64 = 160 << 10;

/// How often it does: three times as much as is stored goes through the store.
const ROUNDS: u64 = 3 * STORED / BATCH;

/// Bytes a second that the writer would like to write.
const WRITER: u64 = 400 * MIB;

/// Appends blocks, clears others from any place, and waits as it is told to.
struct Writer {
    handle: CoreHandle,
    len: u64,
    live: Vec<u64>,
    dice: u64,
    left: u64,
    begun: Instant,
    /// Since then, when it will be done with what it does.
    at: Duration,
    turn: Option<Turn>,
    index: u64,
}

impl Writer {
    fn new(core: &dyn CoreStore, len: u64) -> Result<Self, Box<dyn Error>> {
        let handle = core.as_any().downcast_ref::<CoreHandle>();
        let mut writer = Self {
            handle: handle.ok_or("another engine's")?.clone(),
            len,
            live: Vec::new(),
            dice: 1,
            left: ROUNDS,
            begun: Instant::now(),
            at: Duration::ZERO,
            turn: None,
            index: 0,
        };
        for _ in 0..STORED / (BATCH / len * len) {
            writer.append()?;
        }
        Ok(writer)
    }

    fn engine(&self) -> &Arc<Engine> {
        &self.handle.engine
    }

    fn block(&self, at: u64) -> Bytes {
        Bytes::from(vec![
            at.to_le_bytes()[0];
            usize::try_from(self.len).unwrap_or(0)
        ])
    }

    /// What a commit does, but for its waiting.
    fn commit(&self, batch: Batch) -> Outcome {
        let placed = Core::writing(&[&self.handle.core], || {
            let commit = self.handle.prepare(batch)?;
            self.engine().commit(vec![commit], Durability::Os)
        })?;
        self.engine().relieve()?;
        Ok(self.engine().ticket(&placed, Durability::Os).wait()?)
    }

    fn append(&mut self) -> Outcome {
        let head = self.handle.head()?;
        let (start, mut draft) = (head.length().get(), Draft::new(&head));
        let blocks = start..start + BATCH / self.len;
        draft.append(blocks.clone().map(|at| self.block(at)))?;
        self.live.extend(blocks);
        self.commit(Batch::from_change(&draft.seal_unsigned()))
    }

    fn clear(&mut self) -> Outcome {
        let mut batch = Batch::new();
        for _ in 0..BATCH / self.len {
            let dice = self.dice.wrapping_mul(6_364_136_223_846_793_005);
            self.dice = dice.wrapping_add(1);
            let at = usize::try_from(self.dice >> 33)? % self.live.len();
            let block = self.live.swap_remove(at);
            batch.clear(BlockIndex::new(block)..BlockIndex::new(block + 1));
        }
        self.commit(batch)
    }

    /// Whether all that is stored is what it was.
    fn check(&self) -> Outcome {
        for index in &self.live {
            let stored = self.handle.block(BlockIndex::new(*index))?;
            assert!(stored == Some(self.block(*index)), "block {index}");
        }
        Ok(())
    }

    /// How long it is held back before its next batch, or until it looks again.
    fn wait(&mut self) -> Duration {
        let (engine, now) = (Arc::clone(self.engine()), self.begun + self.at);
        match self.turn {
            None => self.turn = engine.enter(BATCH, now),
            Some(_) => engine.look_around(now),
        }
        self.turn
            .map_or(Duration::ZERO, |turn| engine.throttle.wait(&turn, now))
    }

    /// Goes on until a moment, or until it has nothing left to do.
    fn go_on(&mut self, until: Duration) -> Outcome {
        while self.left > 0 && self.at < until {
            let wait = self.wait();
            if !wait.is_zero() {
                self.at += wait;
                continue;
            }
            self.turn = None;
            self.append()?;
            self.clear()?;
            self.at += time_of(BATCH, WRITER);
            self.left -= 1;
            self.index = self.index.max(self.engine().index.size()?);
        }
        Ok(())
    }
}

fn time_of(bytes: u64, rate: u64) -> Duration {
    Duration::from_nanos(bytes * 1_000_000_000 / rate)
}

fn record() -> CoreRecord {
    CoreRecord {
        discovery_key: DiscoveryKey([1; 32]),
        auth: Auth::reader(CoreKey([2; 32])),
        alias: None,
    }
}

fn options() -> StoreOptions {
    let options = StoreOptions::default().create(true).background(false);
    let options = options.segment_len(1 << 20).checkpoint_every(5000, 1 << 20);
    // where it is not urgent it takes its time; that is another test's
    options.collect_rate(u64::MAX)
}

/// Has the writer do all that it has left, beside a collector that reads and writes so many bytes a second.
fn run(writer: &mut Writer, rate: u64) -> Outcome {
    let engine = Arc::clone(writer.engine());
    let asked = engine.collector.attend();
    while writer.left > 0 {
        if asked.try_recv().is_err() {
            writer.go_on(writer.at + Duration::from_nanos(1))?;
            continue;
        }
        let (begun, mut failed) = (writer.at, None);
        engine.collector.run(&engine, &mut |done| {
            let gone_on = writer.go_on(begun + time_of(done, rate));
            failed = failed.take().or(gone_on.err());
        });
        if let Some(error) = failed {
            return Err(error);
        }
    }
    Ok(())
}

/// Bytes a second that the writer came to.
fn speed(writer: &Writer) -> f64 {
    (ROUNDS * BATCH) as f64 / writer.at.as_secs_f64()
}

#[test]
fn never_twice_what_is_stored_however_slow_the_collector_is() -> Outcome {
    for (len, holes) in [
        (4 << 10, true),
        (4 << 10, false),
        (40 << 10, true),
        (40 << 10, false),
    ] {
        for rate in [400 * MIB, 40 * MIB] {
            let disk = FaultDisk::new();
            if !holes {
                disk.refuse_holes();
            }
            let store = disk.open(options())?;
            let core = store.create_core(record())?;
            let mut writer = Writer::new(&*core, len)?;
            run(&mut writer, rate)?;
            let live = store.usage()?.live;
            assert_eq!(live, writer.live.len() as u64 * len);
            let most = (disk.peak() + writer.index) as f64 / live as f64;
            let what = format!("{len} bytes, holes {holes}, {rate} a second");
            assert!(most < 1.9, "{what}: {most}");
            // it is held back no more than it has to be
            let speed = speed(&writer);
            assert!(speed > rate as f64 / 2.0, "{what}: {speed}");
            writer.check()?;
        }
    }
    Ok(())
}

/// What a branch shares or a snapshot shows stays for as long as they do: no append waits for that.
#[test]
fn what_cannot_be_given_back_stops_nobody() -> Outcome {
    for shared in [true, false] {
        let disk = FaultDisk::new();
        let store = disk.open(options())?;
        let core = store.create_core(record())?;
        let mut writer = Writer::new(&*core, 4 << 10)?;
        let snapshot = (!shared).then(|| core.snapshot()).transpose()?;
        if shared {
            core.create_branch("kept", &core.head()?)?;
        }
        run(&mut writer, 40 * MIB)?;
        let usage = store.usage()?;
        assert!(usage.log > usage.live * 19 / 10, "{usage:?}");
        let speed = speed(&writer);
        assert!(speed > 40.0 * MIB as f64, "shared {shared}: {speed}");
        writer.check()?;
        drop(snapshot);
    }
    Ok(())
}
