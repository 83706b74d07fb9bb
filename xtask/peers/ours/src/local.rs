//! Workloads on one log, without a network.

use std::cell::Cell;
use std::time::Instant;

use anyhow::ensure;
use async_executor::LocalExecutor;
use hypercore::{Hypercore, IfMissing, Storage};
use serde_json::json;

use crate::Args;
use crate::meter::{Blocks, Indexes, Meter, Report, check, status_mb};

/// Opens the log of `--dir`, which is there.
pub(crate) async fn existing(args: &Args) -> anyhow::Result<Hypercore> {
    let builder = Hypercore::builder(Storage::disk(&args.dir));
    Ok(builder.if_missing(IfMissing::Fail).open().await?)
}

/// Runs so many copies of a job side by side, on this thread.
pub(crate) async fn workers<F: AsyncFn() -> anyhow::Result<()>>(
    count: usize,
    job: F,
) -> anyhow::Result<()> {
    let executor = LocalExecutor::new();
    let tasks: Vec<_> = (0..count).map(|_| executor.spawn(job())).collect();
    executor
        .run(async {
            for task in tasks {
                task.await?;
            }
            Ok(())
        })
        .await
}

async fn close(log: &Hypercore, mut report: Report) -> anyhow::Result<Report> {
    let begun = Instant::now();
    log.close().await?;
    report.insert("close_secs".into(), json!(begun.elapsed().as_secs_f64()));
    Ok(report)
}

/// Appends to a new log.
pub(crate) async fn append(args: &Args) -> anyhow::Result<Report> {
    let blocks = Blocks::new(args.size);
    let log = Hypercore::builder(Storage::disk(&args.dir)).open().await?;
    let meter = Meter::start();
    let mut next = 0;
    while next < args.n {
        let end = (next + args.batch).min(args.n);
        if args.batch == 1 {
            log.append(blocks.get(next)).await?;
        } else {
            log.append_batch((next..end).map(|index| blocks.get(index)))
                .await?;
        }
        next = end;
    }
    let report = meter.stop(args.n, args.n * args.size as u64);
    close(&log, report).await
}

/// Gets blocks at random places.
pub(crate) async fn get_rand(args: &Args) -> anyhow::Result<Report> {
    let log = existing(args).await?;
    let length = log.length().get();
    let indexes = Cell::new(Some(Indexes::new(args.seed)));
    let left = Cell::new(args.count);
    let meter = Meter::start();
    workers(args.concurrency, async || {
        while left.get() > 0 {
            left.set(left.get() - 1);
            let mut from = indexes.take().unwrap_or_else(|| Indexes::new(args.seed));
            let index = from.next(length);
            indexes.set(Some(from));
            check(&log.get(index).await?, index, args.size)?;
        }
        Ok(())
    })
    .await?;
    let report = meter.stop(args.count, args.count * args.size as u64);
    close(&log, report).await
}

/// Reads every block in order.
pub(crate) async fn read_seq(args: &Args) -> anyhow::Result<Report> {
    let log = existing(args).await?;
    let meter = Meter::start();
    let (mut index, mut blocks) = (0, log.read_stream(..));
    while let Some(block) = blocks.next().await {
        check(&block?, index, args.size)?;
        index += 1;
    }
    ensure!(index == log.length().get(), "only {index} blocks came");
    let report = meter.stop(index, index * args.size as u64);
    close(&log, report).await
}

/// From nothing until the length is known.
pub(crate) async fn open(args: &Args) -> anyhow::Result<Report> {
    let meter = Meter::start();
    let log = existing(args).await?;
    let length = log.length().get();
    let mut report = meter.stop(length, 0);
    let secs = report["secs"].as_f64().unwrap_or(0.0);
    report.insert("open_ms".into(), json!(secs * 1e3));
    report.insert("rss_mb".into(), json!(status_mb("VmRSS")));
    close(&log, report).await
}

/// Forgets blocks.
pub(crate) async fn clear(args: &Args) -> anyhow::Result<Report> {
    let log = existing(args).await?;
    let meter = Meter::start();
    log.clear(args.start..args.end).await?;
    let report = meter.stop(args.end - args.start, 0);
    close(&log, report).await
}

/// Cuts the log.
pub(crate) async fn truncate(args: &Args) -> anyhow::Result<Report> {
    let log = existing(args).await?;
    let cut = log.length().get().saturating_sub(args.n);
    let meter = Meter::start();
    log.truncate(args.n).await?;
    let report = meter.stop(cut, 0);
    close(&log, report).await
}
