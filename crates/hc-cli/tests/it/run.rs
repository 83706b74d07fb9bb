//! Running the program.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

/// When to give up. It only tells a test that hangs from one on a machine that is busy with others.
const SOON: Duration = Duration::from_secs(120);

/// How a process ended.
#[derive(Debug)]
pub(crate) struct Out {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Out {
    /// Fails the test if it did not end with this code.
    pub(crate) fn code(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:?}");
        self
    }

    pub(crate) fn ok(self) -> Self {
        self.code(0)
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.stdout.clone()).unwrap()
    }

    /// Every line of stdout, each of which has to be JSON.
    pub(crate) fn lines(&self) -> Vec<Value> {
        let text = self.text();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    pub(crate) fn json(&self) -> Value {
        self.lines().pop().unwrap()
    }

    /// What it failed with, as a script sees it, which has to be what a person sees too.
    pub(crate) fn error(&self) -> (String, String) {
        let error = &self.json()["error"];
        let message = error["message"].as_str().unwrap().to_owned();
        assert!(self.stderr.contains(&message), "{self:?}");
        (error["code"].as_str().unwrap().to_owned(), message)
    }
}

pub(crate) fn command(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hypercore"));
    command.args(words).env_remove("HYPERCORE_ENCRYPTION_KEY");
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Runs it to its end.
pub(crate) fn hypercore(words: &[&str]) -> Out {
    with_input(words, b"")
}

pub(crate) fn with_input(words: &[&str], input: &[u8]) -> Out {
    end(command(words).stdin(Stdio::piped()), input)
}

pub(crate) fn end(command: &mut Command, input: &[u8]) -> Out {
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take();
    let input = input.to_vec();
    let writing = thread::spawn(move || {
        if let Some(stdin) = &mut stdin {
            // A command that failed does not read it.
            let _ = stdin.write_all(&input);
        }
    });
    let out = child.wait_with_output().unwrap();
    writing.join().unwrap();
    let stderr = String::from_utf8(out.stderr).unwrap();
    Out {
        code: out.status.code(),
        stdout: out.stdout,
        stderr,
    }
}

/// A process that goes on, with `--json`.
pub(crate) struct Running {
    child: Child,
    lines: Receiver<Value>,
    seen: Vec<Value>,
}

impl Running {
    pub(crate) fn start(words: &[&str]) -> Self {
        let mut child = command(words)
            .arg("--json")
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in stdout.lines() {
                let line = serde_json::from_str(&line.unwrap()).unwrap();
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self {
            child,
            lines,
            seen: Vec::new(),
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The next line of which this is true.
    pub(crate) fn until(&mut self, is: impl Fn(&Value) -> bool) -> Value {
        loop {
            let line = self.lines.recv_timeout(SOON);
            let line = line.unwrap_or_else(|error| panic!("{error} after {:?}", self.seen));
            self.seen.push(line.clone());
            if is(&line) {
                return line;
            }
        }
    }

    pub(crate) fn event(&mut self, name: &str) -> Value {
        self.until(|line| line["event"] == name)
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.child.stdin.as_mut().unwrap().write_all(bytes).unwrap();
    }

    pub(crate) fn end_input(&mut self) {
        self.child.stdin = None;
    }

    pub(crate) fn signal(&self, name: &str) {
        let pid = self.pid().to_string();
        assert!(
            Command::new("kill")
                .args(["-s", name, &pid])
                .status()
                .unwrap()
                .success()
        );
    }

    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for its end. `stdout` is only what was not seen before.
    pub(crate) fn end(mut self) -> Out {
        let mut stderr = String::new();
        self.child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut stderr)
            .unwrap();
        let code = self.child.wait().unwrap().code();
        let mut stdout = Vec::new();
        while let Ok(line) = self.lines.recv_timeout(SOON) {
            stdout.extend(format!("{line}\n").into_bytes());
        }
        Out {
            code,
            stdout,
            stderr,
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A folder for one test.
pub(crate) struct Place(TempDir);

impl Place {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn at(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    /// A new log and its key.
    pub(crate) fn log(&self, name: &str) -> (String, String) {
        let dir = self.at(name);
        let created = hypercore(&["create", &dir, "--json"]).ok().json();
        (dir, created["key"].as_str().unwrap().to_owned())
    }

    /// A new log with a file of so many bytes in it, in blocks of 16 KiB.
    pub(crate) fn log_of(&self, name: &str, bytes: usize) -> (String, String, Vec<u8>) {
        let (dir, key) = self.log(name);
        let bytes = noise(bytes);
        with_input(&["append", &dir, "--chunk-size", "16384"], &bytes).ok();
        (dir, key, bytes)
    }
}

/// Bytes that do not repeat.
pub(crate) fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut word = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let mut bytes: Vec<u8> = (0..len.div_ceil(8)).flat_map(|_| word()).collect();
    bytes.truncate(len);
    bytes
}

/// A server of these folders, and its address.
pub(crate) fn serve(dirs: &[&str]) -> (Running, String) {
    let words = [&["serve"], dirs, &["--listen", "127.0.0.1:0"]].concat();
    let mut server = Running::start(&words);
    let address = server.event("listening")["address"]
        .as_str()
        .unwrap()
        .to_owned();
    (server, address)
}

pub(crate) fn same_file(path: &Path, bytes: &[u8]) {
    assert!(
        std::fs::read(path).unwrap() == bytes,
        "{} differs",
        path.display()
    );
}
