//! Manifests, multi-signatures and verifiers for any input: round trips, rules that hold for all, and
//! nothing that panics.

use bytes::Bytes;
use hc_encoding::{decode_exact, encode_to_vec};
use hc_merkle::limits::{MAX_PATCH_NODES, MAX_SIGNATURE_LEN, MAX_SIGNERS};
use hc_merkle::manifest::{Manifest, ManifestVersion, Prologue, Signer};
use hc_merkle::multisig::{Entry, MultiSignature};
use hc_merkle::{
    ByteLength, CoreKey, Fork, Hash, Head, KeyPair, Length, Namespace, Node, NodeIndex, PublicKey,
    SignError, Signature, SignatureError, TreeHash, Verifier, z32_decode, z32_encode,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

fn signers() -> impl Strategy<Value = Vec<Signer>> {
    let signer =
        (any::<[u8; 32]>(), any::<[u8; 32]>()).prop_map(|(namespace, public_key)| Signer {
            namespace: Namespace(namespace),
            public_key: PublicKey(public_key),
        });
    vec(signer, 0..4)
}

fn prologue() -> impl Strategy<Value = Prologue> {
    (any::<[u8; 32]>(), any::<u64>()).prop_map(|(hash, length)| Prologue {
        hash: TreeHash(hash),
        length: Length::new(length),
    })
}

/// Manifests of version 1 and later, which say all that they hold.
fn manifests() -> impl Strategy<Value = Manifest> {
    let versions = [
        ManifestVersion::V1,
        ManifestVersion::V2,
        ManifestVersion::V3,
    ];
    let linked = option::of(vec(any::<[u8; 32]>().prop_map(CoreKey), 0..3));
    let user_data = option::of(vec(any::<u8>(), 0..300));
    (
        prop::sample::select(versions.to_vec()),
        any::<bool>(),
        any::<u64>(),
        signers(),
        option::of(prologue()),
        linked,
        user_data,
    )
        .prop_map(
            |(version, allow_patch, quorum, signers, prologue, linked, user_data)| Manifest {
                version,
                allow_patch,
                quorum,
                signers,
                prologue,
                linked,
                user_data,
            },
        )
}

fn nodes() -> impl Strategy<Value = Vec<Node>> {
    let node =
        (any::<u64>(), any::<u64>(), any::<[u8; 32]>()).prop_map(|(index, size, hash)| Node {
            index: NodeIndex::new(index),
            size: ByteLength::new(size),
            hash: Hash(hash),
        });
    vec(node, 0..5)
}

fn multi_signatures() -> impl Strategy<Value = MultiSignature> {
    let entry =
        (0u64..5, any::<[u8; 64]>(), any::<u64>()).prop_map(|(signer, signature, patch)| Entry {
            signer,
            signature: Signature(signature),
            patch: Length::new(patch),
        });
    (vec(entry, 0..4), nodes()).prop_map(|(entries, patch)| MultiSignature { entries, patch })
}

fn pair(seed: u8) -> KeyPair {
    KeyPair::from_seed(&[seed; 32])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn manifests_survive_encoding(manifest in manifests()) {
        let encoded = encode_to_vec(&manifest);
        prop_assert_eq!(decode_exact::<Manifest>(&encoded), Ok(manifest));
        for len in 0..encoded.len() {
            prop_assert!(decode_exact::<Manifest>(&encoded[..len]).is_err());
        }
    }

    #[test]
    fn manifests_of_version_0_survive_once_read(signers in signers(), quorum in 0..3u64, allow_patch: bool) {
        let manifest = Manifest { allow_patch, quorum, ..Manifest::new(signers) }
            .with_version(ManifestVersion::V0);
        prop_assert_eq!(decode_exact::<Manifest>(&encode_to_vec(&manifest)), Ok(manifest));
    }

    #[test]
    fn multi_signatures_survive_encoding(multi in multi_signatures()) {
        let encoded = encode_to_vec(&multi);
        prop_assert_eq!(MultiSignature::from_bytes(ManifestVersion::V1, &encoded), Ok(multi));
    }

    #[test]
    fn z_base_32_survives(bytes in vec(any::<u8>(), 0..70)) {
        prop_assert_eq!(z32_decode(&z32_encode(&bytes)), Ok(bytes));
    }

    #[test]
    fn keys_survive_as_text(bytes: [u8; 32]) {
        let key = CoreKey(bytes);
        prop_assert_eq!(key.to_z32().parse(), Ok(key));
        prop_assert_eq!(key.to_string().parse(), Ok(key));
    }

    #[test]
    fn no_text_panics(text in ".{0,80}") {
        let _ = text.parse::<CoreKey>();
        let _ = z32_decode(&text);
    }

    #[test]
    fn no_bytes_panic(bytes in vec(any::<u8>(), 0..400), version in 0u8..4) {
        let mut manifest = vec![version];
        manifest.extend_from_slice(&bytes);
        for manifest in [&manifest, &bytes] {
            if let Ok(manifest) = decode_exact::<Manifest>(manifest) {
                let _ = Verifier::from_manifest(manifest);
            }
        }
        let _ = MultiSignature::from_bytes(ManifestVersion::V0, &bytes);
        let _ = MultiSignature::from_bytes(ManifestVersion::V1, &bytes);
    }

    #[test]
    fn no_patch_panics_or_passes(multi in multi_signatures(), length in any::<u64>()) {
        let manifest = Manifest::new([1, 2, 3].map(|seed| Signer::new(pair(seed).public_key())))
            .with_patches();
        let verifier = Verifier::from_manifest(manifest).expect("valid");
        let roots = hc_merkle::flat::roots_at(Length::new(length))
            .into_iter()
            .map(|index| Node { index, size: ByteLength::new(1), hash: Hash([7; 32]) })
            .collect();
        if let Ok(head) = Head::new(Fork::ZERO, Length::new(length), roots) {
            let head = head.with_signature(encode_to_vec(&multi).into());
            prop_assert!(verifier.verify(&head).is_err());
        }
    }
}

#[test]
fn one_of_several_may_sign_alone() {
    let manifest =
        Manifest::new([1, 2].map(|seed| Signer::new(pair(seed).public_key()))).with_quorum(1);
    let verifier = Verifier::from_manifest(manifest).expect("valid");
    let head = Head::empty();
    for seed in [1, 2] {
        let signature = verifier
            .sign(&pair(seed), &head.signed_tree())
            .expect("enough");
        assert_eq!(
            verifier.verify(&head.clone().with_signature(signature)),
            Ok(())
        );
    }
    let stranger = verifier.sign(&pair(3), &head.signed_tree());
    let public_key = pair(3).public_key();
    assert_eq!(stranger, Err(SignError::NotASigner { public_key }));
}

#[test]
fn two_of_three_can_not_be_signed_by_one() {
    let manifest = Manifest::new([1, 2, 3].map(|seed| Signer::new(pair(seed).public_key())));
    let verifier = Verifier::from_manifest(manifest).expect("valid");
    let signed = verifier.sign(&pair(1), &Head::empty().signed_tree());
    assert_eq!(signed, Err(SignError::Together { quorum: 2 }));
}

#[test]
fn a_prologue_needs_no_signature_and_nothing_below_it_holds() {
    let head = |length: u64, byte: u8| {
        let roots = hc_merkle::flat::roots_at(Length::new(length))
            .into_iter()
            .map(|index| Node {
                index,
                size: ByteLength::new(1),
                hash: Hash([byte; 32]),
            })
            .collect();
        Head::new(Fork::ZERO, Length::new(length), roots).expect("roots")
    };
    let start = head(3, 1);
    let manifest = Manifest::new([]).with_prologue(Prologue {
        hash: start.tree_hash(),
        length: start.length(),
    });
    let verifier = Verifier::from_manifest(manifest).expect("valid");
    assert_eq!(verifier.verify(&start), Ok(()));
    assert_eq!(verifier.verify(&head(3, 2)), Err(SignatureError::Prologue));
    assert_eq!(verifier.verify(&head(2, 1)), Err(SignatureError::Prologue));
    assert_eq!(verifier.verify(&head(4, 1)), Err(SignatureError::Missing));
    let signed = head(4, 1).with_signature(Bytes::from_static(&[0, 0]));
    assert_eq!(verifier.verify(&signed), Err(SignatureError::NobodySigns));
}

#[test]
fn multi_signatures_are_bounded() {
    let entry = Entry {
        signer: 0,
        signature: Signature([0; 64]),
        patch: Length::ZERO,
    };
    let node = Node {
        index: NodeIndex::ZERO,
        size: ByteLength::ZERO,
        hash: Hash([0; 32]),
    };
    let read = |entries: usize, nodes: usize| {
        let multi = MultiSignature {
            entries: vec![entry; entries],
            patch: vec![node; nodes],
        };
        MultiSignature::from_bytes(ManifestVersion::V1, &encode_to_vec(&multi)).is_ok()
    };
    assert!(read(MAX_SIGNERS, MAX_PATCH_NODES));
    assert!(!read(MAX_SIGNERS + 1, 0));
    assert!(!read(0, MAX_PATCH_NODES + 1));
}

/// A patch of version 0 lists the places of its nodes.
#[test]
fn patches_of_version_0_are_bounded() {
    let read = |places: usize| {
        let mut bytes = vec![1, 1, 0];
        bytes.extend([0; 64]);
        bytes.extend([0, 1, 0xfd]);
        bytes.extend(u16::try_from(places).expect("small").to_le_bytes());
        bytes.resize(bytes.len() + places, 0);
        bytes.push(0);
        MultiSignature::from_bytes(ManifestVersion::V0, &bytes).is_ok()
    };
    assert!(read(MAX_PATCH_NODES));
    assert!(!read(MAX_PATCH_NODES + 1));
}

#[test]
fn signatures_are_bounded() {
    let verifier = Verifier::from_manifest(Manifest::single(pair(1).public_key())).expect("valid");
    let head = Head::empty();
    let mut signature = verifier
        .sign(&pair(1), &head.signed_tree())
        .expect("a signer")
        .to_vec();
    signature.resize(MAX_SIGNATURE_LEN, 0);
    assert_eq!(
        verifier.verify(&head.clone().with_signature(signature.clone().into())),
        Ok(())
    );
    signature.push(0);
    let len = signature.len();
    let verdict = verifier.verify(&head.with_signature(signature.into()));
    assert_eq!(verdict, Err(SignatureError::Length { len }));
}
