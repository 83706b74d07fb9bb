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
mod place;
mod progress;
mod secret;
mod signals;
mod store;
mod transfer;

use std::io::IsTerminal;
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
        Err(error) if is_bare(&error) && !wants_json => {
            let _ = error.print();
            return Kind::Usage.into();
        }
        Err(error) => return fail(&Failure::new(Kind::Usage, one_line(&error)), wants_json),
    };
    let output = Output::new(cli.json);
    if let Some(comfort) = commands::when_interrupted(&cli.command) {
        let say = move |kind| {
            // behind what the terminal shows of the keys, and of a bar
            if std::io::stderr().is_terminal() {
                eprintln!();
            }
            fail(
                &Failure::new(kind, format!("interrupted; {comfort}")),
                cli.json,
            );
        };
        if let Err(failure) = signals::end_when_told(output, say) {
            return fail(&failure, cli.json);
        }
    }
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

/// Whether no command was named at all: then the help says what to do.
fn is_bare(error: &clap::Error) -> bool {
    use ErrorKind::{DisplayHelpOnMissingArgumentOrSubcommand, MissingSubcommand};
    matches!(
        error.kind(),
        DisplayHelpOnMissingArgumentOrSubcommand | MissingSubcommand
    )
}

/// What is wrong with the command line, without the usage that clap prints below it.
fn one_line(error: &clap::Error) -> String {
    if is_bare(error) {
        return "no command was given; see --help".to_owned();
    }
    let text = error.to_string();
    let mut line = String::new();
    for part in text.lines().map(str::trim) {
        if part.starts_with("Usage:") || part.starts_with("For more information") {
            break;
        }
        let joint = if line.is_empty() || part.is_empty() {
            ""
        } else if part.starts_with("tip:") {
            "; "
        } else {
            " "
        };
        line = format!("{line}{joint}{part}");
    }
    let line = line.strip_prefix("error: ").unwrap_or(&line);
    format!("{line}; see --help")
}
