//! Nodes that were lost come back from proofs of the whole log, and from no others.

use hc_merkle::proof::{BlockRequest, Present, Proof, Remote, Request, UpgradeRequest};
use hc_merkle::{Authority, Length, NodeIndex, ProofError, flat};

use crate::sources::Source;
use crate::store::Store;

const LENGTH: u64 = 13;

fn asking(block: Option<u64>, length: u64) -> Request {
    Request {
        block: block.map(|index| BlockRequest {
            index: index.into(),
            nodes: 0,
        }),
        upgrade: Some(UpgradeRequest {
            start: Length::ZERO,
            length: Length::new(length),
        }),
        ..Request::default()
    }
}

fn source(blocks: u64, letter: char) -> Source {
    Source::made(&[(0..blocks, letter)], 0)
}

fn restore(store: &mut Store, authority: &Authority, proof: Proof) -> Result<(), ProofError> {
    let head = store.head.clone();
    let change = Remote::restore(proof, authority, Present::Head(&head))?;
    store.commit(&change);
    Ok(())
}

#[test]
fn every_node_of_a_log_comes_back_with_a_block_below_it() {
    let whole = source(LENGTH, 'a');
    let authority = whole.authority();
    let at_length = flat::roots_at(Length::new(LENGTH));
    for lost in whole
        .store
        .nodes
        .keys()
        .filter(|index| !at_length.contains(index))
    {
        let mut store = whole.store.clone();
        store.nodes.remove(lost);
        let block = lost.end().get() - 1;
        let proof = whole
            .answer(&asking(Some(block), LENGTH))
            .expect("an answer");
        restore(&mut store, &authority, proof).expect("it is of this log");
        assert_eq!(store.nodes, whole.store.nodes, "{lost}");
        assert_eq!(store.blocks, whole.store.blocks);
    }
}

#[test]
fn lost_roots_come_back_from_a_log_that_is_as_long_or_longer() {
    for longer in [LENGTH, LENGTH + 1, 40] {
        let theirs = source(longer, 'a');
        let (fork, length) = (theirs.store.head.fork(), Length::new(LENGTH));
        let present = Present::Rootless { fork, length };
        for key_only in [false, true] {
            let authority = if key_only {
                theirs.key.into()
            } else {
                theirs.authority()
            };
            let request = Request {
                manifest: key_only,
                ..asking(None, longer)
            };
            let proof = theirs.answer(&request).expect("an answer");
            let change = Remote::restore(proof, &authority, present).expect("it is signed");
            assert_eq!(change.base(), (fork, length));
            assert_eq!(change.head(), Some(&theirs.store.head));
            assert_eq!(change.nodes(), theirs.store.head.roots());
            assert_eq!(change.manifest().is_some(), key_only);
        }
    }
}

#[test]
fn a_shorter_log_restores_no_roots() {
    let theirs = source(LENGTH - 1, 'a');
    let proof = theirs.answer(&asking(None, LENGTH - 1)).expect("an answer");
    let present = Present::Rootless {
        fork: theirs.store.head.fork(),
        length: Length::new(LENGTH),
    };
    let refused = Remote::restore(proof, &theirs.authority(), present);
    assert!(matches!(refused, Err(ProofError::OtherLength { .. })));
}

#[test]
fn proofs_of_other_lengths_fit_where_they_show_ours() {
    let (ours, theirs) = (source(LENGTH, 'a'), source(LENGTH + 5, 'a'));
    let authority = ours.authority();
    let mut store = ours.store.clone();
    store.nodes.remove(&NodeIndex::new(1));
    // Asked at our length, with the rest beside it.
    let proof = theirs.answer(&asking(Some(0), LENGTH)).expect("an answer");
    restore(&mut store, &authority, proof).expect("it shows our roots");
    assert_eq!(store.nodes, ours.store.nodes);
    let proof = theirs
        .answer(&asking(Some(0), LENGTH + 5))
        .expect("an answer");
    let refused = restore(&mut store, &authority, proof);
    assert!(matches!(refused, Err(ProofError::OtherLength { .. })));
}

#[test]
fn another_tree_another_fork_and_another_signer_restore_nothing() {
    let ours = source(LENGTH, 'a');
    let authority = ours.authority();
    let mut store = ours.store.clone();
    let conflict = source(LENGTH, 'b');
    let proof = conflict
        .answer(&asking(Some(2), LENGTH))
        .expect("an answer");
    let refused = restore(&mut store, &authority, proof);
    assert!(
        matches!(refused, Err(ProofError::Checksum { .. })),
        "{refused:?}"
    );

    let fork = Source::made(&[(0..LENGTH, 'a')], 1);
    let proof = fork.answer(&asking(None, LENGTH)).expect("an answer");
    let refused = restore(&mut store, &authority, proof);
    assert!(matches!(refused, Err(ProofError::OtherFork { .. })));

    let mut proof = ours.answer(&asking(Some(2), LENGTH)).expect("an answer");
    let upgrade = proof.upgrade.as_mut().expect("an upgrade");
    let mut signature = upgrade.signature.to_vec();
    signature[9] ^= 1;
    upgrade.signature = signature.into();
    let refused = restore(&mut store, &authority, proof);
    assert!(matches!(refused, Err(ProofError::Signature(_))));
    assert_eq!(store.nodes, ours.store.nodes);
}
