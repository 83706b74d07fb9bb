//! Processes of this same program. None outlives the demo.

use std::env;
use std::io::{self, BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::Value;

use crate::failure::{Failure, Kind};

pub(super) struct Children {
    program: PathBuf,
    running: Mutex<Running>,
}

#[derive(Default)]
struct Running {
    children: Vec<Child>,
    ended: bool,
}

impl Children {
    pub(super) fn new() -> Result<Self, Failure> {
        let program = env::current_exe().map_err(|error| failed("this program", &error))?;
        Ok(Self {
            program,
            running: Mutex::default(),
        })
    }

    /// Runs one to its end and returns the last line that it said.
    pub(super) fn run(&self, words: &[&str]) -> Result<Value, Failure> {
        let (pid, stdout) = self.spawn(words)?;
        let mut last = Value::Null;
        for line in BufReader::new(stdout).lines() {
            let line = line.map_err(|error| failed(words[0], &error))?;
            last = parse(words, &line)?;
        }
        let child = {
            let mut running = self.running();
            let at = running.children.iter().position(|child| child.id() == pid);
            at.map(|at| running.children.swap_remove(at))
        };
        let status = child.map(|mut child| child.wait()).transpose();
        let status = status.map_err(|error| failed(words[0], &error))?;
        match status {
            Some(status) if status.success() => Ok(last),
            _ => {
                let why = last["error"]["message"]
                    .as_str()
                    .unwrap_or("it was interrupted");
                Err(Failure::new(Kind::Other, why).at(words[0]))
            }
        }
    }

    /// Starts one that goes on, and returns the first line that it says.
    pub(super) fn start(&self, words: &[&str]) -> Result<Value, Failure> {
        let (_, stdout) = self.spawn(words)?;
        let mut stdout = BufReader::new(stdout);
        let mut line = String::new();
        stdout
            .read_line(&mut line)
            .map_err(|error| failed(words[0], &error))?;
        // Its pipe must not fill up.
        std::thread::spawn(move || io::copy(&mut stdout.by_ref(), &mut io::sink()));
        parse(words, &line)
    }

    fn spawn(&self, words: &[&str]) -> Result<(u32, ChildStdout), Failure> {
        let mut running = self.running();
        if running.ended {
            return Err(Failure::new(Kind::Other, "interrupted"));
        }
        let mut command = Command::new(&self.program);
        command
            .arg("--json")
            .args(words)
            .env_remove("HYPERCORE_ENCRYPTION_KEY");
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut child = command.spawn().map_err(|error| failed(words[0], &error))?;
        let (pid, stdout) = (child.id(), child.stdout.take());
        running.children.push(child);
        let stdout = stdout.ok_or_else(|| Failure::new(Kind::Other, "no pipe").at(words[0]))?;
        Ok((pid, stdout))
    }

    /// Ends whatever still runs, for good.
    pub(super) fn end(&self) {
        let mut running = self.running();
        running.ended = true;
        for child in &mut running.children {
            // One that has ended already cannot be ended.
            let _ = child.kill();
            let _ = child.wait();
        }
        running.children.clear();
    }

    fn running(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn parse(words: &[&str], line: &str) -> Result<Value, Failure> {
    let odd =
        |_| Failure::new(Kind::Other, format!("said {line:?}, which is no JSON")).at(words[0]);
    serde_json::from_str(line).map_err(odd)
}

fn failed(what: &str, error: &io::Error) -> Failure {
    Failure::new(Kind::Other, error).at(what)
}
