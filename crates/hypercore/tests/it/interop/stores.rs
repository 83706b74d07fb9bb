//! A store of many logs here and the reference's corestore 7 there, on one stream: logs of either side,
//! opened before and while it runs, only stored, or on one side alone.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use async_std::task::block_on;
use hc_testkit::Version;
use hypercore::{CoreKey, Corestore, Hypercore, PrimaryKey, Role, Storage};
use serde_json::{Value, json};

use super::common::*;

const LOGS: usize = 50;

/// What a log is for, by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Open on both sides before they connect.
    Early,
    /// Opened by the reader once they are connected; its writer has it open.
    Late,
    /// Opened by the reader once they are connected; its writer has only stored it.
    Stored,
    /// Opened by the reader before its writer has it.
    Awaited,
    /// On its writer's side alone.
    Alone,
}

fn kind(at: usize) -> Kind {
    [
        Kind::Early,
        Kind::Late,
        Kind::Stored,
        Kind::Awaited,
        Kind::Alone,
    ][at / 2 % 5]
}

/// Even logs are written here, odd ones there.
fn is_ours(at: usize) -> bool {
    at.is_multiple_of(2)
}

fn block_of(at: usize) -> String {
    format!("log {at}")
}

fn key_of(facts: &Value) -> Result<CoreKey> {
    let key = facts["key"].as_str().context("no key")?;
    let key: [u8; 32] = hex::decode(key)?.try_into().ok().context("32 bytes")?;
    Ok(CoreKey(key))
}

struct Both {
    js: Js,
    store: Corestore,
    keys: Vec<CoreKey>,
    open: BTreeMap<usize, Hypercore>,
}

impl Both {
    /// Makes a log and writes its block, on its writer's side.
    fn write(&mut self, at: usize, stays_open: bool) -> Result<()> {
        let name = format!("log-{at}");
        if is_ours(at) {
            let log = soon(self.store.get(name))?;
            ensure!(log.key() == self.keys[at]);
            soon(log.append(block_of(at)))?;
            if stays_open {
                self.open.insert(at, log);
            } else {
                soon(log.close())?;
            }
        } else {
            let facts = self
                .js
                .peer
                .call("openNamed", json!({ "core": name, "name": name }))?;
            ensure!(key_of(&facts)? == self.keys[at]);
            let blocks = [hex::encode(block_of(at))];
            self.js
                .peer
                .call("append", json!({ "core": name, "blocks": blocks }))?;
            if !stays_open {
                self.js.peer.call("close", json!({ "core": name }))?;
            }
        }
        Ok(())
    }

    /// Opens a log by its key, on its reader's side.
    fn read(&mut self, at: usize) -> Result<()> {
        let key = self.keys[at];
        if is_ours(at) {
            let key = hex::encode(key.as_bytes());
            self.js.peer.call(
                "openNamed",
                json!({ "core": format!("log-{at}"), "key": key }),
            )?;
        } else {
            let log = soon(self.store.get(key))?;
            self.open.insert(at, log);
        }
        Ok(())
    }

    /// The reader has its block.
    fn check(&mut self, at: usize) -> Result<()> {
        if is_ours(at) {
            let timeout = u64::try_from(SOON.as_millis())?;
            let get = json!({
                "core": format!("log-{at}"), "index": 0, "options": { "timeout": timeout },
            });
            let found = self.js.peer.call("get", get)?;
            ensure!(
                found["value"] == hex::encode(block_of(at)),
                "log {at}: {found}"
            );
        } else {
            let log = self.open.get(&at).context("not open")?;
            ensure!(soon(log.get(0))? == block_of(at), "log {at}");
        }
        Ok(())
    }
}

fn of_kind(wanted: Kind) -> impl Iterator<Item = usize> {
    (0..LOGS).filter(move |at| kind(*at) == wanted)
}

