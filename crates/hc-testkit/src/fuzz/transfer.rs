//! Files that others wrote: bundles, backups, and stores of the reference.
//!
//! Whatever comes in holds: a log that was taken in can be written to a bundle again, which verifies every
//! block of it.

use std::fs;
use std::io::Cursor;
use std::path::Path;

use bytes::Bytes;
use hc_storage::{MemoryStore, Store};
use hc_transfer::backup::KeyBackup;
use hc_transfer::bundle::{Bundle, ExportOptions, import, write};
use hc_transfer::{CopyOptions, Legacy, StoredLog};

/// Everything in the store is what was signed.
fn holds(store: &MemoryStore) {
    let Ok(cores) = store.cores() else { return };
    for entry in cores {
        let Ok(Some(log)) = store.open_core(&entry.discovery_key) else {
            continue;
        };
        let Ok(snapshot) = log.snapshot() else {
            continue;
        };
        let source = StoredLog::new(snapshot);
        let options = ExportOptions::default();
        let written = write(&source, &mut std::io::sink(), &options, &mut |_| {});
        assert!(written.is_ok(), "{:?}", written.err());
    }
}

/// A bundle, taken in twice: the second time there is nothing to do.
pub(super) fn bundle(bytes: &[u8]) {
    let store = MemoryStore::new();
    let take = || import(Bundle::open(Cursor::new(bytes))?, &store, &mut |_| {});
    if take().is_ok() {
        assert_eq!(take().map(|again| again.blocks).ok(), Some(0));
    }
    holds(&store);
}

/// A backup that asks for little work.
pub(super) fn backup(bytes: &[u8]) {
    let asks = bytes.get(9..21).unwrap_or_default();
    let small = asks.chunks(4).all(|number| matches!(number, [_, 0, 0, 0]));
    if small {
        let _ = KeyBackup::open(bytes, b"passphrase");
    }
}

/// A directory of version 10: the lengths of `oplog`, `tree` and `bitfield` (4 bytes each), then these, then
/// `data`.
pub(super) fn v10(bytes: &[u8]) {
    let mut rest = bytes;
    let mut lens = [0; 3];
    for len in &mut lens {
        let Some((number, after)) = rest.split_first_chunk::<4>() else {
            return;
        };
        *len = usize::try_from(u32::from_le_bytes(*number)).unwrap_or(usize::MAX);
        rest = after;
    }
    let Ok(dir) = tempfile::tempdir() else { return };
    for (name, len) in ["oplog", "tree", "bitfield"].into_iter().zip(lens) {
        let (file, after) = rest.split_at(len.min(rest.len()));
        if !file.is_empty() && fs::write(dir.path().join(name), file).is_err() {
            return;
        }
        rest = after;
    }
    if fs::write(dir.path().join("data"), rest).is_ok() {
        migrate(dir.path());
    }
}

/// A database of version 11: files, each after which it is (1) and its length (4).
pub(super) fn v11(bytes: &[u8]) {
    const NAMES: [&str; 4] = ["MANIFEST-000005", "000004.log", "000009.sst", "000010.blob"];
    let Ok(dir) = tempfile::tempdir() else { return };
    if fs::write(dir.path().join("CURRENT"), "MANIFEST-000005\n").is_err() {
        return;
    }
    let mut rest = bytes;
    while let Some(([which, len @ ..], after)) = rest.split_first_chunk::<5>() {
        let len = usize::try_from(u32::from_le_bytes(*len)).unwrap_or(usize::MAX);
        let (file, after) = after.split_at(len.min(after.len()));
        let name = NAMES
            .get(usize::from(which % 4))
            .copied()
            .unwrap_or("CURRENT");
        if fs::write(dir.path().join(name), file).is_err() {
            return;
        }
        rest = after;
    }
    migrate(dir.path());
}

/// A record of such a database, chosen by the first byte, without the checksum that is over it.
pub(super) fn v11_records(bytes: &[u8]) {
    if let Some((choice, record)) = bytes.split_first() {
        hc_transfer::v11::probe(*choice, &Bytes::copy_from_slice(record));
    }
}

fn migrate(dir: &Path) {
    let Ok(legacy) = Legacy::open(dir) else {
        return;
    };
    let store = MemoryStore::new();
    let options = CopyOptions::default();
    for number in 0..legacy.len() {
        let _ = legacy.migrate(number, &store, None, &options, &mut |_| {});
    }
    holds(&store);
}
