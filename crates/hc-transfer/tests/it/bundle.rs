//! Bundles out of stores and into them.

use std::fs;
use std::io::Cursor;
use std::ops::Range;
use std::slice::from_ref;
use std::sync::Arc;

use bytes::Bytes;
use hc_bitfield::Bitfield;
use hc_merkle::{BlockIndex, Head, Node, NodeIndex};
use hc_storage::{Alias, Auth, Batch, CoreStore, EncryptionScheme, MemoryStore, Store};
use hc_transfer::bundle::{
    Bundle, BundleError, BundleFault, ExportError, ExportOptions, ImportError, Imported, export,
    import, write,
};
use hc_transfer::{IntakeError, ProveError, Source, SourceError, StoredLog};

use crate::world::{Writer, block, verify};

fn bundle(source: &dyn Source, options: &ExportOptions) -> Vec<u8> {
    let mut file = Vec::new();
    let written = write(source, &mut file, options, &mut |_| {}).unwrap();
    assert_eq!(written.file_bytes, file.len() as u64);
    file
}

pub(crate) fn whole(writer: &Writer) -> Vec<u8> {
    bundle(&writer.source(), &ExportOptions::default())
}

fn part(writer: &Writer, blocks: Range<u64>) -> Vec<u8> {
    bundle(&writer.source(), &ExportOptions::default().blocks(blocks))
}

pub(crate) fn take(file: &[u8], store: &dyn Store) -> Result<Imported, ImportError> {
    import(Bundle::open(Cursor::new(file))?, store, &mut |_| {})
}

pub(crate) fn log_of(store: &dyn Store, writer: &Writer) -> Arc<dyn CoreStore> {
    let log = store.open_core(&writer.key.discovery_key());
    log.unwrap().unwrap()
}

pub(crate) fn set_name(writer: &Writer) {
    let mut batch = Batch::new();
    batch.set_user_data("name", Some(Bytes::from_static(b"value")));
    writer.commit(batch);
}

/// Whether a store has exactly these blocks of a log, and all of them hold.
pub(crate) fn has(store: &dyn Store, writer: &Writer, blocks: &[Range<u64>]) {
    let log = log_of(store, writer);
    let found: Vec<_> = log.bitfield().unwrap().ranges(0..u64::MAX).collect();
    assert_eq!(found, blocks);
    for index in blocks.iter().cloned().flatten() {
        let found = log.block(BlockIndex::new(index)).unwrap();
        assert_eq!(found, Some(block(index)));
    }
    verify(&*log);
}

#[test]
fn what_goes_out_comes_in() {
    for blocks in [0, 1, 2, 3, 8, 11, 64, 300] {
        let writer = Writer::of(blocks);
        set_name(&writer);
        let mut batch = Batch::new();
        batch.set_encryption(EncryptionScheme(1));
        writer.commit(batch);
        let file = whole(&writer);
        let store = MemoryStore::new();
        let taken = take(&file, &store).unwrap();
        let counts = (taken.blocks, taken.present, taken.user_data);
        assert_eq!(counts, (blocks, 0, 1));
        let log = log_of(&store, &writer);
        assert_eq!(log.head().unwrap(), writer.log.head().unwrap());
        assert_eq!(log.user_data("name").unwrap().unwrap(), "value");
        let auth = log.auth().unwrap();
        assert_eq!(auth.encryption, Some(EncryptionScheme(1)));
        assert!(auth.secret_key.is_none());
        if blocks > 0 {
            has(&store, &writer, from_ref(&(0..blocks)));
        }
        // What came in goes out again, byte for byte.
        let source = StoredLog::new(log.snapshot().unwrap());
        assert!(bundle(&source, &ExportOptions::default()) == file);
    }
}

#[test]
fn no_bundle_has_a_secret() {
    let writer = Writer::of(5);
    let secret = writer.log.auth().unwrap().secret_key.unwrap();
    let file = whole(&writer);
    let seed = &secret.as_bytes()[..32];
    assert!(!file.windows(32).any(|window| window == seed));
}

#[test]
fn user_data_stays_behind_if_it_is_to() {
    let writer = Writer::of(2);
    set_name(&writer);
    let options = ExportOptions::default().without_user_data();
    let store = MemoryStore::new();
    let taken = take(&bundle(&writer.source(), &options), &store).unwrap();
    assert_eq!(taken.user_data, 0);
}

