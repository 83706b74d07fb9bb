//! Blocks that a reader has cleared, asked for again of who still has them.

use anyhow::Result;
use async_std::task::block_on;
use hc_testkit::Version;
use serde_json::json;

use super::common::*;

const LENGTH: u64 = 100;

fn what_was_cleared_here_comes_again(version: Version) -> Result<()> {
    let mut js = reference!(version);
    let key = js.write()?;
    js.append(&VARIED, 0..LENGTH, 50)?;
    let log = reader(key)?;
    let line = js.dialled_by(&log)?;
    soon(log.download(..LENGTH))?;
    let mut events = log.events();
    soon(log.clear(10..40))?;
    assert!(block_on(log.get(20).local().into_future()).is_err());
    assert_eq!(soon(log.get(20))?, VARIED.block(20));
    line.cut();
    // and over another connection
    soon(log.clear(90..))?;
    let rest = log.download(..LENGTH).start();
    let _line = js.dialled_by(&log)?;
    soon(rest)?;
    let mut came = downloaded(&mut events);
    came.sort_unstable();
    assert_eq!(came, (10..40).chain(90..LENGTH).collect::<Vec<_>>());
    assert_eq!(
        local_digest(&log, 0..LENGTH)?,
        digest(VARIED.blocks(0..LENGTH))?
    );
    assert_eq!(Facts::of(&log)?, js.facts()?);
    Ok(())
}

fn what_was_cleared_there_comes_again(version: Version) -> Result<()> {
    let mut js = reference!(version);
    let log = writer()?;
    soon(log.append_batch(VARIED.blocks(0..LENGTH)))?;
    js.read(log.key())?;
    let line = js.dial(&log)?;
    js.download(&json!({ "start": 0, "end": LENGTH }))?;
    js.peer.call("clear", json!({ "start": 10, "end": 40 }))?;
    assert_eq!(js.held()?.len(), 70);
    assert_eq!(js.get(20)?, VARIED.block(20));
    line.cut();
    js.peer.event("disconnected", SOON)?;
    js.peer
        .call("clear", json!({ "start": 90, "end": LENGTH }))?;
    let _line = js.dial(&log)?;
    js.download(&json!({ "start": 0, "end": LENGTH }))?;
    assert_eq!(js.held()?.len(), 100);
    assert_eq!(js.digest(0..LENGTH)?, digest(VARIED.blocks(0..LENGTH))?);
    assert_eq!(log.stats().blocks_uploaded, LENGTH + 30 + 10);
    Ok(())
}

against_both!(
    what_was_cleared_here_comes_again,
    what_was_cleared_there_comes_again,
);
