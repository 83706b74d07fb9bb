//! `list`: the logs of a store.

use std::path::Path;

use hypercore::{Corestore, Hypercore, ListedCore, NamePath, Storage};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::output::{self, Output};
use crate::store;

pub(crate) async fn run(dir: &Path, output: Output) -> Result<(), Failure> {
    let store = store::many(dir, Storage::read_only(dir)).await?;
    for core in store::listed(&store, dir)? {
        let log = store::quietly(&store, core.discovery_key, dir).await?;
        output.result(&value(&core, &log), || text(&core, &log))?;
        store::close(&log, dir).await?;
    }
    close(&store, dir).await
}

pub(crate) async fn close(store: &Corestore, dir: &Path) -> Result<(), Failure> {
    let closed = store.close().await;
    closed.map_err(|error| Failure::from(error).at(dir.display()))
}

/// What names a log of a store, for scripts.
pub(crate) fn names(core: &ListedCore) -> Value {
    let namespace = core
        .namespace
        .filter(|at| at.0 != *NamePath::ROOT.as_bytes());
    json!({
        "key": core.key.to_string(),
        "discoveryKey": core.discovery_key.to_string(),
        "name": core.name,
        "namespace": namespace.map(|at| hex(&at.0)),
    })
}

/// What names a log of a store, for people.
pub(crate) fn title(core: &ListedCore) -> String {
    let inside = core
        .namespace
        .filter(|at| at.0 != *NamePath::ROOT.as_bytes());
    match (&core.name, inside) {
        (Some(name), None) => name.clone(),
        (Some(name), Some(at)) => format!("{}…/{name}", hex(&at.0[..4])),
        (None, _) => core.key.to_z32(),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn value(core: &ListedCore, log: &Hypercore) -> Value {
    let mut value = names(core);
    value["id"] = log.id().into();
    value["length"] = log.length().get().into();
    value["contiguousLength"] = log.contiguous_length().get().into();
    value["byteLength"] = log.byte_length().get().into();
    value["fork"] = log.fork().get().into();
    value["writable"] = log.info().has_secret_key.into();
    value
}

fn text(core: &ListedCore, log: &Hypercore) -> String {
    let blocks = output::blocks(log.length().get());
    let bytes = output::bytes(log.byte_length().get());
    let name = core.name.as_ref().map(|_| title(core));
    let name = name.map(|name| format!("  {name}")).unwrap_or_default();
    format!("{}{name}  {blocks}, {bytes}", core.key)
}
