//! `cargo xtask bench --peers`: the same workloads on this project and on other implementations of
//! Hypercore, each run in a process of its own, the peers in turn, and one table of ratios.
//!
//! Owns the order of runs and what a run does to the disk. A peer is whatever speaks the command line
//! of `xtask/peers/README.md`; nothing here knows how one works.

mod driver;
mod table;
mod workload;

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Args;
use serde_json::{Map, Value, json};

use crate::run::target;
use driver::Report;
pub(crate) use driver::{Driver, prepare};
use workload::{Kind, Workload};

/// How to measure.
#[derive(Args)]
pub(crate) struct Measure {
    /// Counted runs of each peer on each workload.
    #[arg(long, default_value_t = 5)]
    reps: u32,
    /// Peers, the one that the others are compared with first.
    #[arg(long, value_delimiter = ',', default_value = "js11,js10,ours")]
    with: Vec<String>,
    /// Workloads; all of them unless named.
    #[arg(long, value_delimiter = ',')]
    workloads: Vec<String>,
    /// Multiplies every count.
    #[arg(long, default_value_t = 1.0)]
    scale: f64,
    /// Seconds that a run may take.
    #[arg(long, default_value_t = 300)]
    timeout: u64,
    /// Lists peers and workloads, and measures nothing.
    #[arg(long)]
    list: bool,
}

/// Measures, writes `target/peers/results.jsonl`, and prints the table.
pub(crate) fn measure(options: &Measure) -> anyhow::Result<()> {
    let all = workload::all(options.scale);
    if options.list {
        println!("peers: {}", driver::NAMES.join(" "));
        let names: Vec<&str> = all.iter().map(|workload| workload.name).collect();
        println!("workloads: {}", names.join(" "));
        return Ok(());
    }
    for name in &options.workloads {
        if !all.iter().any(|workload| workload.name == name) {
            bail!("there is no workload {name}; --list names them");
        }
    }
    let peers = driver::prepare(&options.with, Duration::from_secs(options.timeout))?;
    let mut bench = Bench::new(peers)?;
    for workload in &all {
        if options.workloads.is_empty()
            || options.workloads.iter().any(|name| name == workload.name)
        {
            bench.workload(workload, options.reps)?;
        }
    }
    print!("\n{}", table::render(&all, &bench.reports, &options.with));
    Ok(())
}

/// One session of measuring.
struct Bench {
    peers: Vec<Driver>,
    dir: PathBuf,
    results: fs::File,
    reports: Vec<Report>,
}

impl Bench {
    fn new(peers: Vec<Driver>) -> anyhow::Result<Self> {
        let dir = target().join("peers");
        for peer in &peers {
            remove(&dir.join(&peer.name))?;
        }
        fs::create_dir_all(&dir)?;
        let results = OpenOptions::new()
            .create(true)
            .append(true)
            .open(dir.join("results.jsonl"))?;
        Ok(Self {
            peers,
            dir,
            results,
            reports: Vec::new(),
        })
    }

    /// All runs of one workload, the peers in turn. Who cannot do it is not asked again.
    fn workload(&mut self, workload: &Workload, reps: u32) -> anyhow::Result<()> {
        let mut out = vec![false; self.peers.len()];
        for rep in 0..reps {
            for (at, out) in out.iter_mut().enumerate() {
                if *out {
                    continue;
                }
                let before = calibrate();
                let mut fields = self.run(workload, at)?;
                *out = fields.contains_key("error") || fields.contains_key("unsupported");
                fields.insert("calib_ms".into(), json!(before));
                fields.insert("calib_after_ms".into(), json!(calibrate()));
                self.keep(Report {
                    peer: self.peers[at].name.clone(),
                    workload: workload.name,
                    rep,
                    fields,
                })?;
            }
        }
        Ok(())
    }

    fn keep(&mut self, report: Report) -> anyhow::Result<()> {
        let line = report.line();
        println!("{line}");
        writeln!(self.results, "{line}")?;
        self.reports.push(report);
        Ok(())
    }

    fn home(&self, peer: usize, name: &str) -> PathBuf {
        self.dir.join(&self.peers[peer].name).join(name)
    }

