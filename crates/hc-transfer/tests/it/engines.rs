//! One suite for every engine: what goes out of a store and what comes into one, whatever is below both;
//! and what an import leaves that a disk stopped.

use std::cell::Cell;
use std::io::ErrorKind;
use std::slice::from_ref;
use std::sync::Arc;

use bytes::Bytes;
use hc_merkle::Fork;
use hc_storage::fault::{Fault, FaultDisk, Survival};
use hc_storage::{Batch, DiskStore, EncryptionScheme, MemoryStore, Store, StoreOptions};
use hc_transfer::bundle::ImportError;
use hc_transfer::{CopyOptions, IntakeError, copy};

use crate::bundle::{has, log_of, set_name, take, whole};
use crate::world::{Writer, verify};

/// Runs every case on fresh stores made by `open`.
fn conforms(open: &dyn Fn() -> Arc<dyn Store>) {
    whole_logs_come_over(open);
    sparse_logs_stay_sparse(open);
    forks_come_over_and_are_told_apart(open);
    what_belongs_to_a_log_comes_along(open);
    an_interrupted_import_goes_on(open);
    damage_leaves_what_was_there(open);
    copies_are_completed(open);
}

fn whole_logs_come_over(open: &dyn Fn() -> Arc<dyn Store>) {
    for blocks in [0, 1, 2, 11, 64, 300] {
        let (writer, store) = (Writer::within(open(), blocks), open());
        let file = whole(&writer);
        let taken = take(&file, &*store).unwrap();
        assert_eq!((taken.blocks, taken.present), (blocks, 0));
        let log = log_of(&*store, &writer);
        assert_eq!(log.head().unwrap(), writer.log.head().unwrap());
        let ranges = (blocks > 0).then_some(0..blocks);
        has(&*store, &writer, ranges.as_slice());
        // the same again, which changes nothing
        let again = take(&file, &*store).unwrap();
        assert_eq!((again.blocks, again.present), (0, blocks));
    }
}

fn sparse_logs_stay_sparse(open: &dyn Fn() -> Arc<dyn Store>) {
    let (writer, store) = (Writer::within(open(), 100), open());
    writer.clear(0..3);
    writer.clear(40..70);
    writer.clear(99..100);
    take(&whole(&writer), &*store).unwrap();
    has(&*store, &writer, &[3..40, 70..99]);
    // all of it cleared: the head alone comes over
    let store = open();
    writer.clear(0..100);
    let taken = take(&whole(&writer), &*store).unwrap();
    assert_eq!((taken.length.get(), taken.blocks), (100, 0));
    has(&*store, &writer, &[]);
}

fn forks_come_over_and_are_told_apart(open: &dyn Fn() -> Arc<dyn Store>) {
    let (writer, before, after) = (Writer::within(open(), 30), open(), open());
    take(&whole(&writer), &*before).unwrap();
    let old = log_of(&*before, &writer).head().unwrap();
    writer.truncate(13);
    writer.append(5);
    let file = whole(&writer);
    take(&file, &*after).unwrap();
    let head = log_of(&*after, &writer).head().unwrap();
    assert_eq!((head.fork(), head.length().get()), (Fork::new(1), 18));
    has(&*after, &writer, from_ref(&(0..18)));
    // a store with the older fork keeps it, and says so
    let error = take(&file, &*before).unwrap_err();
    let is_other = matches!(error, ImportError::Intake(IntakeError::OtherFork { .. }));
    assert!(is_other && !error.is_damage(), "{error}");
    assert_eq!(log_of(&*before, &writer).head().unwrap(), old);
    has(&*before, &writer, from_ref(&(0..30)));
}

fn what_belongs_to_a_log_comes_along(open: &dyn Fn() -> Arc<dyn Store>) {
    for kind in [Writer::within, Writer::compat] {
        let (writer, store) = (kind(open(), 9), open());
        set_name(&writer);
        let mut batch = Batch::new();
        batch.set_encryption(EncryptionScheme::REFERENCE);
        writer.commit(batch);
        let taken = take(&whole(&writer), &*store).unwrap();
        assert_eq!((taken.key, taken.user_data), (writer.key, 1));
        let (ours, theirs) = (log_of(&*store, &writer), writer.log.auth().unwrap());
        let auth = ours.auth().unwrap();
        assert_eq!(auth.manifest, theirs.manifest);
        assert_eq!(auth.compat, theirs.compat);
        assert_eq!(auth.encryption, Some(EncryptionScheme::REFERENCE));
        assert!(auth.secret_key.is_none() && theirs.secret_key.is_some());
        let name = ours.user_data("name").unwrap();
        assert_eq!(name, Some(Bytes::from_static(b"value")));
        has(&*store, &writer, from_ref(&(0..9)));
    }
}

