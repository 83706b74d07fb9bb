//! A log follows another fork as the reference does: it asks for the same hashes, keeps the same
//! blocks, and takes nothing that was tampered with.

use hc_merkle::proof::{Proof, Reorg};
use hc_merkle::{Fork, Length, NodeIndex, ProofError, max_missing_nodes};
use proptest::prelude::*;
use serde_json::Value;

use crate::batch::{block_proof, confirm, upgrade, upgraded};
use crate::plan::{block_request, hash_request, whole};
use crate::sources::{Source, all, decode};
use crate::store::Store;
use crate::vectors::{bytes, list, load, uint};
use crate::verify::{Receiver, proof};

impl Receiver {
    /// Takes in the proof of a whole other fork that needs no search.
    pub(crate) fn follow(&mut self, proof: Proof) -> Result<(), ProofError> {
        let mut reorg = Reorg::new(&self.store.head, proof, &self.authority)?;
        assert_eq!(reorg.compare(&self.store.read(reorg.expected())), None);
        self.adopt(reorg);
        Ok(())
    }

    fn adopt(&mut self, reorg: Reorg) {
        let change = reorg.finish().expect("the ancestor is known");
        self.store.commit(&change);
    }
}

#[test]
fn forks_are_followed_step_by_step() {
    let vectors = load("proofs.json");
    let sources = all(&vectors);
    for case in list(&vectors["reorgs"]) {
        let mut receiver = Receiver::of(case, &sources[case["source"].as_str().unwrap()]);
        let mut steps = list(&case["steps"]).iter();
        let first = steps.next().unwrap();
        let mut reorg = Reorg::new(
            &receiver.store.head,
            proof(&first["reply"]),
            &receiver.authority,
        )
        .unwrap();
        check_wanted(&mut reorg, &receiver.store, first);
        for step in steps {
            assert_eq!(reorg.update(proof(&step["reply"])), Ok(()));
            check_wanted(&mut reorg, &receiver.store, step);
        }
        assert_eq!(reorg.ancestors().unwrap().get(), uint(&case["ancestors"]));
        receiver.adopt(reorg);
        receiver.assert_state(&case["after"]);
    }
}

fn check_wanted(reorg: &mut Reorg, store: &Store, step: &Value) {
    let wanted = reorg.compare(&store.read(reorg.expected()));
    assert_eq!(wanted, reorg.wanted());
    assert_eq!(wanted.is_none(), step["finished"] == true);
    if let Some(wanted) = wanted {
        let expected = &step["want"];
        assert_eq!(wanted.nodes, uint(&expected["nodes"]));
        assert_eq!(
            wanted.blocks,
            uint(&expected["start"])..uint(&expected["end"])
        );
    }
}

#[test]
fn tampered_forks_are_refused() {
    let vectors = load("proofs.json");
    let sources = all(&vectors);
    let mut tampered = 0;
    for case in list(&vectors["reorgs"]) {
        let receiver = Receiver::of(case, &sources[case["source"].as_str().unwrap()]);
        for reply in list(&case["tampered"]) {
            let taken = decode(&bytes(&reply["reply"]).into())
                .ok()
                .and_then(|proof| {
                    Reorg::new(&receiver.store.head, proof, &receiver.authority).ok()
                });
            assert!(taken.is_none(), "{reply}");
            tampered += 1;
        }
    }
    assert!(tampered > 70);
}

#[test]
fn answers_that_were_not_asked_for_do_not_move_the_search() {
    let vectors = load("proofs.json");
    let case = &vectors["reorgs"][1];
    let receiver = Receiver::of(case, &all(&vectors)["forked"]);
    let step = |step: usize| proof(&case["steps"][step]["reply"]);
    let mut reorg = Reorg::new(&receiver.store.head, step(0), &receiver.authority).unwrap();
    assert!(matches!(
        reorg.update(step(1)),
        Err(ProofError::NotWanted { .. })
    ));
    assert_eq!(reorg.ancestors(), None);
    assert_eq!(reorg.clone().finish(), None);
    let wanted = reorg.compare(&receiver.store.read(reorg.expected()));

    assert!(matches!(
        reorg.update(step(2)),
        Err(ProofError::NotWanted { .. })
    ));
    assert_eq!(
        reorg.update(Proof {
            fork: Fork::new(1),
            ..Proof::default()
        }),
        Err(ProofError::Empty)
    );
    assert!(matches!(
        reorg.update(Proof::default()),
        Err(ProofError::OtherFork { .. })
    ));
    let mut changed = step(1);
    changed.hash.as_mut().unwrap().nodes[1].hash.0[0] ^= 1;
    assert!(matches!(
        reorg.update(changed),
        Err(ProofError::Checksum { .. })
    ));
    assert_eq!((reorg.wanted(), reorg.ancestors()), (wanted, None));
    assert_eq!(reorg.update(step(1)), Ok(()));
}