    fn run(&self, workload: &Workload, peer: usize) -> anyhow::Result<Map<String, Value>> {
        match &workload.kind {
            Kind::Fresh(args) => {
                let dir = self.home(peer, "fresh");
                let out = self.build(peer, args, &dir)?;
                remove(&dir)?;
                Ok(out)
            }
            Kind::Base(base) => self.build(peer, &base.args, &self.home(peer, base.name)),
            Kind::Read(base, args) => {
                let dir = self.home(peer, base.name);
                if let Some(failure) = self.need(peer, base)? {
                    return Ok(failure);
                }
                self.peers[peer].run(args, &dir, &[])
            }
            Kind::Change(base, args) => self.change(peer, base, args),
            Kind::Wire(wire) => self.wire(peer, wire),
        }
    }

    /// Runs a workload that makes a store in an empty folder, and says how large that is.
    fn build(
        &self,
        peer: usize,
        args: &[String],
        dir: &Path,
    ) -> anyhow::Result<Map<String, Value>> {
        empty(dir)?;
        let mut out = self.peers[peer].run(args, dir, &[])?;
        if out.contains_key("error") || out.contains_key("unsupported") {
            remove(dir)?;
        } else {
            out.insert("disk_mb".into(), json!(allocated_mb(dir)?));
        }
        Ok(out)
    }

    /// Makes a base unless it is there; what went wrong, if it cannot be made.
    fn need(
        &self,
        peer: usize,
        base: &workload::Base,
    ) -> anyhow::Result<Option<Map<String, Value>>> {
        let dir = self.home(peer, base.name);
        if dir.exists() {
            return Ok(None);
        }
        let out = self.build(peer, &base.args, &dir)?;
        Ok((!dir.exists()).then_some(out))
    }

    /// A workload that changes a store, which is built anew for it.
    fn change(
        &self,
        peer: usize,
        base: &workload::Base,
        args: &[String],
    ) -> anyhow::Result<Map<String, Value>> {
        let dir = self.home(peer, "change");
        let built = self.build(peer, &base.args, &dir)?;
        if !dir.exists() {
            return Ok(built);
        }
        let mut out = self.peers[peer].run(args, &dir, &[])?;
        if !out.contains_key("error") && !out.contains_key("unsupported") {
            out.insert("disk_before_mb".into(), built["disk_mb"].clone());
            out.insert("disk_mb".into(), json!(allocated_mb(&dir)?));
        }
        remove(&dir)?;
        Ok(out)
    }

    /// A server and a reader in processes of their own.
    fn wire(&self, reader: usize, wire: &workload::Wire) -> anyhow::Result<Map<String, Value>> {
        let server = match wire.server {
            Some(name) => self.peers.iter().position(|peer| peer.name == name),
            None => Some(reader),
        };
        let reads = wire
            .reader
            .is_none_or(|name| self.peers[reader].name == name);
        let (Some(server), true) = (server, reads) else {
            return Ok(driver::unsupported("this pair is not the one measured"));
        };
        let from = match &wire.base {
            Ok(base) => {
                if let Some(failure) = self.need(server, base)? {
                    return Ok(failure);
                }
                self.home(server, base.name)
            }
            Err(fresh) => {
                let dir = self.home(server, "source");
                self.build(server, fresh, &dir)?;
                dir
            }
        };
        let to = self.home(reader, "clone");
        empty(&to)?;
        let mut serving = self.peers[server].serve(&from, wire.size, wire.live)?;
        let out = self.peers[reader].run(&wire.args, &to, &serving.address());
        let served = serving.end()?;
        let mut out = out?;
        for field in [
            "cpu_user_s",
            "cpu_sys_s",
            "peak_rss_mb",
            "wire_in",
            "wire_out",
        ] {
            if let Some(value) = served.get(field) {
                out.insert(format!("server_{field}"), value.clone());
            }
        }
        out.insert("disk_mb".into(), json!(allocated_mb(&to)?));
        remove(&to)?;
        Ok(out)
    }
}

fn empty(dir: &Path) -> anyhow::Result<()> {
    remove(dir)?;
    fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))
}

fn remove(dir: &Path) -> anyhow::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

/// Megabytes that the disk has given to the files of a folder.
#[allow(clippy::cast_precision_loss)] // far below 2^52
fn allocated_mb(dir: &Path) -> anyhow::Result<f64> {
    let mut blocks = 0;
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let about = entry.metadata()?;
            if about.is_dir() {
                folders.push(entry.path());
            } else {
                blocks += about.blocks();
            }
        }
    }
    Ok((blocks * 512) as f64 / 1e6)
}

/// Milliseconds of a fixed piece of work: what the machine was worth just then.
fn calibrate() -> f64 {
    let begun = Instant::now();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..20_000_000 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
    }
    std::hint::black_box(state);
    begun.elapsed().as_secs_f64() * 1e3
}
