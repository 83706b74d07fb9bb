//! What is appended while connected: each block is seen at the other side, in order.

use anyhow::Result;
use hc_testkit::Version;
use hypercore::{Event, Length};
use serde_json::json;

use super::common::*;

/// Blocks appended one by one, each only when the last has arrived.
const SINGLE: u64 = 20;
/// Blocks in each batch, none of which waits for the last.
const BATCH: u64 = 30;
const LENGTH: u64 = SINGLE + 10 * BATCH;

fn from_the_reference(version: Version) -> Result<()> {
    let mut js = reference!(version);
    let log = reader(js.write()?)?;
    let mut events = log.events();
    let _line = js.dial(&log)?;
    let all = log.download(..).start();
    for index in 0..SINGLE {
        js.append(&VARIED, index..index + 1, 1)?;
        assert_eq!(soon(log.get(index))?, VARIED.block(index));
    }
    let mut watch = log.watch();
    js.append(&VARIED, SINGLE..LENGTH, BATCH)?;
    soon(async {
        while let Some(state) = watch.next().await {
            if state.contiguous_length == Length::new(LENGTH) {
                return Ok(());
            }
        }
        anyhow::bail!("the log was closed")
    })?;
    all.cancel();
    let lengths: Vec<_> = std::iter::from_fn(|| events.try_next())
        .filter_map(|event| match event {
            Event::Append { length } => Some(length.get()),
            _ => None,
        })
        .collect();
    assert!(lengths.is_sorted_by(|a, b| a < b), "{lengths:?}");
    assert!(lengths.starts_with(&(1..=SINGLE).collect::<Vec<_>>()));
    assert_eq!(lengths.last(), Some(&LENGTH));
    assert_eq!(
        local_digest(&log, 0..LENGTH)?,
        digest(VARIED.blocks(0..LENGTH))?
    );
    assert_eq!(Facts::of(&log)?, js.facts()?);
    Ok(())
}

fn to_the_reference(version: Version) -> Result<()> {
    let mut js = reference!(version);
    let log = writer()?;
    js.read(log.key())?;
    let _line = js.dialled_by(&log)?;
    // Without an end: it goes on as long as the log does.
    js.peer
        .send("download", json!({ "range": { "start": 0, "end": -1 } }))?;
    for index in 0..SINGLE {
        soon(log.append(VARIED.block(index)))?;
        js.wait_for(index + 1, true)?;
    }
    for start in (SINGLE..LENGTH).step_by(usize::try_from(BATCH)?) {
        soon(log.append_batch(VARIED.blocks(start..start + BATCH)))?;
    }
    js.wait_for(LENGTH, true)?;
    let mut lengths = Vec::new();
    while lengths.last() != Some(&LENGTH) {
        let event = js.peer.event("append", SOON)?;
        lengths.extend(event["length"].as_u64());
    }
    assert!(lengths.is_sorted_by(|a, b| a < b), "{lengths:?}");
    assert!(lengths.starts_with(&(1..=SINGLE).collect::<Vec<_>>()));
    assert_eq!(js.digest(0..LENGTH)?, digest(VARIED.blocks(0..LENGTH))?);
    assert_eq!(js.facts()?, Facts::of(&log)?);
    Ok(())
}

against_both!(from_the_reference, to_the_reference);
