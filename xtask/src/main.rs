//! The project's own chores: `cargo xtask <chore>`.
//!
//! Owns the list of chores and their command line. Each chore has a module of its own.

// A chore talks to the person who runs it.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod bench;
mod ci;
mod claims;
mod fuzz;
mod growth;
mod hostile;
mod interop;
mod layers;
mod limits;
mod main_job;
mod many_logs;
mod peers;
mod ran;
mod run;
mod soak;
mod tidy;
mod vectors;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Chores of the workspace.
#[derive(Parser)]
#[command(bin_name = "cargo xtask")]
struct Args {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Everything that continuous integration runs, in its order.
    Ci,
    /// Every test of the workspace, the interop tests with the JavaScript reference included.
    Test {
        /// Arguments for `cargo test`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        rest: Vec<String>,
    },
    /// Compares the crates' dependencies with the table in docs/ARCHITECTURE.md.
    Layers,
    /// Writes docs/limits.md from every `limits.rs`.
    Limits,
    /// Checks the rules of the house that no compiler checks.
    Tidy,
    /// Runs the criterion benches.
    Bench(bench::Options),
    /// Fuzzes every target in turn.
    Fuzz {
        /// Seconds for each target.
        #[arg(long, default_value_t = 60)]
        seconds: u64,
        /// Only the target of this name.
        #[arg(long)]
        target: Option<String>,
    },
    /// Kills writers and plays against the models of the store, for as many rounds as one likes.
    Soak {
        /// Rounds at each level of durability, and sequences for each model.
        #[arg(long, default_value_t = 2_000)]
        rounds: u64,
        /// What the rounds follow from.
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Appends, serves and fetches one large file, and has the reference do the same.
    MainJob {
        /// Size of the file.
        #[arg(long, default_value_t = 1024)]
        mebibytes: u64,
    },
    /// Makes, opens and replicates many logs in one store, and has the reference do the same with fewer.
    ManyLogs {
        /// How many.
        #[arg(long, default_value_t = 10_000)]
        logs: u64,
        /// How many for the reference, and for this project beside it.
        #[arg(long, default_value_t = 1_000)]
        reference: u64,
        /// One of the two alone.
        #[arg(long)]
        only: Option<many_logs::Who>,
    },
    /// Runs the simulated worlds of a range of seeds, in release mode: see crates/hypercore/tests/sim.
    Simulate {
        /// The first seed.
        #[arg(long, default_value_t = 2_000)]
        from: u64,
        /// How many.
        #[arg(long, default_value_t = 1_000_000)]
        seeds: u64,
    },
    /// Measures what one operation costs on logs of growing length, and draws docs/growth.svg.
    Growth {
        /// The longest log has 10 to this power of blocks.
        #[arg(long, default_value_t = 7)]
        powers: u32,
    },
    /// Attacks a server and a reader over real sockets, and prints what it costs them.
    Hostile {
        /// Blocks of 1 KiB in the log.
        #[arg(long, default_value_t = 200_000)]
        blocks: u64,
        /// Only the attacks with this in their name.
        #[arg(long)]
        only: Option<String>,
    },
    /// Makes the golden vectors again with the reference and compares them with the committed ones.
    Vectors,
}

fn main() -> ExitCode {
    let done = match Args::parse().chore {
        Chore::Ci => ci::all(),
        Chore::Test { rest } => ci::test(&rest),
        Chore::Layers => layers::check(),
        Chore::Limits => limits::write(),
        Chore::Tidy => tidy::check(),
        Chore::Bench(options) => bench::run(&options),
        Chore::Fuzz { seconds, target } => fuzz::targets_for(seconds, target.as_deref()),
        Chore::Soak { rounds, seed } => soak::soak(rounds, seed),
        Chore::MainJob { mebibytes } => main_job::measure(mebibytes),
        Chore::ManyLogs {
            logs,
            reference,
            only,
        } => many_logs::measure(logs, reference, only),
        Chore::Simulate { from, seeds } => ci::simulate(from, seeds),
        Chore::Growth { powers } => growth::measure(powers),
        Chore::Hostile { blocks, only } => hostile::measure(blocks, only.as_deref()),
        Chore::Vectors => vectors::check(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nerror: {error:#}");
            ExitCode::FAILURE
        }
    }
}
