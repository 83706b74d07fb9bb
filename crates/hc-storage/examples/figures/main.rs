//! Figures of the store as tables in Markdown, each beside a raw file write of the same bytes in the same
//! run: `cargo run --release -p hc-storage --example figures [blocks of the longest log]`, or `appends`, `stalls`,
//! `churn [blocks that are stored]`, or `opening` and the blocks of one log for one part alone, of `appends` only
//! the rows with all words that follow.
//!
//! Appends at each durability level, the slowest appends while checkpoints and collection go on, opening
//! after a clean and an unclean exit, to read beside a writer, space after churn, many logs.

// An example talks to the person who runs it.
#![allow(clippy::print_stdout, clippy::cast_precision_loss)]

mod appends;

use std::error::Error;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hc_merkle::{BlockIndex, CoreKey, DiscoveryKey, Draft, Head};
use hc_storage::{
    Auth, Batch, CoreRecord, CoreStore, DiskStore, Durability, Store, StoreOptions, Usage,
};

use appends::appends;

type Fallible<T> = Result<T, Box<dyn Error>>;

const NAME: DiscoveryKey = DiscoveryKey([1; 32]);

fn main() -> Fallible<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // what is opened is opened by a process that has done nothing before
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["open", path, block] => return open(path.as_ref(), StoreOptions::default(), block),
        ["read", path, block] => {
            return open(path.as_ref(), StoreOptions::default().read_only(), block);
        }
        ["open-all", path] => return open_all(path.as_ref()),
        ["appends", ref words @ ..] => return appends(tempfile::tempdir()?.path(), words),
        ["opening", blocks] => {
            return opening(tempfile::tempdir()?.path(), &[blocks.parse()?]);
        }
        ["stalls"] => return stalls(&tempfile::tempdir()?.path().join("stalls")),
        ["churn"] => return churn(tempfile::tempdir()?.path(), STORED),
        ["churn", blocks] => return churn(tempfile::tempdir()?.path(), blocks.parse()?),
        _ => {}
    }
    let longest = arguments.first();
    let longest = longest.map_or(Ok(1_000_000), |text| text.parse())?;
    let directory = tempfile::tempdir()?;
    appends(directory.path(), &[])?;
    stalls(&directory.path().join("stalls"))?;
    let mut lengths = vec![100_000, 1_000_000, longest];
    lengths.sort_unstable();
    lengths.dedup();
    opening(directory.path(), &lengths)?;
    churn(directory.path(), STORED)?;
    many(&directory.path().join("many"))
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

fn record(discovery_key: DiscoveryKey) -> CoreRecord {
    CoreRecord {
        discovery_key,
        auth: Auth::reader(CoreKey([2; 32])),
        alias: None,
    }
}

fn create(path: &Path) -> Fallible<(DiskStore, Arc<dyn CoreStore>)> {
    let store = DiskStore::open(path)?;
    let core = store.create_core(record(NAME))?;
    Ok((store, core))
}

/// The next append, with its tree and without a signature: signing is another layer's.
fn next(core: &dyn CoreStore, blocks: &[Bytes]) -> Fallible<Batch> {
    Ok(after(&core.head()?, blocks)?.0)
}

/// The append after a head, and the head after that.
fn after(head: &Head, blocks: &[Bytes]) -> Fallible<(Batch, Head)> {
    let mut draft = Draft::new(head);
    draft.append(blocks.iter().cloned())?;
    let head = draft.head();
    Ok((Batch::from_change(&draft.seal_unsigned()), head))
}

fn append(core: &dyn CoreStore, blocks: &[Bytes], level: Durability) -> Fallible<()> {
    Ok(core.commit(next(core, blocks)?, level)?.wait()?)
}

fn clear(core: &dyn CoreStore, start: u64, end: u64) -> Fallible<()> {
    let mut batch = Batch::new();
    batch.clear(BlockIndex::new(start)..BlockIndex::new(end));
    Ok(core.commit(batch, Durability::Os)?.wait()?)
}

/// How long appends take while checkpoints run and segments are finished and collected.
fn stalls(path: &Path) -> Fallible<()> {
    println!("How long an append takes beside checkpoints, new segments and collection.\n");
    println!("| append of | p50 | p99 | p99.9 | longest |");
    println!("| --- | --- | --- | --- | --- |");
    for (len, rounds) in [(4 << 10, 100_000u64), (64 << 10, 10_000)] {
        let path = path.join(len.to_string());
        let (store, core) = create(&path)?;
        let (block, kept) = ([noise(len)], rounds / 10);
        let mut took = Vec::new();
        for round in 0..rounds {
            let batch = next(&*core, &block)?;
            let begun = Instant::now();
            core.commit(batch, Durability::Os)?.wait()?;
            took.push(begun.elapsed());
            if round % kept == kept - 1 {
                clear(&*core, round + 1 - kept, round - 100)?;
            }
        }
        store.close()?;
        fs::remove_dir_all(&path)?;
        print_quantiles(&format!("{} KiB", len >> 10), took);
    }
    println!();
    Ok(())
}

