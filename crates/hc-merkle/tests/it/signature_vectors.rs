//! What is signed, signed trees and multi-signatures agree with the golden vectors; every one that the
//! reference refuses is refused.

use hc_encoding::decode_exact;
use hc_merkle::manifest::{Manifest, ManifestVersion};
use hc_merkle::multisig::{MultiSignature, Part, assemble, signable_length};
use hc_merkle::{
    CoreKey, Draft, Fork, Head, KeyPair, Length, Node, PublicKey, Signature, SignedTree, TreeHash,
    Verifier,
};
use serde_json::Value;

use crate::sources::decode;
use crate::store::Store;
use crate::vectors::{array, bytes, head, list, load, node, uint};
use crate::verify::Receiver;

fn tree(case: &Value) -> SignedTree {
    SignedTree {
        hash: TreeHash(array(&case["treeHash"])),
        length: Length::new(uint(&case["length"])),
        fork: Fork::new(uint(&case["fork"])),
    }
}

fn verifier(case: &Value) -> Verifier {
    let public_key = || PublicKey(array(&case["publicKey"]));
    match case["kind"].as_str() {
        Some("compat") => Verifier::compat(public_key()),
        Some("compat without the header") => Verifier::legacy(public_key()),
        _ => {
            let manifest: Manifest = decode_exact(&bytes(&case["manifest"])).expect("a manifest");
            Verifier::new(CoreKey(array(&case["key"])), manifest).expect("of this key")
        }
    }
}

#[test]
fn signables() {
    for case in list(&load("crypto.json")["treeSignable"]) {
        let tree = tree(case);
        let public_key = KeyPair::from_seed(&[1; 32]).public_key();
        let signable = |verifier: Verifier| {
            let signable = verifier.signable(&public_key, &tree).expect("a signer");
            hex::encode(signable.as_bytes())
        };
        assert_eq!(case["compat"], signable(Verifier::compat(public_key)));
        assert_eq!(
            case["compatNoHeader"],
            signable(Verifier::legacy(public_key))
        );
        // the key is the hash of no manifest that we know, but a namespace of version 0 stands at the
        // same place
        let mut manifest = Manifest::single(public_key).with_version(ManifestVersion::V0);
        manifest.signers[0].namespace = array(&case["manifestHash"]).into();
        assert_eq!(
            case["signable"],
            signable(Verifier::from_manifest(manifest).expect("valid"))
        );
    }
}

#[test]
fn signed_trees() {
    let vectors = load("crypto.json");
    let cases = list(&vectors["signedTrees"]);
    assert!(cases.len() >= 28);
    for (at, case) in cases.iter().enumerate() {
        let verifier = verifier(case);
        let pair = KeyPair::from_seed(&array(&case["seed"]));
        let head = head(
            &vectors["dataset"],
            uint(&case["length"]),
            uint(&case["fork"]),
        );
        assert_eq!(head.signed_tree(), tree(case));
        let signable = verifier
            .signable(&pair.public_key(), &head.signed_tree())
            .expect("a signer");
        assert_eq!(case["signable"], hex::encode(signable.as_bytes()));
        assert_eq!(
            case["ed25519"],
            hex::encode(pair.sign(signable.as_bytes()).as_bytes())
        );
        let signature = verifier.sign(&pair, &head.signed_tree()).expect("a signer");
        assert_eq!(case["signature"], hex::encode(&signature));

        let signed = head.clone().with_signature(signature.clone());
        assert_eq!(verifier.verify(&signed), Ok(()));
        assert!(verifier.verify(&head).is_err());
        for bit in 0..signature.len() * 8 {
            // the entry's patch is of no account where patches are not allowed
            if signature.len() == 68 && bit / 8 >= 66 {
                continue;
            }
            let mut flipped = signature.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let flipped = head.clone().with_signature(flipped.into());
            assert!(verifier.verify(&flipped).is_err(), "case {at}, bit {bit}");
        }
    }
}

fn part(value: &Value) -> Part {
    Part {
        signer: uint(&value["signer"]),
        signature: Signature(array(&value["signature"])),
        patch: Length::new(uint(&value["patch"])),
        nodes: list(&value["nodes"]).iter().map(node).collect(),
    }
}

/// Whether the decoded form is the one in the vectors.
fn same(multi: &MultiSignature, decoded: &Value) -> bool {
    let patch_len = |value: &Value| match value {
        Value::Null => 0,
        Value::Object(patch) => uint(&patch["length"]),
        number => uint(number),
    };
    let entries = list(&decoded["proofs"]);
    let nodes: Vec<Node> = list(&decoded["patch"]).iter().map(node).collect();
    multi.patch == nodes
        && multi.entries.len() == entries.len()
        && multi.entries.iter().zip(entries).all(|(entry, value)| {
            entry.signer == uint(&value["signer"])
                && entry.signature.0 == array(&value["signature"])
                && entry.patch.get() == patch_len(&value["patch"])
        })
}

