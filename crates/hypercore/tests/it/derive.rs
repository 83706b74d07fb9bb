//! The names of a JavaScript corestore give the same key pairs and keys here.

use std::path::Path;

use hypercore::manifest::ManifestVersion;
use hypercore::{CoreKey, Manifest, NamePath, PrimaryKey};
use serde_json::Value;

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap()
}

fn place(case: &Value) -> NamePath {
    let names = case["namespaces"].as_array().unwrap();
    names
        .iter()
        .fold(NamePath::ROOT, |at, name| at.join(name.as_str().unwrap()))
}

fn primary(hex_text: &str) -> PrimaryKey {
    PrimaryKey::from_bytes(hex::decode(hex_text).unwrap().try_into().unwrap())
}

fn vectors() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/corestore.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn names_give_the_keys_of_a_corestore() {
    let mut seen = 0;
    for store in vectors()["stores"].as_array().unwrap() {
        let primary = primary(text(store, "primaryKey"));
        let version = match store["manifestVersion"].as_u64() {
            Some(0) => ManifestVersion::V0,
            Some(1) => ManifestVersion::V1,
            _ => ManifestVersion::V2,
        };
        for case in store["cores"].as_array().unwrap() {
            let at = place(case);
            assert_eq!(hex::encode(at.as_bytes()), text(case, "namespace"));
            let pair = primary.key_pair(&at, text(case, "name"));
            assert_eq!(pair.public_key().to_string(), text(case, "publicKey"));
            assert_eq!(
                hex::encode(pair.secret_key().as_bytes()),
                text(case, "secretKey")
            );
            let manifest = Manifest::single(pair.public_key()).with_version(version);
            assert_eq!(
                hex::encode(hc_encoding::encode_to_vec(&manifest)),
                text(case, "manifest")
            );
            let key = manifest.key();
            assert_eq!(key.to_string(), text(case, "key"));
            assert_eq!(key.to_z32(), text(case, "id"));
            assert_eq!(key.discovery_key().to_string(), text(case, "discoveryKey"));
            let compat = CoreKey(*pair.public_key().as_bytes());
            assert_eq!(compat.to_string(), text(case, "compatKey"));
            assert_eq!(
                compat.discovery_key().to_string(),
                text(case, "compatDiscoveryKey")
            );
            seen += 1;
        }
    }
    assert!(seen >= 20, "only {seen}");
}

#[test]
fn version_6_names_its_logs_by_their_public_keys() {
    let vectors = vectors();
    let primary = primary(text(&vectors["stores"][1], "primaryKey"));
    for case in vectors["version6"].as_array().unwrap() {
        let pair = primary.key_pair(&place(case), text(case, "name"));
        let key = CoreKey(*pair.public_key().as_bytes());
        assert_eq!(key.to_string(), text(case, "key"));
        assert_eq!(key.discovery_key().to_string(), text(case, "discoveryKey"));
    }
}
