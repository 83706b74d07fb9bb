//! `migrate`: what the JavaScript versions left in a folder, into a folder of ours.

use std::path::Path;
use std::time::Instant;

use hypercore::transfer::{CopyOptions, Legacy, Migrated};
use hypercore::{CoreKey, Storage, Store};
use serde_json::json;

use crate::args::Migrate;
use crate::commands::key;
use crate::failure::{Failure, Kind};
use crate::output::{self, Output};
use crate::progress::Progress;
use crate::{store, transfer};

/// What came of all logs together.
#[derive(Debug, Default)]
struct Sum {
    logs: u64,
    blocks: u64,
    bytes: u64,
    untied: u64,
}

pub(crate) fn run(args: &Migrate, output: Output) -> Result<(), Failure> {
    let since = Instant::now();
    let only = args.key.as_deref().map(key::parse).transpose()?;
    if !args.from.is_dir() {
        let message = if args.from.exists() {
            "is a file; a folder that version 10 or 11 wrote is meant"
        } else {
            "there is no such folder"
        };
        return Err(Failure::new(Kind::NotAvailable, message).at(args.from.display()));
    }
    if is_ours(&args.from) {
        let message = "is a store of this program's already; there is nothing to migrate";
        return Err(Failure::new(Kind::Usage, message).at(args.from.display()));
    }
    store::check_folder(&args.dir)?;
    let legacy = Legacy::open(&args.from)?;
    let sum = transfer::with(Storage::disk(&args.dir), &args.dir, |logs| {
        all(&legacy, logs, args, only.as_ref(), output)
    })?;
    let value = json!({
        "event": "done",
        "version": legacy.version(),
        "logs": sum.logs,
        "blocks": sum.blocks,
        "bytes": sum.bytes,
        "untied": sum.untied,
        "seconds": since.elapsed().as_secs_f64(),
    });
    output.event(&value)?;
    output.note(|| {
        format!(
            "{} of version {} taken over, {}, {}\n\
             {} is as it was; append to only one of the two, or the logs fork",
            logs(sum.logs),
            legacy.version(),
            output::blocks(sum.blocks),
            output::bytes(sum.bytes),
            args.from.display(),
        )
    })?;
    if sum.untied == 0 {
        return Ok(());
    }
    let message = format!(
        "{} cannot be verified and were left out: nodes of the tree are missing there",
        output::blocks(sum.untied)
    );
    Err(Failure::new(Kind::NotAvailable, message).at(args.from.display()))
}

/// Whether a folder is what `migrate` would make of another.
fn is_ours(dir: &Path) -> bool {
    dir.join("log").is_dir() && dir.join("LOCK").is_file()
}

fn logs(count: u64) -> String {
    match count {
        1 => "1 log".to_owned(),
        count => format!("{count} logs"),
    }
}

fn all(
    legacy: &Legacy,
    store: &dyn Store,
    args: &Migrate,
    only: Option<&CoreKey>,
    output: Output,
) -> Result<Sum, Failure> {
    let mut options = CopyOptions::default();
    if args.encrypted {
        options = options.encrypted();
    }
    if args.without_secret_keys {
        options = options.without_secret_key();
    } else {
        legacy.migrate_primary_key(store)?;
    }
    let mut sum = Sum::default();
    for number in 0..legacy.len() {
        let mut bar = Progress::blocks(0);
        let found = legacy.migrate(number, store, only, &options, &mut |progress| {
            bar.total(progress.total);
            bar.set(progress.blocks);
        });
        drop(bar);
        let found = found.map_err(|error| in_source(Failure::from(error), &args.from))?;
        if let Some(found) = found {
            sum.logs += 1;
            sum.blocks += found.copied.blocks;
            sum.bytes += found.copied.bytes;
            let untied = &found.copied.untied;
            sum.untied += untied.iter().map(|run| run.end - run.start).sum::<u64>();
            say(&found, output)?;
        }
    }
    if let (Some(key), 0) = (only, sum.logs) {
        let message = format!("there is no log {key}");
        return Err(Failure::new(Kind::NotAvailable, message).at(args.from.display()));
    }
    Ok(sum)
}

/// Names the folder, unless the file was named already.
fn in_source(failure: Failure, from: &Path) -> Failure {
    if failure.message.contains(&from.display().to_string()) {
        failure
    } else {
        failure.at(from.display())
    }
}

fn say(found: &Migrated, output: Output) -> Result<(), Failure> {
    let copied = &found.copied;
    let untied: Vec<_> = copied
        .untied
        .iter()
        .map(|run| [run.start, run.end])
        .collect();
    let name = found.alias.as_ref().map(|alias| alias.name.as_str());
    let value = json!({
        "event": "log",
        "key": copied.key.to_string(),
        "discoveryKey": copied.key.discovery_key().to_string(),
        "id": copied.key.to_z32(),
        "name": name,
        "length": copied.length.get(),
        "byteLength": copied.byte_length.get(),
        "blocks": copied.blocks,
        "bytes": copied.bytes,
        "present": copied.present,
        "userData": copied.user_data,
        "writable": copied.has_secret_key,
        "untied": untied,
    });
    output.event(&value)?;
    output.note(|| {
        let name = name.map(|name| format!(" ({name})")).unwrap_or_default();
        let new = output::blocks(copied.blocks);
        let length = output::blocks(copied.length.get());
        let present = match copied.present {
            0 => String::new(),
            present => format!(", {present} there already"),
        };
        let role = if copied.has_secret_key {
            "writable"
        } else {
            "read only"
        };
        format!("{}{name}  {new} of {length}{present}, {role}", copied.key)
    })
}
