//! How many messages a full download takes, and a connection on which nobody wants anything: no more than
//! between two references.

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use hc_testkit::{Pattern, Version};
use serde_json::json;

use super::common::*;

const LENGTH: u64 = 1000;

/// Messages of each kind that one side sent, as the reference counted them.
#[derive(Debug, PartialEq, Eq)]
struct Counts(BTreeMap<String, u64>);

impl Counts {
    /// What it sent itself.
    fn sent_by(js: &mut Js) -> Result<Self> {
        Self::of(js, "tx")
    }

    /// What its peers sent.
    fn sent_to(js: &mut Js) -> Result<Self> {
        Self::of(js, "rx")
    }

    fn of(js: &mut Js, way: &str) -> Result<Self> {
        let stats = js.peer.call("stats", json!({}))?;
        let kinds = stats["stats"].as_object().context("no stats")?;
        let counts = kinds.iter().filter_map(|(kind, counts)| {
            let kind = kind.strip_prefix("wire")?;
            Some((kind.to_owned(), counts[way].as_u64()?))
        });
        Ok(Self(counts.collect()))
    }

    /// Whether there are no more than in the yardstick; or than there must be.
    fn within(&self, yardstick: &Self) -> bool {
        self.0.iter().all(|(kind, count)| {
            let must = match kind.as_str() {
                // One for each block, and one for the head. Version 11 joins these two at times.
                "Request" | "Data" => LENGTH + 1,
                // That there are no holes. Version 10 says so only to who has some.
                "Range" => 1,
                _ => 0,
            };
            *count <= must.max(yardstick.0.get(kind).copied().unwrap_or(0))
        })
    }
}

/// What writer and reader send where both are references.
fn yardstick(version: Version) -> Result<Option<(Counts, Counts)>> {
    let (Some(mut from), Some(mut to)) = (Js::start(version)?, Js::start(version)?) else {
        return Ok(None);
    };
    let key = from.write()?;
    from.append(&Pattern::KIB, 0..LENGTH, 100)?;
    to.read(key)?;
    let port = from.peer.listen()?;
    to.peer.call("connect", json!({ "port": port }))?;
    to.wait_for(LENGTH, false)?;
    to.download(&json!({ "start": 0, "end": LENGTH }))?;
    Ok(Some((Counts::sent_to(&mut to)?, Counts::sent_by(&mut to)?)))
}

fn as_few_messages_as_between_references(version: Version) -> Result<()> {
    let Some((theirs_writing, theirs_reading)) = yardstick(version)? else {
        return Ok(());
    };

    let mut js = reference!(version);
    let key = js.write()?;
    js.append(&Pattern::KIB, 0..LENGTH, 100)?;
    let log = reader(key)?;
    let line = js.dialled_by(&log)?;
    soon(log.update())?;
    soon(log.download(..LENGTH))?;
    soon(log.close_all())?;
    // What is still to be said is said before the end.
    line.ended()??;
    js.peer.event("disconnected", SOON)?;
    let ours = Counts::sent_to(&mut js)?;
    assert!(
        ours.within(&theirs_reading),
        "reading: {ours:?}, they {theirs_reading:?}"
    );

    let mut js = reference!(version);
    let log = writer()?;
    soon(log.append_batch(Pattern::KIB.blocks(0..LENGTH)))?;
    js.read(log.key())?;
    let line = js.dial(&log)?;
    js.wait_for(LENGTH, false)?;
    js.download(&json!({ "start": 0, "end": LENGTH }))?;
    soon(log.close_all())?;
    line.ended()??;
    js.peer.event("disconnected", SOON)?;
    let ours = Counts::sent_to(&mut js)?;
    assert!(
        ours.within(&theirs_writing),
        "writing: {ours:?}, they {theirs_writing:?}"
    );
    Ok(())
}

/// What the reader has before it connects again.
const HELD: [(u64, u64); 3] = [(0, 0), (10, 30), (0, QUIET)];

/// Blocks of a log that nobody asks for.
const QUIET: u64 = 50;

/// Where nothing was said for so long, nothing more is said.
const SILENCE: Duration = Duration::from_millis(400);