#[test]
fn multi_signatures() {
    let vectors = load("multisig.json");
    let (mut valid, mut refused, mut assembled) = (0, 0, 0);
    for group in list(&vectors["groups"]) {
        let manifest: Manifest = decode_exact(&bytes(&group["manifest"])).expect("a manifest");
        let version = manifest.version;
        let verifier = Verifier::new(CoreKey(array(&group["key"])), manifest).expect("of this key");
        for case in list(&group["cases"]) {
            let note = format!("{}: {}", group["name"], case["note"]);
            let head = head(&vectors["data"], uint(&case["length"]), uint(&case["fork"]));
            assert_eq!(head.signed_tree(), tree(case), "{note}");
            let signature = bytes(&case["signature"]);
            if case["inputs"].is_array() {
                let parts: Vec<_> = list(&case["inputs"]).iter().map(part).collect();
                assert_eq!(assemble(version, &parts), signature, "{note}");
                assembled += 1;
            }
            match MultiSignature::from_bytes(version, &signature) {
                Ok(multi) => assert!(same(&multi, &case["decoded"]), "{note}"),
                Err(_) => assert!(case["decoded"].is_null(), "{note}"),
            }
            let verdict = verifier.verify(&head.with_signature(signature.into()));
            assert_eq!(
                verdict.is_ok(),
                case["valid"] == true,
                "{note}: {verdict:?}"
            );
            if verdict.is_ok() {
                valid += 1;
            } else {
                refused += 1;
            }
        }
    }
    assert!(
        valid > 90 && refused > 90 && assembled > 150,
        "{valid} {refused} {assembled}"
    );
}

#[test]
fn parts_of_signers() {
    let vectors = load("multisig.json");
    for group in list(&vectors["groups"]) {
        let manifest: Manifest = decode_exact(&bytes(&group["manifest"])).expect("a manifest");
        let verifier = Verifier::from_manifest(manifest).expect("valid");
        let pairs: Vec<_> = list(&group["seeds"])
            .iter()
            .map(|seed| KeyPair::from_seed(&array(seed)))
            .collect();
        for case in list(&group["cases"])
            .iter()
            .filter(|case| case["note"] == "signers 0 and 1")
        {
            let parts: Vec<_> = pairs
                .iter()
                .take(2)
                .map(|pair| verifier.sign_part(pair, &tree(case)).expect("a signer"))
                .collect();
            assert_eq!(
                parts,
                list(&case["inputs"]).iter().map(part).collect::<Vec<_>>()
            );
            assert_eq!(case["signature"], hex::encode(verifier.assemble(&parts)));
        }
    }
}

#[test]
fn length_that_a_quorum_has_reached() {
    for case in list(&load("multisig.json")["signableLength"]) {
        let lengths: Vec<_> = list(&case["lengths"])
            .iter()
            .map(uint)
            .map(Length::new)
            .collect();
        let quorum = usize::try_from(uint(&case["quorum"])).expect("small");
        assert_eq!(
            signable_length(&lengths, quorum).get(),
            uint(&case["length"])
        );
    }
}

/// A reader that knows the key alone takes in a proof with the manifest and a multi-signature, and none
/// that was tampered with.
#[test]
fn proofs_that_carry_multi_signatures() {
    for group in list(&load("multisig.json")["groups"]) {
        let proof = &group["proof"];
        let mut reader = Receiver {
            store: Store::empty(),
            authority: CoreKey(array(&group["key"])).into(),
        };
        let tampered = decode(&bytes(&proof["tampered"]).into()).expect("a message");
        assert!(reader.take(tampered).is_err(), "{}", group["name"]);
        assert!(reader.authority.verifier().is_none());

        let reply = decode(&bytes(&proof["reply"]).into()).expect("a message");
        reader.take(reply).expect("a good proof");
        reader.assert_state(&proof["after"]);
        let learned = reader.authority.verifier().and_then(Verifier::manifest);
        let manifest: Manifest = decode_exact(&bytes(&group["manifest"])).expect("a manifest");
        assert_eq!(learned, Some(&manifest));
    }
}

/// The same key pair, blocks and keys as in the reference's own examples.
#[test]
fn a_whole_log_from_its_seed() {
    let pair = KeyPair::from_seed(&[1; 32]);
    let hex = |text: &str| hex::decode(text).expect("hex");
    let verifier = Verifier::from_manifest(Manifest::single(pair.public_key())).expect("valid");
    let key = "d8c3a0597903b28d751c6e0b7107775e388ec5a3cf669bdd1e7ec41b8b8f6e72";
    assert_eq!(verifier.key().to_string(), key);
    let v0 = Manifest::single(pair.public_key()).with_version(ManifestVersion::V0);
    let key = "a945135b724f9205a06c58bee34f342ac3c77ff0c09fa54ad6220c0eb3168fa8";
    assert_eq!(v0.key().to_string(), key);
    let discovery_key = "fb892b1c77fdcb05dcbd234607208b7036e00a13e7f2cc0bbaa463924e57865a";
    assert_eq!(verifier.key().discovery_key().to_string(), discovery_key);

    let mut draft = Draft::new(&Head::empty());
    draft
        .append(["hello", "world"].map(Into::into))
        .expect("a small log");
    let sealed = draft.seal(|head| verifier.sign(&pair, &head.signed_tree()));
    let change = sealed.expect("a signer");
    let head = change.head().expect("a head");
    let tree_hash = "28ac717e6b6a3fe16b4363f16cf1a308edceccf4a05ec501bd05fdbe5b42215b";
    assert_eq!(head.tree_hash().to_string(), tree_hash);
    let signature = "010074712abd908a23442ac16b4e9d81d6b110213f0e7c8e067a29e6768038e584151f8bfa9f\
                     1c86f3711266c81d3c69f8e6ab439171249e38bf72d8255dad0a1d0f0000";
    assert_eq!(head.signature().expect("signed"), &hex(signature));
}
