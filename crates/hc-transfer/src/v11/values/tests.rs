//! Values as the reference writes them.

use hc_encoding::Reader;
use hc_merkle::{Node, NodeIndex};
use serde_json::Value;

use super::*;
use crate::vectors::{array, bytes, list, load, uint};

fn decode<T: for<'a> Decode<'a>>(bytes: &[u8]) -> T {
    T::decode(&mut Reader::new(bytes)).unwrap_or_else(|error| panic!("{error}"))
}

fn same_auth(found: &CoreAuth, expected: &Value) {
    assert_eq!(found.key, CoreKey(array(&expected["key"])));
    assert_eq!(found.encrypted, !expected["encryptionKey"].is_null());
    let secret = found
        .secret_key
        .as_ref()
        .map(|secret| secret.as_bytes().to_vec());
    let expected_secret = expected["keyPair"]["secretKey"].as_str();
    assert_eq!(
        secret,
        expected_secret.map(|text| hex::decode(text).expect("hex"))
    );
    let manifest = &expected["manifest"];
    assert_eq!(found.manifest.is_some(), !manifest.is_null());
    if let Some(found) = &found.manifest {
        assert_eq!(
            format!("{:?}", found.version),
            format!("V{}", manifest["version"])
        );
        assert_eq!(found.quorum, uint(&manifest["quorum"]));
        assert_eq!(found.signers.len(), list(&manifest["signers"]).len());
    }
}

#[test]
fn values_of_the_reference_are_read() {
    let vectors = load("hc-protocol/tests/vectors/messages.json");
    let mut compared = 0;
    for case in list(&vectors["storage"]["values"]) {
        let (bytes, expected) = (bytes(&case["hex"]), &case["decoded"]);
        match case["type"].as_str().expect("a name") {
            "@corestore/head" => {
                let found: StoreHead = decode(&bytes);
                let seed = found.seed.map(|seed| hex::encode(*seed));
                assert_eq!(seed.as_deref(), expected["seed"].as_str());
                let default = found.default.map(|key| key.to_string());
                assert_eq!(default.as_deref(), expected["defaultDiscoveryKey"].as_str());
            }
            "@corestore/core" => {
                let found: CorePlace = decode(&bytes);
                assert_eq!(found.core, uint(&expected["corePointer"]));
                assert_eq!(found.data, uint(&expected["dataPointer"]));
                let name = found.alias.map(|alias| alias.name);
                assert_eq!(name.as_deref(), expected["alias"]["name"].as_str());
            }
            "@core/auth" => same_auth(&decode(&bytes), expected),
            "@core/head" => {
                let found: CoreHead = decode(&bytes);
                assert_eq!(found.length.get(), uint(&expected["length"]));
                assert_eq!(found.fork.get(), uint(&expected["fork"]));
                let signature = expected["signature"].as_str().unwrap_or_default();
                assert_eq!(hex::encode(found.signature), signature);
            }
            "@core/dependency" => {
                let found: Dependency = decode(&bytes);
                assert_eq!(found.data, uint(&expected["dataPointer"]));
                assert_eq!(found.length, uint(&expected["length"]));
            }
            "@core/tree-node" => {
                let found: Node = decode(&bytes);
                assert_eq!(found.index, NodeIndex::new(uint(&expected["index"])));
            }
            _ => continue,
        }
        compared += 1;
    }
    assert!(compared >= 13, "only {compared}");
}

#[test]
fn the_first_form_of_the_head_of_a_store_is_read() {
    let mut bytes = vec![1, 7, 3, 5];
    bytes.extend([8; 32]);
    bytes.extend([9; 32]);
    let found: StoreHead = decode(&bytes);
    assert_eq!(found.seed.as_deref(), Some(&[8; 32]));
    assert_eq!(found.default, Some(DiscoveryKey([9; 32])));
}
