//! A JavaScript peer in a process of its own, under remote control.
//!
//! Owns the process and the lines that go to and fro; `xtask/interop/reference.js` is the other end
//! and lists the operations. Knows nothing of what a test wants to prove.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use serde_json::{Value, json};

/// How long an operation of the reference may take.
const TIMEOUT: Duration = Duration::from_secs(240);

/// Which release of the reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// hypercore 11.37.1.
    V11,
    /// hypercore 10.38.2, the release with long-term support.
    V10,
}

impl Version {
    /// Both.
    pub const ALL: [Self; 2] = [Self::V11, Self::V10];

    fn word(self) -> &'static str {
        match self {
            Self::V11 => "11",
            Self::V10 => "10",
        }
    }
}

/// A running peer. Dropping it ends the process.
#[derive(Debug)]
pub struct Reference {
    child: Child,
    stdin: ChildStdin,
    lines: Receiver<Value>,
    events: Vec<Value>,
    last_id: u64,
}

impl Reference {
    /// Starts a peer, or says on stderr why there can be none and returns `None`.
    ///
    /// # Errors
    /// Where Node is present but the pinned packages are not: a test must not pass by being skipped.
    pub fn start(version: Version) -> Result<Option<Self>> {
        if !Command::new("node")
            .arg("--version")
            .output()
            .is_ok_and(|out| out.status.success())
        {
            eprintln!("SKIPPED: Node is not on this machine, so there is no reference to talk to");
            return Ok(None);
        }
        let packages = packages()?;
        let script = workspace().join("xtask/interop/reference.js");
        let mut child = Command::new("node")
            .arg(script)
            .arg(version.word())
            .env("HYPERCORE_INTEROP", packages)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start node")?;
        let stdin = child.stdin.take().context("node has no stdin")?;
        let stdout = child.stdout.take().context("node has no stdout")?;
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let Ok(value) = serde_json::from_str(&line) else {
                    continue;
                };
                if sender.send(value).is_err() {
                    break;
                }
            }
        });
        Ok(Some(Self {
            child,
            stdin,
            lines,
            events: Vec::new(),
            last_id: 0,
        }))
    }

    /// Runs an operation with its arguments (a JSON object) and waits for its answer.
    ///
    /// # Errors
    /// What the reference threw, or that it ended or took too long.
    pub fn call(&mut self, op: &str, arguments: Value) -> Result<Value> {
        let id = self.send(op, arguments)?;
        self.answer(id)
            .with_context(|| format!("the reference's `{op}`"))
    }

    /// Starts an operation without waiting; [`answer`](Self::answer) waits for it.
    ///
    /// # Errors
    /// Where the process has ended.
    pub fn send(&mut self, op: &str, arguments: Value) -> Result<u64> {
        self.last_id += 1;
        let mut request = arguments;
        let fields = request
            .as_object_mut()
            .context("arguments are a JSON object")?;
        fields.insert("id".into(), json!(self.last_id));
        fields.insert("op".into(), json!(op));
        writeln!(self.stdin, "{request}").context("the reference has ended")?;
        Ok(self.last_id)
    }

    /// Waits for the answer to an operation that was started.
    ///
    /// # Errors
    /// What the reference threw, or that it ended or took too long.
    pub fn answer(&mut self, id: u64) -> Result<Value> {
        let deadline = Instant::now() + TIMEOUT;
        let answers = |line: &Value| line["id"].as_u64() == Some(id);
        // It may have come while an event was waited for.
        let mut line = match self.events.iter().position(answers) {
            Some(at) => self.events.remove(at),
            None => loop {
                let line = self.line(deadline)?;
                if answers(&line) {
                    break line;
                }
                self.events.push(line);
            },
        };
        match line.get("error") {
            Some(error) => Err(anyhow!("{}", error.as_str().unwrap_or("?"))),
            None => Ok(line["ok"].take()),
        }
    }

    /// Waits for an event of that name and returns it; events that came earlier count.
    ///
    /// # Errors
    /// Where none comes in time.
    pub fn event(&mut self, name: &str, patience: Duration) -> Result<Value> {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(at) = self.events.iter().position(|event| event["event"] == name) {
                return Ok(self.events.remove(at));
            }
            let line = self
                .line(deadline)
                .with_context(|| format!("no event `{name}`"))?;
            self.events.push(line);
        }
    }

    fn line(&mut self, deadline: Instant) -> Result<Value> {
        match self
            .lines
            .recv_timeout(deadline.saturating_duration_since(Instant::now()))
        {
            Ok(line) => Ok(line),
            Err(RecvTimeoutError::Timeout) => bail!("the reference took too long"),
            Err(RecvTimeoutError::Disconnected) => bail!("the reference has ended"),
        }
    }

    /// Opens a core in a folder; `options` are the reference's constructor options.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub fn open(&mut self, dir: &Path, key: Option<&str>, options: &Value) -> Result<Value> {
        self.call(
            "open",
            json!({ "dir": dir, "key": key, "options": options }),
        )
    }

    /// Listens on a free loopback port and returns it.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub fn listen(&mut self) -> Result<u16> {
        let port = self.call("listen", json!({}))?["port"]
            .as_u64()
            .context("no port")?;
        Ok(u16::try_from(port)?)
    }

    /// Process id, for measuring.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Reference {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The folder with the reference's packages.
fn packages() -> Result<PathBuf> {
    let folder = std::env::var_os("HYPERCORE_INTEROP")
        .map_or_else(|| workspace().join(".interop"), PathBuf::from);
    if folder.join("node_modules/hypercore").exists() {
        return Ok(folder);
    }
    bail!(
        "the reference's packages are not installed: run `cargo xtask test` once, or name a folder \
         that has them in HYPERCORE_INTEROP"
    )
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}
