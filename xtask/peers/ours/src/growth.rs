//! What one operation costs on a log of a given length.
//!
//! Appends and gets go through the umbrella; proofs are planned, read, assembled and verified on the
//! closed store, as serving and fetching does.

use std::time::Instant;

use anyhow::{Context, anyhow};
use hc_merkle::proof::{Batch, BlockRequest, Planner, Proof, Request};
use hc_merkle::{BlockIndex, NodeIndex, Verifier, drive, max_missing_nodes};
use hc_storage::{CoreStore, DiskStore, Store};
use serde_json::json;

use crate::Args;
use crate::local::existing;
use crate::meter::{Blocks, Indexes, Report, fields, status_mb};

/// Microseconds of an append, a get, a proof and its verification: the median of `--count` of each.
pub(crate) async fn measure(args: &Args) -> anyhow::Result<Report> {
    let begun = Instant::now();
    let log = existing(args).await?;
    let open = begun.elapsed();
    let length = log.length().get();
    let mut indexes = Indexes::new(args.seed);
    let blocks = Blocks::new(args.size);
    let mut gets = Vec::new();
    for _ in 0..args.count {
        let index = indexes.next(length);
        let begun = Instant::now();
        log.get(index).await?;
        gets.push(begun.elapsed());
    }
    let mut appends = Vec::new();
    for index in 0..args.count {
        let begun = Instant::now();
        log.append(blocks.get(index)).await?;
        appends.push(begun.elapsed());
    }
    let key = log.discovery_key();
    log.close().await?;
    drop(log);

    let store = DiskStore::open(&args.dir)?;
    let core = store.open_core(&key)?.context("the log is gone")?;
    let (mut proves, mut verifies) = (Vec::new(), Vec::new());
    let head = core.head()?;
    let auth = core.auth()?;
    let manifest = auth.manifest.context("no manifest")?;
    let authority = Verifier::new(auth.key, manifest)?.into();
    for _ in 0..args.count {
        let index = indexes.next(length);
        let begun = Instant::now();
        let proof = prove(&*core, index)?;
        proves.push(begun.elapsed());
        let begun = Instant::now();
        let checked = Batch::verify(&head, &authority, [proof]).confirm(&[]);
        verifies.push(begun.elapsed());
        checked.outcomes.into_iter().collect::<Result<(), _>>()?;
    }
    store.close()?;
    Ok(fields(json!({
        "n": length,
        "open_ms": open.as_secs_f64() * 1e3,
        "append_us": median(appends),
        "get_us": median(gets),
        "prove_us": median(proves),
        "verify_us": median(verifies),
        "peak_rss_mb": status_mb("VmHWM"),
    })))
}

/// The proof of a block for a reader that has the head and nothing else.
fn prove(core: &dyn CoreStore, index: u64) -> anyhow::Result<Proof> {
    let head = core.head()?;
    let index = BlockIndex::new(index);
    let nodes = max_missing_nodes(head.length(), NodeIndex::new(2 * index.get()));
    let request = Request {
        block: Some(BlockRequest { index, nodes }),
        ..Request::default()
    };
    let read = |indexes: &[NodeIndex]| {
        let mut nodes = Vec::with_capacity(indexes.len());
        core.nodes(indexes, &mut nodes)?;
        anyhow::Ok(nodes)
    };
    let planner = Planner::new(&head, &request, None).map_err(|error| anyhow!("{error}"))?;
    let plan = drive(planner, read)?.map_err(|error| anyhow!("{error}"))?;
    let block = core.block(index)?;
    let nodes = read(plan.nodes())?;
    plan.assemble(&nodes, block, None)
        .map_err(|error| anyhow!("{error}"))
}

fn median(mut times: Vec<std::time::Duration>) -> f64 {
    times.sort_unstable();
    times
        .get(times.len() / 2)
        .map_or(0.0, |time| time.as_secs_f64() * 1e6)
}
