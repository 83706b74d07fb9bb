//! Logs that were cut while nobody was connected: whoever has the old fork finds out what it shares with
//! the new one, and follows.

use std::sync::Arc;

use anyhow::{Context, Result};
use async_std::task::block_on;
use hc_storage::{MemoryStore, Store};
use hc_testkit::{Pattern, Version};
use hypercore::{Event, Hypercore, Length, Storage};
use serde_json::json;

use super::common::*;
use crate::forks::{SEED, cut};

/// What stands in a log after it was cut.
const OTHER: Pattern = Pattern {
    a: 3,
    b: 17,
    salt: 55,
    len_base: 1,
    len_step: 91,
    len_mod: 900,
};

/// A log that is written here and can be cut.
struct Writer {
    store: Arc<dyn Store>,
    log: Hypercore,
}

impl Writer {
    fn new(blocks: u64) -> Result<Self> {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        let log = Self::open(&store)?;
        soon(log.append_batch(VARIED.blocks(0..blocks)))?;
        Ok(Self { store, log })
    }

    fn open(store: &Arc<dyn Store>) -> Result<Hypercore> {
        open(Hypercore::builder(Storage::open(store.clone())).seed(&SEED))
    }

    fn rewrite(&mut self, length: u64, end: u64) -> Result<()> {
        soon(self.log.close())?;
        let log = self.store.open_core(&self.log.discovery_key())?;
        cut(&*log.context("it is there")?, length);
        self.log = Self::open(&self.store)?;
        if end > length {
            soon(self.log.append_batch(OTHER.blocks(length..end)))?;
        }
        Ok(())
    }
}

/// The same there.
fn rewrite(js: &mut Js, length: u64, end: u64) -> Result<()> {
    js.peer.call("truncate", json!({ "length": length }))?;
    if end > length {
        js.append(&OTHER, length..end, 100)?;
    }
    Ok(())
}

/// Waits until the log is on a fork.
fn follows(log: &Hypercore, fork: u64) -> Result<()> {
    let mut events = log.events();
    soon(async {
        while log.fork().get() < fork {
            events.next().await.context("the log was closed")?;
        }
        Ok::<_, anyhow::Error>(())
    })
}

fn check(log: &Hypercore, shared: u64, end: u64) -> Result<()> {
    let expected = [VARIED.blocks(0..shared), OTHER.blocks(shared..end)].concat();
    assert_eq!(local_digest(log, 0..end)?, digest(expected)?);
    assert!(log.verify(|_| {})?.is_ok());
    Ok(())
}

fn from_the_reference(version: Version) -> Result<()> {
    let mut js = reference!(version);
    let key = js.write()?;
    js.append(&VARIED, 0..300, 100)?;
    let port = js.peer.listen()?;
    let log = reader(key)?;
    let line = dial(&log, port)?;
    soon(log.download(..300))?;
    line.cut();
    rewrite(&mut js, 170, 400)?;
    let mut events = log.events();
    let _line = dial(&log, port)?;
    follows(&log, 1)?;
    let cut = std::iter::from_fn(|| events.try_next())
        .find(|event| matches!(event, Event::Truncate { .. }));
    let (length, fork) = (Length::new(170), 1.into());
    assert_eq!(cut, Some(Event::Truncate { length, fork }));
    soon(log.download(..400))?;
    check(&log, 170, 400)?;
    assert_eq!(Facts::of(&log)?, js.facts()?);
    Ok(())
}

fn to_the_reference(version: Version) -> Result<()> {
    let mut js = reference!(version);
    let mut from = Writer::new(300)?;
    js.read(from.log.key())?;
    let line = js.dial(&from.log)?;
    js.wait_for(300, false)?;
    js.download(&json!({ "start": 0, "end": 300 }))?;
    js.peer.call("disconnect", json!({}))?;
    line.ended()?.ok();
    from.rewrite(170, 400)?;
    let _line = js.dial(&from.log)?;
    let told = js.peer.event("truncate", SOON)?;
    assert_eq!(
        (told["to"].as_u64(), told["fork"].as_u64()),
        (Some(170), Some(1))
    );
    js.download(&json!({ "start": 0, "end": 400 }))?;
    let expected = [VARIED.blocks(0..170), OTHER.blocks(170..400)].concat();
    assert_eq!(js.digest(0..400)?, digest(expected)?);
    assert_eq!(js.facts()?, Facts::of(&from.log)?);
    Ok(())
}

/// Cut to nothing, which is followed once there is a block again.
fn cut_to_nothing_there(version: Version) -> Result<()> {
    let mut js = reference!(version);
    let key = js.write()?;
    js.append(&VARIED, 0..50, 10)?;
    let log = reader(key)?;
    let _line = js.dialled_by(&log)?;
    soon(log.download(..50))?;
    rewrite(&mut js, 0, 0)?;
    rewrite(&mut js, 0, 3)?;
    follows(&log, 2)?;
    soon(log.download(..3))?;
    check(&log, 0, 3)?;
    assert_eq!(Facts::of(&log)?, js.facts()?);
    Ok(())
}

