//! `repair`: drops what is damaged in a folder, so that the rest is sound and peers can be asked for it.

use std::path::Path;

use hypercore::{DiscoveryKey, Repaired, StorageError, Store, StoreOptions};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::output::{self, Output};
use crate::progress::Progress;
use crate::store;

pub(crate) fn run(dir: &Path, accept_loss: bool, output: Output) -> Result<(), Failure> {
    let at = |error: StorageError| Failure::from(error).at(dir.display());
    // the index may say what the log does not any more
    let options = StoreOptions::default().rebuild_index(true);
    let store = store::folder(dir, options.accept_loss(accept_loss))?;
    let damage = store.damage().map_err(at)?;
    let mut progress = Progress::blocks(stored(&store).map_err(at)?);
    let repaired = store
        .repair(&mut |blocks| progress.set(blocks))
        .map_err(at)?;
    drop(progress);
    let is_void = store.cores().map_err(at)?.is_empty();
    store.close().map_err(at)?;
    let damage: Vec<String> = damage.iter().map(ToString::to_string).collect();
    output.result(&value(&repaired, &damage), || {
        let mut text = text(&repaired, &damage);
        if is_void {
            text.push_str("; no log is left here, `hypercore fetch` brings back what peers have");
        }
        text
    })
}

/// Blocks that there are to be read.
fn stored(store: &impl Store) -> Result<u64, StorageError> {
    let mut total = 0;
    for core in store.cores()? {
        // one that cannot be opened has none that could be read
        if let Ok(Some(core)) = store.open_core(&core.discovery_key) {
            total += core.bitfield()?.count(0..u64::MAX);
        }
    }
    Ok(total)
}

fn value(repaired: &Repaired, damage: &[String]) -> Value {
    let names =
        |keys: &[DiscoveryKey]| -> Vec<String> { keys.iter().map(ToString::to_string).collect() };
    let blocks = repaired.blocks.iter().map(|(key, blocks)| {
        let blocks: Vec<u64> = blocks.iter().flatten().collect();
        json!({ "discoveryKey": key.to_string(), "blocks": blocks })
    });
    json!({
        "ok": repaired.is_empty(),
        "damage": damage,
        "frames": repaired.frames,
        "cleared": blocks.collect::<Vec<_>>(),
        "reset": names(&repaired.reset),
        "suspect": names(&repaired.suspect),
        "correctedKeys": names(&repaired.corrected_keys),
        "lostKeys": names(&repaired.lost_keys),
    })
}

/// A secret key, by the log that its record names.
fn whose(key: &DiscoveryKey) -> String {
    if *key == DiscoveryKey([0; 32]) {
        "the secret that keys of named logs follow from".to_owned()
    } else {
        format!("secret key of log {key}")
    }
}

fn text(repaired: &Repaired, damage: &[String]) -> String {
    if repaired.is_empty() && damage.is_empty() {
        return "nothing is damaged".to_owned();
    }
    let mut lines = damage.to_vec();
    for (key, blocks) in &repaired.blocks {
        let count = output::blocks(blocks.count());
        lines.push(format!(
            "log {key}: {count} cleared, `hypercore fetch` brings back what was in there"
        ));
    }
    for key in &repaired.reset {
        lines.push(format!(
            "log {key}: its tree was lost, `hypercore fetch` brings it back"
        ));
    }
    for key in &repaired.suspect {
        lines.push(format!(
            "log {key}: its last appends may be lost; append only once no peer has more of it"
        ));
    }
    for key in &repaired.corrected_keys {
        lines.push(format!("{}: written as it was", whose(key)));
    }
    for key in &repaired.lost_keys {
        lines.push(format!(
            "{}: set aside in SECRETS.damaged, `hypercore restore` puts back one from a backup",
            whose(key)
        ));
    }
    lines.push("repaired".to_owned());
    lines.join("\n")
}
