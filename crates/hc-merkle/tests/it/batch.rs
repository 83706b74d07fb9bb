//! Proofs that arrive together are judged as if they had come one after the other, and a proof that is
//! changed in any way is refused or says the same.

use bytes::Bytes;
use hc_merkle::manifest::{Manifest, Prologue};
use hc_merkle::proof::{
    Batch, BlockProof, Confirmed, HashProof, Proof, Remote, Reorg, Request, SeekProof,
    UpgradeProof, UpgradeRequest,
};
use hc_merkle::{
    Authority, Change, CoreKey, Fork, Hash, Length, Missing, Node, NodeIndex, ProofError,
    PublicKey, Verifier,
};
use proptest::prelude::*;

use crate::plan::{block_request, hash_request, requests, whole};
use crate::sources::Source;
use crate::store::Store;

pub(crate) fn confirm(store: &Store, authority: &Authority, proofs: Vec<Proof>) -> Confirmed {
    let batch = Batch::verify(&store.head, authority, proofs);
    assert!(batch.expected().is_sorted());
    let stored = store.read(batch.expected());
    batch.confirm(&stored)
}

pub(crate) fn upgraded(source: &Source) -> Store {
    let mut store = Store::empty();
    let proof = source.answer(&whole(source)).expect("an answer");
    let confirmed = confirm(&store, &source.authority(), vec![proof]);
    store.commit(&confirmed.change.expect("a change"));
    store
}

/// What a reader with these nodes asks for to get a block.
pub(crate) fn block_proof(source: &Source, store: &Store, block: u64) -> Proof {
    let plan = Missing::new(store.head.length(), NodeIndex::new(2 * block));
    let missing = plan.count(&store.read(plan.nodes()));
    source
        .answer(&block_request(block, missing))
        .expect("an answer")
}

pub(crate) fn upgrade(source: &Source, start: u64, length: u64, block: Option<u64>) -> Proof {
    let upgrade = Some(UpgradeRequest {
        start: start.into(),
        length: length.into(),
    });
    let block = block.and_then(|block| block_request(block, 0).block);
    source
        .answer(&Request {
            upgrade,
            block,
            ..Request::default()
        })
        .expect("an answer")
}

#[test]
fn blocks_asked_for_together_need_no_read_and_make_one_change() {
    let source = Source::made(&[(0..64, 'a')], 0);
    let mut store = upgraded(&source);
    let proofs: Vec<_> = (0..64)
        .map(|block| block_proof(&source, &store, block))
        .collect();
    let batch = Batch::verify(&store.head, &source.authority(), proofs);
    assert_eq!(batch.expected(), []);
    let confirmed = batch.confirm(&[]);
    assert_eq!(confirmed.outcomes, vec![Ok(()); 64]);
    let change = confirmed.change.unwrap();
    assert_eq!((change.head(), change.appended()), (None, 64..64));
    store.commit(&change);
    assert_eq!(store.blocks, source.store.blocks);
    assert_eq!(store.nodes, source.store.nodes);
}

#[test]
fn a_bad_proof_does_not_affect_the_others() {
    let source = Source::made(&[(0..20, 'a')], 0);
    let mut store = upgraded(&source);
    let mut proofs: Vec<_> = (0..6)
        .map(|block| block_proof(&source, &store, block))
        .collect();
    proofs[0].block.as_mut().unwrap().nodes.pop();
    proofs[1].block.as_mut().unwrap().value = Bytes::from_static(b"forged");
    proofs[3].fork = Fork::new(1);
    proofs[4] = Proof::default();
    let confirmed = confirm(&store, &source.authority(), proofs);
    let (ours, theirs) = (Fork::ZERO, Fork::new(1));
    assert_eq!(
        confirmed.outcomes,
        [
            Err(ProofError::Unconnected {
                index: NodeIndex::new(7)
            }),
            Err(ProofError::Checksum {
                index: NodeIndex::new(15)
            }),
            Ok(()),
            Err(ProofError::OtherFork { ours, theirs }),
            Err(ProofError::Empty),
            Ok(()),
        ]
    );
    store.commit(&confirmed.change.unwrap());
    assert_eq!(store.has(), [[2, 3], [5, 6]]);
}