fn cut_to_nothing_here(version: Version) -> Result<()> {
    let mut js = reference!(version);
    let mut from = Writer::new(50)?;
    js.read(from.log.key())?;
    let line = js.dial(&from.log)?;
    js.wait_for(50, false)?;
    js.download(&json!({ "start": 0, "end": 50 }))?;
    js.peer.call("disconnect", json!({}))?;
    line.ended()?.ok();
    from.rewrite(0, 3)?;
    let _line = js.dial(&from.log)?;
    js.peer.event("truncate", SOON)?;
    js.download(&json!({ "start": 0, "end": 3 }))?;
    assert_eq!(js.digest(0..3)?, digest(OTHER.blocks(0..3))?);
    assert_eq!(js.facts()?, Facts::of(&from.log)?);
    Ok(())
}

const FIVE: [(u64, u64); 5] = [(90, 120), (100, 110), (40, 80), (70, 90), (60, 130)];

fn five_forks_deep_there(version: Version) -> Result<()> {
    let mut js = reference!(version);
    let key = js.write()?;
    js.append(&VARIED, 0..100, 10)?;
    let port = js.peer.listen()?;
    let log = reader(key)?;
    let line = dial(&log, port)?;
    soon(log.download(..100))?;
    line.cut();
    for (length, end) in FIVE {
        rewrite(&mut js, length, end)?;
    }
    let _line = dial(&log, port)?;
    follows(&log, 5)?;
    soon(log.download(..130))?;
    check(&log, 40, 130)?;
    assert_eq!(Facts::of(&log)?, js.facts()?);
    Ok(())
}

fn five_forks_deep_here(version: Version) -> Result<()> {
    let mut js = reference!(version);
    let mut from = Writer::new(100)?;
    js.read(from.log.key())?;
    let line = js.dial(&from.log)?;
    js.wait_for(100, false)?;
    js.download(&json!({ "start": 0, "end": 100 }))?;
    js.peer.call("disconnect", json!({}))?;
    line.ended()?.ok();
    for (length, end) in FIVE {
        from.rewrite(length, end)?;
    }
    let _line = js.dial(&from.log)?;
    js.peer.event("truncate", SOON)?;
    js.download(&json!({ "start": 0, "end": 130 }))?;
    assert_eq!(js.facts()?, Facts::of(&from.log)?);
    Ok(())
}

/// A peer in the middle that has few blocks, of both forks, brings the later one.
fn through_a_sparse_relay_of_ours(version: Version) -> Result<()> {
    let (mut source, mut js) = (reference!(version), reference!(version));
    let key = source.write()?;
    source.append(&VARIED, 0..200, 100)?;
    let port = source.peer.listen()?;
    js.read(key)?;
    js.peer.call("connect", json!({ "port": port }))?;
    js.wait_for(200, false)?;
    js.download(&json!({ "blocks": [3, 100, 118] }))?;
    js.peer.call("disconnect", json!({}))?;

    rewrite(&mut source, 120, 260)?;
    let relay = reader(key)?;
    let line = dial(&relay, port)?;
    // the block at which they part is among them: the reference needs it to find that out
    soon(relay.download_blocks((90..121).chain([125, 200])))?;
    line.cut();
    let _line = js.dial(&relay)?;
    js.peer.event("truncate", SOON)?;
    assert_eq!(js.get(125)?, OTHER.block(125));
    assert_eq!(js.get(3)?, VARIED.block(3));
    assert_eq!(js.facts()?.tree_hash, Facts::of(&relay)?.tree_hash);
    assert_eq!(js.facts()?.fork, 1);
    Ok(())
}

fn through_a_sparse_relay_of_the_reference(version: Version) -> Result<()> {
    let mut relay = reference!(version);
    let mut from = Writer::new(200)?;
    let log = reader(from.log.key())?;
    let door = Door::open()?;
    let lines = [dial(&log, door.port()?)?, door.accept(&from.log)?];
    soon(log.download_blocks([3, 100, 118]))?;
    lines.into_iter().for_each(Line::cut);

    from.rewrite(120, 260)?;
    relay.read(from.log.key())?;
    let line = relay.dial(&from.log)?;
    relay.wait_for(260, false)?;
    let part: Vec<u64> = (90..120).chain([125, 200]).collect();
    relay.download(&json!({ "blocks": part }))?;
    relay.peer.call("disconnect", json!({}))?;
    line.ended()?.ok();
    let _line = relay.dialled_by(&log)?;
    follows(&log, 1)?;
    assert_eq!(soon(log.get(125))?, OTHER.block(125));
    for index in [3, 100, 118] {
        let kept = block_on(log.get(index).local().into_future())?;
        assert_eq!(kept, VARIED.block(index));
    }
    assert_eq!(log.head(), from.log.head());
    Ok(())
}

against_both!(
    from_the_reference,
    to_the_reference,
    cut_to_nothing_there,
    cut_to_nothing_here,
    five_forks_deep_there,
    five_forks_deep_here,
    through_a_sparse_relay_of_ours,
    through_a_sparse_relay_of_the_reference,
);
