//! Rough use: sockets that are killed in the middle of a download, sessions that come and go in the middle
//! of a get.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use async_std::task;
use hc_testkit::{Pattern, Version};
use hypercore::{Event, Events, GetError, Hypercore};
use serde_json::json;

use super::common::*;

const LENGTH: u64 = 1200;
const KILLED: u64 = 20;
/// Blocks that come before a socket is killed.
const BETWEEN: usize = 20;
const SESSIONS: u64 = 500;

/// What is asked for in one round beside the download.
fn asked_in(round: u64) -> [u64; 2] {
    [round * 7, LENGTH - 1 - round * 11]
}

/// Waits for so many more blocks; notes which, and that none comes twice.
fn note(events: &mut Events, more: usize, came: &mut BTreeSet<u64>) -> Result<()> {
    let mut left = more;
    while left > 0 {
        let event = soon(async { events.next().await.context("no more events") })?;
        if let Event::Download { index, .. } = event {
            assert!(came.insert(index.get()), "block {index} came twice");
            left -= 1;
        }
    }
    Ok(())
}

fn killed_twenty_times_from_the_reference(version: Version) -> Result<()> {
    let mut js = reference!(version);
    let key = js.write()?;
    js.append(&Pattern::KIB, 0..LENGTH, 100)?;
    let port = js.peer.listen()?;
    let log = reader(key)?;
    let mut events = log.events();
    let mut came = BTreeSet::new();
    let download = log.download(..LENGTH).start();
    let mut gets = Vec::new();
    for round in 0..KILLED {
        for index in asked_in(round) {
            gets.push((index, task::spawn(log.get(index).into_future())));
        }
        let line = dial(&log, port)?;
        note(&mut events, BETWEEN, &mut came)?;
        line.cut();
    }
    assert!(came.len() < 1200, "it was killed in the middle");
    let _line = dial(&log, port)?;
    soon(download)?;
    for (index, get) in gets {
        assert_eq!(soon(get)?, Pattern::KIB.block(index));
    }
    let rest = 1200 - came.len();
    note(&mut events, rest, &mut came)?;
    assert_eq!(
        local_digest(&log, 0..LENGTH)?,
        digest(Pattern::KIB.blocks(0..LENGTH))?
    );
    Ok(())
}

fn killed_twenty_times_to_the_reference(version: Version) -> Result<()> {
    let mut js = reference!(version);
    let log = writer()?;
    soon(log.append_batch(Pattern::KIB.blocks(0..LENGTH)))?;
    js.read(log.key())?;
    let whole = json!({ "range": { "start": 0, "end": LENGTH } });
    let download = js.peer.send("download", whole)?;
    let mut came = BTreeSet::new();
    let mut gets = Vec::new();
    let mut note = |js: &mut Js, more: usize| -> Result<usize> {
        for _ in 0..more {
            let index = js.peer.event("download", SOON)?["index"].as_u64();
            let index = index.context("no index")?;
            assert!(came.insert(index), "block {index} came twice");
        }
        Ok(came.len())
    };
    for round in 0..KILLED {
        for index in asked_in(round) {
            let get = json!({ "index": index, "options": { "timeout": 60_000 } });
            gets.push((index, js.peer.send("get", get)?));
        }
        let line = js.dial(&log)?;
        note(&mut js, BETWEEN)?;
        line.cut();
        js.peer.event("disconnected", SOON)?;
    }
    assert!(note(&mut js, 0)? < 1200, "it was killed in the middle");
    let _line = js.dial(&log)?;
    js.peer.answer(download)?;
    for (index, get) in gets {
        let found = js.peer.answer(get)?;
        assert_eq!(found["value"], hex::encode(Pattern::KIB.block(index)));
    }
    assert_eq!(js.held()?.len(), 1200);
    assert_eq!(
        js.digest(0..LENGTH)?,
        digest(Pattern::KIB.blocks(0..LENGTH))?
    );
    Ok(())
}

/// Of the blocks that sessions ask for, half exist.
const EXIST: u64 = 40;

fn sessions_come_and_go_here(version: Version) -> Result<()> {
    let mut js = reference!(version);
    let key = js.write()?;
    js.append(&VARIED, 0..EXIST, 10)?;
    let log = reader(key)?;
    let _line = js.dialled_by(&log)?;
    soon(log.get(0))?;
    soon(async {
        for round in 0..SESSIONS {
            let index = round % (2 * EXIST);
            let session = log.clone();
            let get = task::spawn(session.get(index).into_future());
            if round % 3 == 0 {
                task::yield_now().await;
            }
            session.close().await?;
            match get.await {
                Ok(value) => assert_eq!(value, VARIED.block(index)),
                Err(error) => assert!(matches!(error, GetError::Closed), "{error}"),
            }
        }
        Ok::<_, anyhow::Error>(())
    })?;
    goes_on_here(&log, &mut js)
}

fn goes_on_here(log: &Hypercore, js: &mut Js) -> Result<()> {
    soon(log.download(..EXIST))?;
    assert_eq!(log.peers().len(), 1);
    js.append(&VARIED, EXIST..EXIST + 1, 1)?;
    assert_eq!(soon(log.get(EXIST))?, VARIED.block(EXIST));
    assert_eq!(log.stats().refused_as_invalid, 0);
    Ok(())
}

fn sessions_come_and_go_there(version: Version) -> Result<()> {
    let mut js = reference!(version);
    let log = writer()?;
    soon(log.append_batch(VARIED.blocks(0..EXIST)))?;
    js.read(log.key())?;
    let _line = js.dial(&log)?;
    js.wait_for(EXIST, false)?;
    let come = json!({ "count": SESSIONS, "blocks": 2 * EXIST });
    let ended = js.peer.call("sessions", come)?;
    let (met, closed) = (ended["met"].as_u64(), ended["closed"].as_u64());
    assert_eq!(met.unwrap_or(0) + closed.unwrap_or(0), SESSIONS, "{ended}");
    js.download(&json!({ "start": 0, "end": EXIST }))?;
    soon(log.append(VARIED.block(EXIST)))?;
    assert_eq!(js.get(EXIST)?, VARIED.block(EXIST));
    assert_eq!(log.peers().len(), 1);
    assert_eq!(log.stats().invalid_requests, 0);
    Ok(())
}

against_both!(
    killed_twenty_times_from_the_reference,
    killed_twenty_times_to_the_reference,
    sessions_come_and_go_here,
    sessions_come_and_go_there,
);
