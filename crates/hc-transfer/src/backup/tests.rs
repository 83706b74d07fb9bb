//! The pinned form of a backup, and what is refused.

use hc_merkle::{Manifest, Verifier};
use hc_storage::{CoreRecord, MemoryStore};

use super::*;

const QUICK: Sealing = Sealing {
    memory_kib: 64,
    passes: 1,
    lanes: 1,
};

fn store() -> MemoryStore {
    let store = MemoryStore::new();
    let pair = KeyPair::from_seed(&[7; 32]);
    let manifest = Manifest::single(pair.public_key());
    let verifier = Verifier::from_manifest(manifest.clone()).expect("a manifest");
    let auth = Auth {
        key: verifier.key(),
        manifest: Some(manifest.into()),
        secret_key: Some(pair.secret_key()),
        encryption: Some(EncryptionScheme(1)),
        compat: false,
    };
    let discovery_key = auth.key.discovery_key();
    store
        .create_core(CoreRecord {
            discovery_key,
            auth,
            alias: None,
        })
        .expect("a log");
    let reader = CoreKey([9; 32]);
    let discovery_key = reader.discovery_key();
    let auth = Auth::reader(reader);
    store
        .create_core(CoreRecord {
            discovery_key,
            auth,
            alias: None,
        })
        .expect("a log");
    store
}

/// A backup that was made once has to open for ever.
#[test]
fn the_format_stays_what_it_is() {
    let backup = KeyBackup::of(&store()).expect("keys");
    let sealed = backup
        .seal_with(b"passphrase", &QUICK, [1; 16], [2; 24])
        .expect("sealed");
    let golden = include_str!("../../tests/golden/backup.hex");
    assert_eq!(hex::encode(&sealed), golden.trim());
    let opened = KeyBackup::open(&sealed, b"passphrase").expect("opened");
    let log = &opened.0[0];
    assert_eq!(opened.len(), 1);
    assert_eq!(log.auth.secret_key.as_ref().map(|key| *key.as_bytes()), {
        Some(*KeyPair::from_seed(&[7; 32]).secret_key().as_bytes())
    });
    assert_eq!(log.auth.encryption, Some(EncryptionScheme(1)));
    assert!(log.auth.manifest.is_some());
}

#[test]
fn another_passphrase_and_every_flipped_bit_are_refused() {
    let backup = KeyBackup::of(&store()).expect("keys");
    let sealed = backup.seal(b"passphrase", &QUICK).expect("sealed");
    let error = KeyBackup::open(&sealed, b"Passphrase").expect_err("another one");
    assert!(matches!(error, BackupError::Sealed), "{error}");
    for at in 0..sealed.len() {
        let mut flipped = sealed.clone();
        flipped[at] ^= 1;
        // The memory that is asked for may be more than there is to test with.
        if (9..13).contains(&at) && at > 10 {
            continue;
        }
        KeyBackup::open(&flipped, b"passphrase").expect_err("altered");
    }
    for end in 0..sealed.len() {
        KeyBackup::open(&sealed[..end], b"passphrase").expect_err("cut");
    }
    let error = KeyBackup::open(&sealed, b"").expect_err("none");
    assert!(matches!(error, BackupError::EmptyPassphrase), "{error}");
}

#[test]
fn work_is_bounded_before_it_is_done() {
    let sealed = KeyBackup::of(&store())
        .expect("keys")
        .seal(b"p", &QUICK)
        .expect("sealed");
    let asks = |place: usize, number: u32| {
        let mut altered = sealed.clone();
        altered[place..place + 4].copy_from_slice(&number.to_le_bytes());
        KeyBackup::open(&altered, b"p").expect_err("altered")
    };
    for (place, most) in [
        (9, MAX_BACKUP_MEMORY),
        (13, MAX_BACKUP_PASSES),
        (17, MAX_BACKUP_LANES),
    ] {
        let error = asks(place, most + 1);
        assert!(matches!(error, BackupError::Work { .. }), "{error}");
        let error = asks(place, 0);
        assert!(matches!(error, BackupError::Work { .. }), "{error}");
    }
    // At the limit it is tried; 16 lanes of 64 KiB are too thin, so the lanes are not.
    assert!(matches!(asks(13, MAX_BACKUP_PASSES), BackupError::Sealed));
    let most_lanes = Sealing {
        lanes: MAX_BACKUP_LANES,
        memory_kib: 8 * MAX_BACKUP_LANES,
        passes: 1,
    };
    let backup = KeyBackup::of(&store()).expect("keys");
    let sealed = backup.seal(b"p", &most_lanes).expect("sealed");
    KeyBackup::open(&sealed, b"p").expect("opened");
}

#[test]
fn nothing_secret_is_printed() {
    let backup = KeyBackup::of(&store()).expect("keys");
    let printed = format!("{backup:?}");
    assert!(
        printed.contains("CoreKey") && !printed.contains("0707"),
        "{printed}"
    );
}

#[test]
fn a_file_is_its_owners_alone_and_never_written_over() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("keys");
    write_file(&path, b"sealed").expect("written");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = fs_mode(&path).mode();
        assert_eq!(mode & 0o777, 0o600);
        fn fs_mode(path: &Path) -> std::fs::Permissions {
            std::fs::metadata(path).expect("there").permissions()
        }
    }
    write_file(&path, b"other").expect_err("it is there");
    assert_eq!(read_file(&path).expect("read"), b"sealed");
    let large = File::create(dir.path().join("large")).expect("made");
    large.set_len(MAX_BACKUP_BYTES).expect("long");
    assert_eq!(
        read_file(dir.path().join("large")).expect("read").len() as u64,
        MAX_BACKUP_BYTES
    );
    large.set_len(MAX_BACKUP_BYTES + 1).expect("longer");
    let error = read_file(dir.path().join("large")).expect_err("too long");
    assert!(matches!(error, BackupError::TooLong), "{error}");
}

#[test]
fn as_many_keys_as_the_limit_are_sealed_and_opened_and_one_more_is_not() {
    let one = KeyBackup::of(&store()).expect("keys").encode();
    let (count, key) = one.split_first().expect("not empty");
    assert_eq!(*count, 1);
    let of = |count: usize| {
        let mut plain = Vec::new();
        varint::put(&mut plain, count as u64);
        for _ in 0..count {
            plain.extend_from_slice(key);
        }
        KeyBackup::decode(&plain).map(|backup| backup.len())
    };
    assert_eq!(of(MAX_BACKUP_KEYS), Some(MAX_BACKUP_KEYS));
    assert_eq!(of(MAX_BACKUP_KEYS + 1), None);
}