#[test]
fn logs_with_gaps_keep_them() {
    let writer = Writer::of(100);
    writer.clear(3..17);
    writer.clear(64..65);
    writer.clear(90..100);
    let store = MemoryStore::new();
    let taken = take(&whole(&writer), &store).unwrap();
    assert_eq!(taken.length.get(), 100);
    has(&store, &writer, &[0..3, 17..64, 65..90]);
}

#[test]
fn parts_of_a_log_add_up() {
    let writer = Writer::of(60);
    let store = MemoryStore::new();
    for blocks in [40..50, 0..10, 50..60, 10..45] {
        take(&part(&writer, blocks), &store).unwrap();
        verify(&*log_of(&store, &writer));
    }
    has(&store, &writer, from_ref(&(0..60)));
}

#[test]
fn a_bundle_of_a_longer_log_extends_a_shorter_copy() {
    for (first, more) in [(1, 1), (5, 3), (8, 8), (13, 50), (64, 1), (100, 29)] {
        let writer = Writer::of(first);
        let short = whole(&writer);
        writer.append(more);
        let all = first + more;
        // The whole of it, and only what is new.
        for longer in [whole(&writer), part(&writer, first..all)] {
            let store = MemoryStore::new();
            take(&short, &store).unwrap();
            let taken = take(&longer, &store).unwrap();
            assert_eq!(taken.blocks, more, "{first} and {more}");
            has(&store, &writer, from_ref(&(0..all)));
        }
    }
}

#[test]
fn a_bundle_of_a_shorter_log_completes_a_longer_copy() {
    let writer = Writer::of(20);
    let short = whole(&writer);
    writer.append(12);
    let store = MemoryStore::new();
    take(&part(&writer, 20..32), &store).unwrap();
    // Nodes that the longer copy has tie the blocks of the shorter log.
    take(&short, &store).unwrap();
    has(&store, &writer, from_ref(&(0..32)));
}

#[test]
fn what_nothing_ties_is_said_to_be_so() {
    let writer = Writer::of(100);
    let short = whole(&writer);
    writer.append(100);
    let store = MemoryStore::new();
    take(&short, &store).unwrap();
    let error = take(&part(&writer, 190..195), &store).unwrap_err();
    let is_not_tied = matches!(error, ImportError::Intake(IntakeError::NotTied { .. }));
    assert!(is_not_tied && !error.is_damage(), "{error}");
    has(&store, &writer, from_ref(&(0..100)));
}

#[test]
fn a_log_that_was_forked_by_accident_is_found_out() {
    let (writer, other) = (Writer::of(6), Writer::of(6));
    writer.append_other("this way");
    other.append_other("that way");
    let store = MemoryStore::new();
    take(&whole(&writer), &store).unwrap();
    let error = take(&whole(&other), &store).unwrap_err();
    let is_conflict = matches!(error, ImportError::Intake(IntakeError::Conflict { .. }));
    assert!(is_conflict, "{error}");
    // Also where one has gone on since.
    other.append(3);
    let error = take(&whole(&other), &store).unwrap_err();
    assert!(error.is_damage(), "{error}");
    verify(&*log_of(&store, &writer));
}

/// Wherever a file was cut off: what is whole comes in, and the rest when it is there.
#[test]
fn an_import_that_is_interrupted_goes_on() {
    let writer = Writer::of(40);
    let file = whole(&writer);
    let store = MemoryStore::new();
    let mut had = 0;
    for end in (0..file.len()).step_by(131) {
        let error = take(&file[..end], &store).unwrap_err();
        assert!(error.is_damage(), "{error}");
        if let Some(log) = store.open_core(&writer.key.discovery_key()).unwrap() {
            verify(&*log);
            let has = log.bitfield().unwrap().count(0..40);
            assert!(has >= had);
            had = has;
        }
    }
    assert!(had > 30, "{had}");
    let taken = take(&file, &store).unwrap();
    assert_eq!(taken.present, had);
    has(&store, &writer, from_ref(&(0..40)));
}

