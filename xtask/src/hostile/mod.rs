//! `cargo xtask hostile`: what attacks cost a server and a reader, over real sockets.
//!
//! Owns the measurement: CPU time and peak memory of the attacked process as the kernel counts them,
//! and how fast an honest peer is served meanwhile. That is compared with how fast it is served while
//! this process does nothing but burn as much CPU time as the attacker did: what an attacker takes of
//! the machine by itself is no cost of being attacked. Fails where memory or the honest peer's rate is
//! out of bounds.

mod attack;
mod party;

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use hc_merkle::CoreKey;
use serde_json::Value;

use crate::main_job::{Usage, finish, usage};
use crate::run::{cargo, run, target};
use attack::{ON_READERS, ON_SERVERS, Target, deceive};

/// Bytes a block.
const SIZE: usize = 1024;
/// How long a server is attacked alone.
const ALONE: Duration = Duration::from_secs(2);
/// How long an honest peer fetches, at least: the log again and again.
const HONEST: Duration = Duration::from_secs(5);
/// Most that an attack may add to the memory of a server or a reader, in MiB: what limits.rs allows
/// one peer, and what the allocator keeps of it.
const MAX_MORE_MIB: f64 = 64.0;
/// Least that an honest peer has to keep of its rate.
const LEAST_RATE: f64 = 0.8;

/// Attacks servers and readers with a log of so many blocks, and prints the tables. `only`: attacks
/// whose names have this in them.
pub(crate) fn measure(blocks: u64, only: Option<&str>) -> anyhow::Result<()> {
    run(&mut cargo(&["build", "--release", "--bin", "hypercore"]))?;
    let field = Field::new(blocks)?;
    let chosen = |name: &str| only.is_none_or(|only| name.contains(only));
    let mut faults = Vec::new();
    println!(
        "\n| attack on a server | attacker's CPU | server's CPU | more MiB | hung up on | honest rate |"
    );
    println!("| --- | --- | --- | --- | --- | --- |");
    for (name, attack) in ON_SERVERS.into_iter().filter(|(name, _)| chosen(name)) {
        field.attack_server(attack)?.report(name, &mut faults);
    }
    println!(
        "\n| server beside an honest one | its CPU | reader's CPU | more MiB | hung up on | honest rate |"
    );
    println!("| --- | --- | --- | --- | --- | --- |");
    for (name, deceit) in ON_READERS.into_iter().filter(|(name, _)| chosen(name)) {
        field.deceive_reader(deceit)?.report(name, &mut faults);
    }
    fs::remove_dir_all(&field.dir)?;
    ensure!(
        faults.is_empty(),
        "out of bounds:\n  {}",
        faults.join("\n  ")
    );
    Ok(())
}

/// What an attack cost. CPU time is in cores.
struct Suffered {
    attacker: f64,
    victim: f64,
    /// Peak memory of the victim over that without an attack.
    more_mib: f64,
    dropped: u64,
    /// What the honest peer kept of its rate.
    rate: f64,
}

impl Suffered {
    fn report(&self, name: &str, faults: &mut Vec<String>) {
        let percent = |share: f64| share * 100.0;
        println!(
            "| {name} | {:.0} % | {:.0} % | {:.1} | {} | {:.0} % |",
            percent(self.attacker),
            percent(self.victim),
            self.more_mib,
            self.dropped,
            percent(self.rate)
        );
        if self.more_mib > MAX_MORE_MIB {
            faults.push(format!("{name}: {:.0} MiB more", self.more_mib));
        }
        if self.rate < LEAST_RATE {
            faults.push(format!("{name}: {:.0} % of the rate", percent(self.rate)));
        }
    }
}

/// CPU time of a process from some moment on.
struct Clock {
    pid: u32,
    begun: Instant,
    before: f64,
}

