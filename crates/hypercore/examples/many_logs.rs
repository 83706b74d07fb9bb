//! What many logs in one store cost: `cargo run --release --example many_logs -- PHASE DIR COUNT`, with
//! the phases `create`, `open` and `replicate`, in this order, each in a process of its own. Prints a line
//! of JSON. `cargo xtask many-logs` runs them beside the reference.

// What it measures is what it prints.
#![allow(clippy::print_stdout)]

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, bail, ensure};
use async_std::os::unix::net::UnixStream;
use async_std::task;
use hypercore::{Corestore, Role, Storage};

/// Blocks in each log, and bytes in each block.
const BLOCKS: u64 = 10;
const BLOCK: &[u8] = &[7; 100];
/// Logs that are fetched at a time.
const AT_ONCE: usize = 64;

fn main() -> anyhow::Result<()> {
    let mut words = std::env::args().skip(1);
    let mut word = || words.next().context("PHASE DIR COUNT");
    let (phase, dir, count) = (word()?, PathBuf::from(word()?), word()?.parse()?);
    task::block_on(async {
        match phase.as_str() {
            "create" => create(&dir, count).await,
            "open" => open(&dir, count).await,
            "replicate" => replicate(&dir, count).await,
            other => bail!("there is no phase {other}"),
        }
    })
}

async fn create(dir: &Path, count: usize) -> anyhow::Result<()> {
    let begun = Instant::now();
    let store = Corestore::open(Storage::disk(dir.join("full"))).await?;
    for at in 0..count {
        let log = store.get(format!("log-{at}")).await?;
        log.append_batch((0..BLOCKS).map(|_| BLOCK)).await?;
        log.close().await?;
    }
    store.close().await?;
    say(begun, 0, &dir.join("full"))
}

/// Opens all logs, and holds them open.
async fn open(dir: &Path, count: usize) -> anyhow::Result<()> {
    let store = Corestore::open(Storage::disk(dir.join("full"))).await?;
    let before = resident()?;
    let begun = Instant::now();
    let mut logs = Vec::with_capacity(count);
    for at in 0..count {
        logs.push(store.get(format!("log-{at}")).await?);
    }
    ensure!(logs.iter().all(|log| log.length().get() == BLOCKS));
    let memory = resident()?.saturating_sub(before);
    say(begun, memory, &dir.join("full"))?;
    Ok(store.close().await?)
}

/// All logs to an empty store, over one connection; they are open on the side that fetches.
async fn replicate(dir: &Path, count: usize) -> anyhow::Result<()> {
    let from = Corestore::open(Storage::disk(dir.join("full"))).await?;
    let to = Corestore::open(Storage::disk(dir.join("copy"))).await?;
    let keys: Vec<_> = from.list()?.into_iter().map(|core| core.key).collect();
    ensure!(keys.len() == count);
    let before = resident()?;
    let begun = Instant::now();
    let (left, right) = UnixStream::pair()?;
    task::spawn(from.replicate(left, Role::Responder));
    task::spawn(to.replicate(right, Role::Initiator));
    let mut logs = Vec::with_capacity(count);
    for some in keys.chunks(AT_ONCE) {
        let fetches: Vec<_> = some.iter().map(|key| fetch(&to, *key)).collect();
        for fetch in fetches {
            logs.push(fetch.await?);
        }
    }
    ensure!(
        logs.iter()
            .all(|log| log.contiguous_length().get() == BLOCKS)
    );
    let memory = resident()?.saturating_sub(before);
    say(begun, memory, &dir.join("copy"))?;
    to.close().await?;
    Ok(from.close().await?)
}

fn fetch(
    to: &Corestore,
    key: hypercore::CoreKey,
) -> task::JoinHandle<anyhow::Result<hypercore::Hypercore>> {
    let to = to.clone();
    task::spawn(async move {
        let log = to.get(key).await?;
        log.download(..BLOCKS).await?;
        Ok(log)
    })
}

fn say(begun: Instant, memory: u64, dir: &Path) -> anyhow::Result<()> {
    let seconds = begun.elapsed().as_secs_f64();
    println!(
        "{}",
        serde_json::json!({
            "seconds": seconds,
            "cpu": cpu_seconds()?,
            "memory": memory,
            "disk": size(dir)?,
        })
    );
    Ok(())
}

/// Seconds that all processors together have spent on the process.
fn cpu_seconds() -> anyhow::Result<f64> {
    /// Clock ticks a second in `/proc`, fixed by the kernel's interface.
    const TICKS: f64 = 100.0;
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    // After the name, which may hold anything: state, ten numbers, then user and system time.
    let (_, fields) = stat.rsplit_once(')').context("no name")?;
    let ticks = fields.split_whitespace().skip(11).take(2);
    let ticks: Vec<f64> = ticks.map(str::parse).collect::<Result<_, _>>()?;
    Ok(ticks.iter().sum::<f64>() / TICKS)
}

/// Bytes of memory that the process has.
fn resident() -> anyhow::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1));
    Ok(kib.context("no VmRSS")?.parse::<u64>()? * 1024)
}

/// Bytes that a folder takes on the disk.
fn size(dir: &Path) -> anyhow::Result<u64> {
    use std::os::unix::fs::MetadataExt;
    let mut total = 0;
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let meta = entry.metadata()?;
        total += if meta.is_dir() {
            size(&entry.path())?
        } else {
            meta.blocks() * 512
        };
    }
    Ok(total)
}
