//! Benchmark driver for the `hypercore` crate of datrs. One process, one workload, one JSON line.
//! The command line and the meaning of every operation are in `xtask/peers/README.md`.

// 0.16 takes `&mut self` where 0.17 takes `&self`.
#![allow(unused_mut)]

mod common;
mod replication;
mod v016;
mod v017;

use anyhow::Result;
use common::{Args, cpu, object, report, round};
use serde_json::json;

async fn dispatch(args: &Args) -> Result<serde_json::Map<String, serde_json::Value>> {
    let wire = ["serve", "replicate", "sparse", "live"].contains(&args.op.as_str());
    match (args.str("impl"), wire) {
        ("016", true) => Ok(object(
            json!({"unsupported": "proofs only; no replicator in the crate"}),
        )),
        ("016", false) => v016::run(args).await,
        (_, true) => replication::run(args).await,
        (_, false) => v017::run(args).await,
    }
}

#[tokio::main]
async fn main() {
    let args = Args::parse();
    let mut out = match dispatch(&args).await {
        Ok(out) => out,
        Err(e) => object(json!({"error": format!("{e:#}")})),
    };
    let (user, sys) = cpu();
    let failed = out.contains_key("error");
    out.insert("cpu_process_s".into(), json!(round(user + sys, 4)));
    report(&out);
    std::process::exit(failed as i32);
}
