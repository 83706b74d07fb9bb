//! `info`: facts about a log.

use hypercore::Info;
use serde_json::{Value, json};

use crate::args::Store;
use crate::failure::Failure;
use crate::output::{self, Output};
use crate::store;

pub(crate) async fn run(args: &Store, output: Output) -> Result<(), Failure> {
    let log = store::read(&args.dir, Some(&args.encryption)).await?;
    let info = log
        .info()
        .map_err(|error| Failure::from(error).at(args.dir.display()))?;
    output.result(&value(&info), || text(&info))
}

fn value(info: &Info) -> Value {
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
        "storage": {
            "total": info.storage.total,
            "blocks": info.storage.live,
            "index": info.storage.index,
            "log": info.storage.log,
            "dead": info.storage.dead,
        },
    })
}

fn text(info: &Info) -> String {
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
                output::bytes(info.storage.total),
                output::bytes(info.storage.live)
            ),
        ),
    ];
    let rows = rows.map(|(name, value)| format!("{name:<14} {value}"));
    rows.join("\n")
}
