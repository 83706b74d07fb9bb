//! The command line of the append-only log.
//!
//! Owns the way from words to a command and from a failure to an exit code. Each command has a module
//! of its own. Knows nothing below the umbrella crate.

// Errors go to stderr; results go through `output`.
#![allow(clippy::print_stderr)]

mod args;
mod blocks;
mod chunk;
mod commands;
mod failure;
mod output;
mod progress;
mod secret;
mod signals;
mod store;

use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;
use serde_json::json;

use crate::args::Cli;
use crate::failure::{Failure, Kind};
use crate::output::Output;

fn main() -> ExitCode {
    let wants_json = std::env::args_os().any(|word| word == "--json");
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
            ) =>
        {
            let _ = error.print();
            return ExitCode::SUCCESS;
        }
        Err(error) if wants_json => {
            return fail(&Failure::new(Kind::Usage, first_line(&error)), true);
        }
        Err(error) => {
            let _ = error.print();
            return Kind::Usage.into();
        }
    };
    let output = Output::new(cli.json);
    match async_std::task::block_on(commands::run(cli.command, output)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => fail(&failure, cli.json),
    }
}

/// Says what went wrong, on one line of stderr and, for scripts, in the last line of stdout.
fn fail(failure: &Failure, json: bool) -> ExitCode {
    eprintln!("hypercore: {failure}");
    if json {
        let error = json!({ "code": failure.kind.code(), "message": failure.to_string() });
        let _ = Output::new(true).event(&json!({ "error": error }));
    }
    failure.kind.into()
}

fn first_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let line = text.lines().next().unwrap_or_default();
    line.strip_prefix("error: ").unwrap_or(line).to_owned()
}
