//! Manifests, their encodings and the keys made from them agree with the golden vectors; what the
//! reference refuses is refused.

use hc_encoding::{decode_exact, encode_to_vec};
use hc_merkle::limits::{MAX_LINKED, MAX_SIGNERS, MAX_USER_DATA};
use hc_merkle::manifest::{Manifest, ManifestError, ManifestVersion, Prologue, Signer};
use hc_merkle::{Authority, CoreKey, Length, Namespace, PublicKey, TreeHash, Verifier};
use serde_json::Value;

use crate::vectors::{array, bytes, list, load, uint};

fn version(value: &Value) -> ManifestVersion {
    match uint(value) {
        0 => ManifestVersion::V0,
        1 => ManifestVersion::V1,
        2 => ManifestVersion::V2,
        _ => ManifestVersion::V3,
    }
}

fn signer(value: &Value) -> Signer {
    let signer = Signer::new(PublicKey(array(&value["publicKey"])));
    match value.get("namespace") {
        Some(Value::String(_)) => Signer {
            namespace: Namespace(array(&value["namespace"])),
            ..signer
        },
        _ => signer,
    }
}

fn prologue(value: &Value) -> Prologue {
    Prologue {
        hash: TreeHash(array(&value["hash"])),
        length: Length::new(uint(&value["length"])),
    }
}

/// The manifest as a caller asks for it, defaults filled in.
fn made(input: &Value) -> Manifest {
    let mut manifest = Manifest::new(
        list(&input["signers"])
            .iter()
            .map(signer)
            .collect::<Vec<_>>(),
    );
    if input["quorum"].is_u64() {
        manifest = manifest.with_quorum(uint(&input["quorum"]));
    }
    if input["allowPatch"] == true {
        manifest = manifest.with_patches();
    }
    if input["prologue"].is_object() {
        manifest = manifest.with_prologue(prologue(&input["prologue"]));
    }
    if input["linked"].is_array() {
        let linked: Vec<_> = list(&input["linked"])
            .iter()
            .map(array)
            .map(CoreKey)
            .collect();
        manifest = manifest.with_linked(linked);
    }
    if input["userData"].is_string() {
        manifest = manifest.with_user_data(bytes(&input["userData"]));
    }
    if input["version"].is_u64() {
        manifest = manifest.with_version(version(&input["version"]));
    }
    manifest
}

/// The manifest as it is.
fn exact(value: &Value) -> Manifest {
    Manifest {
        version: version(&value["version"]),
        allow_patch: value["allowPatch"] == true,
        quorum: uint(&value["quorum"]),
        signers: list(&value["signers"]).iter().map(signer).collect(),
        prologue: value["prologue"]
            .is_object()
            .then(|| prologue(&value["prologue"])),
        linked: value["linked"].is_array().then(|| {
            list(&value["linked"])
                .iter()
                .map(array)
                .map(CoreKey)
                .collect()
        }),
        user_data: value["userData"]
            .is_string()
            .then(|| bytes(&value["userData"])),
    }
}

#[test]
fn manifests_of_all_versions() {
    for case in list(&load("crypto.json")["manifests"]) {
        let note = &case["note"];
        let manifest = made(&case["input"]);
        assert_eq!(manifest, exact(&case["manifest"]), "{note}");
        assert_eq!(manifest.validate(), Ok(()), "{note}");
        let encoded = encode_to_vec(&manifest);
        assert_eq!(
            hex::encode(&encoded),
            case["encoded"].as_str().expect("hex"),
            "{note}"
        );
        assert_eq!(
            decode_exact(&encoded),
            Ok(exact(&case["decoded"])),
            "{note}"
        );

        let key = manifest.key();
        assert_eq!(key.0, array(&case["key"]), "{note}");
        assert_eq!(key.to_z32(), case["id"].as_str().expect("id"), "{note}");
        assert_eq!(
            key.discovery_key().0,
            array(&case["discoveryKey"]),
            "{note}"
        );
        assert!(!manifest.is_compat(&key), "{note}");
        if case["compatKey"].is_string() {
            let compat = CoreKey(array(&case["compatKey"]));
            assert_eq!(
                manifest.is_compat(&compat),
                case["isCompatWithCompatKey"] == true,
                "{note}"
            );
        }
    }
}

#[test]
fn keys_of_public_keys() {
    for case in list(&load("crypto.json")["keyFromPublicKey"]) {
        let mut signer = Signer::new(PublicKey(array(&case["publicKey"])));
        if case["namespace"].is_string() {
            signer.namespace = Namespace(array(&case["namespace"]));
        }
        let manifest = Manifest::new([signer]).with_version(version(&case["version"]));
        assert_eq!(manifest.key().0, array(&case["key"]));
    }
}