/// Whatever bit is flipped: it is refused, the place is that of the record, and nothing that does not
/// hold was stored.
#[test]
fn no_flipped_bit_goes_unnoticed() {
    let writer = Writer::of(12);
    set_name(&writer);
    let file = whole(&writer);
    for at in 0..file.len() {
        let mut flipped = file.clone();
        flipped[at] ^= 1 << (at % 8);
        let store = MemoryStore::new();
        match take(&flipped, &store).unwrap_err() {
            ImportError::Bundle(BundleError::Damaged { offset, .. }) => {
                assert!(offset <= at as u64, "{offset} for a flip at {at}");
            }
            ImportError::Bundle(BundleError::Version { .. }) => assert_eq!(at, 8),
            other => panic!("{other} for a flip at {at}"),
        }
        for entry in store.cores().unwrap() {
            let log = store.open_core(&entry.discovery_key).unwrap();
            verify(&*log.unwrap());
        }
    }
}

#[test]
fn what_follows_the_end_is_refused() {
    let mut file = whole(&Writer::of(2));
    let end = file.len() as u64;
    file.push(0);
    match take(&file, &MemoryStore::new()).unwrap_err() {
        ImportError::Bundle(BundleError::Damaged { offset, fault }) => {
            assert_eq!((offset, fault), (end, BundleFault::Trailing));
        }
        other => panic!("{other}"),
    }
}

/// A bundle that was made once has to be read for ever.
#[test]
fn the_format_stays_what_it_is() {
    let writer = Writer::of(3);
    set_name(&writer);
    let golden = include_str!("../golden/bundle.hex");
    assert_eq!(hex::encode(whole(&writer)), golden.trim());
    let store = MemoryStore::new();
    take(&hex::decode(golden.trim()).unwrap(), &store).unwrap();
    has(&store, &writer, from_ref(&(0..3)));
}

#[test]
fn an_export_goes_on_where_it_was_cut_off() {
    let dir = tempfile::tempdir().unwrap();
    let (path, cut) = (dir.path().join("log"), dir.path().join("log.part"));
    let writer = Writer::of(50);
    let file = whole(&writer);
    let options = ExportOptions::default();
    let out = |writer: &Writer| export(&writer.source(), &path, &options, &mut |_| {});
    for end in [0, 5, 100, 400, 2000, file.len() - 3, file.len()] {
        fs::write(&cut, &file[..end]).unwrap();
        let exported = out(&writer).unwrap();
        assert!(fs::read(&path).unwrap() == file, "cut at {end}");
        assert_eq!(exported.resumed > 0, end >= 2000, "{exported:?}");
        let counts = (exported.blocks, exported.file_bytes);
        assert_eq!(counts, (50, file.len() as u64));
        assert!(!cut.exists());
        fs::remove_file(&path).unwrap();
    }
    // Of another state of the log nothing is kept.
    fs::write(&cut, &file[..2000]).unwrap();
    writer.append(1);
    let exported = out(&writer).unwrap();
    assert_eq!((exported.resumed, exported.blocks), (0, 51));
    assert!(fs::read(&path).unwrap() == whole(&writer));
    let error = out(&writer).unwrap_err();
    assert!(matches!(error, ExportError::Exists), "{error}");
}

/// A log that lies about one block.
struct Lying(StoredLog);

impl Source for Lying {
    fn auth(&self) -> Result<Auth, SourceError> {
        self.0.auth()
    }

    fn alias(&self) -> Result<Option<Alias>, SourceError> {
        self.0.alias()
    }

    fn head(&self) -> Result<Head, SourceError> {
        self.0.head()
    }

    fn bitfield(&self) -> Result<Bitfield, SourceError> {
        self.0.bitfield()
    }

    fn nodes(&self, indexes: &[NodeIndex], out: &mut Vec<Option<Node>>) -> Result<(), SourceError> {
        self.0.nodes(indexes, out)
    }

    fn block(&self, index: BlockIndex) -> Result<Option<Bytes>, SourceError> {
        match index.get() {
            6 => Ok(Some(Bytes::from_static(b"another"))),
            _ => self.0.block(index),
        }
    }

    fn user_data(&self) -> Result<Vec<(String, Bytes)>, SourceError> {
        self.0.user_data()
    }
}

#[test]
fn damage_is_found_before_it_goes_out() {
    let lying = Lying(Writer::of(10).source());
    let options = ExportOptions::default();
    let error = write(&lying, &mut Vec::new(), &options, &mut |_| {}).unwrap_err();
    match error {
        ExportError::Source(ProveError::Block { block }) => assert_eq!(block.get(), 6),
        other => panic!("{other}"),
    }
}
