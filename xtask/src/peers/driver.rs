//! The peers as processes: how each is made and started, and what it says.
//!
//! Owns the list of peers, the lines that a driver prints and the time that it may take. Knows no
//! workload.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::{Map, Value, json};

use crate::run::{cargo, root, run, target};

/// Every peer that there is a driver for.
pub(super) const NAMES: [&str; 5] = ["ours", "js11", "js10", "datrs", "datrs-nosync"];

/// One line of results.
pub(super) struct Report {
    pub(super) peer: String,
    pub(super) workload: &'static str,
    pub(super) rep: u32,
    pub(super) fields: Map<String, Value>,
}

impl Report {
    pub(super) fn line(&self) -> Value {
        let mut line = Map::new();
        line.insert("peer".into(), json!(self.peer));
        line.insert("workload".into(), json!(self.workload));
        line.insert("rep".into(), json!(self.rep));
        line.extend(self.fields.clone());
        Value::Object(line)
    }

    pub(super) fn number(&self, field: &str) -> Option<f64> {
        self.fields.get(field)?.as_f64()
    }
}

/// How to start a peer.
pub(crate) struct Driver {
    pub(super) name: String,
    command: Vec<String>,
    modules: PathBuf,
    timeout: Duration,
}

/// Makes the drivers of the named peers.
pub(crate) fn prepare(names: &[String], timeout: Duration) -> anyhow::Result<Vec<Driver>> {
    let modules = root().join(".bench");
    let script = root().join("xtask/peers/js/driver.js");
    let script = script.to_str().context("a path that is no text")?;
    let mut drivers = Vec::new();
    for name in names {
        let command = match name.as_str() {
            "js11" | "js10" => {
                install(&modules)?;
                vec!["node", script, "--impl", &name[2..]]
                    .into_iter()
                    .map(String::from)
                    .collect()
            }
            "ours" => {
                run(&mut cargo(&["build", "--release", "-p", "peer-ours"]))?;
                vec![binary(&target().join("release/peer-ours"))?]
            }
            "datrs" | "datrs-nosync" => {
                let manifest = root().join("xtask/peers/datrs/Cargo.toml");
                let folder = target().join("peer-datrs");
                run(cargo(&["build", "--release", "--manifest-path"])
                    .arg(manifest)
                    .arg("--target-dir")
                    .arg(&folder))?;
                let mut command = vec![binary(&folder.join("release/peer-datrs"))?];
                if name == "datrs-nosync" {
                    command.extend(["--sync", "none"].map(String::from));
                }
                command
            }
            other => bail!("there is no peer {other}; --list names them"),
        };
        drivers.push(Driver {
            name: name.clone(),
            command,
            modules: modules.join("node_modules"),
            timeout,
        });
    }
    Ok(drivers)
}

fn binary(path: &Path) -> anyhow::Result<String> {
    Ok(path.to_str().context("a path that is no text")?.to_owned())
}

/// Installs the packages that `xtask/peers/package-lock.json` pins.
fn install(into: &Path) -> anyhow::Result<()> {
    crate::interop::install_from(&root().join("xtask/peers"), into)
}

/// What a run that did not happen reports.
pub(super) fn unsupported(why: &str) -> Map<String, Value> {
    fields(json!({ "unsupported": why }))
}

fn fields(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(fields) => fields,
        other => fields_of_error(&format!("printed {other}")),
    }
}

fn fields_of_error(why: &str) -> Map<String, Value> {
    Map::from_iter([("error".to_owned(), json!(why))])
}

impl Driver {
    fn start(&self, args: &[String]) -> anyhow::Result<Child> {
        let (program, first) = self.command.split_first().context("no command")?;
        Command::new(program)
            .args(first)
            .args(args)
            .env("NODE_PATH", &self.modules)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", self.name))
    }

    /// One workload in one process: what it reports.
    pub(crate) fn run(
        &self,
        args: &[String],
        dir: &Path,
        more: &[String],
    ) -> anyhow::Result<Map<String, Value>> {
        let mut all = args.to_vec();
        all.extend(["--dir".to_owned(), binary(dir)?]);
        all.extend_from_slice(more);
        let mut child = self.start(&all)?;
        let lines = Lines::of(&mut child)?;
        let out = lines.next(self.timeout);
        child.kill().ok();
        child.wait()?;
        Ok(out)
    }

    /// A server that runs until it is [ended](Serving::end).
    pub(crate) fn serve(&self, dir: &Path, size: usize, live: bool) -> anyhow::Result<Serving> {
        let mut args = vec!["serve".to_owned(), "--dir".to_owned(), binary(dir)?];
        args.extend(["--size".to_owned(), size.to_string()]);
        if live {
            args.push("--live".to_owned());
        }
        let mut child = self.start(&args)?;
        let lines = Lines::of(&mut child)?;
        let hello = lines.next(Duration::from_secs(60));
        if hello.get("ready") != Some(&json!(true)) {
            child.kill().ok();
            child.wait()?;
            bail!("{} does not serve: {}", self.name, Value::Object(hello));
        }
        Ok(Serving {
            child,
            lines,
            hello,
        })
    }
}

/// A running server.
pub(crate) struct Serving {
    child: Child,
    lines: Lines,
    hello: Map<String, Value>,
}

impl Serving {
    /// What a reader has to be told.
    pub(crate) fn address(&self) -> Vec<String> {
        let word = |name: &str| match self.hello.get(name) {
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
            None => "0".to_owned(),
        };
        ["port", "control", "key"]
            .into_iter()
            .flat_map(|name| [format!("--{name}"), word(name)])
            .collect()
    }

    /// Ends it, and gives its report.
    pub(crate) fn end(&mut self) -> anyhow::Result<Map<String, Value>> {
        drop(self.child.stdin.take());
        let out = self.lines.next(Duration::from_secs(60));
        self.child.kill().ok();
        self.child.wait()?;
        Ok(out)
    }
}

/// The lines of a driver, as they come.
struct Lines(mpsc::Receiver<String>);

impl Lines {
    fn of(child: &mut Child) -> anyhow::Result<Self> {
        let stdout: ChildStdout = child.stdout.take().context("no stdout")?;
        let (send, receive) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if send.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(Self(receive))
    }

    fn next(&self, limit: Duration) -> Map<String, Value> {
        match self.0.recv_timeout(limit) {
            Ok(line) => serde_json::from_str(&line)
                .map_or_else(|_| fields_of_error(&format!("printed {line}")), fields),
            Err(mpsc::RecvTimeoutError::Timeout) => {
                fields_of_error(&format!("did not finish in {} s", limit.as_secs()))
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => fields_of_error("ended without a report"),
        }
    }
}
