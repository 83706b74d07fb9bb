//! A connection that is cut in the middle: what has arrived is kept, and only the rest is fetched.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result};
use hc_testkit::{Pattern, Version};
use hypercore::{Ended, Hypercore, ReplicateError};
use serde_json::{Value, json};

use super::common::*;

const LENGTH: u64 = 1000;
/// Where the connection is cut: after a third of the blocks' bytes.
const CUT: u64 = LENGTH * 1024 / 3;
/// What may be sent beside the blocks: their proofs, and little else.
const BESIDE: u64 = 512 * 1024;

/// Whether no block came twice, or was there.
fn are_new(came: &[u64], were_there: &BTreeSet<u64>) -> bool {
    let unique: BTreeSet<_> = came.iter().copied().collect();
    unique.len() == came.len() && unique.is_disjoint(were_there)
}

/// Whether each block but those that were there came, and once.
fn are_the_rest(came: &[u64], were_there: &BTreeSet<u64>) -> bool {
    let all: BTreeSet<_> = came.iter().chain(were_there).copied().collect();
    are_new(came, were_there) && all.into_iter().eq(0..LENGTH)
}

fn held(log: &Hypercore) -> BTreeSet<u64> {
    (0..LENGTH).filter(|index| log.has(index..=index)).collect()
}

/// The connection is gone, and that is nobody's fault.
fn is_cut(ended: &Result<Ended, ReplicateError>) -> bool {
    match ended {
        Ok(ended) => *ended == Ended::ByRemote,
        Err(error) => !error.is_remotes_fault(),
    }
}

fn source(version: Version) -> Result<Option<(Js, hypercore::CoreKey, u16)>> {
    let Some(mut js) = Js::start(version)? else {
        return Ok(None);
    };
    let key = js.write()?;
    js.append(&Pattern::KIB, 0..LENGTH, 100)?;
    let port = js.peer.listen()?;
    Ok(Some((js, key, port)))
}

fn check(log: &Hypercore, js: &mut Js) -> Result<()> {
    let blocks = digest(Pattern::KIB.blocks(0..LENGTH))?;
    assert_eq!(local_digest(log, 0..LENGTH)?, blocks);
    assert_eq!(js.digest(0..LENGTH)?, blocks);
    assert_eq!(Facts::of(log)?, js.facts()?);
    Ok(())
}

/// The download is one, over two connections.
fn from_the_reference(version: Version) -> Result<()> {
    let Some((mut js, key, port)) = source(version)? else {
        return Ok(());
    };
    let log = reader(key)?;
    let mut events = log.events();
    let download = log.download(..LENGTH).start();
    let ended = dial(&log, cut_after(CUT, port)?)?.ended()?;
    assert!(is_cut(&ended), "{ended:?}");
    let before = log.count(..);
    assert!((1..LENGTH).contains(&before), "{before}");
    let line = dial(&log, port)?;
    soon(download)?;
    let came = downloaded(&mut events);
    assert!(are_the_rest(&came, &BTreeSet::new()), "{came:?}");
    let received = line.traffic.bytes_received();
    assert!(received < (LENGTH - before) * 1024 + BESIDE, "{received}");
    check(&log, &mut js)
}

/// In between, the log is closed and opened from the disk.
fn from_the_reference_after_a_restart(version: Version) -> Result<()> {
    let Some((mut js, key, port)) = source(version)? else {
        return Ok(());
    };
    let dir = tempfile::tempdir()?;
    let log = on_disk(dir.path(), Some(key))?;
    let download = log.download(..LENGTH).start();
    let ended = dial(&log, cut_after(CUT, port)?)?.ended()?;
    assert!(is_cut(&ended), "{ended:?}");
    let before = held(&log);
    assert!((1..1000).contains(&before.len()), "{before:?}");
    drop(download);
    soon(log.close_all())?;
    drop(log);

    let log = on_disk(dir.path(), Some(key))?;
    assert_eq!(held(&log), before);
    let mut events = log.events();
    let line = dial(&log, port)?;
    soon(log.download(..LENGTH))?;
    let rest = LENGTH - before.len() as u64;
    let came = downloaded(&mut events);
    assert!(are_the_rest(&came, &before), "{came:?}");
    let received = line.traffic.bytes_received();
    assert!(received < rest * 1024 + BESIDE, "{received}");
    check(&log, &mut js)
}

fn whole() -> Value {
    json!({ "range": { "start": 0, "end": LENGTH } })
}

/// Has the reference fetch from a port that is cut; returns what it holds then, and the download.
fn fetch_a_part(js: &mut Js, log: &Hypercore) -> Result<(BTreeSet<u64>, u64)> {
    let door = Door::open()?;
    let download = js.peer.send("download", whole())?;
    let port = cut_after(CUT, door.port()?)?;
    js.peer.call("connect", json!({ "port": port }))?;
    let line = door.accept(log)?;
    js.peer.event("disconnected", SOON)?;
    let ended = line.ended()?;
    assert!(is_cut(&ended), "{ended:?}");
    let held: BTreeSet<_> = js.held()?.into_iter().collect();
    assert!((1..1000).contains(&held.len()), "{held:?}");
    Ok((held, download))
}

/// The blocks that the reference has told it has downloaded. It may still be storing some when a
/// connection is gone, and tells nothing of those.
fn told(js: &mut Js) -> Result<Vec<u64>> {
    // Whatever it says comes in order: what it said before this answer is here.
    js.facts()?;
    let mut blocks = Vec::new();
    while let Ok(event) = js.peer.event("download", Duration::ZERO) {
        blocks.push(event["index"].as_u64().context("no index")?);
    }
    Ok(blocks)
}

fn to_the_reference(version: Version) -> Result<()> {
    let mut js = reference!(version);
    let log = writer()?;
    soon(log.append_batch(Pattern::KIB.blocks(0..LENGTH)))?;
    js.read(log.key())?;
    let (before, download) = fetch_a_part(&mut js, &log)?;
    told(&mut js)?;
    let line = js.dial(&log)?;
    js.peer.answer(download)?;
    let came = told(&mut js)?;
    assert!(are_new(&came, &before), "{came:?}");
    let sent = line.traffic.bytes_sent();
    let rest = LENGTH - before.len() as u64;
    assert!(sent < rest * 1024 + BESIDE, "{sent}");
    check(&log, &mut js)
}

/// In between, both sides end and begin again from their disks.
fn to_the_reference_after_a_restart(version: Version) -> Result<()> {
    let mut js = reference!(version);
    let dir = tempfile::tempdir()?;
    let log = on_disk(dir.path(), None)?;
    soon(log.append_batch(Pattern::KIB.blocks(0..LENGTH)))?;
    js.read(log.key())?;
    let (before, _) = fetch_a_part(&mut js, &log)?;
    js.restart(version, log.key())?;
    soon(log.close_all())?;
    drop(log);

    let log = on_disk(dir.path(), None)?;
    let line = js.dial(&log)?;
    js.peer.call("download", whole())?;
    let came = told(&mut js)?;
    assert!(are_new(&came, &before), "{came:?}");
    let sent = line.traffic.bytes_sent();
    let rest = LENGTH - before.len() as u64;
    assert!(sent < rest * 1024 + BESIDE, "{sent}");
    check(&log, &mut js)
}

against_both!(
    from_the_reference,
    from_the_reference_after_a_restart,
    to_the_reference,
    to_the_reference_after_a_restart,
);
