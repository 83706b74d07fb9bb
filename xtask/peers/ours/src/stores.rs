//! Workloads on one store of many logs.

use std::time::Instant;

use anyhow::ensure;
use hypercore::{Corestore, Hypercore, IfMissing, Storage};
use serde_json::json;

use crate::Args;
use crate::meter::{Blocks, Meter, Report, status_mb};

/// Makes named logs with some blocks each, all held open.
pub(crate) async fn create(args: &Args) -> anyhow::Result<Report> {
    let blocks = Blocks::new(args.size);
    let store = Corestore::open(Storage::disk(&args.dir)).await?;
    let meter = Meter::start();
    let mut held: Vec<Hypercore> = Vec::new();
    for number in 0..args.count {
        let log = store.get(name(number).as_str()).await?;
        log.append_batch((0..args.n).map(|index| blocks.get(index)))
            .await?;
        held.push(log);
    }
    let bytes = args.count * args.n * args.size as u64;
    let mut report = meter.stop(args.count, bytes);
    report.insert("rss_mb".into(), json!(status_mb("VmRSS")));
    let begun = Instant::now();
    store.close().await?;
    report.insert("close_secs".into(), json!(begun.elapsed().as_secs_f64()));
    Ok(report)
}

/// Opens them all again.
pub(crate) async fn open(args: &Args) -> anyhow::Result<Report> {
    let before = status_mb("VmRSS");
    let meter = Meter::start();
    let store = Corestore::open(Storage::disk(&args.dir)).await?;
    let mut held: Vec<Hypercore> = Vec::new();
    for number in 0..args.count {
        let open = store.get(name(number).as_str()).if_missing(IfMissing::Fail);
        let log = open.await?;
        ensure!(
            log.length().get() == args.n,
            "log {number} has {}",
            log.length()
        );
        held.push(log);
    }
    let mut report = meter.stop(args.count, 0);
    report.insert("rss_before_mb".into(), json!(before));
    report.insert("rss_mb".into(), json!(status_mb("VmRSS")));
    store.close().await?;
    Ok(report)
}

fn name(number: u64) -> String {
    format!("core-{number}")
}