/// The keys that the names have: the reference's primary key gives the same here.
fn keys() -> Result<Vec<CoreKey>> {
    let keys = |primary| -> Result<Vec<CoreKey>> {
        let store = Corestore::builder(Storage::memory())
            .unsafe_primary_key(PrimaryKey::from_bytes([primary; 32]));
        let store = block_on(store.open())?;
        (0..LOGS)
            .map(|at| Ok(soon(store.get(format!("log-{at}")))?.key()))
            .collect()
    };
    let (ours, theirs) = (keys(1)?, keys(2)?);
    let key = |at: usize| if is_ours(at) { ours[at] } else { theirs[at] };
    Ok((0..LOGS).map(key).collect())
}

fn fifty_logs(dialled: bool) -> Result<()> {
    let mut js = reference!(Version::V11);
    let dir = tempfile::tempdir()?;
    js.peer.call(
        "openStore",
        json!({ "dir": dir.path().join("theirs"), "primaryKey": hex::encode([2; 32]) }),
    )?;
    let store = Corestore::builder(Storage::disk(dir.path().join("ours")))
        .unsafe_primary_key(PrimaryKey::from_bytes([1; 32]));
    let mut both = Both {
        js,
        store: block_on(store.open())?,
        keys: keys()?,
        open: BTreeMap::new(),
    };
    for kind in [Kind::Early, Kind::Late, Kind::Stored, Kind::Alone] {
        for at in of_kind(kind) {
            both.write(at, kind != Kind::Stored)?;
        }
    }
    for at in of_kind(Kind::Early).chain(of_kind(Kind::Awaited)) {
        both.read(at)?;
    }
    let line = if dialled {
        let port = both.js.peer.listen()?;
        Line::of(both.store.replicate(stream_to(port)?, Role::Initiator))?
    } else {
        let door = Door::open()?;
        both.js
            .peer
            .call("connect", json!({ "port": door.port()? }))?;
        Line::of(both.store.replicate(door.stream()?, Role::Responder))?
    };
    for at in of_kind(Kind::Early) {
        both.check(at)?;
    }
    for at in of_kind(Kind::Late).chain(of_kind(Kind::Stored)) {
        both.read(at)?;
        both.check(at)?;
    }
    for at in of_kind(Kind::Awaited) {
        both.write(at, true)?;
        both.check(at)?;
    }
    for at in of_kind(Kind::Alone) {
        let log = both.store.list()?;
        let known = log.iter().any(|core| core.key == both.keys[at]);
        ensure!(known == is_ours(at), "log {at} went where nobody wanted it");
    }
    line.cut();
    soon(both.store.close())?;
    Ok(())
}

#[test]
fn fifty_logs_with_a_corestore_that_we_dial() -> Result<()> {
    fifty_logs(true)
}

#[test]
fn fifty_logs_with_a_corestore_that_dials() -> Result<()> {
    fifty_logs(false)
}

/// Namespaces, too, mean the same on both sides.
#[test]
fn names_in_namespaces_give_the_same_keys() -> Result<()> {
    let mut js = reference!(Version::V11);
    let dir = tempfile::tempdir()?;
    js.peer.call(
        "openStore",
        json!({ "dir": dir.path(), "primaryKey": hex::encode([7; 32]) }),
    )?;
    let store =
        Corestore::builder(Storage::memory()).unsafe_primary_key(PrimaryKey::from_bytes([7; 32]));
    let store = block_on(store.open())?;
    for namespaces in [&[][..], &["app"], &["app", "ünïcode", ""]] {
        let place = namespaces
            .iter()
            .fold(store.clone(), |at, name| at.namespace(name));
        for name in ["", "posts", "ß"] {
            let there = js.peer.call(
                "openNamed",
                json!({ "core": "named", "namespaces": namespaces, "name": name }),
            );
            let here = soon(place.get(name))?.key();
            // The reference takes an empty name for none.
            match there {
                Ok(facts) => ensure!(key_of(&facts)? == here, "{namespaces:?} {name}"),
                Err(error) => ensure!(name.is_empty(), "{namespaces:?} {name}: {error}"),
            }
        }
    }
    Ok(())
}
