//! Proof files: what is proven is what was written, by whoever signed it; nothing that was changed
//! passes.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use bytes::Bytes;
use hc_encoding::{DecodeErrorKind, decode_exact};
use hc_merkle::limits::MAX_PROVEN_BLOCKS;
use hc_merkle::manifest::{Manifest, ManifestVersion, Prologue, Signer};
use hc_merkle::proof_file::{Plan, ProveError, VerifyError, prove, verify};
use hc_merkle::{
    BlockIndex, ByteLength, CoreKey, Draft, Fork, Hash, Head, KeyPair, Length, Node, NodeIndex,
    SignatureError, Verifier,
};
use proptest::prelude::*;
use serde_json::Value;

use crate::store::Store;
use crate::vectors::{array, block, bytes, list, load, uint};

fn pair(seed: u8) -> KeyPair {
    KeyPair::from_seed(&[seed; 32])
}

fn single() -> Verifier {
    Verifier::from_manifest(Manifest::single(pair(1).public_key())).expect("valid")
}

/// A log with these blocks, signed by the signer with seed 1.
fn log(verifier: &Verifier, blocks: impl IntoIterator<Item = Vec<u8>>) -> Store {
    let mut store = Store::empty();
    let mut draft = Draft::new(&store.head);
    draft
        .append(blocks.into_iter().map(Bytes::from))
        .expect("a small log");
    let sealed = draft.seal(|head| verifier.sign(&pair(1), &head.signed_tree()));
    store.commit(&sealed.expect("a signer"));
    store
}

/// Blocks of different lengths, some of them empty.
fn numbered(count: u64) -> impl Iterator<Item = Vec<u8>> {
    (0..count).map(|i| vec![i.to_le_bytes()[0]; usize::try_from(i * 7 % 5).expect("small")])
}

fn file(verifier: &Verifier, store: &Store, blocks: &[u64]) -> Result<Vec<u8>, ProveError> {
    prove(
        verifier,
        &store.head,
        blocks.iter().copied().map(BlockIndex::new),
        |index| store.nodes.get(&index).copied(),
        |index| store.blocks.get(&index).cloned(),
    )
}

/// Asserts that the file proves these blocks of the store, and what it says of the log is so.
fn assert_proves(file: &[u8], verifier: &Verifier, store: &Store, blocks: &[u64]) {
    let proven = verify(file, Some(&verifier.key())).expect("a good file");
    assert_eq!(proven.key, verifier.key());
    assert_eq!(proven.manifest.as_ref(), verifier.manifest());
    assert_eq!(proven.length, store.head.length());
    assert_eq!(proven.byte_length, store.head.byte_length());
    assert_eq!(proven.tree_hash, store.head.tree_hash());
    let blocks: BTreeSet<_> = blocks.iter().copied().collect();
    assert_eq!(proven.blocks.len(), blocks.len());
    for (proven, index) in proven.blocks.iter().zip(blocks) {
        let index = BlockIndex::new(index);
        assert_eq!(proven.index, index);
        assert_eq!(proven.value, store.blocks[&index]);
        let before: usize = store
            .blocks
            .range(..index)
            .map(|(_, block)| block.len())
            .sum();
        assert_eq!(proven.offset.get(), before as u64);
    }
}

#[test]
fn every_choice_of_blocks_of_every_small_log() {
    let verifier = single();
    for length in 0..8 {
        let store = log(&verifier, numbered(length));
        for choice in 0..1u64 << length {
            let blocks: Vec<_> = (0..length)
                .filter(|block| choice >> block & 1 == 1)
                .collect();
            let file = file(&verifier, &store, &blocks).expect("all is stored");
            assert_proves(&file, &verifier, &store, &blocks);
        }
    }
}

/// Files of all kinds, small enough to be flipped bit by bit.
fn samples() -> &'static [Vec<u8>] {
    static SAMPLES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(make_samples);
    &SAMPLES
}

