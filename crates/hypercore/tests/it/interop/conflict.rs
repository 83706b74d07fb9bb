//! One key, two histories, on both sides of the language.

use anyhow::{Context, Result};
use hc_testkit::Version;
use hypercore::{Event, Events, Hypercore, Storage};
use serde_json::json;

use super::common::*;

fn seen(mut events: Events) -> Result<u64> {
    soon(async {
        loop {
            let event = events.next().await.context("no conflict")?;
            if let Event::Conflict { conflict, .. } = event {
                return Ok::<_, anyhow::Error>(conflict.length.get());
            }
        }
    })
}

/// A log that is written here, with a key that is always the same.
fn twin(blocks: &[&str]) -> Result<Hypercore> {
    let log = open(Hypercore::builder(Storage::memory()).seed(&[5; 32]))?;
    soon(log.append_batch(["one", "two", "three"]))?;
    soon(log.append_batch(blocks.iter().copied()))?;
    Ok(log)
}

/// Both histories were written here; the reference has one, and meets the other.
fn of_ours_seen_there(version: Version) -> Result<()> {
    let mut js = reference!(version);
    let (one, other) = (twin(&["this way"])?, twin(&["another", "way"])?);
    js.read(one.key())?;
    let line = js.dial(&one)?;
    js.wait_for(4, false)?;
    js.download(&json!({ "start": 0, "end": 4 }))?;
    js.peer.call("disconnect", json!({}))?;
    line.ended()?.ok();
    let events = other.events();
    let _line = js.dial(&other)?;
    let told = js.peer.event("conflict", SOON)?;
    assert_eq!(told["length"].as_u64(), Some(4));
    // and shows it to whom it has it from
    assert_eq!(seen(events)?, 4);
    assert!(other.is_closed());
    Ok(())
}

/// The reference wrote one history, and another with the same key; one is read here, and meets the
/// other.
fn of_the_reference_seen_here(version: Version) -> Result<()> {
    let (mut one, mut other) = (reference!(version), reference!(version));
    let key = one.write_as(&[8; 32])?;
    assert_eq!(other.write_as(&[8; 32])?, key);
    one.append(&VARIED, 0..7, 5)?;
    other.append(&VARIED, 0..5, 5)?;
    other.append(&VARIED, 100..103, 1)?;
    let log = reader(key)?;
    let _first = one.dialled_by(&log)?;
    soon(log.download(..7))?;
    let events = log.events();
    let _second = other.dialled_by(&log)?;
    assert_eq!(seen(events)?, 7);
    assert!(log.is_closed());
    // both hear of it: each has one side, and is shown the other
    one.peer.event("conflict", SOON)?;
    other.peer.event("conflict", SOON)?;
    Ok(())
}

against_both!(of_ours_seen_there, of_the_reference_seen_here);
