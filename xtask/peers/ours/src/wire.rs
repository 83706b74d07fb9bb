//! Workloads over TCP.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Context, ensure};
use async_executor::Task;
use async_std::io::{ReadExt, WriteExt};
use async_std::net::{TcpListener, TcpStream};
use blocking::Unblock;
use bytes::Bytes;
use hypercore::{Ended, Hypercore, ReplicateError, Role, Storage, Traffic};
use serde_json::json;

use crate::Args;
use crate::local::{existing, workers};
use crate::meter::{Indexes, Meter, Report, check, fields, monotonic_ns, print, status_mb};
use crate::thread;

/// Serves a log until standard input ends.
pub(crate) async fn serve(args: &Args) -> anyhow::Result<Report> {
    let log = existing(args).await?;
    let data = TcpListener::bind("127.0.0.1:0").await?;
    let control = TcpListener::bind("127.0.0.1:0").await?;
    print(&fields(json!({
        "ready": true,
        "port": data.local_addr()?.port(),
        "control": control.local_addr()?.port(),
        "key": log.key().to_string(),
        "length": log.length().get(),
    })))?;
    let served = Arc::new(Mutex::new(Served::default()));
    let accepting = thread::spawn(accept(log.clone(), data, Arc::clone(&served)));
    let obeying = thread::spawn(obey(log.clone(), control, args.size));
    let mut rest = Vec::new();
    Unblock::new(std::io::stdin())
        .read_to_end(&mut rest)
        .await?;
    accepting.cancel().await;
    obeying.cancel().await;
    let report = {
        let served = served.lock().unwrap_or_else(PoisonError::into_inner);
        let mut report = served
            .meter
            .as_ref()
            .map_or_else(Report::new, |meter| meter.stop(0, 0));
        count(&mut report, &served.traffic);
        report
    };
    log.close().await?;
    Ok(report)
}

#[derive(Default)]
struct Served {
    meter: Option<Meter>,
    traffic: Vec<Traffic>,
}

async fn accept(
    log: Hypercore,
    listener: TcpListener,
    served: Arc<Mutex<Served>>,
) -> anyhow::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let connection = log.replicate(stream, Role::Responder);
        {
            let mut served = served.lock().unwrap_or_else(PoisonError::into_inner);
            served.meter.get_or_insert_with(Meter::start);
            served.traffic.push(connection.traffic());
        }
        thread::spawn(connection).detach();
    }
}

/// Appends a block, stamped with the time, for each byte that comes in.
async fn obey(log: Hypercore, listener: TcpListener, size: usize) -> anyhow::Result<()> {
    loop {
        let (mut stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let mut byte = [0];
        while stream.read(&mut byte).await? > 0 {
            let mut block = vec![7; size];
            block[..8].copy_from_slice(&monotonic_ns().to_le_bytes());
            log.append(block).await?;
        }
    }
}

fn count(report: &mut Report, traffic: &[Traffic]) {
    let sum = |read: fn(&Traffic) -> u64| -> u64 { traffic.iter().map(read).sum() };
    report.insert("wire_in".into(), json!(sum(Traffic::bytes_received)));
    report.insert("wire_out".into(), json!(sum(Traffic::bytes_sent)));
}

/// An empty log that is connected to the server.
struct Reader {
    log: Hypercore,
    meter: Meter,
    traffic: Traffic,
    connection: Task<Result<Ended, ReplicateError>>,
}

impl Reader {
    async fn connect(args: &Args) -> anyhow::Result<Self> {
        let key = args.key.parse().context("--key is no key")?;
        let log = Hypercore::builder(Storage::disk(&args.dir))
            .key(key)
            .open()
            .await?;
        let meter = Meter::start();
        let stream = TcpStream::connect(("127.0.0.1", args.port)).await?;
        stream.set_nodelay(true)?;
        let connection = log.replicate(stream, Role::Initiator);
        let traffic = connection.traffic();
        Ok(Self {
            log,
            meter,
            traffic,
            connection: thread::spawn(connection),
        })
    }

    async fn finish(self, n: u64, bytes: u64) -> anyhow::Result<Report> {
        let mut report = self.meter.stop(n, bytes);
        count(&mut report, &[self.traffic]);
        self.connection.cancel().await;
        let begun = Instant::now();
        self.log.close().await?;
        report.insert("close_secs".into(), json!(begun.elapsed().as_secs_f64()));
        Ok(report)
    }
}

/// Downloads all of it.
pub(crate) async fn replicate(args: &Args) -> anyhow::Result<Report> {
    let reader = Reader::connect(args).await?;
    reader.log.download(..args.n).await?;
    let stored = reader.log.contiguous_length().get();
    ensure!(stored == args.n, "only {stored} blocks are here");
    reader.finish(args.n, args.n * args.size as u64).await
}

/// Gets random blocks, some at a time.
pub(crate) async fn sparse(args: &Args) -> anyhow::Result<Report> {
    let mut indexes = Indexes::new(args.seed);
    let mut wanted = BTreeSet::new();
    let mut order = Vec::new();
    while (wanted.len() as u64) < args.count {
        let index = indexes.next(args.n);
        if wanted.insert(index) {
            order.push(index);
        }
    }
    let reader = Reader::connect(args).await?;
    let queue = RefCell::new(order);
    workers(args.concurrency, async || {
        loop {
            let next = queue.borrow_mut().pop();
            let Some(index) = next else {
                return anyhow::Ok(());
            };
            check(&reader.log.get(index).await?, index, args.size)?;
        }
    })
    .await?;
    reader
        .finish(args.count, args.count * args.size as u64)
        .await
}

/// Waits for blocks that are appended one by one: how old is each when it is here?
pub(crate) async fn live(args: &Args) -> anyhow::Result<Report> {
    let reader = Reader::connect(args).await?;
    let mut control = TcpStream::connect(("127.0.0.1", args.control)).await?;
    control.set_nodelay(true)?;
    let mut ages = Vec::new();
    let mut size = 0;
    for index in args.n..args.n + args.count {
        let get = thread::spawn(get(reader.log.clone(), index));
        control.write_all(b"a").await?;
        let block = get.await?;
        let stamp = block.get(..8).context("a block without a stamp")?;
        let sent = u64::from_le_bytes(stamp.try_into()?);
        #[allow(clippy::cast_precision_loss)]
        ages.push(monotonic_ns().saturating_sub(sent) as f64 / 1e6);
        size = block.len() as u64;
    }
    drop(control);
    let warm = usize::try_from(args.count / 4)?.min(20);
    let mut sorted = ages.split_off(warm);
    sorted.sort_by(f64::total_cmp);
    let at = |percent: usize| sorted[(sorted.len() * percent / 100).min(sorted.len() - 1)];
    let mut report = reader.finish(args.count, args.count * size).await?;
    report.insert("p50_ms".into(), json!(at(50)));
    report.insert("p90_ms".into(), json!(at(90)));
    report.insert("p99_ms".into(), json!(at(99)));
    report.insert("max_ms".into(), json!(at(100)));
    report.insert("rss_mb".into(), json!(status_mb("VmRSS")));
    Ok(report)
}

async fn get(log: Hypercore, index: u64) -> anyhow::Result<Bytes> {
    Ok(log.get(index).await?)
}