/// A node that is known stays an end for paths, wherever the search has come to since.
#[test]
fn an_answer_to_what_was_wanted_before_counts_too() {
    let before = Source::made(&[(0..20, 'a'), (20..64, 'b')], 0);
    let after = Source::made(&[(0..20, 'a'), (20..64, 'c')], 1);
    let asked = after.answer(&whole(&after)).unwrap();
    let store = &before.store;
    let mut reorg = Reorg::new(&store.head, asked, &after.authority()).unwrap();
    let first = reorg.compare(&store.read(reorg.expected())).unwrap();
    let answer = |block: u64| after.answer(&hash_request(2 * block, first.nodes)).unwrap();
    reorg.update(answer(63)).unwrap();
    let second = reorg.compare(&store.read(reorg.expected())).unwrap();
    assert_eq!(second.blocks, 0..32);
    reorg.update(answer(20)).unwrap();
    assert_eq!(reorg.compare(&store.read(reorg.expected())), None);
    assert_eq!(reorg.ancestors(), Some(Length::new(20)));
}

#[test]
fn an_earlier_fork_is_not_followed() {
    let vectors = load("proofs.json");
    let case = &vectors["reorgs"][0];
    let source = &all(&vectors)["forked"];
    let receiver = Receiver {
        store: source.store.clone(),
        ..Receiver::of(case, source)
    };
    let taken = Reorg::new(
        &receiver.store.head,
        proof(&case["steps"][0]["reply"]),
        &receiver.authority,
    );
    let (ours, theirs) = (Fork::new(1), Fork::new(1));
    assert_eq!(taken.err(), Some(ProofError::OtherFork { ours, theirs }));
}

#[test]
fn sizes_that_are_only_known_together_are_taken_from_the_store() {
    let before = Source::made(&[(0..7, 'a'), (7..8, 'b')], 0);
    let after = Source::made(&[(0..7, 'a'), (7..8, 'c')], 1);
    let asked = after.answer(&whole(&after)).unwrap();
    let mut store = before.store.clone();
    let mut reorg = Reorg::new(&store.head, asked, &after.authority()).unwrap();
    let wanted = reorg.compare(&store.read(reorg.expected())).unwrap();
    let mut answer = after.answer(&hash_request(14, wanted.nodes)).unwrap();
    let nodes = &mut answer.hash.as_mut().unwrap().nodes;
    nodes[0].size = (nodes[0].size.get() + 1).into();
    nodes[1].size = (nodes[1].size.get() - 1).into();
    reorg.update(answer).unwrap();
    assert_eq!(reorg.compare(&store.read(reorg.expected())), None);
    store.commit(&reorg.finish().unwrap());
    assert_eq!(store.nodes, after.store.nodes);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn the_common_ancestor_of_complete_logs_is_found(
        (shared, old, new) in (0..40u64, 0..30u64, 1..30u64), pick in any::<u64>(), at_once in 1..5u32,
        enough in 0..10u32,
    ) {
        let before = Source::made(&[(0..shared, 'a'), (shared..shared + old, 'b')], 0);
        let after = Source::made(&[(0..shared, 'a'), (shared..shared + new, 'c')], 1);
        let asked = after.answer(&whole(&after)).unwrap();
        let store = &before.store;
        let mut reorg = Reorg::new(&store.head, asked, &after.authority()).unwrap();
        let mut rounds = 0;
        while let Some(wanted) = reorg.compare(&store.read(reorg.expected())) {
            let within = wanted.blocks.end - wanted.blocks.start;
            for ask in 0..at_once {
                let block = wanted.blocks.start + pick.rotate_left(7 * ask) % within;
                let answer = after.answer(&hash_request(2 * block, wanted.nodes)).unwrap();
                prop_assert_eq!(reorg.update(answer), Ok(()));
            }
            rounds += 1;
            prop_assert!(rounds < 10);
            if rounds == enough {
                reorg.settle();
                break;
            }
        }
        let ancestors = reorg.ancestors().map(Length::get).unwrap();
        prop_assert!(ancestors == shared || (rounds == enough && ancestors < shared));
        let mut store = before.store.clone();
        store.commit(&reorg.finish().unwrap());
        prop_assert_eq!(store.head.roots(), after.store.head.roots());
        for (index, node) in &store.nodes {
            prop_assert_eq!(after.store.nodes.get(index), Some(node));
        }
        prop_assert_eq!(store.blocks.len() as u64, ancestors);
        // What was kept can still be proven to others.
        let kept = Source { store, key: after.key, manifest: after.manifest.clone() };
        for index in 0..ancestors {
            let nodes = max_missing_nodes(after.store.head.length(), NodeIndex::new(2 * index));
            let request = block_request(index, nodes);
            prop_assert_eq!(kept.answer(&request), after.answer(&request));
        }
    }
}

