//! `cargo xtask main-job`: one large file, appended, served and fetched in processes of their own, by
//! this project and by the reference, one after the other on the same machine.
//!
//! Owns the measurement: wall time, CPU time and peak memory as the kernel counts them, bytes on the
//! wire as each side counts them. Prints the table that docs/benchmarks.md carries.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use hc_testkit::{Reference, Version};
use serde_json::{Value, json};

use crate::interop;
use crate::run::{cargo, run, target};

/// Bytes a block.
const CHUNK: u64 = 64 * 1024;
/// Clock ticks a second in `/proc`, fixed by the kernel's interface.
const TICKS: f64 = 100.0;

/// What the kernel says of a process.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Usage {
    pub(crate) cpu_seconds: f64,
    pub(crate) peak_mib: f64,
}

/// One row of the table.
struct Row {
    who: String,
    step: &'static str,
    seconds: f64,
    usage: Usage,
    wire: Option<u64>,
}

/// Runs the job with a file of so many MiB and prints the table.
pub(crate) fn measure(mebibytes: u64) -> anyhow::Result<()> {
    interop::install()?;
    run(&mut cargo(&["build", "--release", "--bin", "hypercore"]))?;
    let dir = target().join("main-job");
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir)?;
    let file = dir.join("file");
    make(&file, mebibytes)?;
    let mut rows = ours(&dir, &file)?;
    for version in Version::ALL {
        rows.extend(theirs(version, &dir, &file)?);
    }
    print(&rows, mebibytes);
    fs::remove_dir_all(&dir)?;
    Ok(())
}

/// Writes bytes that do not compress and are the same each time.
fn make(path: &Path, mebibytes: u64) -> anyhow::Result<()> {
    let mut file = File::create(path)?;
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut buffer = Vec::with_capacity(1 << 20);
    for _ in 0..mebibytes {
        buffer.clear();
        while buffer.len() < 1 << 20 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            buffer.extend_from_slice(&state.to_le_bytes());
        }
        file.write_all(&buffer)?;
    }
    Ok(())
}

/// Our own command line, a process a step.
fn ours(dir: &Path, file: &Path) -> anyhow::Result<Vec<Row>> {
    let binary = target().join("release/hypercore");
    let command = |args: &[&str]| {
        let mut command = Command::new(&binary);
        command.args(args).arg("--json").stdout(Stdio::piped());
        command
    };
    let (log, copy) = (dir.join("ours"), dir.join("ours-copy"));
    let (log, copy) = (path(&log)?, path(&copy)?);
    let created = finish(command(&["create", log]).spawn()?)?.0;
    let key = created["key"].as_str().context("no key")?.to_owned();

    let begun = Instant::now();
    let (_, append) = finish(command(&["append", log, path(file)?]).spawn()?)?;
    let append = Row::new("this project", "append", begun, append, None);

    let mut server = command(&["serve", log, "--listen", "127.0.0.1:0"]).spawn()?;
    let mut lines = BufReader::new(server.stdout.take().context("no stdout")?).lines();
    let first: Value = serde_json::from_str(&lines.next().context("no first line")??)?;
    let address = first["address"].as_str().context("no address")?.to_owned();
    let before = usage(server.id()).unwrap_or_default();
    let begun = Instant::now();
    let (done, fetch) = finish(command(&["fetch", &key, copy, "--connect", &address]).spawn()?)?;
    let seconds = begun.elapsed().as_secs_f64();
    let mut serve = usage(server.id())?;
    serve.cpu_seconds -= before.cpu_seconds;
    server.kill()?;
    server.wait()?;
    ensure!(done["event"] == "done", "the fetch ended with {done}");
    let wire = |name: &str| done[name].as_u64();
    Ok(vec![
        append,
        Row {
            who: "this project".into(),
            step: "serve",
            seconds,
            usage: serve,
            wire: wire("wireIn"),
        },
        Row {
            who: "this project".into(),
            step: "fetch",
            seconds,
            usage: fetch,
            wire: wire("wireOut"),
        },
    ])
}

