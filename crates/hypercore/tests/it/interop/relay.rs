//! A peer in the middle that has only a part, and several peers at once.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::Result;
use async_std::task::{self, block_on};
use hc_testkit::{Pattern, Version};
use hypercore::{Event, GetError};
use serde_json::json;

use super::common::*;

const LENGTH: u64 = 300;
const SCATTERED: [u64; 5] = [3, 42, 250, 251, 299];
/// For what is not going to come.
const NOT_LONG: Duration = Duration::from_millis(200);

/// What the relay holds.
fn part() -> BTreeSet<u64> {
    (100..200).chain(SCATTERED).collect()
}

fn of_ours_between_two_references(version: Version) -> Result<()> {
    let (mut source, mut js) = (reference!(version), reference!(version));
    let key = source.write()?;
    source.append(&VARIED, 0..LENGTH, 100)?;
    let port = source.peer.listen()?;
    let relay = reader(key)?;
    let line = dial(&relay, port)?;
    soon(relay.download_blocks(part()))?;
    line.cut();
    assert_eq!(relay.count(..), 105);

    js.read(key)?;
    let _line = js.dial(&relay)?;
    js.wait_for(LENGTH, false)?;
    js.download(&json!({ "blocks": part() }))?;
    assert_eq!(js.held()?, part().into_iter().collect::<Vec<_>>());
    let missing = js.peer.call(
        "get",
        json!({ "index": 7, "options": { "timeout": u64::try_from(NOT_LONG.as_millis())? } }),
    );
    assert!(missing.is_err(), "the relay does not have it");

    // The relay fetches the rest, and the reader hears of it.
    let range = json!({ "range": { "start": 0, "end": LENGTH } });
    let rest = js.peer.send("download", range)?;
    let _source = dial(&relay, port)?;
    soon(relay.download(..LENGTH))?;
    js.peer.answer(rest)?;
    assert_eq!(js.digest(0..LENGTH)?, digest(VARIED.blocks(0..LENGTH))?);
    assert_eq!(js.facts()?, source.facts()?);
    assert_eq!(js.facts()?, Facts::of(&relay)?);
    Ok(())
}

fn of_the_reference_between_two_of_ours(version: Version) -> Result<()> {
    let mut relay = reference!(version);
    let source = writer()?;
    soon(source.append_batch(VARIED.blocks(0..LENGTH)))?;
    relay.read(source.key())?;
    let line = relay.dial(&source)?;
    relay.download(&json!({ "blocks": part() }))?;
    relay.peer.call("disconnect", json!({}))?;
    line.ended()?.ok();
    assert_eq!(relay.held()?.len(), 105);

    let log = reader(source.key())?;
    let _line = relay.dialled_by(&log)?;
    soon(log.download_blocks(part()))?;
    assert_eq!((log.length().get(), log.count(..)), (LENGTH, 105));
    let missing = block_on(log.get(7).timeout(NOT_LONG).into_future());
    assert!(
        matches!(missing, Err(GetError::TimedOut { .. })),
        "{missing:?}"
    );

    let rest = log.download(..LENGTH).start();
    let _source = relay.dial(&source)?;
    relay.download(&json!({ "start": 0, "end": LENGTH }))?;
    soon(rest)?;
    assert_eq!(
        local_digest(&log, 0..LENGTH)?,
        digest(VARIED.blocks(0..LENGTH))?
    );
    assert_eq!(Facts::of(&log)?, Facts::of(&source)?);
    assert_eq!(Facts::of(&log)?, relay.facts()?);
    Ok(())
}

