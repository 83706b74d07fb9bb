//! `export`: a log, or a part of it, as one file.

use std::io;
use std::path::Path;

use hypercore::Hypercore;
use hypercore::transfer::bundle::{ExportError, ExportOptions, Exported, export, write};
use serde_json::json;

use crate::args::Export;
use crate::failure::{Failure, Kind};
use crate::output::{self, Output};
use crate::progress::Progress;
use crate::store;

/// What to do about a log that is damaged.
const REPAIR: &str = "; `hypercore repair` clears what is bad, and the rest goes out";

pub(crate) async fn run(args: &Export, output: Output) -> Result<(), Failure> {
    let end = args.end.unwrap_or(u64::MAX);
    if args.start > end {
        return Err(Failure::new(Kind::Usage, "--start is after --end"));
    }
    let to_stdout = args.file == Path::new("-");
    if to_stdout && output.is_json() {
        let message = "stdout takes either the bundle or JSON";
        return Err(Failure::new(Kind::Usage, message));
    }
    let log = store::read(&args.dir, None).await?;
    store::check_roots(&log, &args.dir)?;
    let mut options = ExportOptions::default().blocks(args.start..end);
    if args.without_user_data {
        options = options.without_user_data();
    }
    let exported = written(&log, args, &options, to_stdout)?;
    if to_stdout {
        return Ok(());
    }
    let value = json!({
        "key": exported.key.to_string(),
        "length": exported.length.get(),
        "blocks": exported.blocks,
        "bytes": exported.bytes,
        "userData": exported.user_data,
        "resumed": exported.resumed,
        "fileBytes": exported.file_bytes,
    });
    output.result(&value, || {
        format!(
            "{} of a log of {} in {}, {}",
            output::blocks(exported.blocks),
            output::blocks(exported.length.get()),
            args.file.display(),
            output::bytes(exported.file_bytes),
        )
    })
}

fn written(
    log: &Hypercore,
    args: &Export,
    options: &ExportOptions,
    to_stdout: bool,
) -> Result<Exported, Failure> {
    let source = log.source()?;
    let mut bar = Progress::blocks(0);
    let mut tell = |progress: hypercore::transfer::Progress| {
        bar.total(progress.total);
        bar.set(progress.blocks);
    };
    let exported = if to_stdout {
        write(&source, &mut io::stdout().lock(), options, &mut tell)
    } else {
        export(&source, &args.file, options, &mut tell)
    };
    exported.map_err(|error| match error {
        ExportError::Source(_) => {
            let mut failure = Failure::from(error);
            if failure.kind == Kind::Integrity {
                failure.message.push_str(REPAIR);
            }
            failure.at(args.dir.display())
        }
        error if to_stdout => Failure::from(error).at("stdout"),
        error => Failure::from(error).at(args.file.display()),
    })
}
