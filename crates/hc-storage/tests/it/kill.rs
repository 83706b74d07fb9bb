//! Processes that write and are killed without warning, again and again, at each durability level: what
//! they acknowledged over a pipe is there, whole, and what follows is at most the one step they were at.
//!
//! `HC_KILL_ROUNDS` and `HC_SEED` make it a longer soak: `cargo xtask soak`.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bytes::Bytes;
use hc_merkle::hash::leaf;
use hc_merkle::{BlockIndex, Length};
use hc_storage::{Batch, CoreRead, CoreStore, DiskStore, Durability, Store, StoreOptions};

use crate::log::{Outcome, append_to, block, create, name, truncation};

/// Rounds for each level in the usual run of the tests.
const ROUNDS: u64 = 200;

fn setting(name: &str, usual: u64) -> u64 {
    let value = std::env::var(name).ok().and_then(|text| text.parse().ok());
    value.unwrap_or(usual)
}

/// A number from a seed and a place: splitmix64.
fn dice(seed: u64, at: u64, sides: u64) -> u64 {
    let mut z = seed.wrapping_add(at.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (z ^ (z >> 31)) % sides
}

/// Where a log is after so many steps. Each step follows from its number alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct At {
    step: u64,
    length: u64,
    fork: u64,
    /// Blocks below it are cleared.
    cleared: u64,
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Append(u64),
    Clear(u64),
    Truncate(u64),
    Compact,
}

impl At {
    fn next(self, seed: u64) -> (Step, Self) {
        let step = self.step + 1;
        let here = Self { step, ..self };
        match dice(seed, step, 40) {
            0 => (Step::Compact, here),
            1..4 if self.length > self.cleared => {
                let cleared = self.cleared + (self.length - self.cleared).div_ceil(2);
                (Step::Clear(cleared), Self { cleared, ..here })
            }
            4..6 if self.length > self.cleared + 30 => {
                let length = self.length - dice(seed, !step, 20);
                let fork = self.fork + 1;
                let cut = Self {
                    length,
                    fork,
                    ..here
                };
                (Step::Truncate(length), cut)
            }
            _ => {
                let count = 1 + dice(seed, !step, 6);
                let length = self.length + count;
                (Step::Append(count), Self { length, ..here })
            }
        }
    }

    /// Everything of a log that is there after a number of steps.
    fn check(self, core: &dyn CoreRead, what: &str) -> Outcome {
        match self.other(core)? {
            None => Ok(()),
            Some(other) => panic!("{what}: {other}"),
        }
    }

    /// What of a log is not as it is after a number of steps.
    fn other(self, core: &dyn CoreRead) -> Result<Option<String>, Box<dyn std::error::Error>> {
        let head = core.head()?;
        if head.length() != Length::new(self.length) || head.fork().get() != self.fork {
            return Ok(Some(format!("{head:?}")));
        }
        let bits = core.bitfield()?;
        for index in 0..self.length + 10 {
            let there = (self.cleared..self.length).contains(&index);
            let expected = there.then(|| block(index, 0));
            if core.block(BlockIndex::new(index))? != expected {
                return Ok(Some(format!("block {index}")));
            }
            if bits.get(index) != there {
                return Ok(Some(format!("bit {index}")));
            }
            let at = BlockIndex::new(index).leaf().ok_or("leaf")?;
            let hash = core.node(at)?.map(|node| node.hash);
            let expected = (index < self.length).then(|| leaf(&block(index, 0)));
            if hash != expected {
                return Ok(Some(format!("leaf {index}")));
            }
        }
        Ok(None)
    }
}

/// The number of the last step that a log knows of.
fn step_of(core: &dyn CoreRead) -> Result<u64, Box<dyn std::error::Error>> {
    let Some(value) = core.user_data("step")? else {
        return Ok(0);
    };
    Ok(u64::from_le_bytes(value.as_ref().try_into()?))
}

fn after(seed: u64, steps: u64) -> At {
    (0..steps).fold(At::default(), |at, _| at.next(seed).1)
}

fn options() -> StoreOptions {
    let options = StoreOptions::default().create(true);
    options.segment_len(64 << 10).checkpoint_every(60, 40 << 10)
}

fn carry_out(
    store: &DiskStore,
    core: &dyn CoreStore,
    step: Step,
    to: At,
    level: Durability,
) -> Outcome {
    let mut batch = match step {
        Step::Append(count) => Batch::from_change(&append_to(&core.head()?, count, 0)?),
        Step::Truncate(length) => Batch::from_change(&truncation(core, length)?),
        Step::Clear(end) => {
            let mut batch = Batch::new();
            batch.clear(BlockIndex::new(0)..BlockIndex::new(end));
            batch
        }
        Step::Compact => {
            store.compact(&mut |_| {})?;
            Batch::new()
        }
    };
    let number = Bytes::copy_from_slice(&to.step.to_le_bytes());
    batch.set_user_data("step", Some(number));
    Ok(core.commit(batch, level)?.wait()?)
}

