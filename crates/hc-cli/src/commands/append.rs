//! `append`: blocks from files, from stdin or from a text, a batch at a time.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use hypercore::Hypercore;
use serde_json::json;

use crate::args::Append;
use crate::chunk::Cutter;
use crate::failure::{Failure, Kind};
use crate::output::{self, Output};
use crate::progress::Progress;
use crate::store;

pub(crate) async fn run(args: &Append, output: Output) -> Result<(), Failure> {
    let dir = &args.store.dir;
    let inputs = inputs(args)?;
    let log = store::write(dir, Some(&args.store.encryption)).await?;
    let before = log.length().get();
    let appended = match &args.text {
        Some(text) => append(&log, dir, vec![text.clone().into_bytes()]).await,
        None => append_inputs(&log, args, inputs).await,
    };
    let closed = store::close(&log, dir).await;
    let (length, byte_length) = (log.length().get(), log.byte_length().get());
    let appended = appended.map_err(|failure| partly(failure, length - before));
    appended.and(closed)?;
    output.result(
        &json!({ "length": length, "byteLength": byte_length }),
        || {
            let (new, all) = (output::blocks(length - before), output::blocks(length));
            format!(
                "appended {new}; the log has {all} now, {}",
                output::bytes(byte_length)
            )
        },
    )
}

/// Says how much is in the log all the same.
fn partly(mut failure: Failure, blocks: u64) -> Failure {
    if blocks > 0 {
        failure.message.push_str(&format!(
            "; {} appended before that",
            output::blocks(blocks)
        ));
    }
    failure
}

/// Something to append, and its name in errors.
struct Input {
    name: String,
    bytes: Box<dyn Read>,
}

/// Opens every input before anything is appended.
fn inputs(args: &Append) -> Result<Vec<Input>, Failure> {
    if args.text.is_some() {
        return Ok(Vec::new());
    }
    if args.files.is_empty() {
        return Ok(vec![stdin()]);
    }
    args.files.iter().map(|path| open(path)).collect()
}

fn stdin() -> Input {
    Input {
        name: "stdin".into(),
        bytes: Box::new(io::stdin()),
    }
}

fn open(path: &Path) -> Result<Input, Failure> {
    if path == Path::new("-") {
        return Ok(stdin());
    }
    let fail = |error: io::Error| Failure::new(Kind::Other, error).at(path.display());
    let file = File::open(path).map_err(fail)?;
    if file.metadata().map_err(fail)?.is_dir() {
        return Err(Failure::new(Kind::Other, "is a directory").at(path.display()));
    }
    Ok(Input {
        name: path.display().to_string(),
        bytes: Box::new(file),
    })
}

/// Bytes in all the inputs, if they are files.
fn total(args: &Append) -> Option<u64> {
    let len = |path: &std::path::PathBuf| {
        let facts = std::fs::metadata(path).ok()?;
        facts.is_file().then_some(facts.len())
    };
    if args.files.is_empty() {
        None
    } else {
        args.files.iter().map(len).sum()
    }
}

async fn append_inputs(log: &Hypercore, args: &Append, inputs: Vec<Input>) -> Result<(), Failure> {
    let mut progress = Progress::bytes(total(args));
    let mut done = 0;
    for Input { name, bytes } in inputs {
        let mut cutter = Cutter::new(bytes, args.cut.clone(), false);
        let read = |error: io::Error| Failure::new(Kind::Other, error).at(&name);
        while let Some(batch) = cutter.next_batch().map_err(read)? {
            done += batch.iter().map(|block| block.len() as u64).sum::<u64>();
            append(log, &args.store.dir, batch).await?;
            progress.set(done);
        }
    }
    Ok(())
}

async fn append(log: &Hypercore, dir: &Path, blocks: Vec<Vec<u8>>) -> Result<(), Failure> {
    let appended = log.append_batch(blocks).await;
    appended
        .map(drop)
        .map_err(|error| store::appending(error, log, dir))
}
