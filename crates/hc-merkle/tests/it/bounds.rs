//! The bounds on what a log may be are kept at the last allowed value and one past it.

use bytes::Bytes;
use hc_merkle::flat::full_roots;
use hc_merkle::hash::leaf;
use hc_merkle::limits::MAX_LENGTH;
use hc_merkle::proof::{Proof, Remote, UpgradeProof};
use hc_merkle::{
    AppendError, ByteLength, Draft, Fork, Head, HeadError, Length, Node, NodeIndex, ProofError,
};

use crate::sources::Source;

fn node(index: NodeIndex) -> Node {
    Node {
        index,
        size: ByteLength::new(1),
        hash: leaf(b""),
    }
}

fn past() -> Length {
    Length::new(MAX_LENGTH.get() + 1)
}

fn longest() -> Head {
    let roots = full_roots(MAX_LENGTH).map(node).collect();
    Head::new(Fork::ZERO, MAX_LENGTH, roots).expect("the longest log")
}

#[test]
fn a_head_has_no_more_than_the_most_blocks() {
    assert_eq!(longest().length(), MAX_LENGTH);
    let roots = full_roots(past()).map(node).collect();
    let refused = HeadError::Roots { length: past() };
    assert_eq!(Head::new(Fork::ZERO, past(), roots), Err(refused));
}

#[test]
fn a_draft_stops_at_the_most_blocks() {
    let roots: Vec<_> = full_roots(Length::new(MAX_LENGTH.get() - 1))
        .map(node)
        .collect();
    let head = Head::new(Fork::ZERO, Length::new(MAX_LENGTH.get() - 1), roots).unwrap();
    let mut draft = Draft::new(&head);
    let block = (leaf(b""), ByteLength::ZERO);
    assert_eq!(
        draft.append_hashed(&[block, block]),
        Err(AppendError::TooManyBlocks)
    );
    assert_eq!(
        draft.append_hashed(&[block]),
        Ok(MAX_LENGTH.get() - 1..MAX_LENGTH.get())
    );
    assert_eq!(draft.head().roots().len(), 1);
    assert_eq!(
        draft.append_hashed(&[block]),
        Err(AppendError::TooManyBlocks)
    );
    assert_eq!(
        Draft::new(&longest()).append([Bytes::new()]),
        Err(AppendError::TooManyBlocks)
    );
}

fn upgrade(to: Length, more: Option<NodeIndex>) -> ProofError {
    let upgrade = UpgradeProof {
        start: Length::ZERO,
        length: to,
        nodes: full_roots(to).map(node).collect(),
        additional_nodes: more.into_iter().map(node).collect(),
        signature: Bytes::from_static(&[0; 64]),
    };
    let proof = Proof {
        upgrade: Some(upgrade),
        ..Proof::default()
    };
    Remote::verify(proof, &Source::made(&[], 0).authority()).expect_err("not signed")
}

#[test]
fn a_proof_leads_no_further_than_the_most_blocks() {
    assert!(matches!(
        upgrade(MAX_LENGTH, None),
        ProofError::Signature(_)
    ));
    let too_long = ProofError::TooLong { length: past() };
    assert_eq!(upgrade(past(), None), too_long);
    let next = NodeIndex::new(2 * MAX_LENGTH.get());
    assert_eq!(upgrade(MAX_LENGTH, Some(next)), too_long);
    assert_eq!(
        upgrade(Length::ZERO, None),
        ProofError::TooLong {
            length: Length::ZERO
        }
    );
}