#[test]
fn a_proof_may_end_at_a_node_that_another_one_brings() {
    let source = Source::made(&[(0..20, 'a')], 0);
    let store = upgraded(&source);
    let mut proofs: Vec<_> = (0..2)
        .map(|block| block_proof(&source, &store, block))
        .collect();
    proofs[1].block.as_mut().unwrap().nodes.pop();
    assert_eq!(
        confirm(&store, &source.authority(), proofs.clone()).outcomes,
        [Ok(()), Ok(())]
    );
    proofs.reverse();
    let unconnected = Err(ProofError::Unconnected {
        index: NodeIndex::new(7),
    });
    assert_eq!(
        confirm(&store, &source.authority(), proofs).outcomes,
        [unconnected, Ok(())]
    );
}

#[test]
fn a_batch_without_a_good_proof_changes_nothing() {
    let source = Source::made(&[(0..4, 'a')], 0);
    let mut forged = upgrade(&source, 0, 4, None);
    forged.upgrade.as_mut().unwrap().signature = Bytes::from_static(b"forged");
    let confirmed = confirm(
        &Store::empty(),
        &source.authority(),
        vec![forged, Proof::default()],
    );
    assert_eq!((confirmed.change, confirmed.learned), (None, None));
    assert!(confirmed.outcomes.iter().all(Result::is_err));
    let nothing = confirm(&Store::empty(), &source.authority(), vec![]);
    assert_eq!((nothing.change, nothing.outcomes), (None, vec![]));
}

#[test]
fn upgrades_in_a_row_and_blocks_of_each_are_one_change() {
    let (short, long) = (
        Source::made(&[(0..9, 'a')], 0),
        Source::made(&[(0..30, 'a')], 0),
    );
    let mut known = upgraded(&short);
    known.commit(
        &confirm(
            &known,
            &short.authority(),
            vec![upgrade(&long, 9, 21, None)],
        )
        .change
        .unwrap(),
    );
    let proofs = vec![
        upgrade(&short, 0, 9, Some(3)),
        upgrade(&long, 9, 21, Some(20)),
        block_proof(&long, &known, 5),
        block_proof(&long, &known, 29),
    ];
    let mut store = Store::empty();
    let confirmed = confirm(&store, &short.authority(), proofs);
    assert_eq!(confirmed.outcomes, vec![Ok(()); 4]);
    let change = confirmed.change.unwrap();
    assert_eq!(
        (change.base(), change.appended()),
        ((Fork::ZERO, Length::ZERO), 0..30)
    );
    store.commit(&change);
    assert_eq!(store.head, long.store.head);
    assert_eq!(store.has(), [[3, 4], [5, 6], [20, 21], [29, 30]]);
}

#[test]
fn an_upgrade_that_others_have_overtaken_still_gives_its_block() {
    let source = Source::made(&[(0..24, 'a')], 0);
    let mut store = upgraded(&source);
    // Its path ends at a node of the upgrade, which has to be known from elsewhere by now.
    let late = upgrade(&source, 0, 24, Some(3));
    let confirmed = confirm(&store, &source.authority(), vec![late]);
    assert_eq!(confirmed.outcomes, [Ok(())]);
    store.commit(&confirmed.change.unwrap());
    assert_eq!(store.has(), [[3, 4]]);

    let outcomes = confirm(
        &store,
        &source.authority(),
        vec![upgrade(&source, 0, 24, None)],
    )
    .outcomes;
    let (ours, theirs) = (Length::new(24), Length::ZERO);
    let overtaken = ProofError::OtherLength { ours, theirs };
    assert_eq!(outcomes, [Err(overtaken)]);
    assert!(!overtaken.is_senders_fault());
}

#[test]
fn who_may_sign_is_learned_with_the_first_proof_and_used_for_the_next() {
    let (short, long) = (
        Source::made(&[(0..9, 'a')], 0),
        Source::made(&[(0..30, 'a')], 0),
    );
    let mut first = upgrade(&short, 0, 9, None);
    first.manifest = short.manifest.clone();
    let proofs = vec![first.clone(), upgrade(&long, 9, 21, None)];
    let confirmed = confirm(&Store::empty(), &short.key.into(), proofs);
    assert_eq!(confirmed.outcomes, [Ok(()), Ok(())]);
    assert_eq!(
        confirmed.change.as_ref().and_then(Change::manifest),
        short.manifest.as_ref()
    );
    assert_eq!(confirmed.learned.map(|known| known.key()), Some(short.key));

    let manifest = Proof {
        manifest: short.manifest.clone(),
        ..Proof::default()
    };
    let confirmed = confirm(&Store::empty(), &short.key.into(), vec![manifest.clone()]);
    assert_eq!(
        confirmed.change.as_ref().and_then(Change::manifest),
        short.manifest.as_ref()
    );
    let other: Authority = CoreKey([1; 32]).into();
    let refused = confirm(&Store::empty(), &other, vec![manifest, first]).outcomes;
    assert!(
        refused
            .iter()
            .all(|outcome| matches!(outcome, Err(ProofError::Manifest(_))))
    );
}

