//! `verify`: rehashes everything that is stored, against the signed head.

use std::path::Path;

use hypercore::DamagedBlock;
use serde_json::{Value, json};

use crate::failure::{Failure, Kind};
use crate::output::{self, Output};
use crate::progress::Progress;
use crate::store;

/// Bad blocks that are named to people; scripts get all.
const NAMED: usize = 10;

pub(crate) async fn run(dir: &Path, output: Output) -> Result<(), Failure> {
    let log = store::read_whole(dir).await?;
    store::check_roots(&log, dir)?;
    let mut progress = Progress::blocks(log.count(..));
    let found = log.verify(|blocks| progress.set(blocks));
    drop(progress);
    let at = |failure: Failure| failure.at(dir.display());
    let found = found.map_err(|error| at(error.into()))?;
    let damage = log.damage().map_err(|error| at(error.into()))?;
    let damage: Vec<String> = damage.iter().map(ToString::to_string).collect();
    let is_ok = found.is_ok() && damage.is_empty();
    let bad: Vec<u64> = found.bad.iter().map(|index| index.get()).collect();
    let value = json!({
        "ok": is_ok,
        "length": found.length.get(),
        "blocks": found.blocks,
        "bytes": found.bytes,
        "treeHash": found.tree_hash.to_string(),
        "bad": bad,
        "damaged": found.damaged.iter().map(place).collect::<Vec<_>>(),
        "damage": damage,
    });
    output.result(&value, || {
        let head = format!(
            "{} of {} stored, {}\ntree hash {}",
            found.blocks,
            output::blocks(found.length.get()),
            output::bytes(found.bytes),
            found.tree_hash,
        );
        if found.is_ok() {
            format!("{head}\nok: every stored block is the one that was signed")
        } else {
            head
        }
    })?;
    if is_ok {
        return Ok(());
    }
    if found.is_ok() {
        let message = format!("{}; `hypercore repair` sees to it", damage.join("; "));
        return Err(Failure::new(Kind::Integrity, message));
    }
    let some: Vec<String> = bad.iter().take(NAMED).map(u64::to_string).collect();
    let more = if bad.len() > NAMED { ", …" } else { "" };
    let are = if bad.len() == 1 { "is" } else { "are" };
    let mut message = format!(
        "{} of the stored blocks {are} bad: {}{more}",
        bad.len(),
        some.join(", ")
    );
    if let Some(first) = found.damaged.first() {
        let (segment, offset) = (first.segment, first.offset);
        let place = format!(", the first in segment {segment} at byte {offset}");
        message.push_str(&place);
        message
            .push_str("; `hypercore repair` clears what is bad, `hypercore fetch` brings it back");
    }
    Err(Failure::new(Kind::Integrity, message).at(dir.display()))
}

/// Where a block is whose bytes rotted.
fn place(block: &DamagedBlock) -> Value {
    json!({
        "index": block.index.get(),
        "segment": block.segment,
        "offset": block.offset,
    })
}
