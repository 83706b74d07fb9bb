//! Figures of the store, each beside a raw file write of the same bytes in the same run:
//! `cargo run --release -p hc-storage --example figures [blocks of the long log]`.
//!
//! Appends at each durability level, the slowest appends while checkpoints and collection go on, opening
//! after a clean and an unclean exit, space after churn, and a long log.

// An example talks to the person who runs it.
#![allow(clippy::print_stdout, clippy::cast_precision_loss)]

use std::error::Error;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hc_merkle::{BlockIndex, CoreKey, DiscoveryKey, Draft};
use hc_storage::{Auth, Batch, CoreRecord, CoreStore, DiskStore, Durability, Store, StoreOptions};

type Fallible<T> = Result<T, Box<dyn Error>>;

const NAME: DiscoveryKey = DiscoveryKey([1; 32]);

/// Bytes appended in each row.
const VOLUME: usize = 64 << 20;

/// How long a row may take where every append waits for the device.
const PATIENCE: Duration = Duration::from_secs(5);

fn main() -> Fallible<()> {
    let long = std::env::args()
        .nth(1)
        .map_or(Ok(1_000_000), |text| text.parse())?;
    let directory = tempfile::tempdir()?;
    appends(directory.path())?;
    stalls(&directory.path().join("stalls"))?;
    opening(&directory.path().join("opening"))?;
    churn(&directory.path().join("churn"))?;
    long_log(&directory.path().join("long"), long)
}

fn noise(len: usize) -> Bytes {
    let mut state = 1u64;
    let mut byte = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        state.to_le_bytes()[7]
    };
    (0..len).map(|_| byte()).collect::<Vec<_>>().into()
}

fn create(path: &Path) -> Fallible<(DiskStore, Arc<dyn CoreStore>)> {
    let store = DiskStore::open(path)?;
    let core = store.create_core(CoreRecord {
        discovery_key: NAME,
        auth: Auth::reader(CoreKey([2; 32])),
        alias: None,
    })?;
    Ok((store, core))
}

/// The next append, with its tree and without a signature: signing is another layer's.
fn next(core: &dyn CoreStore, blocks: &[Bytes]) -> Fallible<Batch> {
    let mut draft = Draft::new(&core.head()?);
    draft.append(blocks.iter().cloned())?;
    Ok(Batch::from_change(&draft.seal_unsigned()))
}

fn append(core: &dyn CoreStore, blocks: &[Bytes], level: Durability) -> Fallible<()> {
    Ok(core.commit(next(core, blocks)?, level)?.wait()?)
}

fn appends(path: &Path) -> Fallible<()> {
    println!("appends, blocks/s and ratio to a raw write; hashing is not counted");
    for (count, len) in [(1, 1 << 10), (16, 1 << 10), (1000, 1 << 10), (16, 64 << 10)] {
        let blocks = vec![noise(len); count];
        let bytes = blocks.concat();
        let rounds = VOLUME / bytes.len();
        for level in [Durability::Buffered, Durability::Os, Durability::Disk] {
            let file = File::create(path.join("raw"))?;
            let raw = rate(rounds, |round| {
                file.write_all_at(&bytes, (round * bytes.len()) as u64)?;
                if level == Durability::Disk {
                    file.sync_data()?;
                }
                Ok(Duration::ZERO)
            })?;
            let (store, core) = create(&path.join(format!("{count}-{len}-{level:?}")))?;
            let ours = rate(rounds, |_| {
                let begun = Instant::now();
                let batch = next(&*core, &blocks)?;
                let hashing = begun.elapsed();
                core.commit(batch, level)?.wait()?;
                Ok(hashing)
            })?;
            store.close()?;
            let (ours, raw) = (ours * count as f64, raw * count as f64);
            println!(
                "  {count:>4} x {len:>5} {level:?}: {ours:>9.0} of {raw:>9.0}, {:.2}",
                ours / raw
            );
        }
    }
    Ok(())
}

/// Rounds a second, without the time that each says was not its own.
fn rate(rounds: usize, mut round: impl FnMut(usize) -> Fallible<Duration>) -> Fallible<f64> {
    let begun = Instant::now();
    let mut other = Duration::ZERO;
    let mut done = 0;
    while done < rounds && begun.elapsed() < PATIENCE {
        other += round(done)?;
        done += 1;
    }
    Ok(done as f64 / (begun.elapsed() - other).as_secs_f64())
}

