//! Secret keys whose bytes rot or were torn: still known, or named and set aside, and never gone.

use hc_merkle::{CoreKey, DiscoveryKey, KeyPair, SecretKey};
use hc_storage::fault::{Fault, FaultDisk, Survival};
use hc_storage::{
    Auth, CoreRecord, Damage, DamageKind, DiskStore, Durability, OpenError, StorageError, Store,
    StoreOptions, StoreSecret,
};

use crate::log::{Outcome, append, name, reopen};

const FILE: &str = "SECRETS";
const SET_ASIDE: &str = "SECRETS.damaged";
const HEADER: usize = 16;
const RECORD: usize = 100;

/// Where the secret of the store itself is, in what a repair says.
const OF_STORE: DiscoveryKey = DiscoveryKey([0; 32]);

fn options() -> StoreOptions {
    StoreOptions::default().create(true).background(false)
}

fn key(number: u8) -> SecretKey {
    KeyPair::from_seed(&[number; 32]).secret_key()
}

fn of_store() -> StoreSecret {
    StoreSecret::from_bytes([0xee; 32])
}

/// A log that is signed here.
fn own(number: u8) -> CoreRecord {
    let mut auth = Auth::reader(CoreKey([number ^ 0xff; 32]));
    auth.secret_key = Some(key(number));
    CoreRecord {
        discovery_key: name(number),
        auth,
        alias: None,
    }
}

/// A store with its secret and the keys of so many logs, in this order.
fn filled(logs: u8) -> Result<FaultDisk, Box<dyn std::error::Error>> {
    let disk = FaultDisk::new();
    let store = disk.open(options())?;
    store.set_secret(of_store())?;
    for number in 1..=logs {
        store.create_core(own(number))?;
        append(&*reopen(&store, number)?, 2, 0, Durability::Os)?;
    }
    store.close()?;
    let len = disk.read(FILE).unwrap_or_default().len();
    assert_eq!(len, HEADER + RECORD * (usize::from(logs) + 1));
    Ok(disk)
}

/// The same disk with another file of keys.
fn with(disk: &FaultDisk, bytes: &[u8]) -> FaultDisk {
    let image = disk.image(Survival::Process(0));
    image.write(FILE, bytes.to_vec());
    image
}

/// Numbers of the logs whose keys are there, as they were put; 0 stands for the store's own.
fn known(store: &DiskStore, logs: u8) -> Result<Vec<u8>, StorageError> {
    let mut known = Vec::new();
    if let Some(secret) = store.secret()? {
        assert_eq!(secret.as_bytes(), of_store().as_bytes());
        known.push(0);
    }
    for number in 1..=logs {
        let Some(core) = store.open_core(&name(number))? else {
            continue;
        };
        if let Some(found) = core.auth()?.secret_key {
            assert_eq!(found.as_bytes(), key(number).as_bytes(), "{number}");
            known.push(number);
        }
    }
    Ok(known)
}

fn place(damage: &Damage) -> (u64, DamageKind) {
    assert!(damage.path.ends_with(FILE), "{damage}");
    (damage.offset, damage.kind)
}

fn places(store: &DiskStore) -> Result<Vec<(u64, DamageKind)>, StorageError> {
    Ok(store.damage()?.iter().map(place).collect())
}

fn offset(record: usize) -> usize {
    HEADER + record * RECORD
}

/// What repair says of a record.
fn of(record: usize) -> DiscoveryKey {
    match record {
        0 => OF_STORE,
        number => name(number as u8),
    }
}

