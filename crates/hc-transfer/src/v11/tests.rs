//! Databases that the reference wrote, key by key.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::*;
use crate::vectors::{bytes, list, load};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/v11")
        .join(name)
}

fn expected(entry: &Value) -> (Vec<u8>, Vec<u8>) {
    let value = match &entry[1] {
        Value::Object(cut) => {
            let mut value = bytes(&cut["hex"]);
            let len = cut["length"].as_u64().expect("a number");
            value.resize(usize::try_from(len).expect("a length"), 0);
            value
        }
        whole => bytes(whole),
    };
    (bytes(&entry[0]), value)
}

#[test]
fn all_keys_and_values_are_those_that_the_reference_lists() {
    for name in ["corestore", "compacted"] {
        let dump = load(&format!("hc-transfer/tests/fixtures/v11/{name}.dump.json"));
        let all: Vec<_> = list(&dump["entries"]).iter().map(expected).collect();
        let database = Database::open(&fixture(name).join("db"), FAMILY).expect("a database");
        let everything = Bytes::new()..Bytes::from_static(&[0xff; 9]);
        let found = database.scan(everything).expect("everything");
        assert_eq!(found.len(), all.len(), "{name}");
        for ((key, value), (expected_key, expected_value)) in found.iter().zip(&all) {
            assert_eq!(key, expected_key, "{name}");
            assert_eq!(value, expected_value, "{name}: {}", hex::encode(key));
            assert_eq!(database.get(key).expect("a value").as_ref(), Some(value));
        }
        assert_eq!(database.get(b"\x07").expect("nothing"), None);
    }
}

/// Flips one bit of each byte of a file in turn, or of as many as `step` leaves, and reads everything.
/// Whatever is there, is an error with a place, or the same as before.
fn flip(name: &str, file: &str, step: usize) -> (usize, usize) {
    let dir = tempfile::tempdir().expect("a folder");
    let db = fixture(name).join("db");
    for entry in fs::read_dir(&db).expect("a folder") {
        let path = entry.expect("a file").path();
        fs::copy(&path, dir.path().join(path.file_name().expect("a name"))).expect("copied");
    }
    let everything = || Bytes::new()..Bytes::from_static(&[0xff; 9]);
    let read = || Database::open(dir.path(), FAMILY).and_then(|db| db.scan(everything()));
    let whole = read().expect("all of it");
    let path = dir.path().join(file);
    let bytes = fs::read(&path).expect("a file");
    let (mut refused, mut same) = (0, 0);
    for at in (0..bytes.len()).step_by(step) {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << (at % 8);
        fs::write(&path, &flipped).expect("written");
        match read() {
            Err(_) => refused += 1,
            Ok(found) if found == whole => same += 1,
            Ok(_) => {
                // The end of a log is what a crash may have torn: less of it, never something else.
                assert!(
                    file.ends_with(".log") || file.starts_with("MANIFEST"),
                    "{file} {at}"
                );
            }
        }
    }
    (refused, same)
}

#[test]
fn a_flipped_bit_of_a_table_or_a_blob_is_refused_wherever_it_is_read() {
    let (refused, same) = flip("compacted", "000009.sst", 23);
    assert!(
        refused > 500 && same < 80,
        "{refused} refused, {same} the same"
    );
    let (refused, same) = flip("compacted", "000010.blob", 101);
    assert!(
        refused > 200 && same < 10,
        "{refused} refused, {same} the same"
    );
}

#[test]
fn a_flipped_bit_of_a_log_is_refused_but_at_its_end() {
    let (refused, _) = flip("corestore", "000004.log", 401);
    assert!(refused > 150, "{refused}");
    let (refused, _) = flip("compacted", "MANIFEST-000005", 1);
    assert!(refused > 360, "{refused}");
}

#[test]
fn as_many_logs_upon_each_other_as_the_limit_and_no_more() {
    let of = |count: u64| {
        super::chain(0, Path::new("store"), |data| {
            let next = Dependency {
                data: data + 1,
                length: 0,
            };
            Ok((data < count).then_some(next))
        })
    };
    let most = super::MAX_DEPENDENCIES;
    assert_eq!(of(most as u64).expect("as many").len(), most);
    let error = of(most as u64 + 1).expect_err("one more");
    assert!(matches!(error.fault, FileFault::TooLong { .. }), "{error}");
    // and one that is built upon itself ends
    super::chain(0, Path::new("store"), |_| {
        Ok(Some(Dependency { data: 0, length: 0 }))
    })
    .expect_err("a circle");
}
