//! Directories that version 10 of the reference wrote.

use std::fs;
use std::path::Path;

use hc_merkle::BlockIndex;
use hc_storage::{MemoryStore, Store};
use hc_transfer::limits::{MAX_BITFIELD_BYTES, MAX_OPLOG_BYTES};
use hc_transfer::v10::{V10Log, logs, primary_key};
use hc_transfer::{CopyOptions, FileFault, Legacy, Source, copy};

use crate::fixtures::{self, copied, expected, folder, named_alike, same};
use crate::world::verify;

const ALL: [&str; 8] = [
    "plain",
    "batch",
    "cleared-and-forked",
    "empty",
    "encrypted",
    "manifest",
    "manifest-v0",
    "reader",
];

fn copy_folder(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

#[test]
fn logs_of_all_kinds_come_over_whole() {
    let expected = expected();
    for name in ALL {
        let path = format!("v10/{name}");
        let dir = folder(&path);
        assert_eq!(logs(&dir).unwrap(), std::slice::from_ref(&dir));
        let (store, copied) = copied(&V10Log::open(&dir).unwrap());
        assert!(copied.untied.is_empty());
        let core = &fixtures::logs(&expected, &path)[0];
        assert_eq!(copied.has_secret_key, core["secretKey"].is_string());
        same(&store, core, &[]);
        let discovery_key = copied.key.discovery_key();
        let log = store.open_core(&discovery_key).unwrap().unwrap();
        assert_eq!(log.auth().unwrap().compat, core["compat"] == true, "{name}");
        assert_eq!(store.default_core().unwrap(), Some(discovery_key));
    }
}

#[test]
fn a_corestore_is_found_folder_by_folder() {
    let expected = expected();
    let dir = folder("v10-corestore");
    let found = logs(&dir).unwrap();
    let cores = fixtures::logs(&expected, "v10-corestore");
    assert_eq!(found.len(), cores.len());
    let store = MemoryStore::new();
    let legacy = Legacy::open(&dir).unwrap();
    assert_eq!((legacy.version(), legacy.len()), (10, cores.len()));
    assert!(legacy.migrate_primary_key(&store).unwrap());
    for number in 0..legacy.len() {
        let options = CopyOptions::default();
        let found = legacy.migrate(number, &store, None, &options, &mut |_| {});
        assert!(found.unwrap().unwrap().alias.is_some());
    }
    for core in &cores {
        same(&store, core, &[]);
        named_alike(&store, core);
    }
    let primary = primary_key(&dir).unwrap().unwrap();
    let listed = &fixtures::store(&expected, "v10-corestore")["primaryKey"];
    assert_eq!(hex::encode(*primary), listed.as_str().unwrap());
    assert_eq!(primary_key(folder("v10/plain")).unwrap(), None);
}

/// A thousand blocks, each its number in digits.
fn thousand(name: &str) {
    let log = V10Log::open(folder(&format!("abi/{name}"))).unwrap();
    let (store, copied) = copied(&log);
    assert_eq!((copied.length.get(), copied.blocks), (1000, 1000));
    assert!(copied.has_secret_key);
    let log = store.open_core(&copied.key.discovery_key());
    let log = log.unwrap().unwrap();
    assert_eq!(log.bitfield().unwrap().contiguous_len(), 1000);
    for index in 0..1000 {
        let block = log.block(BlockIndex::new(index)).unwrap().unwrap();
        assert_eq!(block, index.to_string());
    }
    verify(&*log);
}

#[test]
fn a_directory_of_the_first_alphas_comes_over() {
    thousand("v10.0.0-alpha.39");
}

#[test]
fn a_directory_of_10_4_1_comes_over() {
    thousand("v10.4.1");
}

#[test]
fn a_directory_that_was_never_flushed_comes_over() {
    let dir = folder("abi/v10.4.1-partial");
    assert!(!dir.join("tree").exists() && !dir.join("bitfield").exists());
    thousand("v10.4.1-partial");
}

/// The same log, whatever files a copy of it lost.
#[test]
fn what_is_not_there_is_missed_only_where_it_is_needed() {
    let dir = tempfile::tempdir().unwrap();
    copy_folder(&folder("abi/v10.4.1"), dir.path());
    fs::remove_file(dir.path().join("bitfield")).unwrap();
    let log = V10Log::open(dir.path()).unwrap();
    assert!(log.bitfield().unwrap().count(0..1000) < 1000);
    let (_, copied) = copied(&log);
    assert_eq!(copied.length.get(), 1000);

    fs::remove_file(dir.path().join("tree")).unwrap();
    let error = V10Log::open(dir.path()).unwrap_err();
    let is_malformed = matches!(error.fault, FileFault::Malformed { .. });
    assert!(is_malformed, "{error}");
}

#[test]
fn damage_is_named_by_file_and_place_and_mended_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    copy_folder(&folder("v10/batch"), dir.path());
    let data = dir.path().join("data");
    let whole = fs::read(&data).unwrap();
    fs::write(&data, &whole[..whole.len() - 1]).unwrap();
    let options = CopyOptions::default();
    let log = V10Log::open(dir.path()).unwrap();
    let error = copy(&log, &MemoryStore::new(), &options, &mut |_| {}).unwrap_err();
    assert!(error.is_damage());
    assert!(error.to_string().contains("data at byte"), "{error}");

    let mut altered = whole.clone();
    altered[400] ^= 1;
    fs::write(&data, &altered).unwrap();
    let log = V10Log::open(dir.path()).unwrap();
    let store = MemoryStore::new();
    let error = copy(&log, &store, &options, &mut |_| {}).unwrap_err();
    assert!(error.is_damage(), "{error}");
    // Nothing that does not hold was stored, and mended it goes on.
    fs::write(&data, &whole).unwrap();
    let log = V10Log::open(dir.path()).unwrap();
    let copied = copy(&log, &store, &options, &mut |_| {}).unwrap();
    let stored = store.open_core(&copied.key.discovery_key());
    let stored = stored.unwrap().unwrap();
    assert_eq!(stored.bitfield().unwrap().contiguous_len(), 37);
    verify(&*stored);
}

