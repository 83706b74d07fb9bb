//! The stores that the reference wrote, and what is in them.

use std::ops::Range;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use hc_bitfield::Bitfield;
use hc_merkle::{BlockIndex, CoreKey};
use hc_storage::{MemoryStore, Store};
use hc_transfer::{CopyOptions, Source, copy};
use serde_json::Value;

use crate::world::verify;

pub(crate) fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}

/// What the reference says is in the stores.
pub(crate) fn expected() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../hc-merkle/tests/vectors/stores.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// A store, as the reference lists it.
pub(crate) fn store<'a>(expected: &'a Value, path: &str) -> &'a Value {
    let stores = expected["stores"].as_array().unwrap();
    stores.iter().find(|store| store["path"] == path).unwrap()
}

/// The logs of a store, as the reference lists them.
pub(crate) fn logs(expected: &Value, path: &str) -> Vec<Value> {
    store(expected, path)["cores"].as_array().unwrap().clone()
}

pub(crate) fn key(core: &Value) -> CoreKey {
    core["key"].as_str().unwrap().parse().unwrap()
}

/// Copies a log into a new store, twice: the second time nothing is left to do.
pub(crate) fn copied(source: &dyn Source) -> (MemoryStore, hc_transfer::Copied) {
    let store = MemoryStore::new();
    let first = copy(source, &store, &CopyOptions::default(), &mut |_| {}).unwrap();
    let again = copy(source, &store, &CopyOptions::default(), &mut |_| {}).unwrap();
    assert_eq!((again.blocks, again.user_data), (0, 0));
    assert_eq!(again.present, first.blocks);
    (store, first)
}

/// Whether a store has a log as the reference says it is, but for blocks that nothing ties to the tree.
pub(crate) fn same(store: &dyn Store, core: &Value, untied: &[Range<u64>]) {
    let key = key(core);
    let log = store.open_core(&key.discovery_key()).unwrap().unwrap();
    let (head, auth) = (log.head().unwrap(), log.auth().unwrap());
    assert_eq!(auth.key, key);
    assert_eq!(head.length().get(), core["length"].as_u64().unwrap());
    assert_eq!(head.fork().get(), core["fork"].as_u64().unwrap());
    assert_eq!(
        head.byte_length().get(),
        core["byteLength"].as_u64().unwrap()
    );
    let tree_hash = head.tree_hash().to_string();
    assert_eq!(tree_hash, core["treeHash"].as_str().unwrap());
    let secret = auth.secret_key.map(|secret| hex::encode(secret.as_bytes()));
    assert_eq!(secret.as_deref(), core["secretKey"].as_str());
    let have = log.bitfield().unwrap();
    let ranges: Vec<_> = have.ranges(0..u64::MAX).collect();
    let mut listed = Bitfield::new();
    for range in core["has"].as_array().unwrap() {
        let [start, end] = [0, 1].map(|at| range[at].as_u64().unwrap());
        listed.set_range(start..end);
    }
    untied
        .iter()
        .for_each(|range| listed.unset_range(range.clone()));
    let listed: Vec<_> = listed.ranges(0..u64::MAX).collect();
    assert_eq!(ranges, listed);
    for (index, block) in core["blocks"].as_array().unwrap().iter().enumerate() {
        let found: Option<Bytes> = log.block(BlockIndex::new(index as u64)).unwrap();
        let found = found.map(hex::encode);
        let is_untied = untied.iter().any(|range| range.contains(&(index as u64)));
        let block = block.as_str().filter(|_| !is_untied);
        assert_eq!(found.as_deref(), block, "block {index}");
    }
    for (name, value) in core["userData"].as_object().unwrap() {
        let found = log.user_data(name).unwrap().map(hex::encode);
        assert_eq!(found.as_deref(), value.as_str(), "{name}");
    }
    verify(&*log);
}

/// Whether a store calls a log as the reference does.
pub(crate) fn named_alike(store: &dyn Store, core: &Value) {
    let Some(name) = core["name"].as_str() else {
        return;
    };
    let named = store.named(None).unwrap();
    let found = named.iter().find(|named| named.key == key(core)).unwrap();
    assert_eq!(found.alias.name, name);
    let at_root = core["namespaces"].as_array().unwrap().is_empty();
    assert_eq!(found.alias.namespace.0 == [0; 32], at_root);
}
