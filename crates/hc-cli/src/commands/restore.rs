//! `restore`: secret keys from a backup, into a folder that has their logs.

use hypercore::Storage;
use hypercore::transfer::backup::{KeyBackup, Outcome, Restored, read_file};
use serde_json::{Value, json};

use crate::args::Restore;
use crate::failure::{Failure, Kind};
use crate::output::{self, Output};
use crate::{secret, transfer};

pub(crate) fn run(args: &Restore, output: Output) -> Result<(), Failure> {
    let (dir, file) = (&args.dir, &args.file);
    let at_file = |error| Failure::from(error).at(file.display());
    let sealed = read_file(file).map_err(at_file)?;
    let passphrase = secret::passphrase(&args.passphrase, false)?;
    let keys = KeyBackup::open(&sealed, passphrase.as_bytes()).map_err(at_file)?;
    let storage = if args.even_behind {
        Storage::disk(dir)
    } else {
        Storage::existing(dir)
    };
    let restored = transfer::with(storage, dir, |store| {
        keys.restore(store, args.even_behind)
            .map_err(|error| Failure::from(error).at(dir.display()))
    })?;
    for one in &restored {
        output.result(&value(one), || text(one))?;
    }
    let behind = restored.iter().filter(|one| is_behind(one)).count();
    if behind == 0 {
        return Ok(());
    }
    let message = format!(
        "{behind} of the logs have fewer blocks here than when their keys were taken; `fetch` or `import` \
         brings them up to date, and --even-behind goes on without"
    );
    Err(Failure::new(Kind::NotAvailable, message).at(dir.display()))
}

fn is_behind(one: &Restored) -> bool {
    matches!(one.outcome, Outcome::Behind { .. })
}

fn value(one: &Restored) -> Value {
    let key = one.key.to_string();
    match one.outcome {
        Outcome::Restored => json!({ "key": key, "outcome": "restored" }),
        Outcome::Present => json!({ "key": key, "outcome": "present" }),
        Outcome::Behind { ours, backed_up } => json!({
            "key": key,
            "outcome": "behind",
            "length": ours.get(),
            "backedUpLength": backed_up.get(),
        }),
    }
}

fn text(one: &Restored) -> String {
    match one.outcome {
        Outcome::Restored => format!("{}  restored: writable from now on", one.key),
        Outcome::Present => format!("{}  was there", one.key),
        Outcome::Behind { ours, backed_up } => format!(
            "{}  left alone: {} here, {} when the key was taken",
            one.key,
            output::blocks(ours.get()),
            output::blocks(backed_up.get()),
        ),
    }
}