/// Whatever bit is flipped in an oplog, a tree or a bitfield: never a panic, and never a block that is
/// not the one that was signed.
#[test]
fn no_flipped_bit_brings_in_what_was_not_signed() {
    for (name, file, step) in [
        ("plain", "oplog", 7),
        ("cleared-and-forked", "oplog", 11),
        ("reader", "tree", 3),
        ("cleared-and-forked", "bitfield", 1),
    ] {
        let dir = tempfile::tempdir().unwrap();
        copy_folder(&folder(&format!("v10/{name}")), dir.path());
        let path = dir.path().join(file);
        let whole = fs::read(&path).unwrap();
        for at in (0..whole.len().min(1400)).step_by(step) {
            let mut flipped = whole.clone();
            flipped[at] ^= 1 << (at % 8);
            fs::write(&path, &flipped).unwrap();
            let Ok(log) = V10Log::open(dir.path()) else {
                continue;
            };
            let store = MemoryStore::new();
            let _ = copy(&log, &store, &CopyOptions::default(), &mut |_| {});
            for entry in store.cores().unwrap() {
                let log = store.open_core(&entry.discovery_key).unwrap();
                verify(&*log.unwrap());
            }
        }
    }
}

#[test]
fn a_folder_with_something_else_is_said_to_be_one() {
    let dir = tempfile::tempdir().unwrap();
    let error = logs(dir.path()).unwrap_err();
    assert!(matches!(error.fault, FileFault::Absent { .. }), "{error}");
    fs::write(dir.path().join("oplog"), b"dear diary").unwrap();
    let error = V10Log::open(dir.path()).unwrap_err();
    assert!(error.is_damage() && error.to_string().contains("oplog"));
}

/// Files that are held in memory may not be as long as they like.
#[test]
fn files_that_are_too_long_are_refused_before_they_are_read() {
    let dir = tempfile::tempdir().unwrap();
    copy_folder(&folder("v10/plain"), dir.path());
    for (name, most) in [("bitfield", MAX_BITFIELD_BYTES), ("oplog", MAX_OPLOG_BYTES)] {
        let file = fs::OpenOptions::new()
            .write(true)
            .open(dir.path().join(name));
        let file = file.unwrap();
        file.set_len(most).unwrap();
        assert!(V10Log::open(dir.path()).is_ok(), "{name}");
        file.set_len(most + 1).unwrap();
        let error = V10Log::open(dir.path()).unwrap_err();
        assert!(matches!(error.fault, FileFault::TooLong { .. }), "{error}");
        file.set_len(9000).unwrap();
    }
}