fn an_interrupted_import_goes_on(open: &dyn Fn() -> Arc<dyn Store>) {
    let (writer, store) = (Writer::within(open(), 50), open());
    let (file, mut had) = (whole(&writer), 0);
    for end in (0..file.len()).step_by(997) {
        let error = take(&file[..end], &*store).unwrap_err();
        assert!(error.is_damage(), "{error}");
        if let Some(log) = store.open_core(&writer.key.discovery_key()).unwrap() {
            verify(&*log);
            let now = log.bitfield().unwrap().count(0..50);
            assert!(now >= had, "{now} of {had}");
            had = now;
        }
    }
    assert!(had > 0);
    assert_eq!(take(&file, &*store).unwrap().present, had);
    has(&*store, &writer, from_ref(&(0..50)));
}

/// A store with the first ten blocks, into which a longer bundle comes with one byte wrong, anywhere: what
/// was there stays, and what came holds. Of blocks that are there the bundle's are not looked at.
fn damage_leaves_what_was_there(open: &dyn Fn() -> Arc<dyn Store>) {
    let writer = Writer::within(open(), 10);
    let short = whole(&writer);
    writer.append(20);
    let file = whole(&writer);
    let mut refused = 0;
    for at in (0..file.len()).step_by(307) {
        let mut flipped = file.clone();
        flipped[at] ^= 0x10;
        let store = open();
        take(&short, &*store).unwrap();
        refused += u64::from(take(&flipped, &*store).is_err());
        let log = log_of(&*store, &writer);
        assert_eq!(log.bitfield().unwrap().count(0..10), 10, "a flip at {at}");
        verify(&*log);
        take(&file, &*store).unwrap();
        has(&*store, &writer, from_ref(&(0..30)));
    }
    assert!(refused > 5, "{refused}");
}

fn copies_are_completed(open: &dyn Fn() -> Arc<dyn Store>) {
    let (writer, store) = (Writer::within(open(), 40), open());
    for (more, present) in [(0, 0), (25, 40)] {
        writer.append(more);
        let options = CopyOptions::default().without_secret_key();
        let copied = copy(&writer.source(), &*store, &options, &mut |_| {}).unwrap();
        assert_eq!((copied.present, copied.has_secret_key), (present, false));
        assert!(copied.untied.is_empty());
    }
    has(&*store, &writer, from_ref(&(0..65)));
}

/// Small segments and frequent checkpoints, so that little is written between two of them.
fn options() -> StoreOptions {
    let options = StoreOptions::default().create(true).background(false);
    options
        .segment_len(32 << 10)
        .checkpoint_every(700, 32 << 10)
}

fn on(disk: &FaultDisk) -> DiskStore {
    disk.open(options()).expect("a store that opens")
}

#[test]
fn memory_engine() {
    conforms(&|| Arc::new(MemoryStore::new()));
}

#[test]
fn default_engine() {
    let directory = tempfile::tempdir().unwrap();
    let count = Cell::new(0);
    conforms(&|| {
        count.set(count.get() + 1);
        let path = directory.path().join(count.get().to_string());
        Arc::new(options().open(path).unwrap())
    });
}

#[test]
fn faulty_engine() {
    conforms(&|| Arc::new(on(&FaultDisk::new())));
}

/// The calls to a disk that bringing in `file` makes.
fn calls(file: &[u8]) -> std::ops::Range<u64> {
    let disk = FaultDisk::new();
    let store = on(&disk);
    let first = disk.calls();
    take(file, &store).unwrap();
    first..disk.calls()
}

/// Whatever write or sync is refused, or stops half way: the import says so, and the store, opened again, has
/// what holds and takes the rest.
#[test]
fn an_import_that_the_disk_stopped_goes_on() {
    let writer = Writer::of(300);
    set_name(&writer);
    let file = whole(&writer);
    let calls = calls(&file);
    assert!(calls.end - calls.start > 10, "{calls:?}");
    for call in calls {
        for fault in [Fault::Refuse(ErrorKind::StorageFull), Fault::Tear(300)] {
            let disk = FaultDisk::new();
            let store = on(&disk);
            disk.arm(call, fault);
            let stopped = take(&file, &store);
            drop(store);
            let store = on(&disk);
            // what only gives space back may be refused without harm
            if let Err(error) = stopped {
                assert!(!error.is_damage(), "{error} at call {call}");
            } else {
                has(&store, &writer, from_ref(&(0..300)));
            }
            take(&file, &store).unwrap();
            has(&store, &writer, from_ref(&(0..300)));
        }
    }
}

/// The power goes at any write or sync: what is there then holds, and the import goes on. When it said that
/// it was done, all of it is there.
#[test]
fn an_import_that_lost_power_goes_on() {
    let writer = Writer::of(300);
    let file = whole(&writer);
    let calls = calls(&file);
    for call in calls.start..=calls.end {
        let disk = FaultDisk::new();
        let store = on(&disk);
        disk.arm(call, Fault::Freeze);
        let done = take(&file, &store).is_ok();
        assert_eq!(done, call == calls.end);
        let store = on(&disk.image(Survival::Power(call)));
        if let Some(log) = store.open_core(&writer.key.discovery_key()).unwrap() {
            verify(&*log);
        }
        if !done {
            take(&file, &store).unwrap();
        }
        has(&store, &writer, from_ref(&(0..300)));
    }
}