fn make_samples() -> Vec<Vec<u8>> {
    let signers = || [1, 2, 3].map(|seed| Signer::new(pair(seed).public_key()));
    let start = log(&single(), numbered(5));
    let prologue = Prologue {
        hash: start.head.tree_hash(),
        length: start.head.length(),
    };
    let one = || Manifest::single(pair(1).public_key());
    let verifiers = [
        single(),
        Verifier::compat(pair(1).public_key()),
        Verifier::from_manifest(one().with_version(ManifestVersion::V0)).expect("valid"),
        Verifier::from_manifest(Manifest::new(signers()).with_quorum(1)).expect("valid"),
        Verifier::from_manifest(one().with_user_data(*b"data").with_prologue(prologue))
            .expect("valid"),
    ];
    let mut samples: Vec<_> = verifiers
        .iter()
        .map(|verifier| {
            file(verifier, &log(verifier, numbered(6)), &[1, 4]).expect("all is stored")
        })
        .collect();
    let fixed = Verifier::from_manifest(Manifest::new([]).with_prologue(prologue)).expect("valid");
    samples.push(file(&fixed, &start, &[0, 3]).expect("all is stored"));
    samples.push(file(&single(), &start, &[]).expect("all is stored"));
    samples
}

#[test]
fn no_flipped_bit_changes_what_is_proven() {
    let mut harmless = 0;
    for file in samples() {
        let proven = verify(file, None).expect("a good file");
        for bit in 0..file.len() * 8 {
            let mut flipped = file.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            if let Ok(same) = verify(&flipped, None) {
                assert_eq!(same, proven, "bit {bit} of {}", hex::encode(file));
                harmless += 1;
            }
        }
    }
    // one byte of four files: the patch of a signature where patches are not allowed, which nobody looks
    // at, as in the reference
    assert_eq!(harmless, 4 * 8);
}

#[test]
fn no_replaced_byte_changes_what_is_proven() {
    // of the log that is its prologue: without signatures, trying all is cheap
    let file = samples()[5].clone();
    let proven = verify(&file, None).expect("a good file");
    for at in 0..file.len() {
        let mut other = file.clone();
        for byte in 0..=u8::MAX {
            other[at] = byte;
            if let Ok(same) = verify(&other, None) {
                assert_eq!(same, proven, "byte {at} as {byte}");
            }
        }
    }
}

#[test]
fn a_file_that_is_cut_or_longer_is_refused() {
    for file in samples() {
        for len in 0..file.len() {
            assert!(
                verify(&file[..len], None).is_err(),
                "{len} of {} bytes",
                file.len()
            );
        }
        let mut longer = file.clone();
        longer.push(0);
        assert!(matches!(
            verify(&longer, None),
            Err(VerifyError::Malformed(error)) if error.kind == DecodeErrorKind::Trailing
        ));
    }
}

#[test]
fn a_file_of_another_log_is_refused() {
    let file = samples()[0].clone();
    let (expected, found) = (CoreKey([7; 32]), single().key());
    assert_eq!(
        verify(&file, Some(&expected)),
        Err(VerifyError::OtherKey { expected, found })
    );
}

#[test]
fn what_is_no_proof_file_is_refused() {
    assert_eq!(verify(b"", None), Err(VerifyError::Magic));
    assert_eq!(verify(b"{\"block\": 1}", None), Err(VerifyError::Magic));
    let mut file = samples()[0].clone();
    file[8] = 2;
    assert_eq!(
        verify(&file, None),
        Err(VerifyError::Version { version: 2 })
    );
}

#[test]
fn the_format_stays_what_it_is() {
    let store = log(&single(), [b"a".to_vec(), b"bc".to_vec(), b"def".to_vec()]);
    let file = file(&single(), &store, &[1]).expect("all is stored");
    let head = "89686370726f6f66 01
        d8c3a0597903b28d751c6e0b7107775e388ec5a3cf669bdd1e7ec41b8b8f6e72
        46 0100000101004144eea531e483d54e0c14f4ca68e0644f355343ff6fcb0f005200e12cd747cb
        8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c
        00 03 44 0100";
    let head: String = head.split_whitespace().collect();
    let hex = hex::encode(&file);
    assert_eq!(&hex[..head.len()], head);
    // after the signature: one block, one before it, its bytes; then a leaf on either side
    let tail: String = hex[head.len() + 128..].into();
    let leaf = |index: u64| {
        let node = store.nodes[&NodeIndex::new(index)];
        format!(
            "{:02x}{}",
            node.size.get(),
            hex::encode(node.hash.as_bytes())
        )
    };
    assert_eq!(tail, format!("0000010102{}{}{}", "6263", leaf(0), leaf(4)));
}

