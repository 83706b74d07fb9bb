//! This project as a peer of the benchmarks: one process, one workload, one JSON line.
//!
//! Owns the command line of `xtask/peers/README.md`. Uses the umbrella crate as anybody would.

#![allow(clippy::print_stdout)]

mod growth;
mod local;
mod meter;
mod stores;
mod thread;
mod wire;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use serde_json::json;

use meter::{Report, fields, print};

/// One workload.
#[derive(Parser, Debug)]
pub(crate) struct Args {
    op: Operation,
    #[arg(long)]
    dir: PathBuf,
    #[arg(long, default_value_t = 0)]
    n: u64,
    #[arg(long, default_value_t = 1024)]
    size: usize,
    #[arg(long, default_value_t = 1)]
    batch: u64,
    #[arg(long, default_value_t = 0)]
    count: u64,
    #[arg(long, default_value_t = 1)]
    concurrency: usize,
    #[arg(long, default_value_t = 1)]
    seed: u32,
    #[arg(long, default_value_t = 0)]
    start: u64,
    #[arg(long, default_value_t = 0)]
    end: u64,
    #[arg(long, default_value_t = 0)]
    port: u16,
    #[arg(long, default_value_t = 0)]
    control: u16,
    #[arg(long, default_value = "")]
    key: String,
    #[arg(long)]
    live: bool,
}

#[derive(clap::ValueEnum, Clone, Copy, Debug)]
enum Operation {
    Append,
    GetRand,
    ReadSeq,
    Open,
    Clear,
    Truncate,
    Compact,
    ManyCreate,
    ManyOpen,
    Serve,
    Replicate,
    Sparse,
    Live,
    Growth,
}

async fn run(args: &Args) -> anyhow::Result<Report> {
    match args.op {
        Operation::Append => local::append(args).await,
        Operation::GetRand => local::get_rand(args).await,
        Operation::ReadSeq => local::read_seq(args).await,
        Operation::Open => local::open(args).await,
        Operation::Clear => local::clear(args).await,
        Operation::Truncate => local::truncate(args).await,
        Operation::Compact => Ok(fields(
            json!({ "unsupported": "space is given back unasked" }),
        )),
        Operation::ManyCreate => stores::create(args).await,
        Operation::ManyOpen => stores::open(args).await,
        Operation::Serve => wire::serve(args).await,
        Operation::Replicate => wire::replicate(args).await,
        Operation::Sparse => wire::sparse(args).await,
        Operation::Live => wire::live(args).await,
        Operation::Growth => growth::measure(args).await,
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    let (report, code) = match thread::run(run(&args)) {
        Ok(report) => (report, ExitCode::SUCCESS),
        Err(error) => (
            fields(json!({ "error": format!("{error:#}") })),
            ExitCode::FAILURE,
        ),
    };
    match print(&report) {
        Ok(()) => code,
        Err(_) => ExitCode::FAILURE,
    }
}