impl Clock {
    fn of(pid: u32) -> anyhow::Result<Self> {
        let before = usage(pid)?.cpu_seconds;
        let begun = Instant::now();
        Ok(Self { pid, begun, before })
    }

    /// How many cores it has kept busy.
    fn cores(&self) -> anyhow::Result<f64> {
        let used = usage(self.pid)?.cpu_seconds - self.before;
        Ok(used / self.begun.elapsed().as_secs_f64())
    }
}

/// Has this process keep so many cores busy, one thread for each, until told to stop.
fn burn(cores: f64, over: &Arc<AtomicBool>) -> anyhow::Result<Vec<JoinHandle<()>>> {
    let clock = Arc::new(Clock::of(std::process::id())?);
    let threads = (1..).take_while(|thread| f64::from(*thread) < cores + 1.0);
    let burning = threads.map(|_| {
        let (clock, over) = (Arc::clone(&clock), Arc::clone(over));
        thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                let behind = clock.cores().is_ok_and(|so_far| so_far < cores);
                let until = Instant::now() + Duration::from_millis(1);
                while behind && Instant::now() < until {
                    std::hint::spin_loop();
                }
                if !behind {
                    thread::sleep(Duration::from_millis(1));
                }
            }
        })
    });
    Ok(burning.collect())
}

/// What fetching the log again and again came to.
struct Fetched {
    /// Fetches in a second.
    rate: f64,
    /// Cores that this process kept busy meanwhile.
    own: f64,
    /// Cores that the readers kept busy, and the most memory that one of them took.
    reader: f64,
    peak_mib: f64,
}

/// A log to fight over.
struct Field {
    dir: PathBuf,
    key: String,
    blocks: u64,
}

struct Server {
    child: Child,
    address: SocketAddr,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn hypercore(args: &[&str]) -> Command {
    let mut command = Command::new(target().join("release/hypercore"));
    command
        .args(args)
        .arg("--json")
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    command
}

fn text(path: &Path) -> anyhow::Result<&str> {
    path.to_str().context("a path that is no text")
}

impl Field {
    fn new(blocks: u64) -> anyhow::Result<Self> {
        let dir = target().join("hostile");
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir)?;
        let file = dir.join("file");
        let length = usize::try_from(blocks)? * SIZE;
        let mut bytes = vec![0; length];
        fastrand::Rng::with_seed(1).fill(&mut bytes);
        fs::write(&file, bytes)?;
        let log = dir.join("log");
        let created = finish(hypercore(&["create", text(&log)?]).spawn()?)?.0;
        let size = SIZE.to_string();
        finish(hypercore(&["append", text(&log)?, text(&file)?, "--chunk-size", &size]).spawn()?)?;
        let key = created["key"].as_str().context("no key")?.to_owned();
        Ok(Self { dir, key, blocks })
    }

    fn serve(&self) -> anyhow::Result<Server> {
        let log = self.dir.join("log");
        let mut child = hypercore(&["serve", text(&log)?, "--listen", "127.0.0.1:0"]).spawn()?;
        let mut lines = BufReader::new(child.stdout.take().context("no stdout")?).lines();
        let first: Value = serde_json::from_str(&lines.next().context("no first line")??)?;
        // What else it says is not listened to, and must not stop it.
        thread::spawn(move || lines.for_each(drop));
        let address = first["address"].as_str().context("no address")?.parse()?;
        Ok(Server { child, address })
    }

    fn target(&self, address: SocketAddr) -> anyhow::Result<Arc<Target>> {
        let key: CoreKey = self.key.parse().ok().context("the key of our own log")?;
        Ok(Arc::new(Target {
            address,
            key,
            length: self.blocks,
            over: AtomicBool::new(false),
            dropped: AtomicU64::new(0),
        }))
    }