#[test]
fn a_size_that_came_along_unchecked_is_put_right_by_a_path_that_ends_there() {
    let source = Source::made(&[(0..16, 'a')], 0);
    let mut store = upgraded(&source);
    let index = NodeIndex::new(3);
    let right = source.store.nodes[&index];
    let first = source.answer(&hash_request(14, 4)).unwrap();
    store.commit(
        &confirm(&store, &source.authority(), vec![first])
            .change
            .unwrap(),
    );
    store.nodes.insert(
        index,
        Node {
            size: 1.into(),
            ..right
        },
    );
    let confirmed = confirm(
        &store,
        &source.authority(),
        vec![block_proof(&source, &store, 2)],
    );
    store.commit(&confirmed.change.unwrap());
    assert_eq!(store.nodes[&index], right);
}

/// Moves a byte from the size of one node to that of another.
fn shift(nodes: &mut [Node], from: usize, to: usize) {
    nodes[from].size = (nodes[from].size.get() - 1).into();
    nodes[to].size = (nodes[to].size.get() + 1).into();
}

/// What is stored is what the source has.
fn assert_right(store: &Store, source: &Source) {
    for (index, node) in &store.nodes {
        assert_eq!(source.store.nodes.get(index), Some(node));
    }
}

#[test]
fn sizes_that_are_only_known_together_do_not_go_over_stored_ones() {
    let source = Source::made(&[(0..16, 'a')], 0);
    let mut store = upgraded(&source);
    let block = block_proof(&source, &store, 5);
    for (first, nodes) in [(10, 4), (5, 3), (3, 2)] {
        let mut proof = source.answer(&hash_request(first, nodes)).unwrap();
        shift(&mut proof.hash.as_mut().unwrap().nodes, 0, 1);
        for order in [[&block, &proof], [&proof, &block]] {
            let proofs = order.map(Clone::clone).to_vec();
            let confirmed = confirm(&store, &source.authority(), proofs);
            assert_eq!(confirmed.outcomes, [Ok(()), Ok(())], "nothing tells");
            store.commit(&confirmed.change.unwrap());
            assert_right(&store, &source);
        }
    }
    let seek = Proof {
        seek: Some(SeekProof {
            bytes: 0.into(),
            nodes: {
                let mut proof = source.answer(&hash_request(8, 4)).unwrap();
                let mut nodes = proof.hash.take().unwrap().nodes;
                shift(&mut nodes, 0, 1);
                nodes
            },
        }),
        ..Proof::default()
    };
    let confirmed = confirm(&store, &source.authority(), vec![seek]);
    assert_eq!(confirmed.outcomes, [Ok(())]);
    store.commit(&confirmed.change.unwrap());
    assert_right(&store, &source);
}

#[test]
fn an_upgrade_past_what_was_asked_stores_no_size_that_is_only_known_with_another() {
    let source = Source::made(&[(0..16, 'a')], 0);
    for (start, length) in [(0, 3), (0, 5), (0, 12), (2, 1), (4, 9), (5, 6)] {
        let mut store = Store::empty();
        if start > 0 {
            let short = Source::made(&[(0..start, 'a')], 0);
            store = upgraded(&short);
        }
        let honest = upgrade(&source, start, length, None);
        let change = confirm(&store, &source.authority(), vec![honest.clone()]).change;
        let mut honestly = store.clone();
        honestly.commit(&change.unwrap());
        let mut proof = honest;
        let upgrade = proof.upgrade.as_mut().unwrap();
        if let (Some(last), Some(next)) = (
            upgrade.nodes.last_mut(),
            upgrade.additional_nodes.first_mut(),
        ) {
            last.size = (last.size.get() - 1).into();
            next.size = (next.size.get() + 1).into();
        }
        let confirmed = confirm(&store, &source.authority(), vec![proof]);
        if let Some(change) = confirmed.change {
            store.commit(&change);
            assert_right(&store, &source);
            assert_eq!(store.nodes, honestly.nodes);
            assert_eq!(store.head.length(), Length::new(16));
        }
        assert_right(&honestly, &source);
    }
}

