//! The local workloads, once for each version of the crate: the module above names `hypercore` and
//! `open_storage`.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Result, bail};

use serde_json::{Map, Value, json};

use super::hypercore::{Hypercore, HypercoreBuilder};
use super::open_storage;
use crate::common::*;

type Json = Map<String, Value>;

async fn create(dir: &Path, sync: bool) -> Result<Hypercore> {
    Ok(HypercoreBuilder::new(open_storage(dir, sync).await?)
        .build()
        .await?)
}

async fn reopen(dir: &Path, sync: bool) -> Result<Hypercore> {
    Ok(HypercoreBuilder::new(open_storage(dir, sync).await?)
        .open(true)
        .build()
        .await?)
}

pub async fn run(args: &Args) -> Result<Json> {
    let dir = PathBuf::from(args.str("dir"));
    let sync = args.sync();
    let n = args.num("n", 0);
    let size = args.num("size", 1024) as usize;
    let fsync = if sync { "every write" } else { "none" };

    let mut out = match args.op.as_str() {
        "append" => {
            let batch = args.num("batch", 1);
            let src = Blocks::new(size);
            let mut core = create(&dir, sync).await?;
            let meter = Meter::start();
            let mut i = 0;
            while i < n {
                if batch == 1 {
                    core.append(src.get(i)).await?;
                    i += 1;
                } else {
                    let end = (i + batch).min(n);
                    let list: Vec<&[u8]> = (i..end).map(|j| src.get(j)).collect();
                    core.append_batch(&list).await?;
                    i = end;
                }
            }
            let mut out = meter.stop(n, n * size as u64);
            let t = Instant::now();
            drop(core);
            out.insert(
                "close_secs".into(),
                json!(round(t.elapsed().as_secs_f64(), 4)),
            );
            out.insert("batch".into(), json!(batch));
            out
        }
        "get-rand" => {
            let count = args.num("count", 0);
            let mut core = reopen(&dir, sync).await?;
            let len = core.info().length;
            let mut next = Lcg(args.num("seed", 1) as u32);
            let meter = Meter::start();
            for _ in 0..count {
                let i = next.next(len);
                verify(&core.get(i).await?, i, size);
            }
            let mut out = meter.stop(count, count * size as u64);
            out.insert("concurrency".into(), json!(1));
            out
        }
        "read-seq" => {
            let mut core = reopen(&dir, sync).await?;
            let len = core.info().length;
            let meter = Meter::start();
            for i in 0..len {
                verify(&core.get(i).await?, i, size);
            }
            let mut out = meter.stop(len, len * size as u64);
            out.insert("via".into(), json!("sequential get"));
            out
        }
        "open" => {
            let meter = Meter::start();
            let core = reopen(&dir, sync).await?;
            let len = core.info().length;
            let mut out = meter.stop(len, 0);
            let secs = out["secs"].as_f64().unwrap();
            out.insert("open_ms".into(), json!(round(secs * 1e3, 3)));
            out.insert("rss_mb".into(), json!(status_mb("VmRSS")));
            out
        }
        "clear" => {
            let mut core = reopen(&dir, sync).await?;
            let (start, end) = (args.num("start", 0), args.num("end", 0));
            let meter = Meter::start();
            core.clear(start, end).await?;
            meter.stop(end - start, 0)
        }
        "many-create" => {
            let cores = args.num("count", 0);
            let src = Blocks::new(size);
            let meter = Meter::start();
            let mut held = Vec::new();
            for c in 0..cores {
                let mut core = create(&dir.join(c.to_string()), sync).await?;
                let list: Vec<&[u8]> = (0..n).map(|j| src.get(j)).collect();
                core.append_batch(&list).await?;
                held.push(core);
            }
            let mut out = meter.stop(cores, cores * n * size as u64);
            out.insert("rss_mb".into(), json!(status_mb("VmRSS")));
            out.insert(
                "via".into(),
                json!("a folder per core (it has no corestore)"),
            );
            out
        }
        "many-open" => {
            let cores = args.num("count", 0);
            let before = status_mb("VmRSS");
            let meter = Meter::start();
            let mut held = Vec::new();
            for c in 0..cores {
                let core = reopen(&dir.join(c.to_string()), sync).await?;
                if core.info().length != n {
                    bail!("core {c} has length {}", core.info().length);
                }
                held.push(core);
            }
            let mut out = meter.stop(cores, 0);
            out.insert("rss_before_mb".into(), json!(before));
            out.insert("rss_mb".into(), json!(status_mb("VmRSS")));
            out.insert(
                "via".into(),
                json!("a folder per core (it has no corestore)"),
            );
            out
        }
        "truncate" => object(json!({"unsupported": "no public truncate"})),
        "compact" => object(json!({"unsupported": "flat files, nothing to compact"})),
        other => object(json!({"unsupported": format!("unknown operation {other}")})),
    };
    if !out.contains_key("unsupported") {
        out.insert("fsync".into(), json!(fsync));
    }
    Ok(out)
}
