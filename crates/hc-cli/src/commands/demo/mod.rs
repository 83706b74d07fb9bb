//! `demo`: the main job from end to end, in a folder that is gone afterwards.
//!
//! A writer, a server and readers, each a process of this same program, over TCP; then what came is
//! compared with what was sent.

mod children;
mod sample;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use async_std::task;
use futures_lite::future;
use serde_json::{Value, json};
use tempfile::TempDir;

use self::children::Children;
use crate::chunk::DEFAULT_CHUNK;
use crate::failure::{Failure, Kind};
use crate::output::{self, Output};
use crate::signals::Stop;

pub(crate) async fn run(file: Option<&Path>, output: Output) -> Result<(), Failure> {
    let mut stop = Stop::new()?;
    let children = Arc::new(Children::new()?);
    let dir = tempfile::Builder::new().prefix("hypercore-demo-").tempdir();
    let dir = dir.map_err(|error| Failure::new(Kind::Other, error).at("temporary folder"))?;
    let demo = Demo {
        file: file.map(Path::to_path_buf),
        dir,
        children: children.clone(),
        output,
    };
    let demo = task::spawn_blocking(move || demo.run());
    let stopped = async {
        stop.wait().await;
        // Whichever step is under way fails then, and the folder goes as always.
        children.end();
        future::pending().await
    };
    future::or(stopped, demo).await
}

struct Demo {
    file: Option<PathBuf>,
    dir: TempDir,
    children: Arc<Children>,
    output: Output,
}

/// One step, as it is told.
struct Step {
    name: &'static str,
    what: String,
    begun: Instant,
    bytes: Option<u64>,
}

impl Drop for Demo {
    fn drop(&mut self) {
        self.children.end();
    }
}

impl Demo {
    fn run(self) -> Result<(), Failure> {
        let begun = Instant::now();
        let ended = self.steps(begun);
        self.children.end();
        let gone = fs::remove_dir_all(self.dir.path());
        ended.and(
            gone.map_err(|error| Failure::new(Kind::Other, error).at(self.dir.path().display())),
        )
    }