#[test]
fn a_manifest_alone_does_not_make_a_key_a_public_key() {
    let source = Source::made(&[(0..9, 'a')], 0);
    let claim = Manifest::single(PublicKey(*source.key.as_bytes()));
    let claim = Proof {
        manifest: Some(claim),
        ..Proof::default()
    };
    let mut honest = upgrade(&source, 0, 9, None);
    honest.manifest = source.manifest.clone();
    let confirmed = confirm(&Store::empty(), &source.key.into(), vec![claim, honest]);
    assert_eq!(confirmed.outcomes, [Err(ProofError::Empty), Ok(())]);
    let learned = confirmed.learned.unwrap();
    assert_eq!(learned.manifest(), source.manifest.as_ref());
}

#[test]
fn a_signature_that_nobody_looked_at_is_not_kept() {
    let source = Source::made(&[(0..9, 'a')], 0);
    let manifest = Manifest::new([]).with_prologue(Prologue {
        hash: source.store.head.tree_hash(),
        length: 9.into(),
    });
    let authority = Authority::from(Verifier::from_manifest(manifest).unwrap());
    let mut proof = upgrade(&source, 0, 9, None);
    proof.upgrade.as_mut().unwrap().signature = Bytes::from(vec![7; 1 << 20]);
    let change = confirm(&Store::empty(), &authority, vec![proof]).change;
    let change = change.unwrap();
    let head = change.head().unwrap();
    assert_eq!((head.length(), head.signature()), (9.into(), None));
}

#[test]
fn what_is_hashed_goes_over_what_is_given() {
    let source = Source::made(&[(0..16, 'a')], 0);
    let store = upgraded(&source);
    for order in [[0u64, 15], [15, 0]] {
        let mut proofs: Vec<_> = order
            .iter()
            .map(|block| block_proof(&source, &store, *block))
            .collect();
        // Sizes of siblings moved from one to the other: their sum is all that a hash covers.
        for proof in &mut proofs {
            let nodes = &mut proof.block.as_mut().unwrap().nodes;
            nodes[3].size = (nodes[3].size.get() + 1).into();
        }
        let confirmed = confirm(&store, &source.authority(), proofs);
        assert!(
            confirmed.outcomes.iter().all(Result::is_err),
            "the sum is covered"
        );
    }
}

/// Changes one thing about a proof, if it has it.
fn change(proof: &mut Proof, part: usize, field: usize, number: u64) {
    let mut block = proof.block.as_mut();
    let mut upgrade = proof.upgrade.as_mut();
    match (field, &mut block, &mut upgrade) {
        (0, Some(block), _) => block.index = number.into(),
        (1, Some(block), _) => block.value = number.to_string().into(),
        (2, _, Some(upgrade)) => upgrade.start = number.into(),
        (3, _, Some(upgrade)) => upgrade.length = number.into(),
        (4, _, Some(upgrade)) => upgrade.signature = number.to_string().into(),
        _ => {}
    }
    let nodes = [
        block.map(|block| &mut block.nodes),
        proof.hash.as_mut().map(|hash| &mut hash.nodes),
        upgrade.map(|upgrade| &mut upgrade.nodes),
        proof.seek.as_mut().map(|seek| &mut seek.nodes),
    ];
    let Some(nodes) = nodes.into_iter().flatten().nth(part % 2) else {
        return;
    };
    let place = usize::try_from(number % (nodes.len().max(1) as u64)).expect("small");
    let Some(node) = nodes.get_mut(place) else {
        return;
    };
    match field {
        5 => node.index = number.into(),
        6 => node.size = number.into(),
        7 => node.hash.0[usize::try_from(number % 32).expect("small")] ^= 1,
        8 => {
            nodes.remove(place);
        }
        9 => {
            let node = *node;
            nodes.push(node);
        }
        _ => {}
    }
}

fn numbers() -> impl Strategy<Value = u64> {
    prop_oneof![
        0..80u64,
        (0..64u32).prop_map(|bit| 1 << bit),
        Just(u64::MAX),
        any::<u64>()
    ]
}