fn print_quantiles(what: &str, mut took: Vec<Duration>) {
    took.sort();
    let at = |permille: usize| {
        let at = (took.len().saturating_sub(1)) * permille / 1000;
        let took = took.get(at).copied().unwrap_or_default();
        format!("{:.3} ms", took.as_secs_f64() * 1e3)
    };
    println!(
        "| {what} | {} | {} | {} | {} |",
        at(500),
        at(990),
        at(999),
        at(1000)
    );
}

fn opening(path: &Path, lengths: &[u64]) -> Fallible<()> {
    println!(
        "Opening a store and a log of blocks of 16 bytes in it, and reading one from its middle.\n"
    );
    println!("| blocks | clean exit | 10,000 blocks later, unclean exit | to read |");
    println!("| --- | --- | --- | --- |");
    for &blocks in lengths {
        let path = path.join(format!("long-{blocks}"));
        let (store, core) = create(&path)?;
        let batch = vec![noise(16); 10_000];
        for _ in 0..blocks / 10_000 {
            append(&*core, &batch, Durability::Os)?;
        }
        drop(core);
        store.close()?;
        drop(store);
        let middle = (blocks / 2).to_string();
        let clean = in_new_process(&["open", text(&path)?, &middle])?;
        let reading = in_new_process(&["read", text(&path)?, &middle])?;
        let copy = path.with_extension("unclean");
        {
            let quiet = StoreOptions::default().background(false);
            let store = quiet.open(&path)?;
            let core = store.open_core(&NAME)?.ok_or("gone")?;
            append(&*core, &batch, Durability::Os)?;
            // as if the process died here: the copy has all that it wrote, and nothing was closed
            let copied = Command::new("cp")
                .arg("-r")
                .arg(&path)
                .arg(&copy)
                .status()?;
            if !copied.success() {
                return Err("cp".into());
            }
            drop(core);
            store.close()?;
        }
        let unclean = in_new_process(&["open", text(&copy)?, &middle])?;
        println!("| {blocks} | {clean} | {unclean} | {reading} |");
        fs::remove_dir_all(&copy)?;
        fs::remove_dir_all(&path)?;
    }
    println!();
    Ok(())
}

fn text(path: &Path) -> Fallible<&str> {
    Ok(path.to_str().ok_or("a path that is no text")?)
}

/// Runs this program again; returns what it prints.
fn in_new_process(arguments: &[&str]) -> Fallible<String> {
    let program = std::env::current_exe()?;
    let output = Command::new(program).args(arguments).output()?;
    if !output.status.success() {
        return Err(String::from_utf8(output.stderr)?.into());
    }
    Ok(String::from_utf8(output.stdout)?.trim_end().to_owned())
}

/// Prints how long it takes until a block was read, and the memory that it takes.
fn open(path: &Path, options: StoreOptions, block: &str) -> Fallible<()> {
    let (before, begun) = (resident()?, Instant::now());
    let store = options.open(path)?;
    let core = store.open_core(&NAME)?.ok_or("gone")?;
    let block = BlockIndex::new(block.parse()?);
    core.block(block)?.ok_or("no block")?;
    let took = begun.elapsed();
    let grown = resident()?.saturating_sub(before) >> 10;
    println!("{:.1} ms, {grown} KiB", took.as_secs_f64() * 1e3);
    drop(core);
    Ok(store.close()?)
}

/// Blocks of 4 KiB that are stored at any time, and six times as many that go through.
const STORED: usize = 32_000;

/// Space, while much goes through little as fast as it can.
fn churn(path: &Path, stored: usize) -> Fallible<()> {
    let path = &path.join("churn");
    println!(
        "Log and index by what is stored, where {:.0} MB in blocks of 4 KiB go through {:.0} MB without a pause.\n",
        (stored * 7) as f64 * 4.096e-3,
        stored as f64 * 4.096e-3
    );
    println!(
        "| cleared | append of | most while it goes on | at the end | collected | of it the index | p99 of one append | with its wait before | MB a second |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    for (scattered, count) in [(false, 1000), (true, 1000), (true, 16), (true, 1)] {
        let (store, core) = create(path)?;
        let churned = churn_by(&store, &*core, (stored, count), scattered)?;
        let share = |bytes: u64, usage: &Usage| bytes as f64 / usage.live as f64;
        let at_once = store.usage()?;
        store.compact(&mut |_| {})?;
        let after = store.usage()?;
        println!(
            "| {} | {count} | {:.2} | {:.2} | {:.2} | {:.2} | {:.1} ms | {:.1} ms | {:.0} |",
            if scattered { "anywhere" } else { "the oldest" },
            churned.most,
            share(at_once.total, &at_once),
            share(after.total, &after),
            share(after.index, &after),
            p99(churned.took),
            p99(churned.waited),
            churned.rate
        );
        drop(core);
        store.close()?;
        fs::remove_dir_all(path)?;
    }
    println!();
    Ok(())
}

