//! One module for each command. A command gets its arguments and says its results; it knows nothing of
//! the words that a user typed.

mod append;
mod backup;
mod cat;
mod clear;
mod compact;
mod create;
mod demo;
mod export;
mod fetch;
mod get;
mod has;
mod import;
mod info;
mod key;
mod list;
mod migrate;
mod purge;
mod repair;
mod restore;
mod seek;
mod serve;
mod tree_hash;
mod truncate;
mod verify;
mod watch;

use crate::args::Command;
use crate::failure::Failure;
use crate::output::Output;

/// What to say of a command that was interrupted; `None` of one that ends by itself then.
pub(crate) fn when_interrupted(command: &Command) -> Option<&'static str> {
    match command {
        Command::Serve(_) | Command::Fetch(_) | Command::Demo { .. } | Command::Watch { .. } => {
            None
        }
        Command::Cat(args) if args.live => None,
        Command::Append(_) => Some("what was appended until then stays"),
        Command::Export(_) | Command::Import { .. } | Command::Migrate(_) => {
            Some("the same command goes on from there")
        }
        _ => Some("nothing is half done"),
    }
}

/// Runs a command to its end.
pub(crate) async fn run(command: Command, output: Output) -> Result<(), Failure> {
    match command {
        Command::Demo { file } => demo::run(file.as_deref(), output).await,
        Command::Create(args) => create::run(&args, output).await,
        Command::Append(args) => append::run(&args, output).await,
        Command::Get { store, index } => get::run(&store, index, output).await,
        Command::Cat(args) => cat::run(&args).await,
        Command::Info { store } => info::run(&store, output).await,
        Command::Has { dir, start, end } => has::run(&dir, start, end, output).await,
        Command::Seek { store, bytes } => seek::run(&store, bytes, output).await,
        Command::TreeHash { dir, length } => tree_hash::run(&dir, length, output).await,
        Command::Truncate {
            store,
            length,
            fork,
        } => truncate::run(&store, length, fork, output).await,
        Command::Clear {
            dir,
            start,
            end,
            diff,
        } => clear::run(&dir, (start, end), diff, output).await,
        Command::Verify { dir } => verify::run(&dir, output).await,
        Command::Repair { dir, accept_loss } => repair::run(&dir, accept_loss, output),
        Command::Compact { dir } => compact::run(&dir, output),
        Command::Purge { dir, key, yes } => purge::run(&dir, key.as_deref(), yes, output).await,
        Command::List { dir } => list::run(&dir, output).await,
        Command::Watch { dir } => watch::run(&dir, output).await,
        Command::Key { key } => key::run(key.as_deref(), output),
        Command::Serve(args) => serve::run(&args, output).await,
        Command::Fetch(args) => fetch::run(&args, output).await,
        Command::Export(args) => export::run(&args, output).await,
        Command::Import { file, dir } => import::run(&file, &dir, output),
        Command::Migrate(args) => migrate::run(&args, output),
        Command::Backup(args) => backup::run(&args, output),
        Command::Restore(args) => restore::run(&args, output),
    }
}