/// Not a test of its own: what is killed.
#[test]
fn write_until_killed() -> Outcome {
    let Some(path) = std::env::var_os("HC_KILL_STORE") else {
        return Ok(());
    };
    let level = match std::env::var("HC_KILL_LEVEL")?.as_str() {
        "buffered" => Durability::Buffered,
        "os" => Durability::Os,
        _ => Durability::Disk,
    };
    let seed = setting("HC_SEED", 1);
    let store = options().open(path)?;
    let core = match store.open_core(&name(1))? {
        Some(core) => core,
        None => create(&store, 1)?,
    };
    let mut at = after(seed, step_of(&*core)?);
    at.check(&*core, "reopened")?;
    let mut out = std::io::stdout();
    loop {
        let (step, to) = at.next(seed);
        carry_out(&store, &*core, step, to, level)?;
        at = to;
        writeln!(out, "acknowledged {}", at.step)?;
    }
}

fn start(path: &Path, level: &str, seed: u64) -> Result<Child, std::io::Error> {
    Command::new(std::env::current_exe()?)
        .args(["--exact", "kill::write_until_killed", "--nocapture"])
        .env("HC_KILL_STORE", path)
        .env("HC_KILL_LEVEL", level)
        .env("HC_SEED", seed.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
}

/// Lets a process write and kills it. Returns the last step that it acknowledged, if any.
fn round(
    path: &Path,
    level: &str,
    seed: u64,
    number: u64,
) -> Result<Option<u64>, Box<dyn std::error::Error>> {
    let mut child = start(path, level, seed)?;
    let mut acknowledged = None;
    if number.is_multiple_of(5) {
        // while it opens the store, or soon after
        std::thread::sleep(Duration::from_micros(dice(seed, number, 60_000)));
        child.kill()?;
    }
    let mut left = 1 + dice(seed, !number, 25);
    for line in BufReader::new(child.stdout.take().ok_or("stdout")?).lines() {
        let line = line?;
        if let Some((_, step)) = line.rsplit_once("acknowledged ") {
            acknowledged = Some(step.parse()?);
            left = left.saturating_sub(1);
        }
        // what it says meanwhile counts as well
        if left == 0 {
            child.kill()?;
        }
    }
    let status = child.wait()?;
    if status.code().is_some() {
        let mut said = String::new();
        if let Some(mut stderr) = child.stderr.take() {
            std::io::Read::read_to_string(&mut stderr, &mut said)?;
        }
        panic!("round {number} of {level}, seed {seed}: it ended by itself: {said}");
    }
    Ok(acknowledged)
}

fn rounds(level: &str) -> Outcome {
    let seed = setting("HC_SEED", 1);
    let count = setting("HC_KILL_ROUNDS", ROUNDS);
    let mut directory = tempfile::tempdir()?;
    let mut known = 0;
    for number in 0..count {
        // logs stay short, so that looking at all of them stays quick
        if number.is_multiple_of(40) {
            directory = tempfile::tempdir()?;
            known = 0;
        }
        let path = directory.path().join("store");
        let acknowledged = round(&path, level, seed, number)?;
        let what = format!("round {number} of {level}, seed {seed}, {acknowledged:?} acknowledged");
        let store = match options().create(false).read_only().open(&path) {
            Ok(store) => store,
            // it was killed before it had made one
            Err(hc_storage::OpenError::Missing { .. }) if known == 0 => continue,
            Err(error) => panic!("{what}: {error}"),
        };
        let Some(core) = store.open_core(&name(1))? else {
            assert_eq!(known, 0, "{what}");
            continue;
        };
        let found = step_of(&*core)?;
        let last = acknowledged.unwrap_or(known);
        assert!(found <= last + 1, "{what}: {found}");
        let least = if level == "buffered" { known } else { last };
        assert!(found >= least, "{what}: {found}");
        after(seed, found).check(&*core, &what)?;
        known = found;
    }
    Ok(())
}

#[test]
fn killed_writers_lose_only_what_was_buffered() -> Outcome {
    rounds("buffered")
}

#[test]
fn killed_writers_lose_nothing_at_os() -> Outcome {
    rounds("os")
}

#[test]
fn killed_writers_lose_nothing_at_disk() -> Outcome {
    rounds("disk")
}

/// Looks at a log that a process is writing to, as often as it changes while it is looked at: a reader that
/// comes upon a segment that is gone takes in what was written meanwhile.
fn check_beside(core: &dyn CoreRead, seed: u64, what: &str) -> Outcome {
    loop {
        let step = step_of(core)?;
        let other = after(seed, step).other(core)?;
        if step_of(core)? == step {
            assert_eq!(other, None, "{what}: step {step}");
            return Ok(());
        }
    }
}

/// Steps of a process beside which others read.
const STEPS: u64 = 400;

#[test]
fn readers_beside_a_writer_that_collects_and_is_killed_see_what_it_wrote() -> Outcome {
    let to_read = options().create(false).read_only();
    let (seed, count) = (setting("HC_SEED", 1), setting("HC_READ_ROUNDS", 4));
    let (mut opened, mut went_on) = (0, 0);
    for number in 0..count {
        let seed = seed + number;
        let directory = tempfile::tempdir()?;
        let path = directory.path().join("store");
        let mut child = start(&path, "os", seed)?;
        let lines = BufReader::new(child.stdout.take().ok_or("stdout")?).lines();
        let written = std::thread::spawn(move || {
            let mut acknowledged = 0;
            for line in lines {
                let line = line.map_err(|error| error.to_string())?;
                let Some((_, step)) = line.rsplit_once("acknowledged ") else {
                    continue;
                };
                acknowledged = step.parse().map_err(|_| line.clone())?;
                if acknowledged == STEPS {
                    child.kill().map_err(|error| error.to_string())?;
                }
            }
            child.wait().map_err(|error| error.to_string())?;
            Ok::<u64, String>(acknowledged)
        });
        let mut reader: Option<DiskStore> = None;
        while !written.is_finished() {
            let what = format!("round {number}, seed {seed}");
            let to_read = to_read.copy_index_from(opened % 3 / 2 * u64::MAX);
            let store = match to_read.open(&path) {
                Ok(store) => store,
                // not yet
                Err(hc_storage::OpenError::Missing { .. }) => continue,
                Err(error) => panic!("{what}: {error}"),
            };
            opened += 1;
            // the one before goes on as well
            for store in reader.iter().chain([&store]) {
                if let Some(core) = store.open_core(&name(1))? {
                    check_beside(&*core, seed, &what)?;
                    went_on += u64::from(store.refresh()?);
                    check_beside(&*core, seed, &what)?;
                }
            }
            reader = Some(store);
        }
        let acknowledged = written.join().map_err(|_| "it panicked")??;
        for copy_from in [0, u64::MAX] {
            let store = to_read.copy_index_from(copy_from).open(&path)?;
            let core = store.open_core(&name(1))?.ok_or("no log")?;
            let step = step_of(&*core)?;
            assert!(
                (acknowledged..=acknowledged + 1).contains(&step),
                "seed {seed}"
            );
            after(seed, step).check(&*core, "killed")?;
        }
    }
    assert!(
        opened > count && went_on > 0,
        "{opened} opened, {went_on} went on"
    );
    Ok(())
}

/// Not a test of its own: a reader that is there until its input ends, or it is killed.
#[test]
fn read_until_killed() -> Outcome {
    let Some(path) = std::env::var_os("HC_READ_STORE") else {
        return Ok(());
    };
    let to_read = options().create(false).read_only().copy_index_from(0);
    let store = to_read.open(path)?;
    assert!(store.open_core(&name(1))?.is_some());
    println!("opened");
    std::io::stdin().read_line(&mut String::new())?;
    Ok(())
}

/// What a process says, for as long as it is to be heard.
type Lines = std::io::Lines<BufReader<std::process::ChildStdout>>;

/// A process that has a store open to read, with its temporary files in a directory.
fn reader(store: &Path, temporary: &Path) -> Result<(Child, Lines), Box<dyn std::error::Error>> {
    let mut child = Command::new(std::env::current_exe()?)
        .args(["--exact", "kill::read_until_killed", "--nocapture"])
        .env("HC_READ_STORE", store)
        .env("TMPDIR", temporary)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut lines = BufReader::new(child.stdout.take().ok_or("stdout")?).lines();
    for line in &mut lines {
        if line?.contains("opened") {
            return Ok((child, lines));
        }
    }
    Err("it did not open".into())
}

#[test]
fn copies_of_killed_readers_go_with_the_next_and_those_of_others_stay() -> Outcome {
    let (directory, temporary) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let path = directory.path().join("store");
    let store = options().open(&path)?;
    let core = create(&store, 1)?;
    carry_out(&store, &*core, Step::Append(3), after(1, 1), Durability::Os)?;
    drop(core);
    store.close()?;
    let copies = || std::fs::read_dir(temporary.path()).map(Iterator::count);
    let (mut killed, _) = reader(&path, temporary.path())?;
    assert_eq!(copies()?, 1);
    let mut living = reader(&path, temporary.path())?;
    killed.kill()?;
    killed.wait()?;
    assert_eq!(copies()?, 2, "it had no time to remove its own");
    let mut next = reader(&path, temporary.path())?;
    assert_eq!(copies()?, 2, "that of the living, and its own");
    for (reader, lines) in [&mut living, &mut next] {
        drop(reader.stdin.take());
        assert_eq!(lines.filter_map(Result::err).count(), 0);
        assert!(reader.wait()?.success());
    }
    assert_eq!(copies()?, 0);
    Ok(())
}