struct Churned {
    /// The most that the store took, by what is stored.
    most: f64,
    /// How long each append took, and with the wait that the store asks for before it.
    took: Vec<Duration>,
    waited: Vec<Duration>,
    /// MB a second.
    rate: f64,
}

/// Appends so many blocks at once, and clears as many once there are as many as are to be `stored`.
fn churn_by(
    store: &DiskStore,
    core: &dyn CoreStore,
    (stored, count): (usize, usize),
    scattered: bool,
) -> Fallible<Churned> {
    let blocks = vec![noise(4 << 10); count];
    let (mut most, mut took, mut waited) = (0f64, Vec::new(), Vec::new());
    let mut order = Order::default();
    let begun_all = Instant::now();
    let all = stored * 7;
    for start in (0..all).step_by(count) {
        let batch = next(core, &blocks)?;
        let asked = Instant::now();
        while !store.delay().is_zero() && asked.elapsed() < Duration::from_secs(1) {
            thread::sleep(store.delay());
        }
        let begun = Instant::now();
        core.commit(batch, Durability::Os)?.wait()?;
        took.push(begun.elapsed());
        waited.push(asked.elapsed());
        order.live.extend(start as u64..(start + count) as u64);
        if order.live.len() > stored {
            let mut batch = Batch::new();
            for block in order.take(count, scattered) {
                batch.clear(BlockIndex::new(block)..BlockIndex::new(block + 1));
            }
            core.commit(batch, Durability::Os)?.wait()?;
            // to look takes a while
            if start % 1000 < count {
                let usage = store.usage()?;
                most = most.max(usage.total as f64 / usage.live as f64);
            }
        }
    }
    let rate = all as f64 * 4.096e-3 / begun_all.elapsed().as_secs_f64();
    Ok(Churned {
        most,
        took,
        waited,
        rate,
    })
}

/// In milliseconds.
fn p99(mut took: Vec<Duration>) -> f64 {
    took.sort();
    let p99 = took.get(took.len() * 99 / 100).copied().unwrap_or_default();
    p99.as_secs_f64() * 1e3
}

/// Blocks that are stored, to be cleared in the order they came or in any.
#[derive(Default)]
struct Order {
    live: Vec<u64>,
    dice: u64,
}

impl Order {
    fn take(&mut self, count: usize, scattered: bool) -> Vec<u64> {
        if !scattered {
            return self.live.drain(..count).collect();
        }
        let mut pick = || {
            self.dice = self
                .dice
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let at = usize::try_from(self.dice >> 33).unwrap_or(0) % self.live.len();
            self.live.swap_remove(at)
        };
        (0..count).map(|_| pick()).collect()
    }
}

const LOGS: u32 = 10_000;

fn nth(number: u32) -> DiscoveryKey {
    let mut name = [0; 32];
    name[..4].copy_from_slice(&number.to_le_bytes());
    DiscoveryKey(name)
}

fn many(path: &Path) -> Fallible<()> {
    let store = DiskStore::open(path)?;
    for number in 0..LOGS {
        let core = store.create_core(record(nth(number)))?;
        append(&*core, &[noise(100)], Durability::Os)?;
    }
    store.close()?;
    drop(store);
    println!("{LOGS} logs in one store.\n");
    println!(
        "| store opens in | memory, none of them open | all of them open, each | descriptors |"
    );
    println!("| --- | --- | --- | --- |");
    println!("{}", in_new_process(&["open-all", text(path)?])?);
    Ok(())
}

/// Prints what it takes to open a store of many logs, and all of them.
fn open_all(path: &Path) -> Fallible<()> {
    let (before, begun) = (resident()?, Instant::now());
    let store = DiskStore::open(path)?;
    let opened = begun.elapsed().as_secs_f64() * 1e3;
    let idle = resident()?;
    let all: Vec<_> = (0..LOGS)
        .map(|number| store.open_core(&nth(number)))
        .collect::<Result<_, _>>()?;
    let each = resident()?.saturating_sub(idle) / u64::from(LOGS);
    let files = fs::read_dir("/proc/self/fd")?.count();
    let idle = idle.saturating_sub(before) >> 10;
    println!("| {opened:.1} ms | {idle} KiB | {each} bytes | {files} |");
    drop(all);
    Ok(store.close()?)
}

/// Bytes of memory that this process has.
fn resident() -> Fallible<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1));
    Ok(kib.ok_or("VmRSS")?.parse::<u64>()? << 10)
}