/// The reference, a process a side.
fn theirs(version: Version, dir: &Path, file: &Path) -> anyhow::Result<Vec<Row>> {
    let who = match version {
        Version::V11 => "hypercore 11.37.1",
        Version::V10 => "hypercore 10.38.2",
    };
    let start = || Reference::start(version)?.context("Node is needed for the comparison");
    let (mut writer, mut reader) = (start()?, start()?);
    let key = writer.open(&dir.join(format!("{version:?}")), None, &json!({}))?["key"].clone();
    let before = usage(writer.pid())?;
    let begun = Instant::now();
    writer.call(
        "appendFile",
        json!({ "path": file, "chunk": CHUNK, "batch": 128 }),
    )?;
    let append = Row::new(
        who,
        "append",
        begun,
        usage(writer.pid())?.since(before),
        None,
    );
    drop(writer);

    let mut server = start()?;
    server.open(&dir.join(format!("{version:?}")), key.as_str(), &json!({}))?;
    let port = server.listen()?;
    reader.open(
        &dir.join(format!("{version:?}-copy")),
        key.as_str(),
        &json!({}),
    )?;
    let before = (usage(server.pid())?, usage(reader.pid())?);
    let begun = Instant::now();
    reader.call("connect", json!({ "port": port }))?;
    let length = fs::metadata(file)?.len().div_ceil(CHUNK);
    reader.call("waitFor", json!({ "length": length }))?;
    reader.call(
        "download",
        json!({ "range": { "start": 0, "end": length } }),
    )?;
    let seconds = begun.elapsed().as_secs_f64();
    let wire = server.call("wire", json!({}))?;
    Ok(vec![
        append,
        Row {
            who: who.into(),
            step: "serve",
            seconds,
            usage: usage(server.pid())?.since(before.0),
            wire: wire["out"].as_u64(),
        },
        Row {
            who: who.into(),
            step: "fetch",
            seconds,
            usage: usage(reader.pid())?.since(before.1),
            wire: wire["in"].as_u64(),
        },
    ])
}

impl Row {
    fn new(who: &str, step: &'static str, begun: Instant, usage: Usage, wire: Option<u64>) -> Self {
        Self {
            who: who.into(),
            step,
            seconds: begun.elapsed().as_secs_f64(),
            usage,
            wire,
        }
    }
}

impl Usage {
    fn since(self, before: Self) -> Self {
        Self {
            cpu_seconds: self.cpu_seconds - before.cpu_seconds,
            peak_mib: self.peak_mib,
        }
    }
}

/// CPU time and peak memory of a running process.
pub(crate) fn usage(pid: u32) -> anyhow::Result<Usage> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, fields) = stat.rsplit_once(") ").context("odd stat")?;
    let field = |at: usize| {
        fields
            .split(' ')
            .nth(at)
            .and_then(|word| word.parse::<f64>().ok())
    };
    let ticks = field(11).zip(field(12)).context("odd stat")?;
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .and_then(|line| line.trim().split(' ').next()?.parse::<f64>().ok())
        .context("no VmHWM")?;
    Ok(Usage {
        cpu_seconds: (ticks.0 + ticks.1) / TICKS,
        peak_mib: peak / 1024.0,
    })
}

/// Waits for a process and returns the last line it printed, and the last its usage was seen to be.
pub(crate) fn finish(mut child: Child) -> anyhow::Result<(Value, Usage)> {
    let pid = child.id();
    let ended = Arc::new(AtomicBool::new(false));
    let watch = {
        let ended = Arc::clone(&ended);
        thread::spawn(move || {
            let mut last = Usage::default();
            while !ended.load(Ordering::Relaxed) {
                last = usage(pid).unwrap_or(last);
                thread::sleep(Duration::from_millis(2));
            }
            last
        })
    };
    let stdout = child.stdout.take().context("no stdout")?;
    let last = BufReader::new(stdout).lines().map_while(Result::ok).last();
    let status = child.wait()?;
    ended.store(true, Ordering::Relaxed);
    let usage = watch.join().unwrap_or_default();
    ensure!(status.success(), "a step ended with {status}: {last:?}");
    Ok((
        serde_json::from_str(&last.unwrap_or_default()).unwrap_or(Value::Null),
        usage,
    ))
}

fn path(path: &Path) -> anyhow::Result<&str> {
    path.to_str().context("a path that is no text")
}

fn print(rows: &[Row], mebibytes: u64) {
    #[allow(clippy::cast_precision_loss)] // counts far below 2^52
    let (megabytes, blocks) = (
        (mebibytes << 20) as f64 / 1e6,
        (mebibytes << 20).div_ceil(CHUNK) as f64,
    );
    println!("\n| who | step | seconds | MB/s | blocks/s | CPU s | peak MiB | bytes sent |");
    println!("| --- | --- | --- | --- | --- | --- | --- | --- |");
    for row in rows {
        println!(
            "| {} | {} | {:.2} | {:.0} | {:.0} | {:.2} | {:.0} | {} |",
            row.who,
            row.step,
            row.seconds,
            megabytes / row.seconds,
            blocks / row.seconds,
            row.usage.cpu_seconds,
            row.usage.peak_mib,
            row.wire.map_or("–".to_owned(), |bytes| bytes.to_string()),
        );
    }
}
