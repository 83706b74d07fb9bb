//! Block encryption agrees with the golden vectors, byte for byte, in all three modes.

use std::convert::Infallible;
use std::path::Path;

use bytes::Bytes;
use hc_merkle::{
    BlockIndex, ByteOffset, CoreKey, Draft, Fork, Head, KeyPair, Manifest, NodeIndex, Seek, Sought,
    Verifier, drive,
};
use hypercore::encryption::{DefaultEncryption, Encryption, EncryptionError, EncryptionKey};
use proptest::prelude::*;
use serde_json::Value;

fn load() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/encryption.json");
    let text = std::fs::read_to_string(path).expect("vectors are part of the crate");
    serde_json::from_str(&text).expect("vectors are JSON")
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn uint(value: &Value) -> u64 {
    match value {
        Value::String(text) => text.parse().expect("a number"),
        other => other.as_u64().expect("a number"),
    }
}

fn bytes(value: &Value) -> Bytes {
    hex::decode(value.as_str().expect("hex"))
        .expect("hex")
        .into()
}

fn array(value: &Value) -> [u8; 32] {
    bytes(value).as_ref().try_into().expect("32 bytes")
}

fn key(value: &Value) -> EncryptionKey {
    EncryptionKey::from_bytes(array(value))
}

#[test]
fn keys_and_blocks_of_all_modes() {
    let vectors = load();
    let mut seen = 0;
    for case in list(&vectors["keys"]) {
        let log = CoreKey(array(&case["coreKey"]));
        let given = key(&case["encryptionKey"]);
        let encryption = match case["mode"].as_str() {
            Some("default") => DefaultEncryption::new(&given, &log),
            Some("compat") => DefaultEncryption::compat(&given, &log),
            _ => DefaultEncryption::from_block_key(given),
        };
        assert_eq!(encryption.block_key().as_bytes(), &array(&case["blockKey"]));
        for block in list(&case["blocks"]) {
            let index = BlockIndex::new(uint(&block["index"]));
            let plain = bytes(&block["plain"]);
            let stored = encryption
                .encrypt(index, Fork::new(uint(&block["fork"])), &plain)
                .expect("the default never fails to encrypt");
            assert_eq!(stored, bytes(&block["block"]), "{} {index}", case["mode"]);
            assert_eq!(stored.len(), plain.len() + encryption.padding());
            assert_eq!(encryption.decrypt(index, &stored).expect("a block"), plain);
            seen += 1;
        }
    }
    assert!(seen >= 63);
}

#[test]
fn logs_that_were_cut_and_filled_again() {
    for case in list(&load()["cores"]) {
        let public_key = KeyPair::from_seed(&array(&case["seed"])).public_key();
        let verifier = if case["compat"] == true {
            Verifier::compat(public_key)
        } else {
            Verifier::from_manifest(Manifest::single(public_key)).expect("valid")
        };
        assert_eq!(verifier.key(), CoreKey(array(&case["key"])));
        let encryption = DefaultEncryption::for_log(&key(&case["encryptionKey"]), &verifier);

        let (mut byte_length, mut forks) = (0, [false; 2]);
        let mut draft = Draft::new(&Head::empty());
        for block in list(&case["blocks"]) {
            let index = BlockIndex::new(uint(&block["index"]));
            let (plain, stored) = (bytes(&block["plain"]), bytes(&block["block"]));
            assert_eq!(encryption.decrypt(index, &stored).expect("a block"), plain);
            let fork = (0..=uint(&case["fork"]))
                .find(|fork| {
                    let again = encryption.encrypt(index, Fork::new(*fork), &plain);
                    again.expect("the default never fails to encrypt") == stored
                })
                .expect("one of the forks the log has had");
            forks[usize::try_from(fork).expect("small")] = true;
            byte_length += plain.len() as u64;
            draft.append([stored]).expect("a small log");
        }
        assert_eq!(forks, [true; 2], "blocks of both forks are there");
        assert_eq!(byte_length, uint(&case["byteLength"]));
        assert_eq!(draft.byte_length().get(), uint(&case["storedByteLength"]));
        assert_eq!(draft.head().tree_hash().0, array(&case["treeHash"]));
        seeks_do_not_count_the_prefix(case, draft, encryption.padding());
    }
}

fn seeks_do_not_count_the_prefix(case: &Value, draft: Draft, padding: usize) {
    let head = draft.head();
    let change = draft.seal_unsigned();
    let find = |index: &NodeIndex| {
        change
            .nodes()
            .iter()
            .find(|node| node.index == *index)
            .copied()
    };
    for seek in list(&case["seeks"]) {
        let walk = Seek::new(&head, ByteOffset::new(uint(&seek["bytes"])), padding as u64);
        let read = |wanted: &[NodeIndex]| Ok::<_, Infallible>(wanted.iter().map(find).collect());
        let Ok(sought) = drive(walk, read);
        let (index, offset) = (uint(&seek["result"][0]), uint(&seek["result"][1]));
        let index = BlockIndex::new(index);
        assert_eq!(sought, Sought::Block { index, offset });
    }
}

#[test]
fn a_block_key_opens_one_log_only() {
    let key = EncryptionKey::from_bytes([2; 32]);
    let [mine, other] = [1, 2].map(|byte| DefaultEncryption::new(&key, &CoreKey([byte; 32])));
    let index = BlockIndex::new(7);
    let stored = mine
        .encrypt(index, Fork::ZERO, b"for some eyes")
        .expect("encrypted");
    let shared = DefaultEncryption::from_block_key(mine.block_key().clone());
    assert_eq!(
        shared.decrypt(index, &stored).expect("a block"),
        "for some eyes"
    );
    assert_ne!(
        other.decrypt(index, &stored).expect("a block"),
        "for some eyes"
    );
}

#[test]
fn a_block_shorter_than_its_prefix_is_refused() {
    let encryption = DefaultEncryption::from_block_key(EncryptionKey::from_bytes([1; 32]));
    for len in 0..encryption.padding() {
        let refused = encryption.decrypt(BlockIndex::ZERO, &vec![0; len]);
        assert!(matches!(refused, Err(EncryptionError::Short { len: told }) if told == len));
    }
    let empty = encryption
        .decrypt(BlockIndex::ZERO, &[0; 8])
        .expect("an empty block");
    assert!(empty.is_empty());
}

#[test]
fn keys_are_not_printed() {
    let key = EncryptionKey::from_bytes([0xab; 32]);
    let encryption = DefaultEncryption::from_block_key(key.clone());
    let printed = format!("{key:?} {encryption:?}");
    assert!(
        !printed.contains("ab, ") && !printed.contains("171"),
        "{printed}"
    );
    assert_eq!(format!("{key:?}"), "EncryptionKey(…)");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn blocks_survive(key: [u8; 32], index: u64, fork: u64, plain in prop::collection::vec(any::<u8>(), 0..300)) {
        let encryption = DefaultEncryption::from_block_key(EncryptionKey::from_bytes(key));
        let index = BlockIndex::new(index);
        let stored = encryption.encrypt(index, Fork::new(fork), &plain).expect("encrypted");
        prop_assert_eq!(encryption.decrypt(index, &stored).expect("a block"), plain);
    }
}