/// Waits until nothing more is said, and returns what was.
fn settled(mut counts: impl FnMut() -> Result<Counts>) -> Result<Counts> {
    let mut before = counts()?;
    loop {
        thread::sleep(SILENCE);
        let after = counts()?;
        if after == before {
            return Ok(after);
        }
        before = after;
    }
}

impl Counts {
    /// What came since.
    fn since(&self, before: &Self) -> Self {
        let new = |(kind, count): (&String, &u64)| {
            let old = before.0.get(kind).copied().unwrap_or(0);
            (kind.clone(), count - old)
        };
        Self(self.0.iter().map(new).collect())
    }

    fn exceed(&self, yardstick: &Self) -> bool {
        let more =
            |(kind, count): (&String, &u64)| *count > yardstick.0.get(kind).copied().unwrap_or(0);
        self.0.iter().any(more)
    }
}

/// What writer and reader say on a connection on which nobody wants anything, both references.
fn quiet_yardstick(version: Version, held: (u64, u64)) -> Result<Option<(Counts, Counts)>> {
    let (Some(mut from), Some(mut to)) = (Js::start(version)?, Js::start(version)?) else {
        return Ok(None);
    };
    let key = from.write()?;
    from.append(&VARIED, 0..QUIET, QUIET)?;
    to.read(key)?;
    let port = from.peer.listen()?;
    if held.0 < held.1 {
        to.peer.call("connect", json!({ "port": port }))?;
        to.wait_for(QUIET, false)?;
        to.download(&json!({ "start": held.0, "end": held.1 }))?;
        to.peer.call("disconnect", json!({}))?;
    }
    let before = (Counts::sent_to(&mut to)?, Counts::sent_by(&mut to)?);
    to.peer.call("connect", json!({ "port": port }))?;
    to.wait_for(QUIET, false)?;
    let reader = settled(|| Counts::sent_by(&mut to))?.since(&before.1);
    let writer = settled(|| Counts::sent_to(&mut to))?.since(&before.0);
    Ok(Some((writer, reader)))
}

fn quiet_connections_stay_quiet(version: Version) -> Result<()> {
    for held in HELD {
        let Some((writing, reading)) = quiet_yardstick(version, held)? else {
            return Ok(());
        };
        // ours writes
        let mut js = reference!(version);
        let log = writer()?;
        soon(log.append_batch(VARIED.blocks(0..QUIET)))?;
        js.read(log.key())?;
        if held.0 < held.1 {
            let line = js.dial(&log)?;
            js.wait_for(QUIET, false)?;
            js.download(&json!({ "start": held.0, "end": held.1 }))?;
            line.cut();
            js.peer.event("disconnected", SOON)?;
        }
        let before = Counts::sent_to(&mut js)?;
        let line = js.dial(&log)?;
        js.wait_for(QUIET, false)?;
        let ours = settled(|| Counts::sent_to(&mut js))?.since(&before);
        assert!(
            !ours.exceed(&writing),
            "{held:?}: writing {ours:?}, they {writing:?}"
        );
        line.cut();

        // ours reads
        let mut js = reference!(version);
        let key = js.write()?;
        js.append(&VARIED, 0..QUIET, QUIET)?;
        let log = reader(key)?;
        if held.0 < held.1 {
            let line = js.dialled_by(&log)?;
            soon(log.download(held.0..held.1))?;
            line.cut();
            js.peer.event("disconnected", SOON)?;
        }
        let before = Counts::sent_to(&mut js)?;
        let line = js.dialled_by(&log)?;
        let length = async {
            while log.length().get() < QUIET || log.peers().is_empty() {
                async_std::task::sleep(Duration::from_millis(5)).await;
            }
            Ok::<_, anyhow::Error>(())
        };
        soon(length)?;
        let ours = settled(|| Counts::sent_to(&mut js))?.since(&before);
        assert!(
            !ours.exceed(&reading),
            "{held:?}: reading {ours:?}, they {reading:?}"
        );
        line.cut();
    }
    Ok(())
}

against_both!(
    as_few_messages_as_between_references,
    quiet_connections_stay_quiet,
);
