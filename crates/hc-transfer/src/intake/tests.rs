//! How much waits, and what is refused.

use hc_merkle::{Draft, Manifest};
use hc_storage::{MemoryStore, Ticket};

use super::*;
use crate::proofs::Proofs;
use crate::source::StoredLog;

/// A log of blocks of so many bytes each.
fn log_of(count: usize, len: usize) -> Arc<dyn CoreStore> {
    let pair = KeyPair::from_seed(&[5; 32]);
    let manifest = Manifest::single(pair.public_key());
    let verifier = Verifier::from_manifest(manifest.clone()).expect("a manifest");
    let key = verifier.key();
    let auth = Auth {
        manifest: Some(manifest.into()),
        ..Auth::reader(key)
    };
    let record = CoreRecord {
        discovery_key: key.discovery_key(),
        auth,
        alias: None,
    };
    let log = MemoryStore::new().create_core(record).expect("a log");
    let mut draft = Draft::new(&log.head().expect("a head"));
    let block = Bytes::from(vec![7; len]);
    draft
        .append((0..count).map(|_| block.clone()))
        .expect("room");
    let sealed = draft.seal(|head| verifier.sign(&pair, &head.signed_tree()));
    let batch = Batch::from_change(&sealed.expect("signed"));
    let stored = log.commit(batch, Durability::Os).and_then(Ticket::wait);
    stored.expect("stored");
    log
}

/// Takes in all blocks of a log; says how many waited after each.
fn waiting(log: Arc<dyn CoreStore>) -> Vec<usize> {
    let source = StoredLog::new(log);
    let store = MemoryStore::new();
    let mut proofs = Proofs::new(&source, Bitfield::new(), 0..u64::MAX).expect("proofs");
    let auth = crate::source::Source::auth(&source).expect("an identity");
    let upgrade = proofs.upgrade(Length::ZERO).expect("a proof");
    let mut intake = Intake::create(&store, auth, 0, upgrade).expect("an intake");
    let fork = proofs.head().fork();
    let mut waiting = Vec::new();
    while let Some(proof) = proofs.next().expect("a block") {
        intake.push_block(0, fork, proof).expect("it holds");
        waiting.push(intake.waiting.len());
    }
    waiting
}

#[test]
fn no_more_proofs_wait_than_are_verified_together() {
    let waiting = waiting(log_of(INTAKE_BATCH + 1, 1));
    let expected = (1..INTAKE_BATCH).chain([0, 1]);
    assert_eq!(waiting, expected.collect::<Vec<_>>());
}

#[test]
fn no_more_bytes_wait_than_are_verified_together() {
    // four blocks are one byte short of the limit together, or have it
    let short = waiting(log_of(4, INTAKE_BATCH_BYTES / 4 - 1));
    assert_eq!(short, [1, 2, 3, 4]);
    let full = waiting(log_of(5, INTAKE_BATCH_BYTES / 4));
    assert_eq!(full, [1, 2, 3, 0, 1]);
}

#[test]
fn user_data_of_the_library_is_not_taken_in() {
    let store = MemoryStore::new();
    let auth = log_of(1, 1).auth().expect("an identity");
    let intake = Intake::create(&store, auth, 0, None).expect("an intake");
    let value = Bytes::from_static(b"1");
    for key in ["\0mark/0", hc_storage::CONFLICT_KEY] {
        let pairs = [
            ("app".to_owned(), value.clone()),
            (key.to_owned(), value.clone()),
        ];
        let error = intake.add_user_data(pairs).expect_err("refused");
        assert!(
            matches!(error, IntakeError::ReservedUserData { .. }),
            "{error}"
        );
        assert_eq!(intake.log.user_data(key).expect("read"), None);
    }
    assert_eq!(intake.log.user_data("app").expect("read"), Some(value));
}
