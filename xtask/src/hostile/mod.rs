//! `cargo xtask hostile`: what attacks cost a server and a reader, over real sockets.
//!
//! Owns the measurement: CPU time and peak memory of the attacked process as the kernel counts them,
//! and how fast an honest peer is served meanwhile, beside a run without an attack. Fails where memory
//! or the honest peer's rate is out of bounds.

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
const ALONE: Duration = Duration::from_secs(3);
/// Most that an attack may add to the memory of a server or a reader, in MiB: what limits.rs allows
/// one peer, and what the allocator keeps of it.
const MAX_MORE_MIB: f64 = 64.0;
/// Least that an honest peer has to keep of its rate.
const LEAST_RATE: f64 = 0.8;

/// Attacks servers and readers with a log of so many blocks, and prints the table.
pub(crate) fn measure(blocks: u64) -> anyhow::Result<()> {
    run(&mut cargo(&["build", "--release", "--bin", "hypercore"]))?;
    let field = Field::new(blocks)?;
    let baseline = field.fetch(&[])?;
    let idle = field.attack_server(None)?;
    println!("\n| attack | CPU, % of a core | peak MiB | hung up on | honest rate |");
    println!("| --- | --- | --- | --- | --- |");
    println!(
        "| none | {:.1} | {:.1} | – | 100 % |",
        idle.cpu, idle.usage.peak_mib
    );
    let mut faults = Vec::new();
    for (name, attack) in ON_SERVERS {
        let suffered = field.attack_server(Some(attack))?;
        suffered.report(name, &idle, &mut faults);
    }
    println!(
        "\n| server beside an honest one | reader's CPU s | peak MiB | hung up on | honest rate |"
    );
    println!("| --- | --- | --- | --- | --- |");
    println!(
        "| none | {:.2} | {:.1} | – | 100 % |",
        baseline.usage.cpu_seconds, baseline.usage.peak_mib
    );
    for (name, deceit) in ON_READERS {
        let suffered = field.deceive_reader(deceit, &baseline)?;
        suffered.report(name, &baseline, &mut faults);
    }
    fs::remove_dir_all(&field.dir)?;
    ensure!(
        faults.is_empty(),
        "out of bounds:\n  {}",
        faults.join("\n  ")
    );
    Ok(())
}

/// What an attack cost.
struct Suffered {
    usage: Usage,
    /// Percent of a core while only the attacker was there; seconds for a reader.
    cpu: f64,
    dropped: Option<u64>,
    seconds: f64,
    /// What the honest peer kept of its rate.
    rate: f64,
}

impl Suffered {
    fn report(&self, name: &str, without: &Self, faults: &mut Vec<String>) {
        println!(
            "| {name} | {:.1} | {:.1} | {} | {:.0} % |",
            self.cpu,
            self.usage.peak_mib,
            self.dropped.map_or("–".into(), |count| count.to_string()),
            self.rate * 100.0
        );
        let more = self.usage.peak_mib - without.usage.peak_mib;
        if more > MAX_MORE_MIB {
            faults.push(format!("{name}: {more:.0} MiB more than without"));
        }
        if self.rate < LEAST_RATE {
            faults.push(format!(
                "{name}: {:.0} % of the honest rate",
                self.rate * 100.0
            ));
        }
    }
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

    /// Fetches all of it from an honest server, and from others beside it.
    fn fetch(&self, others: &[SocketAddr]) -> anyhow::Result<Suffered> {
        let server = self.serve()?;
        self.fetch_from(&server, others)
    }

    fn fetch_from(&self, server: &Server, others: &[SocketAddr]) -> anyhow::Result<Suffered> {
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
        let begun = Instant::now();
        let (done, usage) = finish(hypercore(&args).spawn()?)?;
        let seconds = begun.elapsed().as_secs_f64();
        ensure!(done["event"] == "done", "the fetch ended with {done}");
        ensure!(
            done["downloaded"] == self.blocks,
            "the fetch ended with {done}"
        );
        Ok(Suffered {
            usage,
            cpu: usage.cpu_seconds,
            dropped: None,
            seconds,
            rate: 1.0,
        })
    }

    /// A server under attack: alone with it for a while, then with an honest reader too.
    fn attack_server(&self, attack: Option<attack::Attack>) -> anyhow::Result<Suffered> {
        let before = self.fetch(&[])?;
        let server = self.serve()?;
        let pid = server.child.id();
        let target = self.target(server.address)?;
        let attacker: Option<JoinHandle<()>> = attack.map(|attack| {
            let target = Arc::clone(&target);
            thread::spawn(move || attack(&target))
        });
        thread::sleep(Duration::from_millis(200));
        let begun = usage(pid)?;
        thread::sleep(ALONE);
        let alone = usage(pid)?.cpu_seconds - begun.cpu_seconds;
        let honest = self.fetch_from(&server, &[])?;
        let suffered = usage(pid)?;
        target.over.store(true, Ordering::Relaxed);
        attacker.map(JoinHandle::join);
        Ok(Suffered {
            usage: suffered,
            cpu: alone / ALONE.as_secs_f64() * 100.0,
            dropped: Some(target.dropped.load(Ordering::Relaxed)),
            seconds: honest.seconds,
            rate: before.seconds / honest.seconds,
        })
    }

    /// A reader that is connected to an honest server and to a liar.
    fn deceive_reader(
        &self,
        deceit: attack::Deceit,
        honest: &Suffered,
    ) -> anyhow::Result<Suffered> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let target = self.target(address)?;
        let liar = {
            let target = Arc::clone(&target);
            thread::spawn(move || deceive(&listener, &target, deceit))
        };
        let suffered = self.fetch(&[address]);
        target.over.store(true, Ordering::Relaxed);
        liar.join().ok();
        let suffered = suffered?;
        Ok(Suffered {
            dropped: Some(target.dropped.load(Ordering::Relaxed)),
            rate: honest.seconds / suffered.seconds,
            ..suffered
        })
    }
}
