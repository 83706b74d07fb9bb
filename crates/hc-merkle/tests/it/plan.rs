//! Requests are answered as the reference answers them, byte for byte, or refused.

use bytes::Bytes;
use hc_merkle::proof::{BlockRequest, HashRequest, Request, SeekRequest, UpgradeRequest};
use hc_merkle::{BlockIndex, Head, NodeIndex, PlanError};
use proptest::prelude::*;
use serde_json::Value;

use crate::sources::{Source, all, decode, encode, request};
use crate::vectors::{array, list, load, uint};

#[test]
fn sources_are_built_as_they_were() {
    let vectors = load("proofs.json");
    let built = all(&vectors);
    for source in list(&vectors["sources"]) {
        let built = &built[source["name"].as_str().unwrap()];
        assert!(
            built
                .manifest
                .as_ref()
                .is_none_or(|manifest| manifest.key() == built.key)
        );
        let head = &built.store.head;
        assert_eq!(
            head.tree_hash().as_bytes(),
            &array::<32>(&source["treeHash"])
        );
        assert_eq!(head.length().get(), uint(&source["length"]));
        assert_eq!(head.fork().get(), uint(&source["fork"]));
        assert_eq!(head.byte_length().get(), uint(&source["byteLength"]));
    }
}

fn check(source: &Source, case: &Value) {
    let asked = request(&case["request"]);
    let proof = source.answer(&asked).expect("an answer");
    let reply = encode(uint(&case["request"]["id"]), &proof);
    assert_eq!(decode(&Bytes::from(reply.clone())), Ok(proof), "{case}");
    assert_eq!(
        hex::encode(reply),
        case["reply"].as_str().expect("hex"),
        "{case}"
    );
}

#[test]
fn replies_are_those_of_the_reference() {
    let vectors = load("proofs.json");
    let built = all(&vectors);
    let mut checked = 0;
    for scenario in list(&vectors["scenarios"]) {
        let source = &built[scenario["source"].as_str().unwrap()];
        let cases = list(&scenario["cases"]).iter();
        for case in cases.filter(|case| case["quirk"].is_null() && !case["request"].is_null()) {
            check(source, case);
            checked += 1;
        }
    }
    for reorg in list(&vectors["reorgs"]) {
        for step in list(&reorg["steps"]) {
            check(&built[reorg["source"].as_str().unwrap()], step);
            checked += 1;
        }
    }
    assert!(checked > 100, "only {checked} replies");
}

#[test]
fn requests_without_an_answer_are_refused() {
    let vectors = load("proofs.json");
    let built = all(&vectors);
    for case in list(&vectors["refused"]) {
        let source = &built[case["source"].as_str().unwrap()];
        let refused = source.answer(&request(&case["request"])).unwrap_err();
        assert!(refused.is_invalid_request(), "{refused}: {case}");
    }
}

#[test]
fn what_is_not_stored_is_not_the_askers_fault() {
    let vectors = load("proofs.json");
    let mut source = all(&vectors).remove("single").unwrap();
    let asked = Request {
        block: Some(BlockRequest {
            index: BlockIndex::new(4),
            nodes: 3,
        }),
        ..Request::default()
    };
    source.store.blocks.remove(&BlockIndex::new(4));
    let refused = source.answer(&asked).unwrap_err();
    assert_eq!(
        refused,
        PlanError::MissingBlock {
            index: BlockIndex::new(4)
        }
    );
    assert!(!refused.is_invalid_request());
    source.store.nodes.remove(&NodeIndex::new(10));
    let refused = source.answer(&asked).unwrap_err();
    assert_eq!(
        refused,
        PlanError::MissingNode {
            index: NodeIndex::new(10)
        }
    );
    assert!(!refused.is_invalid_request());
}

#[test]
fn an_upgrade_from_nothing_reads_nothing() {
    let vectors = load("proofs.json");
    let source = &all(&vectors)["big"];
    assert_eq!(source.plan(&whole(source)).unwrap().nodes(), []);
}

#[test]
fn a_log_without_blocks_proves_nothing() {
    let source = Source::over(Head::empty());
    let upgrade = Some(UpgradeRequest {
        start: 0.into(),
        length: 1.into(),
    });
    let proof = source
        .answer(&Request {
            upgrade,
            ..Request::default()
        })
        .unwrap();
    assert_eq!(
        (proof.upgrade, proof.block, proof.manifest),
        (None, None, None)
    );
}

/// Asks for all of a log.
pub(crate) fn whole(source: &Source) -> Request {
    let length = source.store.head.length();
    let upgrade = UpgradeRequest {
        start: 0.into(),
        length,
    };
    Request {
        upgrade: Some(upgrade),
        ..Request::default()
    }
}

pub(crate) fn block_request(index: u64, nodes: u64) -> Request {
    let block = BlockRequest {
        index: index.into(),
        nodes,
    };
    Request {
        block: Some(block),
        ..Request::default()
    }
}

pub(crate) fn hash_request(index: u64, nodes: u64) -> Request {
    let hash = HashRequest {
        index: index.into(),
        nodes,
    };
    Request {
        hash: Some(hash),
        ..Request::default()
    }
}

fn numbers() -> impl Strategy<Value = u64> {
    prop_oneof![
        0..80u64,
        Just(u64::MAX),
        (0..64u32).prop_map(|bit| 1 << bit),
        any::<u64>()
    ]
}

pub(crate) fn requests() -> impl Strategy<Value = Request> {
    let some = || proptest::option::of((numbers(), numbers()));
    (some(), some(), some(), some()).prop_map(|(block, hash, seek, upgrade)| Request {
        block: block.map(|(index, nodes)| BlockRequest {
            index: index.into(),
            nodes,
        }),
        hash: hash.map(|(index, nodes)| HashRequest {
            index: index.into(),
            nodes,
        }),
        seek: seek.map(|(bytes, padding)| SeekRequest {
            bytes: bytes.into(),
            padding,
        }),
        upgrade: upgrade.map(|(start, length)| UpgradeRequest {
            start: start.into(),
            length: length.into(),
        }),
        manifest: true,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn whatever_is_asked_is_answered_or_refused(asked in requests()) {
        thread_local! {
            static SOURCE: Source = all(&load("proofs.json")).remove("single").expect("a source");
        }
        let refused = SOURCE.with(|source| source.answer(&asked).err());
        prop_assert!(refused.is_none_or(|refused| refused.is_invalid_request()), "{refused:?}");
    }
}