#[test]
fn a_head_that_is_the_prologue_may_not_carry_what_nothing_vouches_for() {
    let start = log(&single(), numbered(5));
    let prologue = Prologue {
        hash: start.head.tree_hash(),
        length: start.head.length(),
    };
    let verifier =
        Verifier::from_manifest(Manifest::new([]).with_prologue(prologue)).expect("valid");
    // a store may hold such a head on a later fork, and signed: the file says neither
    let moved =
        Head::new(Fork::new(3), Length::new(5), start.head.roots().to_vec()).expect("roots");
    let store = Store {
        head: moved.with_signature(Bytes::from_static(&[1; 64])),
        ..start
    };
    let good = file(&verifier, &store, &[2]).expect("all is stored");
    assert_proves(&good, &verifier, &store, &[2]);
    assert_eq!(
        verify(&good, None).map(|proven| proven.fork),
        Ok(Fork::ZERO)
    );

    let fork_at = good.len() - tail_len(&good, &verifier);
    let mut forked = good.clone();
    forked[fork_at] = 3;
    assert_eq!(verify(&forked, None), Err(VerifyError::Unvouched));
    let mut signed = good;
    signed[fork_at + 2] = 1;
    signed.insert(fork_at + 3, 9);
    assert_eq!(verify(&signed, None), Err(VerifyError::Unvouched));
}

/// Bytes from the fork to the end.
fn tail_len(file: &[u8], verifier: &Verifier) -> usize {
    let manifest = verifier
        .manifest()
        .map_or(0, |manifest| hc_encoding::encode_to_vec(manifest).len());
    file.len() - (8 + 1 + 32 + 1 + manifest)
}

#[test]
fn what_is_not_there_is_not_proven() {
    let verifier = single();
    let mut store = log(&verifier, numbered(6));
    let (index, length) = (BlockIndex::new(6), Length::new(6));
    assert_eq!(
        file(&verifier, &store, &[6]),
        Err(ProveError::OutOfBounds { index, length })
    );

    let index = NodeIndex::new(1);
    let node = store.nodes.remove(&index).expect("stored");
    assert_eq!(
        file(&verifier, &store, &[3]),
        Err(ProveError::MissingNode { index })
    );
    store.nodes.insert(
        index,
        Node {
            size: ByteLength::new(99),
            ..node
        },
    );
    assert_eq!(file(&verifier, &store, &[3]), Err(ProveError::OtherTree));
    store.nodes.insert(index, node);

    let index = BlockIndex::new(3);
    let block = store.blocks.remove(&index).expect("stored");
    assert_eq!(
        file(&verifier, &store, &[3]),
        Err(ProveError::MissingBlock { index })
    );
    store
        .blocks
        .insert(index, Bytes::from_static(b"something else"));
    assert_eq!(file(&verifier, &store, &[3]), Err(ProveError::OtherTree));
    store.blocks.insert(index, block);

    let unsigned = Head::new(Fork::ZERO, length, store.head.roots().to_vec()).expect("roots");
    let signed = core::mem::replace(&mut store.head, unsigned);
    assert_eq!(
        file(&verifier, &store, &[3]),
        Err(SignatureError::Missing.into())
    );
    store.head = signed;
    assert_proves(
        &file(&verifier, &store, &[3]).expect("restored"),
        &verifier,
        &store,
        &[3],
    );
}

#[test]
fn a_log_that_only_its_writer_can_check_makes_no_file() {
    // nothing in a file could say that its signatures are over no domain
    let verifier = Verifier::legacy(pair(1).public_key());
    let store = log(&verifier, numbered(3));
    let refused = file(&verifier, &store, &[1]);
    assert_eq!(refused, Err(SignatureError::Invalid { signer: 0 }.into()));
}

