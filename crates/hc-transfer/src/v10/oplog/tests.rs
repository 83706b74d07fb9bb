//! What the reference writes, against what is read of it.

use hc_merkle::{ByteLength, Hash, NodeIndex};
use serde_json::Value;

use super::*;
use crate::vectors::{array, bytes, list, load, uint};

const MESSAGES: &str = "hc-protocol/tests/vectors/messages.json";

fn node(value: &Value) -> Node {
    Node {
        index: NodeIndex::new(uint(&value["index"])),
        size: ByteLength::new(uint(&value["size"])),
        hash: Hash(array(&value["hash"])),
    }
}

fn pair(value: &Value) -> (String, Bytes) {
    let key = value["key"].as_str().expect("text").to_owned();
    (key, bytes(&value["value"]).into())
}

fn tree(value: &Value) -> Tree {
    Tree {
        fork: Fork::new(uint(&value["fork"])),
        length: Length::new(uint(&value["length"])),
        signature: match &value["signature"] {
            Value::Null => Bytes::new(),
            signature => bytes(signature).into(),
        },
    }
}

fn entry(value: &Value) -> Entry {
    let part = |name: &str| Some(&value[name]).filter(|part| !part.is_null());
    Entry {
        user_data: part("userData").map(pair),
        nodes: part("treeNodes")
            .map_or_else(Vec::new, |nodes| list(nodes).iter().map(node).collect()),
        upgrade: part("treeUpgrade").map(|upgrade| Upgrade {
            ancestors: Length::new(uint(&upgrade["ancestors"])),
            tree: tree(upgrade),
        }),
        bits: part("bitfield").map(|bits| Bits {
            is_there: bits["drop"] == false,
            start: uint(&bits["start"]),
            len: uint(&bits["length"]),
        }),
    }
}

fn same_header(found: &Header, expected: &Value) {
    assert_eq!(found.key, CoreKey(array(&expected["key"])));
    let user_data: Vec<_> = list(&expected["userData"]).iter().map(pair).collect();
    assert_eq!(found.user_data, user_data);
    assert_eq!(found.tree, tree(&expected["tree"]));
    let secret = found
        .secret_key
        .as_ref()
        .map(|secret| secret.as_bytes().to_vec());
    let expected_secret = &expected["keyPair"]["secretKey"];
    let expected_secret = expected_secret.as_str().filter(|text| !text.is_empty());
    assert_eq!(
        secret,
        expected_secret.map(|text| hex::decode(text).expect("hex"))
    );
    if let Some(manifest) = &found.manifest {
        let signers = list(&expected["manifest"]["signers"]);
        assert_eq!(manifest.signers.len(), signers.len());
        for (found, expected) in manifest.signers.iter().zip(signers) {
            assert_eq!(*found.public_key.as_bytes(), array(&expected["publicKey"]));
        }
    }
}

fn decode(hex: &Value) -> Found {
    let content = Bytes::from(bytes(hex));
    Found::decode(&mut Reader::over(&content)).expect("a header of the reference")
}

#[test]
fn entries_of_the_reference_are_read() {
    let vectors = load(MESSAGES);
    let entries = list(&vectors["oplog"]["entry"]);
    assert!(entries.len() >= 9);
    for case in entries {
        let content = Bytes::from(bytes(&case["hex"]));
        let found = Entry::decode(&mut Reader::over(&content));
        assert_eq!(found, Ok(entry(&case["value"])), "{case}");
        for end in 1..content.len() {
            let cut = content.slice(..end);
            // Every cut but the one before parts that the flags do not name is refused.
            assert!(
                Entry::decode(&mut Reader::over(&cut)).is_err(),
                "{case} at {end}"
            );
        }
    }
}

#[test]
fn headers_of_the_reference_are_read() {
    let vectors = load(MESSAGES);
    let all = &vectors["oplog"];
    for case in list(&all["header"]).iter().chain(list(&all["headerV0"])) {
        let Found::Here(found) = decode(&case["hex"]) else {
            panic!("{case} is no external header")
        };
        same_header(&found, &case["value"]);
    }
    for case in list(&all["external"]) {
        let Found::External { start, len } = decode(&case["hex"]) else {
            panic!("{case} is an external header")
        };
        let expected = &case["value"]["external"];
        assert_eq!(
            (start, len),
            (uint(&expected["start"]), uint(&expected["length"]))
        );
    }
}

#[test]
fn files_of_the_reference_are_read() {
    let vectors = load(MESSAGES);
    let files = list(&vectors["oplog"]["files"]);
    assert!(files.len() >= 10);
    for case in files {
        let mut file = vec![0; usize::try_from(uint(&case["byteLength"])).expect("a length")];
        for chunk in list(&case["chunks"]) {
            let at = usize::try_from(uint(&chunk[0])).expect("a place");
            let chunk = bytes(&chunk[1]);
            file[at..at + chunk.len()].copy_from_slice(&chunk);
        }
        let (found, entries) = read(&file.into()).expect("a file of the reference");
        let Found::Here(header) = found else {
            panic!("{case} has its header inside")
        };
        same_header(&header, &case["header"]);
        let expected: Vec<_> = list(&case["entries"]).iter().map(entry).collect();
        assert_eq!(entries, expected, "{}", case["note"]);
    }
}

#[test]
fn a_file_without_a_header_is_no_oplog() {
    for len in [0, 8, 4096, 9000] {
        let fault = read(&vec![0; len].into()).expect_err("nothing is there");
        assert_eq!((fault.offset, fault.kind), (0, OplogFaultKind::NoHeader));
    }
}