#[test]
fn manifests_that_the_reference_does_not_make_are_refused() {
    let vectors = load("crypto.json");
    let cases = list(&vectors["invalidManifests"]["input"]);
    let refusal = |note: &str| {
        let case = cases.iter().find(|case| case["note"] == note).expect(note);
        made(&case["input"]).validate()
    };
    let quorum = Err(ManifestError::Quorum {
        quorum: 2,
        signers: 1,
    });
    assert_eq!(refusal("quorum over the number of signers"), quorum);
    assert_eq!(refusal("user data in v1"), Err(ManifestError::UserData));
    assert_eq!(refusal("linked in v1"), Err(ManifestError::Linked));
    // the types have no place for the others
    let unsayable = [
        "negative quorum",
        "unknown hash",
        "unknown signature",
        "signer without a public key",
        "linked key of 31 bytes",
        "prologue hash of 31 bytes",
        "prologue with a negative length",
    ];
    assert_eq!(cases.len(), 3 + unsayable.len());
    for note in unsayable {
        assert!(cases.iter().any(|case| case["note"] == note), "{note}");
    }
}

#[test]
fn encodings_that_the_reference_does_not_read_are_refused() {
    let vectors = load("crypto.json");
    let cases = list(&vectors["invalidManifests"]["encoded"]);
    assert!(cases.len() >= 11);
    for case in cases {
        let read = decode_exact::<Manifest>(&bytes(&case["encoded"]));
        assert!(read.is_err(), "{}: {read:?}", case["note"]);
    }
}

#[test]
fn linked_keys_and_user_data_in_version_1_decode_but_make_no_verifier() {
    let manifest = Manifest::single(PublicKey([1; 32]))
        .with_linked([CoreKey([2; 32])])
        .with_version(ManifestVersion::V1);
    let read: Manifest = decode_exact(&encode_to_vec(&manifest)).expect("it decodes");
    assert_eq!(read, manifest);
    assert_eq!(Verifier::from_manifest(read), Err(ManifestError::Linked));
}

#[test]
fn lists_are_bounded_while_decoding_and_validating() {
    let many = |signers: usize, linked: usize, data: usize| {
        Manifest::new(vec![Signer::new(PublicKey([1; 32])); signers])
            .with_linked(vec![CoreKey([2; 32]); linked])
            .with_user_data(vec![3; data])
    };
    let full = many(MAX_SIGNERS, MAX_LINKED, MAX_USER_DATA);
    assert_eq!(full.validate(), Ok(()));
    assert_eq!(decode_exact(&encode_to_vec(&full)), Ok(full));
    for (over, limit) in [
        (many(MAX_SIGNERS + 1, 1, 1), MAX_SIGNERS),
        (many(1, MAX_LINKED + 1, 1), MAX_LINKED),
        (many(1, 1, MAX_USER_DATA + 1), MAX_USER_DATA),
    ] {
        assert_eq!(over.validate(), Err(ManifestError::OverLimit { limit }));
        assert!(decode_exact::<Manifest>(&encode_to_vec(&over)).is_err());
    }
}

#[test]
fn a_key_alone_takes_only_the_manifest_that_hashes_to_it() {
    let manifest = Manifest::single(PublicKey([1; 32]));
    let authority = Authority::from(manifest.key());
    let resolved = authority
        .resolve(Some(&manifest))
        .expect("its own manifest");
    assert_eq!(resolved.manifest(), Some(&manifest));

    let other = Manifest::single(PublicKey([2; 32]));
    assert_eq!(
        authority.resolve(Some(&other)).err(),
        Some(ManifestError::OtherKey)
    );

    let compat = authority.resolve(None).expect("a key may be a public key");
    assert!(compat.is_compat() && compat.manifest().is_none());

    // a manifest that names the key as its only signer says no more than the key
    let authority = Authority::from(CoreKey([1; 32]));
    assert!(
        authority
            .resolve(Some(&manifest))
            .expect("a compat manifest")
            .is_compat()
    );
}

#[test]
fn a_settled_authority_does_not_look_at_the_manifest_of_a_proof() {
    let verifier = Verifier::compat(PublicKey([1; 32]));
    let authority = Authority::from(verifier.clone());
    let other = Manifest::single(PublicKey([2; 32]));
    assert_eq!(*authority.resolve(Some(&other)).expect("settled"), verifier);
    assert_eq!(authority.key(), CoreKey([1; 32]));
}
