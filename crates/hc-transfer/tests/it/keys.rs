//! Secret keys in a backup and back.

use hc_merkle::Length;
use hc_storage::{MemoryStore, Store};
use hc_transfer::backup::{KeyBackup, Outcome, Sealing};
use hc_transfer::{CopyOptions, copy};

use crate::world::Writer;

const QUICK: Sealing = Sealing {
    memory_kib: 64,
    passes: 1,
    lanes: 1,
};

/// A store with the log, and without its secret key.
fn reader(writer: &Writer) -> MemoryStore {
    let store = MemoryStore::new();
    let options = CopyOptions::default().without_secret_key();
    copy(&writer.source(), &store, &options, &mut |_| {}).unwrap();
    store
}

fn has_key(store: &dyn Store, writer: &Writer) -> bool {
    let log = store.open_core(&writer.key.discovery_key()).unwrap();
    log.is_some_and(|log| log.auth().unwrap().secret_key.is_some())
}

#[test]
fn keys_go_back_into_a_store_that_has_their_logs() {
    let writer = Writer::of(7);
    let store = reader(&writer);
    assert!(!has_key(&store, &writer));
    let backup = KeyBackup::of(&*writer.store).unwrap();
    let sealed = backup.seal(b"pass", &QUICK).unwrap();
    let backup = KeyBackup::open(&sealed, b"pass").unwrap();
    let restored = backup.restore(&store, false).unwrap();
    assert_eq!(restored[0].key, writer.key);
    assert_eq!(restored[0].outcome, Outcome::Restored);
    assert!(has_key(&store, &writer));
    let again = backup.restore(&store, false).unwrap();
    assert_eq!(again[0].outcome, Outcome::Present);
}

#[test]
fn a_store_that_is_behind_is_left_alone_unless_told_otherwise() {
    let writer = Writer::of(7);
    let store = reader(&writer);
    writer.append(2);
    let backup = KeyBackup::of(&*writer.store).unwrap();
    let outcome = |store: &MemoryStore, even_behind| {
        let restored = backup.restore(store, even_behind).unwrap();
        restored[0].outcome
    };
    let behind = |ours| Outcome::Behind {
        ours: Length::new(ours),
        backed_up: Length::new(9),
    };
    assert_eq!(outcome(&store, false), behind(7));
    let empty = MemoryStore::new();
    assert_eq!(outcome(&empty, false), behind(0));
    assert!(empty.cores().unwrap().is_empty() && !has_key(&store, &writer));
    assert_eq!(outcome(&empty, true), Outcome::Restored);
    assert!(has_key(&empty, &writer));
    // Up to date, it is put back without being told.
    let options = CopyOptions::default().without_secret_key();
    copy(&writer.source(), &store, &options, &mut |_| {}).unwrap();
    assert_eq!(outcome(&store, false), Outcome::Restored);
}

#[test]
fn readers_have_nothing_to_back_up() {
    let writer = Writer::of(3);
    assert!(KeyBackup::of(&reader(&writer)).unwrap().is_empty());
}