/// Of a log of which the roots alone are stored nobody can tell what it shares with a later fork, but for
/// what comes after a node that differs.
#[test]
fn what_is_certainly_cut_is_told_from_what_may_be() {
    let before = Source::made(&[(0..12, 'a'), (12..20, 'b')], 0);
    let after = Source::made(&[(0..12, 'a'), (12..30, 'c')], 1);
    let mut roots = upgraded(&before);
    let mut full = before.store.clone();
    for (store, shared, parted) in [(&mut roots, 0, 15), (&mut full, 12, 12)] {
        let proof = after.answer(&whole(&after)).unwrap();
        let mut reorg = Reorg::new(&store.head, proof, &before.authority()).unwrap();
        assert_eq!(reorg.parted(), Length::new(30), "nothing is compared yet");
        let mut wanted = reorg.compare(&store.read(reorg.expected()));
        assert_eq!(reorg.parted(), Length::new(15), "the first root differs");
        while let Some(asked) = wanted {
            let leaf = 2 * asked.blocks.start;
            let answer = after.answer(&hash_request(leaf, asked.nodes)).unwrap();
            reorg.update(answer).unwrap();
            wanted = reorg.compare(&store.read(reorg.expected()));
        }
        assert_eq!(reorg.ancestors(), Some(Length::new(shared)));
        assert_eq!(reorg.parted(), Length::new(parted));
    }
}

#[test]
fn an_empty_log_takes_over_a_later_fork_and_no_other_does() {
    let source = Source::made(&[(0..20, 'a')], 3);
    let authority = source.authority();
    let proof = source.answer(&whole(&source)).expect("an answer");
    let mut store = Store::empty();
    let confirmed = confirm(&store, &authority, vec![proof.clone()]);
    let change = confirmed.change.unwrap();
    assert_eq!(change.base(), (Fork::ZERO, Length::ZERO));
    assert_eq!(change.truncate(), None);
    assert_eq!(change.head(), Some(&source.store.head));
    store.commit(&change);
    let block = block_proof(&source, &store, 7);
    assert_eq!(
        confirm(&store, &authority, vec![block.clone()]).outcomes,
        [Ok(())]
    );

    // only with a tree, only from the first block on, never back, and with the signature of that fork
    let other = |ours: u64, theirs: u64| {
        let (ours, theirs) = (Fork::new(ours), Fork::new(theirs));
        [Err(ProofError::OtherFork { ours, theirs })]
    };
    let empty = Store::empty();
    assert_eq!(
        confirm(&empty, &authority, vec![block]).outcomes,
        other(0, 3)
    );
    let later = upgrade(&source, 5, 15, None);
    assert_eq!(
        confirm(&empty, &authority, vec![later]).outcomes,
        other(0, 3)
    );
    let before = Source::made(&[(0..20, 'a')], 2);
    let back = before.answer(&whole(&before)).expect("an answer");
    assert_eq!(
        confirm(&store, &authority, vec![back.clone()]).outcomes,
        other(3, 2)
    );
    let full = upgraded(&Source::made(&[(0..20, 'a')], 0));
    assert_eq!(
        confirm(&full, &authority, vec![proof]).outcomes,
        other(0, 3)
    );
    let forged = Proof {
        fork: Fork::new(4),
        ..back
    };
    let outcomes = confirm(&empty, &authority, vec![forged]).outcomes;
    assert!(matches!(outcomes[..], [Err(ProofError::Signature(_))]));
}
