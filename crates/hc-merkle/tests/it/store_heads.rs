//! The logs that the reference left in its stores: their blocks hash to their roots, their roots are
//! signed, and their manifests hash to their keys.

use hc_encoding::decode_exact;
use hc_merkle::{CoreKey, Draft, Fork, Head, Length, Manifest, PublicKey, Verifier};
use serde_json::Value;

use crate::vectors::{array, bytes, list, load, node, uint};

fn verifier(core: &Value) -> Verifier {
    let key = CoreKey(array(&core["key"]));
    if core["compat"] == true {
        return Verifier::compat(PublicKey(*key.as_bytes()));
    }
    let manifest: Manifest =
        decode_exact(&bytes(&core["manifest"])).expect("a manifest of the reference");
    Verifier::new(key, manifest).expect("the manifest of this key")
}

fn head(core: &Value) -> Head {
    let roots = list(&core["roots"]).iter().map(node).collect();
    let (fork, length) = (uint(&core["fork"]), uint(&core["length"]));
    Head::new(Fork::new(fork), Length::new(length), roots).expect("roots of this length")
}

#[test]
fn heads_in_the_stores_of_the_reference_verify() {
    let mut signed = 0;
    for store in list(&load("stores.json")["stores"]) {
        for core in list(&store["cores"]) {
            let key = CoreKey(array(&core["key"]));
            assert_eq!(key.discovery_key().0, array::<32>(&core["discoveryKey"]));
            let head = head(core);
            assert_eq!(head.tree_hash().0, array::<32>(&core["treeHash"]));
            assert_eq!(head.byte_length().get(), uint(&core["byteLength"]));
            if core["signature"].is_null() {
                assert_eq!(head.length(), Length::ZERO);
                continue;
            }
            let signature = bytes(&core["signature"]);
            let good = head.clone().with_signature(signature.clone().into());
            verifier(core).verify(&good).unwrap();
            for at in [signature.len() - 64, signature.len() / 2] {
                let mut bad = signature.clone();
                bad[at] ^= 1;
                let bad = head.clone().with_signature(bad.into());
                assert!(verifier(core).verify(&bad).is_err());
            }
            signed += 1;
        }
    }
    assert!(signed >= 12, "only {signed}");
}

#[test]
fn blocks_in_the_stores_of_the_reference_hash_to_their_roots() {
    let mut whole = 0;
    for store in list(&load("stores.json")["stores"]) {
        for core in list(&store["cores"]) {
            let blocks = list(&core["blocks"]);
            if blocks.is_empty() || blocks.iter().any(Value::is_null) {
                continue;
            }
            let mut draft = Draft::new(&Head::empty());
            draft
                .append(blocks.iter().map(|block| bytes(block).into()))
                .unwrap();
            assert_eq!(draft.head().roots(), head(core).roots());
            whole += 1;
        }
    }
    assert!(whole >= 8, "only {whole}");
}