#[test]
fn whatever_byte_is_altered_every_key_is_still_known() -> Outcome {
    for logs in [0, 3] {
        let disk = filled(logs)?;
        let all: Vec<u8> = (0..=logs).collect();
        let bytes = disk.read(FILE).unwrap_or_default();
        for at in 0..bytes.len() {
            let mut altered = bytes.clone();
            altered[at] ^= if at % 2 == 0 { 1 << (at % 8) } else { 0xa5 };
            let image = with(&disk, &altered);
            let record = at.checked_sub(HEADER).map(|at| at / RECORD);
            let expected = match record {
                None => (0, DamageKind::Secret),
                Some(record) => (offset(record) as u64, DamageKind::SecretCorrected),
            };
            let reader = image.open(options().read_only())?;
            assert_eq!(known(&reader, logs)?, all, "{at}");
            assert_eq!(places(&reader)?, [expected], "{at}");
            let store = image.open(options())?;
            assert_eq!(known(&store, logs)?, all, "{at}");
            assert_eq!(places(&store)?, [expected], "{at}");
            assert_eq!(image.read(FILE).as_ref(), Some(&altered), "{at}");
            if at % 3 != 0 {
                continue;
            }
            let repaired = store.repair(&mut |_| {})?;
            let corrected: Vec<_> = record.map(of).into_iter().collect();
            assert_eq!(repaired.corrected_keys, corrected, "{at}");
            assert!(repaired.lost_keys.is_empty(), "{at}");
            assert_eq!(places(&store)?, [], "{at}");
            store.close()?;
            let store = image.open(options())?;
            assert_eq!(known(&store, logs)?, all, "{at}");
            assert_eq!(places(&store)?, [], "{at}");
            assert!(store.repair(&mut |_| {})?.is_empty(), "{at}");
            assert_eq!(image.read(SET_ASIDE), None);
        }
    }
    Ok(())
}

#[test]
fn a_key_that_can_not_be_read_is_named_and_set_aside_and_the_others_are_there() -> Outcome {
    let logs = 3;
    let disk = filled(logs)?;
    let bytes = disk.read(FILE).unwrap_or_default();
    for record in 0..=usize::from(logs) {
        let at = offset(record);
        let mut altered = bytes.clone();
        // not in the name
        altered[at + 50] ^= 1;
        altered[at + 70] ^= 1;
        let torn = altered[at..at + RECORD].to_vec();
        let image = with(&disk, &altered);
        let store = image.open(options())?;
        let mut rest: Vec<u8> = (0..=logs).collect();
        rest.remove(record);
        assert_eq!(known(&store, logs)?, rest, "{record}");
        assert_eq!(places(&store)?, [(at as u64, DamageKind::Secret)]);
        // what follows goes behind it
        store.create_core(own(logs + 1))?;
        rest.push(logs + 1);
        store.close()?;
        let now = image.read(FILE).unwrap_or_default();
        assert_eq!(now[..altered.len()], altered, "{record}");
        let store = image.open(options())?;
        assert_eq!(known(&store, logs + 1)?, rest, "{record}");
        let repaired = store.repair(&mut |_| {})?;
        assert_eq!(repaired.lost_keys, [of(record)]);
        assert_eq!(places(&store)?, [], "{record}");
        let aside = image.read(SET_ASIDE).unwrap_or_default();
        assert_eq!(aside[HEADER..], torn, "{record}");
        // who has the key puts it back
        if record > 0 {
            let core = reopen(&store, record as u8)?;
            core.set_secret_key(Some(key(record as u8)))?;
        } else {
            store.set_secret(of_store())?;
        }
        store.close()?;
        let store = image.open(options())?;
        let all: Vec<u8> = (0..=logs + 1).collect();
        assert_eq!(known(&store, logs + 1)?, all, "{record}");
        assert!(store.repair(&mut |_| {})?.is_empty());
        // who wants to be rid of a key is rid of what is left of it, too
        if record > 0 {
            store.delete_core(&name(record as u8))?;
            let aside = image.read(SET_ASIDE).unwrap_or_default();
            assert_eq!(aside.len(), HEADER, "{record}");
        }
    }
    Ok(())
}

#[test]
fn a_record_that_was_cut_short_is_kept_if_any_of_a_key_is_in_it() -> Outcome {
    let logs = 2;
    let disk = filled(logs)?;
    // without the secret of the store, which is shorter than a key
    let mut bytes = disk.read(FILE).unwrap_or_default();
    bytes.drain(HEADER..HEADER + RECORD);
    for len in 0..bytes.len() {
        let image = with(&disk, &bytes[..len]);
        let store = image.open(options())?;
        let whole = len.saturating_sub(HEADER) / RECORD;
        let left = len.saturating_sub(HEADER) % RECORD;
        // the last byte alone is known from the others
        let whole = whole + usize::from(left == RECORD - 1);
        let all: Vec<u8> = (1..=whole as u8).collect();
        assert_eq!(known(&store, logs)?, all, "{len}");
        let expected: &[_] = match left {
            0..=36 => &[],
            99 => &[(offset(whole - 1) as u64, DamageKind::SecretCorrected)],
            _ => &[(offset(whole) as u64, DamageKind::Secret)],
        };
        if len >= HEADER {
            assert_eq!(places(&store)?, expected, "{len}");
        }
        store.create_core(own(logs + 1))?;
        store.close()?;
        let now = image.read(FILE).unwrap_or_default();
        if !expected.is_empty() {
            assert_eq!(now[..len], bytes[..len], "{len}");
        }
        let store = image.open(options())?;
        let also = [all, vec![logs + 1]].concat();
        assert_eq!(known(&store, logs + 1)?, also, "{len}");
        assert_eq!(places(&store)?, expected, "{len}");
    }
    Ok(())
}