    /// Fetches all of it from an honest server, and from others beside it, for a while.
    fn fetch(&self, server: &Server, others: &[SocketAddr]) -> anyhow::Result<Fetched> {
        let own = Clock::of(std::process::id())?;
        let (mut count, mut cpu, mut peak_mib) = (0.0, 0.0, 0.0_f64);
        while own.begun.elapsed() < HONEST {
            let usage = self.fetch_once(server, others)?;
            count += 1.0;
            cpu += usage.cpu_seconds;
            peak_mib = peak_mib.max(usage.peak_mib);
        }
        let seconds = own.begun.elapsed().as_secs_f64();
        Ok(Fetched {
            rate: count / seconds,
            own: own.cores()?,
            reader: cpu / seconds,
            peak_mib,
        })
    }

    fn fetch_once(&self, server: &Server, others: &[SocketAddr]) -> anyhow::Result<Usage> {
        let copy = self.dir.join("copy");
        let _ = fs::remove_dir_all(&copy);
        let mut args = vec![
            "fetch".to_owned(),
            self.key.clone(),
            text(&copy)?.to_owned(),
        ];
        for address in others.iter().chain([&server.address]) {
            args.extend(["--connect".to_owned(), address.to_string()]);
        }
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let (done, usage) = finish(hypercore(&args).spawn()?)?;
        ensure!(done["event"] == "done", "the fetch ended with {done}");
        ensure!(
            done["downloaded"] == self.blocks,
            "the fetch ended with {done}"
        );
        Ok(usage)
    }

    /// The same without an attack, beside this process that keeps so many cores busy; and the most memory
    /// that the server took.
    fn undisturbed(&self, cores: f64) -> anyhow::Result<(Fetched, f64)> {
        let server = self.serve()?;
        let over = Arc::new(AtomicBool::new(false));
        let burning = burn(cores, &over)?;
        let fetched = self.fetch(&server, &[]);
        over.store(true, Ordering::Relaxed);
        burning.into_iter().for_each(|thread| drop(thread.join()));
        Ok((fetched?, usage(server.child.id())?.peak_mib))
    }

    /// A server under attack: alone with it for a while, then with an honest reader too.
    fn attack_server(&self, attack: attack::Attack) -> anyhow::Result<Suffered> {
        let server = self.serve()?;
        let pid = server.child.id();
        let target = self.target(server.address)?;
        let attacker = {
            let target = Arc::clone(&target);
            thread::spawn(move || attack(&target))
        };
        thread::sleep(Duration::from_millis(200));
        let alone = Clock::of(pid)?;
        thread::sleep(ALONE);
        let victim = alone.cores()?;
        let honest = self.fetch(&server, &[]);
        let peak_mib = usage(pid)?.peak_mib;
        target.over.store(true, Ordering::Relaxed);
        attacker.join().ok();
        drop(server);
        let honest = honest?;
        let (undisturbed, usual_mib) = self.undisturbed(honest.own)?;
        Ok(Suffered {
            attacker: honest.own,
            victim,
            more_mib: peak_mib - usual_mib,
            dropped: target.dropped.load(Ordering::Relaxed),
            rate: honest.rate / undisturbed.rate,
        })
    }

    /// A reader that is connected to an honest server and to a liar.
    fn deceive_reader(&self, deceit: attack::Deceit) -> anyhow::Result<Suffered> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let target = self.target(address)?;
        let liar = {
            let target = Arc::clone(&target);
            thread::spawn(move || deceive(&listener, &target, deceit))
        };
        let server = self.serve()?;
        let deceived = self.fetch(&server, &[address]);
        target.over.store(true, Ordering::Relaxed);
        liar.join().ok();
        drop(server);
        let deceived = deceived?;
        let (undisturbed, _) = self.undisturbed(deceived.own)?;
        Ok(Suffered {
            attacker: deceived.own,
            victim: deceived.reader,
            more_mib: deceived.peak_mib - undisturbed.peak_mib,
            dropped: target.dropped.load(Ordering::Relaxed),
            rate: deceived.rate / undisturbed.rate,
        })
    }
}