/// A reference lets go of blocks, before and while it is connected; another still has them.
fn what_one_reference_cleared_comes_from_another(version: Version) -> Result<()> {
    let (mut source, mut copy) = (reference!(version), reference!(version));
    let key = source.write()?;
    source.append(&VARIED, 0..LENGTH, 100)?;
    let port = source.peer.listen()?;
    copy.read(key)?;
    copy.peer.call("connect", json!({ "port": port }))?;
    copy.wait_for(LENGTH, false)?;
    copy.download(&json!({ "start": 0, "end": LENGTH }))?;
    copy.peer.call("disconnect", json!({}))?;

    source
        .peer
        .call("clear", json!({ "start": 10, "end": 20 }))?;
    let log = reader(key)?;
    let _line = dial(&log, port)?;
    soon(log.download(0..10))?;
    source
        .peer
        .call("clear", json!({ "start": 30, "end": 31 }))?;
    for index in [10, 19, 30] {
        let missing = block_on(log.get(index).timeout(NOT_LONG).into_future());
        assert!(
            matches!(missing, Err(GetError::TimedOut { .. })),
            "{missing:?}"
        );
    }
    let rest = log.download(..LENGTH).start();
    let _copy = copy.dialled_by(&log)?;
    soon(rest)?;
    assert_eq!(
        local_digest(&log, 0..LENGTH)?,
        digest(VARIED.blocks(0..LENGTH))?
    );
    assert_eq!(Facts::of(&log)?, copy.facts()?);
    Ok(())
}

#[test]
fn both_references_and_one_of_ours_are_fetched_from_at_once() -> Result<()> {
    const LENGTH: u64 = 3000;
    let (mut v11, mut v10) = (reference!(Version::V11), reference!(Version::V10));
    let source = writer()?;
    soon(source.append_batch(Pattern::KIB.blocks(0..LENGTH)))?;
    for js in [&mut v11, &mut v10] {
        js.read(source.key())?;
        let line = js.dial(&source)?;
        js.download(&json!({ "start": 0, "end": LENGTH }))?;
        js.peer.call("disconnect", json!({}))?;
        line.ended()?.ok();
    }
    let log = reader(source.key())?;
    let mut events = log.events();
    let door = Door::open()?;
    let _lines = [
        v11.dialled_by(&log)?,
        v10.dialled_by(&log)?,
        dial(&log, door.port()?)?,
        door.accept(&source)?,
    ];
    let ready = || {
        let states = log.peer_states();
        states
            .iter()
            .filter(|peer| peer.length.get() == LENGTH)
            .count()
            == 3
    };
    soon(async {
        while !ready() {
            task::sleep(Duration::from_millis(1)).await;
        }
        anyhow::Ok(())
    })?;
    soon(log.download(..LENGTH))?;
    assert_eq!(
        local_digest(&log, 0..LENGTH)?,
        digest(Pattern::KIB.blocks(0..LENGTH))?
    );
    let mut blocks = BTreeMap::<u64, u64>::new();
    while let Some(event) = events.try_next() {
        if let Event::Download { peer, .. } = event {
            *blocks.entry(peer.id).or_default() += 1;
        }
    }
    assert_eq!(blocks.values().sum::<u64>(), LENGTH);
    assert_eq!(blocks.len(), 3, "{blocks:?}");
    Ok(())
}

/// A reference with a full copy and one of ours, which wrote it, serve another reference together.
fn the_reference_fetches_from_both_kinds_at_once(version: Version) -> Result<()> {
    const LENGTH: u64 = 2000;
    let (mut copy, mut js) = (reference!(version), reference!(version));
    let source = writer()?;
    soon(source.append_batch(Pattern::KIB.blocks(0..LENGTH)))?;
    copy.read(source.key())?;
    let line = copy.dial(&source)?;
    copy.download(&json!({ "start": 0, "end": LENGTH }))?;
    copy.peer.call("disconnect", json!({}))?;
    line.ended()?.ok();

    js.read(source.key())?;
    let mut events = source.events();
    let port = copy.peer.listen()?;
    js.peer.call("connect", json!({ "port": port }))?;
    let line = js.dial(&source)?;
    soon(async {
        match events.next().await {
            Some(Event::PeerAdd(_)) => Ok(()),
            other => anyhow::bail!("{other:?}"),
        }
    })?;
    js.download(&json!({ "start": 0, "end": LENGTH }))?;
    assert_eq!(
        js.digest(0..LENGTH)?,
        digest(Pattern::KIB.blocks(0..LENGTH))?
    );
    assert_eq!(js.facts()?, Facts::of(&source)?);
    let sent = line.traffic.bytes_sent();
    assert!(sent > 1024 * 10, "it sent something: {sent}");
    assert!(sent < 1024 * (LENGTH - 10), "it did not send all: {sent}");
    Ok(())
}

against_both!(
    the_reference_fetches_from_both_kinds_at_once,
    of_ours_between_two_references,
    of_the_reference_between_two_of_ours,
    what_one_reference_cleared_comes_from_another,
);