/// Another secret would give names other keys, and nobody would notice.
#[test]
fn the_secret_of_the_store_is_not_replaced_while_it_can_not_be_read() -> Outcome {
    let disk = filled(1)?;
    let mut bytes = disk.read(FILE).unwrap_or_default();
    bytes[HEADER + 10] ^= 1;
    bytes[HEADER + 40] ^= 1;
    disk.write(FILE, bytes.clone());
    let store = disk.open(options())?;
    assert_eq!(store.secret()?, None);
    let other = || StoreSecret::from_bytes([1; 32]);
    let refused = store.set_secret(other());
    match refused {
        Err(StorageError::Damaged(damage)) => {
            assert_eq!(place(&damage), (HEADER as u64, DamageKind::Secret));
        }
        other => panic!("{other:?}"),
    }
    store.repair(&mut |_| {})?;
    store.set_secret(other())?;
    store.close()?;
    // where it is plainly another's that can not be read, there is none to replace
    let disk = filled(1)?;
    let bytes = disk.read(FILE).unwrap_or_default();
    let mut without = [&bytes[..HEADER], &bytes[HEADER + RECORD..]].concat();
    without[HEADER + 40] ^= 1;
    without[HEADER + 60] ^= 1;
    disk.write(FILE, without);
    disk.open(options())?.set_secret(other())?;
    Ok(())
}

#[test]
fn a_repair_that_is_cut_short_destroys_no_key() -> Outcome {
    let logs = 2;
    let disk = filled(logs)?;
    let mut bytes = disk.read(FILE).unwrap_or_default();
    // one byte of the first, two of the last
    bytes[offset(0) + 50] ^= 1;
    bytes[offset(2) + 50] ^= 1;
    bytes[offset(2) + 70] ^= 1;
    let torn = bytes[offset(2)..].to_vec();
    let there = |image: &FaultDisk| {
        [FILE, SET_ASIDE].iter().any(|file| {
            let bytes = image.read(file).unwrap_or_default();
            bytes.windows(RECORD).any(|window| window == torn)
        })
    };
    let mut cut = 0;
    for call in 0.. {
        let image = with(&disk, &bytes);
        let store = image.open(options())?;
        image.arm(image.calls() + call, Fault::Freeze);
        let repaired = store.repair(&mut |_| {});
        let is_done = repaired.is_ok();
        drop(store);
        for (power, seed) in [(false, 0), (true, call), (true, call + 100)] {
            let survival = if power {
                Survival::Power(seed)
            } else {
                Survival::Process(seed)
            };
            let image = image.image(survival);
            assert!(there(&image), "{call}, {survival:?}");
            let store = image.open(options())?;
            assert_eq!(known(&store, logs)?, [0, 1], "{call}, {survival:?}");
            store.repair(&mut |_| {})?;
            assert_eq!(places(&store)?, []);
            assert!(there(&image), "{call}, {survival:?}");
            let aside = image.read(SET_ASIDE).unwrap_or_default();
            assert_eq!(aside.len(), HEADER + RECORD, "{call}, {survival:?}");
        }
        if is_done {
            break;
        }
        cut += 1;
    }
    assert!(cut > 6, "{cut}");
    Ok(())
}

#[test]
fn a_file_of_keys_of_another_version_is_left_alone() -> Outcome {
    let disk = filled(1)?;
    let mut bytes = disk.read(FILE).unwrap_or_default();
    bytes[8] = 2;
    let sum = crc32c(&bytes[..12]).to_le_bytes();
    bytes[12..HEADER].copy_from_slice(&sum);
    disk.write(FILE, bytes.clone());
    match disk.open(options()) {
        Err(OpenError::Version { path, found, .. }) => {
            assert!(path.ends_with(FILE) && found == 2);
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(disk.read(FILE), Some(bytes));
    Ok(())
}

/// As in iSCSI, bit by bit.
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| {
            (sum >> 1) ^ (0x82f6_3b78 & (sum & 1).wrapping_neg())
        })
    })
}
