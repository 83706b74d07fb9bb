//! `info`: facts about a log.

use hypercore::{Info, Usage};
use serde_json::{Value, json};

use crate::args::Store;
use crate::failure::Failure;
use crate::output::{self, Output};
use crate::store;

pub(crate) async fn run(args: &Store, output: Output) -> Result<(), Failure> {
    let log = store::read(&args.dir, Some(&args.encryption)).await?;
    let info = log.info();
    let usage = log
        .usage()
        .map_err(|error| Failure::from(error).at(args.dir.display()))?;
    let damage = log
        .damage()
        .map_err(|error| Failure::from(error).at(args.dir.display()))?;
    let damage: Vec<String> = damage.iter().map(ToString::to_string).collect();
    output.result(&value(&info, &usage, &damage), || {
        text(&info, &usage, &damage)
    })
}

fn value(info: &Info, usage: &Usage, damage: &[String]) -> Value {
    json!({
        "key": info.key.to_string(),
        "discoveryKey": info.discovery_key.to_string(),
        "id": info.key.to_z32(),
        "length": info.length.get(),
        "contiguousLength": info.contiguous_length.get(),
        "stored": info.stored.get(),
        "byteLength": info.byte_length.get(),
        "fork": info.fork.get(),
        "writable": info.has_secret_key,
        "encrypted": info.encrypted,
        "treeHash": info.tree_hash.to_string(),
        "damage": damage,
        "storage": {
            "total": usage.total,
            "blocks": usage.live,
            "index": usage.index,
            "log": usage.log,
            "dead": usage.dead,
        },
    })
}

fn text(info: &Info, usage: &Usage, damage: &[String]) -> String {
    let yes = |is: bool| if is { "yes" } else { "no" };
    let rows = [
        ("key", info.key.to_string()),
        ("id", info.key.to_z32()),
        ("discovery key", info.discovery_key.to_string()),
        (
            "length",
            format!(
                "{}, {}",
                output::blocks(info.length.get()),
                output::bytes(info.byte_length.get())
            ),
        ),
        (
            "stored",
            format!(
                "{}, the first {} without a gap",
                output::blocks(info.stored.get()),
                info.contiguous_length
            ),
        ),
        ("fork", info.fork.to_string()),
        ("writable", yes(info.has_secret_key).to_owned()),
        ("encrypted", yes(info.encrypted).to_owned()),
        ("tree hash", info.tree_hash.to_string()),
        (
            "on disk",
            format!(
                "{}, of which {} in blocks",
                output::bytes(usage.total),
                output::bytes(usage.live)
            ),
        ),
    ];
    let damage = damage.iter().map(|place| ("damage", place.clone()));
    let rows = rows.into_iter().chain(damage);
    let rows = rows.map(|(name, value)| format!("{name:<14} {value}"));
    rows.collect::<Vec<_>>().join("\n")
}
