//! Databases that version 11 of the reference wrote.

use std::fs;

use hc_merkle::BlockIndex;
use hc_storage::{MemoryStore, Store};
use hc_transfer::limits::{MAX_MANIFEST_BYTES, MAX_WAL_BYTES};
use hc_transfer::v11::{V11Store, is_store};
use hc_transfer::{BadFile, CopyOptions, FileFault, Legacy, copy};
use serde_json::Value;

use crate::fixtures::{self, copied, expected, folder, key, named_alike, same};
use crate::world::verify;

#[test]
fn all_logs_come_over_whole_from_log_and_tables() {
    let expected = expected();
    for name in ["corestore", "compacted"] {
        let path = format!("v11/{name}");
        assert!(is_store(folder(&path)));
        let source = V11Store::open(folder(&path)).unwrap();
        let cores = fixtures::logs(&expected, &path);
        assert_eq!(source.logs().unwrap().len(), cores.len());
        for core in &cores {
            let log = source.log(&key(core).discovery_key()).unwrap().unwrap();
            let (store, copied) = copied(&log);
            // Of this one the reference has lost nodes when it cleared the blocks from 3 to 6.
            let lost = (core["name"] == "cleared").then_some(0..3);
            assert_eq!(copied.untied, Vec::from_iter(lost));
            same(&store, core, &copied.untied);
        }
    }
}

#[test]
fn names_and_the_primary_key_come_over() {
    let expected = expected();
    let source = V11Store::open(folder("v11/corestore")).unwrap();
    let listed = fixtures::store(&expected, "v11/corestore");
    let primary = source.primary_key().unwrap().unwrap();
    let listed_key = listed["primaryKey"].as_str().unwrap();
    assert_eq!(hex::encode(*primary), listed_key);
    let store = MemoryStore::new();
    let legacy = Legacy::open(folder("v11/corestore")).unwrap();
    assert_eq!(legacy.version(), 11);
    assert!(legacy.migrate_primary_key(&store).unwrap());
    for number in 0..legacy.len() {
        let options = CopyOptions::default();
        let found = legacy.migrate(number, &store, None, &options, &mut |_| {});
        assert!(found.unwrap().is_some());
    }
    let default = source.default_log().unwrap();
    assert!(default.is_some() && store.default_core().unwrap() == default);
    assert_eq!(*store.secret().unwrap().unwrap().as_bytes(), *primary);
    for core in listed["cores"].as_array().unwrap() {
        named_alike(&store, core);
    }
}

/// A store that was cleared, cut, compacted and written to again: tables of several levels, deletions of
/// ranges in tables and in the log, large values in several files, a draft beside a log.
#[test]
fn a_store_with_a_history_comes_over() {
    let dir = folder("v11/busy");
    let source = V11Store::open(&dir).unwrap();
    let listed = fs::read(dir.join("expected.json")).unwrap();
    let cores: Vec<Value> = serde_json::from_slice(&listed).unwrap();
    let store = MemoryStore::new();
    for core in &cores {
        let log = source.log(&key(core).discovery_key()).unwrap().unwrap();
        let found = copy(&log, &store, &CopyOptions::default(), &mut |_| {}).unwrap();
        assert!(found.has_secret_key);
        let log = store.open_core(&found.key.discovery_key());
        let log = log.unwrap().unwrap();
        let head = log.head().unwrap();
        assert_eq!(head.length().get(), core["length"].as_u64().unwrap());
        assert_eq!(head.fork().get(), core["fork"].as_u64().unwrap());
        let tree_hash = head.tree_hash().to_string();
        assert_eq!(tree_hash, core["treeHash"].as_str().unwrap());
        let have = log.bitfield().unwrap();
        let bits: String = (0..head.length().get())
            .map(|index| if have.get(index) { '1' } else { '0' })
            .collect();
        let mut listed = core["has"].as_str().unwrap().to_owned();
        for range in found.untied {
            let range = usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap();
            listed.replace_range(range.clone(), &"0".repeat(range.len()));
        }
        assert_eq!(bits, listed);
        let round = log.user_data("round").unwrap();
        let listed = core["userData"]["round"].as_str();
        assert_eq!(round.as_deref(), listed.map(str::as_bytes));
        verify(&*log);
    }
}

/// A log whose first six blocks, and the nodes over them, are stored under another number.
#[test]
fn a_log_that_is_built_upon_another_comes_over() {
    let source = V11Store::open(folder("v11/built-upon")).unwrap();
    let entry = source.logs().unwrap().pop().unwrap();
    let log = source.log(&entry.discovery_key).unwrap().unwrap();
    let (store, copied) = copied(&log);
    assert_eq!((copied.length.get(), copied.blocks), (13, 13));
    let log = store.open_core(&entry.discovery_key).unwrap().unwrap();
    let listed = "5c3ab5f82f4d3456c613774a8e3f4c9150eff054bcb2670472f78b7843609319";
    assert_eq!(log.head().unwrap().tree_hash().to_string(), listed);
    for index in 0..13 {
        let block = log.block(BlockIndex::new(index)).unwrap().unwrap();
        assert_eq!(block, format!("block {index}"));
    }
    verify(&*log);
}

#[test]
fn a_folder_with_something_else_is_said_to_be_one() {
    let dir = tempfile::tempdir().unwrap();
    assert!(!is_store(dir.path()));
    let error = V11Store::open(dir.path()).unwrap_err();
    assert!(matches!(error.fault, FileFault::Absent { .. }), "{error}");
    fs::create_dir(dir.path().join("db")).unwrap();
    let names = ["", "MANIFEST-", "../../etc/passwd", "MANIFEST-1/../x"];
    for name in names {
        fs::write(dir.path().join("db/CURRENT"), name).unwrap();
        let error = V11Store::open(dir.path()).unwrap_err().to_string();
        assert!(error.contains("CURRENT") || error.contains("MANIFEST-"));
    }
}

#[test]
fn a_file_that_is_gone_is_named() {
    for gone in ["000009.sst", "000010.blob", "MANIFEST-000005"] {
        let dir = tempfile::tempdir().unwrap();
        for entry in fs::read_dir(folder("v11/compacted/db")).unwrap() {
            let entry = entry.unwrap();
            if entry.file_name() != gone {
                fs::copy(entry.path(), dir.path().join(entry.file_name())).unwrap();
            }
        }
        let read = || {
            let source = V11Store::open(dir.path())?;
            for log in source.logs()? {
                source.log(&log.discovery_key)?;
            }
            Ok::<_, BadFile>(())
        };
        let error = read().unwrap_err();
        assert!(error.to_string().contains(gone), "{error}");
    }
}

/// The logs of a database are held in memory, and so may not be as long as they like.
#[test]
fn files_that_are_too_long_are_refused_before_they_are_read() {
    for (name, most) in [
        ("000008.log", MAX_WAL_BYTES),
        ("MANIFEST-000005", MAX_MANIFEST_BYTES),
    ] {
        let dir = tempfile::tempdir().unwrap();
        for entry in fs::read_dir(folder("v11/compacted/db")).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), dir.path().join(entry.file_name())).unwrap();
        }
        let file = fs::OpenOptions::new()
            .write(true)
            .open(dir.path().join(name));
        file.unwrap().set_len(most + 1).unwrap();
        let error = V11Store::open(dir.path()).unwrap_err();
        let is_too_long = matches!(error.fault, FileFault::TooLong { .. });
        assert!(is_too_long && error.to_string().contains(name), "{error}");
    }
}