fn nodes() -> impl Strategy<Value = Vec<Node>> {
    let node = (numbers(), numbers()).prop_map(|(index, size)| Node {
        index: index.into(),
        size: size.into(),
        hash: Hash([7; 32]),
    });
    proptest::collection::vec(node, 0..6)
}

fn wild() -> impl Strategy<Value = Proof> {
    let block = (numbers(), nodes()).prop_map(|(index, nodes)| BlockProof {
        index: index.into(),
        value: Bytes::from_static(b"wild"),
        nodes,
    });
    let hash = (numbers(), nodes()).prop_map(|(index, nodes)| HashProof {
        index: index.into(),
        nodes,
    });
    let seek = (numbers(), nodes()).prop_map(|(bytes, nodes)| SeekProof {
        bytes: bytes.into(),
        nodes,
    });
    let upgrade =
        (numbers(), numbers(), nodes(), nodes()).prop_map(|(start, length, nodes, more)| {
            let (start, length) = (start.into(), length.into());
            UpgradeProof {
                start,
                length,
                nodes,
                additional_nodes: more,
                signature: Bytes::new(),
            }
        });
    let (block, hash) = (proptest::option::of(block), proptest::option::of(hash));
    let (seek, upgrade) = (proptest::option::of(seek), proptest::option::of(upgrade));
    (block, hash, seek, upgrade).prop_map(|(block, hash, seek, upgrade)| Proof {
        block,
        hash,
        seek,
        upgrade,
        ..Proof::default()
    })
}

thread_local! {
    static SOURCE: Source = Source::made(&[(0..33, 'a')], 0);
    static UPGRADED: Store = SOURCE.with(upgraded);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_wild_proof_is_refused(proofs in proptest::collection::vec(wild(), 1..4)) {
        SOURCE.with(|source| {
            for store in [Store::empty(), UPGRADED.with(Store::clone)] {
                let confirmed = confirm(&store, &source.authority(), proofs.clone());
                assert!(confirmed.outcomes.iter().all(Result::is_err));
                for proof in &proofs {
                    assert!(Remote::verify(proof.clone(), &source.authority()).is_err());
                    let later = Proof { fork: Fork::new(1), ..proof.clone() };
                    assert!(Reorg::new(&store.head, later, &source.authority()).is_err());
                }
            }
        });
    }

    #[test]
    fn a_changed_proof_is_refused_or_says_the_same(
        request in requests(),
        changes in proptest::collection::vec((0..4usize, 0..10usize, numbers()), 1..4),
        known in any::<bool>(),
    ) {
        SOURCE.with(|source| {
            let Ok(mut proof) = source.answer(&request) else { return };
            let store = if known { UPGRADED.with(Store::clone) } else { Store::empty() };
            for (part, field, number) in changes {
                change(&mut proof, part, field, number);
            }
            let confirmed = confirm(&store, &source.authority(), vec![proof]);
            let Some(change) = confirmed.change else { return };
            for (index, value) in change.blocks() {
                assert_eq!(source.store.blocks.get(index), Some(value));
            }
            for node in change.nodes() {
                let right = source.store.nodes.get(&node.index).map(|node| node.hash);
                assert_eq!(right, Some(node.hash));
            }
            assert!(change.head().is_none_or(|head| *head == source.store.head));
        });
    }

    #[test]
    fn a_batch_is_as_good_as_its_proofs_one_by_one(
        blocks in proptest::collection::vec((0..33u64, any::<bool>()), 1..24),
    ) {
        SOURCE.with(|source| {
            let start = UPGRADED.with(Store::clone);
            let proofs: Vec<Proof> = blocks
                .iter()
                .map(|&(block, forged)| {
                    let mut proof = block_proof(source, &start, block);
                    if forged {
                        proof.block.as_mut().expect("a block").value = Bytes::from_static(b"forged");
                    }
                    proof
                })
                .collect();
            let (mut together, mut apart) = (start.clone(), start);
            let confirmed = confirm(&together, &source.authority(), proofs.clone());
            confirmed.change.iter().for_each(|change| together.commit(change));
            for (proof, outcome) in proofs.into_iter().zip(confirmed.outcomes) {
                let alone = confirm(&apart, &source.authority(), vec![proof]);
                alone.change.iter().for_each(|change| apart.commit(change));
                assert_eq!(alone.outcomes, [outcome]);
            }
            assert_eq!(together.blocks, apart.blocks);
            assert_eq!(together.nodes, apart.nodes);
        });
    }
}
