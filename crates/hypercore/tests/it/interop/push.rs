//! Blocks that nobody asked for, both ways, on and off. Version 10 has no such thing.

use std::time::Duration;

use anyhow::{Result, ensure};
use async_std::task::{block_on, sleep};
use hc_testkit::Version;
use hypercore::{GetError, Hypercore, PullPolicy, Storage};
use serde_json::json;

use super::common::*;

const MOMENT: Duration = Duration::from_millis(300);

/// Waits until the reference says whether it takes pushes.
fn takes(log: &Hypercore, pushes: bool) -> Result<()> {
    soon(async {
        while !log
            .peer_states()
            .iter()
            .any(|peer| peer.allows_push == pushes)
        {
            sleep(Duration::from_millis(5)).await;
        }
        Ok::<_, anyhow::Error>(())
    })
}

/// Requests that the reference has sent.
fn asked_by(js: &mut Js) -> Result<u64> {
    let stats = js.peer.call("stats", json!({}))?;
    Ok(stats["stats"]["wireRequest"]["tx"]
        .as_u64()
        .unwrap_or(u64::MAX))
}

#[test]
fn what_is_pushed_here_arrives_at_the_reference() -> Result<()> {
    let mut js = reference!(Version::V11);
    let log = writer()?;
    js.read_with(
        log.key(),
        &json!({ "allowPush": true, "pushOnly": true }),
        None,
    )?;
    let line = js.dial(&log)?;
    takes(&log, true)?;
    for (index, block) in ["a", "b", "c"].into_iter().enumerate() {
        soon(log.append(block))?;
        log.push(index as u64);
    }
    js.wait_for(3, true)?;
    assert_eq!(Facts::of(&log)?, js.facts()?);
    assert_eq!(js.digest(0..3)?, local_digest(&log, 0..3)?);
    // for the manifest, which it does not leave to who pushes
    assert!(asked_by(&mut js)? <= 1);
    // what was not pushed comes by force, and with it the tree
    soon(log.append_batch(["d", "e"]))?;
    let options = json!({ "force": true, "timeout": u64::try_from(SOON.as_millis())? });
    let got = js
        .peer
        .call("get", json!({ "index": 4, "options": options }))?;
    assert_eq!(got["value"], hex::encode("e"));
    log.push(3);
    js.wait_for(5, true)?;
    // off, and on again
    js.peer.call("allowPush", json!({ "allow": false }))?;
    takes(&log, false)?;
    soon(log.append("f"))?;
    let before = log.stats().pushed;
    log.push(5);
    assert_eq!(log.stats().pushed, before);
    js.peer.call("allowPush", json!({ "allow": true }))?;
    takes(&log, true)?;
    log.push(5);
    js.wait_for(6, true)?;
    line.cut();
    Ok(())
}

#[test]
fn what_the_reference_pushes_arrives_here() -> Result<()> {
    let mut js = reference!(Version::V11);
    let key = js.write()?;
    let log = open(
        Hypercore::builder(Storage::memory())
            .key(key)
            .allow_push(true)
            .pull(PullPolicy::Forced),
    )?;
    let line = js.dialled_by(&log)?;
    soon(async {
        while log.peers().is_empty() {
            sleep(Duration::from_millis(5)).await;
        }
        Ok::<_, anyhow::Error>(())
    })?;
    for index in 0..5_u64 {
        js.append(&VARIED, index..index + 1, 1)?;
        js.peer.call("push", json!({ "index": index }))?;
        assert_eq!(soon(log.get(index))?, VARIED.block(index));
    }
    assert_eq!(log.stats().sent.request, 0);
    assert_eq!(Facts::of(&log)?, js.facts()?);
    js.append(&VARIED, 5..7, 2)?;
    assert_eq!(soon(log.get(6).force())?, VARIED.block(6));
    log.set_allow_push(false);
    js.append(&VARIED, 7..8, 1)?;
    js.peer.call("push", json!({ "index": 7 }))?;
    let got = block_on(std::future::IntoFuture::into_future(
        log.get(7).timeout(MOMENT),
    ));
    ensure!(matches!(got, Err(GetError::TimedOut { .. })), "{got:?}");
    log.set_pull(PullPolicy::All);
    assert_eq!(soon(log.get(7))?, VARIED.block(7));
    assert_eq!(soon(log.get(5))?, VARIED.block(5));
    line.cut();
    Ok(())
}
