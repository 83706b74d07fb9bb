//! Five logs on one stream, of which one joins late.

use anyhow::{Context, Result};
use hc_testkit::Version;
use hypercore::{Hypercore, Replication, Role, rt};
use serde_json::json;

use super::common::*;

const NAMES: [&str; 5] = ["one", "two", "three", "four", "five"];

/// Written there; the last is opened here once the others have been read.
fn five_from_the_reference_one_of_them_late(version: Version) -> Result<()> {
    let mut js = reference!(version);
    let keys = NAMES.map(|name| js.write_beside(name, &["first", name]));
    let port = js.peer.listen()?;
    let mut logs = Vec::new();
    for key in keys {
        logs.push(reader(key?)?);
    }
    let (late, early) = logs.split_last().context("five")?;
    let replication = Replication::over(stream_to(port)?, Role::Initiator).on(rt::AsyncStd);
    let connection = early.iter().fold(replication, Replication::add).start();
    let joins = connection.logs();
    let line = Line::of(connection)?;
    for (log, name) in early.iter().zip(NAMES) {
        assert_eq!(soon(log.get(1))?, name);
    }
    assert!(joins.add(late));
    assert_eq!(soon(late.get(1))?, "five");
    // the others go on
    js.peer.call(
        "append",
        json!({ "core": "two", "blocks": [hex::encode("more")] }),
    )?;
    assert_eq!(soon(early[1].get(2))?, "more");
    assert_eq!(late.peers().len(), 1);
    line.cut();
    Ok(())
}

/// Written here; the last is opened there once the others have been read.
fn five_to_the_reference_one_of_them_late(version: Version) -> Result<()> {
    let mut js = reference!(version);
    let mut logs: Vec<Hypercore> = Vec::new();
    for name in NAMES {
        let log = writer()?;
        soon(log.append_batch(["first", name]))?;
        logs.push(log);
    }
    let early = NAMES.len() - 1;
    for (log, name) in logs.iter().zip(NAMES).take(early) {
        js.read_beside(name, log.key())?;
    }
    let door = Door::open()?;
    js.peer.call("connect", json!({ "port": door.port()? }))?;
    let replication = Replication::over(door.stream()?, Role::Responder).on(rt::AsyncStd);
    let line = Line::of(logs.iter().fold(replication, Replication::add).start())?;
    let get = |js: &mut Js, name: &str, index: u64| -> Result<String> {
        let timeout = u64::try_from(SOON.as_millis())?;
        let get = json!({ "core": name, "index": index, "options": { "timeout": timeout } });
        let found = js.peer.call("get", get)?;
        let value = hex::decode(found["value"].as_str().context("no value")?)?;
        Ok(String::from_utf8(value)?)
    };
    for name in &NAMES[..early] {
        assert_eq!(get(&mut js, name, 1)?, *name);
    }
    js.read_beside("five", logs[early].key())?;
    js.peer.call("join", json!({ "core": "five" }))?;
    assert_eq!(get(&mut js, "five", 1)?, "five");
    soon(logs[1].append("more"))?;
    assert_eq!(get(&mut js, "two", 2)?, "more");
    line.cut();
    Ok(())
}

against_both!(
    five_from_the_reference_one_of_them_late,
    five_to_the_reference_one_of_them_late,
);