/// How long single appends take while checkpoints run and segments are finished and collected.
fn stalls(path: &Path) -> Fallible<()> {
    let (store, core) = create(path)?;
    let block = [noise(4 << 10)];
    let mut took = Vec::new();
    for round in 0..100_000u64 {
        let batch = next(&*core, &block)?;
        let begun = Instant::now();
        core.commit(batch, Durability::Os)?.wait()?;
        took.push(begun.elapsed());
        if round % 8192 == 8191 {
            let mut batch = Batch::new();
            batch.clear(BlockIndex::new(round - 8191)..BlockIndex::new(round - 100));
            core.commit(batch, Durability::Os)?.wait()?;
        }
    }
    took.sort();
    let at = |permille: usize| took.get((took.len() - 1) * permille / 1000).copied();
    println!(
        "one append of 4 KiB beside checkpoints and collection: p50 {:?}, p99 {:?}, p99.9 {:?}, longest {:?}",
        at(500).unwrap_or_default(),
        at(990).unwrap_or_default(),
        at(999).unwrap_or_default(),
        at(1000).unwrap_or_default()
    );
    Ok(store.close()?)
}

fn opening(path: &Path) -> Fallible<()> {
    let (store, core) = create(path)?;
    let blocks = vec![noise(256); 1000];
    for _ in 0..200 {
        append(&*core, &blocks, Durability::Os)?;
    }
    drop(core);
    store.close()?;
    drop(store);
    println!(
        "opening 200,000 blocks after a clean exit: {:?}",
        open(path)?
    );
    let store = StoreOptions::default().open(path)?;
    let core = store.open_core(&NAME)?.ok_or("gone")?;
    for _ in 0..20 {
        append(&*core, &blocks, Durability::Os)?;
    }
    // as if its process had died: nothing is brought to the index
    std::mem::forget((core, store));
    let copy = path.with_extension("unclean");
    std::process::Command::new("cp")
        .arg("-r")
        .arg(path)
        .arg(&copy)
        .status()?;
    println!(
        "and after an unclean one, 20,000 blocks later: {:?}",
        open(&copy)?
    );
    Ok(())
}

fn open(path: &Path) -> Fallible<Duration> {
    let begun = Instant::now();
    let store = StoreOptions::default().open(path)?;
    let core = store.open_core(&NAME)?.ok_or("gone")?;
    core.head()?;
    let took = begun.elapsed();
    drop(core);
    store.close()?;
    Ok(took)
}

fn churn(path: &Path) -> Fallible<()> {
    let (store, core) = create(path)?;
    let blocks = vec![noise(4 << 10); 1000];
    for round in 0..200u64 {
        append(&*core, &blocks, Durability::Os)?;
        if let Some(start) = (round * 1000).checked_sub(32_000) {
            let mut batch = Batch::new();
            batch.clear(BlockIndex::new(start)..BlockIndex::new(start + 1000));
            core.commit(batch, Durability::Os)?.wait()?;
        }
    }
    let at_once = store.usage()?;
    store.compact(&mut |_| {})?;
    let after = store.usage()?;
    println!(
        "800 MB appended, all but {} MB cleared: log {:.2} of that, {:.2} once compacted, index {:.2}",
        at_once.live / 1_000_000,
        at_once.log as f64 / at_once.live as f64,
        after.log as f64 / after.live as f64,
        after.index as f64 / after.live as f64
    );
    Ok(store.close()?)
}

fn long_log(path: &Path, blocks: u64) -> Fallible<()> {
    let (store, core) = create(path)?;
    let batch = vec![noise(16); 10_000];
    for _ in 0..blocks / 10_000 {
        append(&*core, &batch, Durability::Os)?;
    }
    drop(core);
    store.close()?;
    drop(store);
    let before = resident()?;
    let begun = Instant::now();
    let store = StoreOptions::default().open(path)?;
    let core = store.open_core(&NAME)?.ok_or("gone")?;
    let opened = begun.elapsed();
    let block = core
        .block(BlockIndex::new(blocks / 2))?
        .map(|bytes| bytes.len());
    let grown = resident()?.saturating_sub(before) >> 10;
    println!(
        "a log of {blocks} blocks opens in {opened:?} and takes {grown} KiB; one block of it: {block:?}"
    );
    Ok(())
}

/// Bytes of memory that this process has.
fn resident() -> Fallible<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1));
    Ok(kib.ok_or("VmRSS")?.parse::<u64>()? << 10)
}