    fn steps(&self, begun: Instant) -> Result<(), Failure> {
        let (writer, reader) = (self.path("writer"), self.path("reader"));
        self.output.note(|| {
            format!(
                "{:<10} {:<66} {:>8}  {:>12}",
                "step", "what", "time", "rate"
            )
        })?;
        let file = self.file()?;
        let key = text(&self.children.run(&["create", &writer])?, "key")?;
        let length = self.append(&writer, &file)?;
        let address = self.serve(&writer)?;
        let copy = self.path("copy");
        let fetched = self.fetch(&key, &reader, &address, &copy)?;
        let hash = self.compare(&file, &copy)?;
        self.verify(&reader, &fetched)?;
        if length > 0 {
            self.one_block(&key, &address, &file, length / 2)?;
        }
        let seconds = begun.elapsed().as_secs_f64();
        let value = json!({
            "event": "done",
            "ok": true,
            "key": key,
            "length": length,
            "treeHash": fetched["treeHash"],
            "fileHash": hash,
            "seconds": seconds,
        });
        self.output.result(&value, || {
            format!("\nThe copy is the file, byte for byte, and every block was checked against the key\n{key}.\nAll of it took {seconds:.1} s.")
        })
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    /// The file to send.
    fn file(&self) -> Result<PathBuf, Failure> {
        if let Some(file) = &self.file {
            return Ok(file.clone());
        }
        let step = Step::begin("make");
        let file = self.dir.path().join("file");
        let bytes = sample::write(&file).map_err(|error| at(error, &file))?;
        self.tell(step.done(format!("a file of {}", output::bytes(bytes)), None))?;
        Ok(file)
    }

    fn append(&self, writer: &str, file: &Path) -> Result<u64, Failure> {
        let step = Step::begin("append");
        let file = file.display().to_string();
        let appended = self.children.run(&["append", writer, "--", &file])?;
        let (length, bytes) = (
            number(&appended, "length")?,
            number(&appended, "byteLength")?,
        );
        let what = format!("the file to a new log: {length} signed blocks");
        self.tell(step.done(what, Some(bytes)))?;
        Ok(length)
    }

    fn serve(&self, writer: &str) -> Result<String, Failure> {
        let step = Step::begin("serve");
        let first = self
            .children
            .start(&["serve", writer, "--listen", "127.0.0.1:0"])?;
        let address = text(&first, "address")?;
        self.tell(step.done(
            format!("the log from a process of its own, on {address}"),
            None,
        ))?;
        Ok(address)
    }

    fn fetch(&self, key: &str, dir: &str, address: &str, copy: &str) -> Result<Value, Failure> {
        let step = Step::begin("fetch");
        let words = ["fetch", key, dir, "--connect", address, "--output", copy];
        let done = self.children.run(&words)?;
        let (blocks, bytes) = (number(&done, "downloaded")?, number(&done, "bytes")?);
        let wire = output::bytes(number(&done, "wireIn")?);
        let what = format!("all {blocks} blocks over TCP, encrypted: {wire} on the wire");
        self.tell(step.done(what, Some(bytes)))?;
        Ok(done)
    }

    fn compare(&self, file: &Path, copy: &str) -> Result<String, Failure> {
        let step = Step::begin("compare");
        let sent = sample::hash(file).map_err(|error| at(error, file))?;
        let copy = Path::new(copy);
        let came = sample::hash(copy).map_err(|error| at(error, copy))?;
        if sent != came {
            let message = format!("the copy is not the file: BLAKE2b-256 {came}, not {sent}");
            return Err(Failure::new(Kind::Integrity, message));
        }
        let short = sent.get(..16).unwrap_or_default();
        self.tell(step.done(format!("the copy is the file: BLAKE2b-256 {short}…"), None))?;
        Ok(sent)
    }

    fn verify(&self, reader: &str, fetched: &Value) -> Result<(), Failure> {
        let step = Step::begin("verify");
        let found = self.children.run(&["verify", reader])?;
        if found["ok"] != true || found["treeHash"] != fetched["treeHash"] {
            return Err(Failure::new(
                Kind::Integrity,
                "the reader's log is not what was signed",
            ));
        }
        let blocks = number(&found, "blocks")?;
        let what = format!("{blocks} stored blocks, rehashed against the signed tree");
        self.tell(step.done(what, Some(number(&found, "bytes")?)))
    }

    /// Fetches one block alone, as a reader does who wants no more.
    fn one_block(&self, key: &str, address: &str, file: &Path, index: u64) -> Result<(), Failure> {
        let step = Step::begin("one block");
        let (sparse, out) = (self.path("sparse"), self.path("block"));
        let number_of = index.to_string();
        let words = [
            "fetch",
            key,
            &sparse,
            "--connect",
            address,
            "--blocks",
            &number_of,
        ];
        let done = self
            .children
            .run(&[&words[..], &["--output", &out]].concat())?;
        let came = fs::read(&out).map_err(|error| at(error, Path::new(&out)))?;
        let offset = index.saturating_mul(DEFAULT_CHUNK as u64);
        let sent = sample::read(file, offset, came.len()).map_err(|error| at(error, file))?;
        if came != sent || came.is_empty() {
            let message = format!("block {index} is not that of the file");
            return Err(Failure::new(Kind::Integrity, message));
        }
        let wire = output::bytes(number(&done, "wireIn")?);
        let what = format!("block {index} alone, with its proof: {wire} on the wire");
        self.tell(step.done(what, None))
    }

    fn tell(&self, (step, elapsed): (Step, std::time::Duration)) -> Result<(), Failure> {
        let Step {
            name, what, bytes, ..
        } = step;
        let seconds = elapsed.as_secs_f64();
        let value = json!({
            "event": "step",
            "step": name,
            "what": what,
            "seconds": seconds,
            "bytes": bytes,
        });
        self.output.result(&value, || {
            let rate = bytes
                .map(|bytes| output::rate(bytes, elapsed))
                .unwrap_or_default();
            let line = format!("{name:<10} {what:<66} {seconds:>6.2} s  {rate:>12}");
            line.trim_end().to_owned()
        })
    }
}

impl Step {
    fn begin(name: &'static str) -> Self {
        Self {
            name,
            what: String::new(),
            begun: Instant::now(),
            bytes: None,
        }
    }

    fn done(self, what: String, bytes: Option<u64>) -> (Self, std::time::Duration) {
        let elapsed = self.begun.elapsed();
        (
            Self {
                what,
                bytes,
                ..self
            },
            elapsed,
        )
    }
}

fn at(error: std::io::Error, path: &Path) -> Failure {
    Failure::new(Kind::Other, error).at(path.display())
}

fn text(value: &Value, name: &str) -> Result<String, Failure> {
    let found = value[name].as_str().map(str::to_owned);
    found.ok_or_else(|| Failure::new(Kind::Other, format!("a step did not say its `{name}`")))
}

fn number(value: &Value, name: &str) -> Result<u64, Failure> {
    let found = value[name].as_u64();
    found.ok_or_else(|| Failure::new(Kind::Other, format!("a step did not say its `{name}`")))
}
