//! What is built on logs in JavaScript, read from logs that are served here: a Hyperbee, a Hyperdrive.

use anyhow::{Context, Result};
use hc_testkit::Version;
use hypercore::{CoreKey, Hypercore, Replication, Role};
use serde_json::{Value, json};

use super::common::*;

const ENTRIES: u64 = 300;

fn key_of(value: &Value) -> Result<CoreKey> {
    Ok(value.as_str().context("no key")?.parse()?)
}

/// Fetches a whole log.
fn fetch(log: &Hypercore, length: u64) -> Result<()> {
    soon(log.update())?;
    soon(log.download(..length))?;
    Ok(())
}

/// Lets a reference that knows nothing but the key read the entries.
fn read_by_another(log: &Hypercore) -> Result<Value> {
    let mut js = Js::start(Version::V11)?.context("Node is gone")?;
    js.read(log.key())?;
    let line = js.dial(log)?;
    let entries = js
        .peer
        .call("beeEntries", json!({ "length": log.length().get() }))?;
    // some of them alone
    let found = js.peer.call("beeGet", json!({ "key": "key 123" }))?;
    assert_eq!(found["value"], "value 123");
    line.cut();
    Ok(entries["entries"].clone())
}

#[test]
fn a_bee_is_read_from_logs_served_here() -> Result<()> {
    let mut js = reference!(Version::V11);
    let key = js.write()?;
    let entries: Vec<_> = (0..ENTRIES)
        .map(|at| [format!("key {at:03}"), format!("value {at:03}")])
        .collect();
    js.peer.call("beePut", json!({ "entries": entries }))?;
    let length = js.facts()?.length;
    let relay = reader(key)?;
    let line = js.dialled_by(&relay)?;
    fetch(&relay, length)?;
    line.cut();
    js.peer.call("exit", json!({}))?;
    assert_eq!(read_by_another(&relay)?, json!(entries));

    // the same blocks in a log that is written here
    let own = writer()?;
    let mut blocks = Vec::new();
    for index in 0..length {
        blocks.push(soon(relay.get(index).local())?);
    }
    soon(own.append_batch(blocks))?;
    assert_eq!(read_by_another(&own)?, json!(entries));
    Ok(())
}

#[test]
fn a_drive_is_read_from_logs_served_here() -> Result<()> {
    let mut js = reference!(Version::V11);
    let files =
        json!({ "/hello.txt": 5, "/dir/large": 300_000, "/dir/sub/empty": 0, "/z": 70_000 });
    let dir = tempfile::tempdir()?;
    let written = js.peer.call(
        "driveWrite",
        json!({ "dir": dir.path().join("writer"), "files": files }),
    )?;
    let metadata = reader(key_of(&written["key"])?)?;
    let blobs = reader(key_of(&written["blobsKey"])?)?;
    let port = js.peer.listen()?;
    let line = Line::of(
        Replication::over(stream_to(port)?, Role::Initiator)
            .add(&metadata)
            .add(&blobs)
            .start(),
    )?;
    fetch(&metadata, written["length"].as_u64().context("no length")?)?;
    fetch(
        &blobs,
        written["blobsLength"].as_u64().context("no length")?,
    )?;
    line.cut();
    js.peer.call("exit", json!({}))?;

    // Who reads it learns of the blobs only by reading, and opens their channel then.
    let mut js = Js::start(Version::V11)?.context("Node is gone")?;
    let key = written["key"].clone();
    js.peer.call(
        "driveOpen",
        json!({ "dir": dir.path().join("reader"), "key": key }),
    )?;
    let door = Door::open()?;
    js.peer.call("connect", json!({ "port": door.port()? }))?;
    let line = door.accept_both([&metadata, &blobs])?;
    let read = js.peer.call("driveRead", json!({}))?;
    assert_eq!(read["files"], written["files"]);
    line.cut();
    Ok(())
}