#[test]
fn files_are_bounded() {
    let length = Length::new(MAX_PROVEN_BLOCKS as u64 + 1);
    let root = |index| Node {
        index,
        size: ByteLength::ZERO,
        hash: Hash([0; 32]),
    };
    let roots = hc_merkle::flat::roots_at(length)
        .into_iter()
        .map(root)
        .collect();
    let head = Head::new(Fork::ZERO, length, roots).expect("roots");
    let plan = |count: usize| Plan::new(&head, (0..count as u64).map(BlockIndex::new));
    assert_eq!(
        plan(MAX_PROVEN_BLOCKS).expect("within").blocks().len(),
        MAX_PROVEN_BLOCKS
    );
    assert_eq!(
        plan(MAX_PROVEN_BLOCKS + 1).err(),
        Some(ProveError::TooManyBlocks)
    );

    // in compat mode: no manifest, fork 0, a long log, no signature, then the count
    let refusal = |count: usize| {
        let mut file = b"\x89hcproof\x01".to_vec();
        file.extend([1; 32]);
        file.extend([0, 0, 0xfe, 0, 0, 0, 1, 0, 0xfe]);
        file.extend(u32::try_from(count).expect("small").to_le_bytes());
        match verify(&file, None) {
            Err(VerifyError::Malformed(error)) => Some(error.kind),
            _ => None,
        }
    };
    assert_eq!(refusal(MAX_PROVEN_BLOCKS), Some(DecodeErrorKind::Truncated));
    assert_eq!(
        refusal(MAX_PROVEN_BLOCKS + 1),
        Some(DecodeErrorKind::TooLong)
    );
}

/// The log of a formula, with the signature of the reference over it.
fn signed_by_the_reference(formula: &Value, case: &Value) -> Store {
    let mut store = Store::empty();
    let mut draft = Draft::new(&store.head);
    let blocks = (0..uint(&case["length"])).map(|index| block(formula, index).into());
    draft.append(blocks).expect("a small log");
    store.commit(&draft.seal_unsigned());
    let fork = Fork::new(uint(&case["fork"]));
    let head = Head::new(fork, store.head.length(), store.head.roots().to_vec()).expect("roots");
    store.head = head.with_signature(bytes(&case["signature"]).into());
    store
}

#[test]
fn logs_that_the_reference_signed() {
    let vectors = load("crypto.json");
    for case in list(&vectors["signedTrees"]) {
        let verifier = match case["kind"].as_str() {
            Some("compat") => Verifier::compat(array(&case["publicKey"]).into()),
            Some("compat without the header") => continue,
            _ => Verifier::from_manifest(
                decode_exact(&bytes(&case["manifest"])).expect("a manifest"),
            )
            .expect("valid"),
        };
        let store = signed_by_the_reference(&vectors["dataset"], case);
        let blocks: Vec<_> = (0..store.head.length().get()).step_by(3).collect();
        let file = file(&verifier, &store, &blocks).expect("all is stored");
        assert_proves(&file, &verifier, &store, &blocks);
    }
}

#[test]
fn logs_that_several_signed_together() {
    let vectors = load("multisig.json");
    let mut proven = 0;
    for group in list(&vectors["groups"]) {
        let manifest = decode_exact(&bytes(&group["manifest"])).expect("a manifest");
        let verifier = Verifier::from_manifest(manifest).expect("valid");
        for case in list(&group["cases"]) {
            let store = signed_by_the_reference(&vectors["data"], case);
            let last = store.head.length().get() - 1;
            match file(&verifier, &store, &[0, last]) {
                Ok(file) => {
                    assert!(case["valid"] == true, "{}", case["note"]);
                    assert_proves(&file, &verifier, &store, &[0, last]);
                    proven += 1;
                }
                Err(_) => assert!(case["valid"] == false, "{}", case["note"]),
            }
        }
    }
    assert!(proven > 90);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn any_blocks_of_any_log(length in 1..200u64, chosen in prop::collection::vec(0..200u64, 0..12)) {
        let verifier = single();
        let store = log(&verifier, numbered(length));
        let blocks: Vec<_> = chosen.into_iter().map(|block| block % length).collect();
        let file = file(&verifier, &store, &blocks).expect("all is stored");
        assert_proves(&file, &verifier, &store, &blocks);
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(verify(&bytes, None).is_err());
        let mut file = b"\x89hcproof\x01".to_vec();
        file.extend(bytes);
        prop_assert!(verify(&file, None).is_err());
    }

    #[test]
    fn no_rewritten_stretch_changes_what_is_proven(
        at: prop::sample::Index,
        removed in 0..40usize,
        inserted in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        for good in samples() {
            let proven = verify(good, None).expect("a good file");
            let start = at.index(good.len());
            let end = (start + removed).min(good.len());
            let mut other = good.clone();
            other.splice(start..end, inserted.iter().copied());
            if let Ok(changed) = verify(&other, Some(&proven.key)) {
                prop_assert_eq!(&changed, &proven);
            }
        }
    }
}
