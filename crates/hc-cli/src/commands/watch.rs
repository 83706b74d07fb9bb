//! `watch`: what changes in a store that some other process writes, until a signal comes.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use async_std::task;
use futures_lite::future;
use hypercore::{Corestore, DiscoveryKey, Hypercore, ListedCore, Storage};
use serde_json::{Value, json};

use super::list;
use crate::failure::Failure;
use crate::output::{self, Output};
use crate::signals::Stop;
use crate::store;

/// How often the store is looked at.
const GLANCE: Duration = Duration::from_millis(100);

pub(crate) async fn run(dir: &Path, output: Output) -> Result<(), Failure> {
    let mut stop = Stop::new()?;
    let store = store::many(dir, Storage::read_only(dir)).await?;
    let mut watch = Watcher {
        dir,
        store,
        output,
        seen: BTreeMap::new(),
    };
    watch.look(false).await?;
    let logs = watch.seen.len();
    output.result(&json!({ "event": "watching", "cores": logs }), || {
        format!("watching {logs} logs")
    })?;
    let watching = async {
        loop {
            task::sleep(GLANCE).await;
            let news = watch.store.refresh().await;
            if news.map_err(|error| Failure::from(error).at(dir.display()))? {
                watch.look(true).await?;
            }
        }
    };
    let stopped = async {
        stop.wait().await;
        Ok(())
    };
    let ended: Result<(), Failure> = future::or(stopped, watching).await;
    let closed = list::close(&watch.store, dir).await;
    match ended {
        // Who reads this has enough.
        Err(failure) if failure.is_broken_pipe => closed,
        ended => ended.and(closed),
    }
}

/// A store, and what was told of it.
struct Watcher<'a> {
    dir: &'a Path,
    store: Corestore,
    output: Output,
    seen: BTreeMap<DiscoveryKey, Seen>,
}

/// A log as it was when it was last looked at.
struct Seen {
    core: ListedCore,
    log: Hypercore,
    told: Told,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Told {
    length: u64,
    fork: u64,
    stored: u64,
}

impl Told {
    fn of(log: &Hypercore) -> Self {
        Self {
            length: log.length().get(),
            fork: log.fork().get(),
            stored: log.count(..),
        }
    }
}

impl Watcher<'_> {
    /// Looks at all logs, and tells what is new.
    async fn look(&mut self, tell: bool) -> Result<(), Failure> {
        for core in store::listed(&self.store, self.dir)? {
            if let Some(seen) = self.seen.get_mut(&core.discovery_key) {
                let now = Told::of(&seen.log);
                let before = std::mem::replace(&mut seen.told, now);
                if tell && now != before {
                    changed(seen, before, self.output)?;
                }
                continue;
            }
            let log = store::quietly(&self.store, core.discovery_key, self.dir).await?;
            let told = Told::of(&log);
            if tell {
                let value = event("created", &core, told, &log);
                let blocks = output::blocks(told.length);
                self.output.result(&value, || {
                    format!("{} is new, {blocks}", list::title(&core))
                })?;
            }
            let seen = Seen { core, log, told };
            self.seen.insert(seen.core.discovery_key, seen);
        }
        Ok(())
    }
}

fn changed(seen: &Seen, before: Told, output: Output) -> Result<(), Failure> {
    let (name, now) = (list::title(&seen.core), seen.told);
    let tell = |what: &str, text: String| {
        let value = event(what, &seen.core, now, &seen.log);
        output.result(&value, || text)
    };
    let blocks = output::blocks(now.length);
    if now.fork != before.fork {
        return tell("truncate", format!("{name} was cut, {blocks} now"));
    }
    if now.length > before.length {
        return tell("append", format!("{name} has {blocks} now"));
    }
    let stored = output::blocks(now.stored);
    tell("stored", format!("{name} has {stored} stored now"))
}

fn event(what: &str, core: &ListedCore, now: Told, log: &Hypercore) -> Value {
    let mut value = list::names(core);
    value["event"] = what.into();
    value["length"] = now.length.into();
    value["byteLength"] = log.byte_length().get().into();
    value["fork"] = now.fork.into();
    value["stored"] = now.stored.into();
    value
}
