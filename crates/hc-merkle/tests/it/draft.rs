//! Appends and truncations give the trees of the golden vectors, whichever way they are cut up.

use bytes::Bytes;
use hc_merkle::flat::roots_at;
use hc_merkle::hash::{leaf, leaf_node, parent_node};
use hc_merkle::{
    AppendError, BlockIndex, ByteLength, Change, Draft, Fork, Head, Length, Node, NodeIndex,
    RejoinError, Rejoined, TruncateError, Truncation,
};
use proptest::prelude::*;

use crate::store::Store;
use crate::vectors::{array, block, list, load, node, uint};

fn append(store: &mut Store, blocks: impl IntoIterator<Item = Bytes>) -> Change {
    let mut draft = Draft::new(&store.head);
    draft.append(blocks).expect("few blocks");
    let change = draft.seal_unsigned();
    store.commit(&change);
    change
}

fn truncate(store: &mut Store, length: u64) -> Change {
    let fork = Fork::new(store.head.fork().get() + 1);
    let plan = Truncation::new(&store.head, Length::new(length), fork).expect("shorter");
    let change = plan
        .apply(&store.read(plan.nodes()))
        .expect("whole tree")
        .seal_unsigned();
    store.commit(&change);
    change
}

fn text(number: u64) -> Bytes {
    Bytes::from(
        number
            .to_string()
            .repeat(usize::try_from(number % 5).expect("small")),
    )
}

/// The tree over blocks, node by node as it is defined.
fn tree(blocks: &[Bytes]) -> Vec<Node> {
    let mut nodes: Vec<Node> = Vec::new();
    for (place, value) in blocks.iter().enumerate() {
        nodes.push(leaf_node(
            BlockIndex::new(place as u64).leaf().expect("small"),
            value,
        ));
    }
    let mut row = nodes.clone();
    while row.len() > 1 {
        row = row
            .chunks_exact(2)
            .map(|pair| parent_node(&pair[0], &pair[1]).expect("siblings"))
            .collect();
        nodes.extend(&row);
    }
    nodes.sort_by_key(|node| node.index);
    nodes
}

#[test]
fn trees_of_all_lengths() {
    for dataset in list(&load("merkle.json")["datasets"]) {
        let mut store = Store::empty();
        for case in list(&dataset["cases"]) {
            let from = store.head.length().get();
            let to = uint(&case["length"]);
            append(
                &mut store,
                (from..to).map(|i| block(&dataset["data"], i).into()),
            );
            let expected: Vec<Node> = list(&case["roots"]).iter().map(node).collect();
            assert_eq!(store.head.roots(), expected);
            assert_eq!(
                store.head.tree_hash().as_bytes(),
                &array::<32>(&case["treeHash"])
            );
            assert_eq!(store.head.byte_length().get(), uint(&case["byteLength"]));
        }
    }
}

#[test]
fn all_nodes_of_a_tree() {
    let vectors = load("merkle.json");
    let data = &vectors["datasets"][0]["data"];
    for case in list(&vectors["nodes"]) {
        let mut store = Store::empty();
        append(
            &mut store,
            (0..uint(&case["length"])).map(|i| block(data, i).into()),
        );
        let expected: Vec<Node> = list(&case["nodes"]).iter().map(node).collect();
        assert_eq!(store.nodes.into_values().collect::<Vec<_>>(), expected);
    }
}

#[test]
fn a_change_says_what_it_appends() {
    let mut store = Store::empty();
    let change = append(&mut store, (0..5).map(text));
    assert_eq!(change.appended(), 0..5);
    assert_eq!(change.blocks().len(), 5);
    assert_eq!(append(&mut store, [text(5)]).appended(), 5..6);
    assert_eq!(append(&mut store, []).appended(), 6..6);

    let plan = Truncation::new(&store.head, Length::new(3), Fork::new(1)).unwrap();
    let mut draft = plan.apply(&store.read(plan.nodes())).unwrap();
    assert_eq!(draft.append([text(9), text(8)]), Ok(3..5));
    assert_eq!(
        (draft.length(), draft.fork()),
        (Length::new(5), Fork::new(1))
    );
    let signature = Bytes::from_static(b"signature");
    let change = draft.seal(|head| {
        assert_eq!((head.length(), head.signature()), (Length::new(5), None));
        Ok::<_, ()>(signature.clone())
    });
    let change = change.unwrap();
    assert_eq!(change.appended(), 3..5);
    assert_eq!(change.truncate(), Some(Length::new(3)));
    assert_eq!(change.base(), (Fork::ZERO, Length::new(6)));
    assert_eq!(change.head().unwrap().signature(), Some(&signature));
}

#[test]
fn a_refused_signature_makes_no_change() {
    let draft = Draft::new(&Head::empty());
    assert_eq!(draft.seal(|_| Err("no key")), Err("no key"));
}

#[test]
fn lengths_that_lie_ahead_and_roots_that_are_gone_are_refused() {
    let mut store = Store::empty();
    append(&mut store, (0..6).map(text));
    let ahead = Truncation::new(&store.head, Length::new(7), Fork::new(1)).map(|_| ());
    let (length, present) = (Length::new(7), Length::new(6));
    assert_eq!(ahead, Err(TruncateError::Longer { length, present }));

    let plan = Truncation::new(&store.head, Length::new(3), Fork::new(1)).unwrap();
    assert_eq!(plan.nodes(), roots_at(Length::new(3)));
    let missing = |index| {
        Err(TruncateError::MissingNode {
            index: NodeIndex::new(index),
        })
    };
    assert_eq!(plan.apply(&[]).map(|_| ()), missing(1));
    let mut read = store.read(plan.nodes());
    read[1] = read[0];
    assert_eq!(plan.apply(&read).map(|_| ()), missing(4));
}

#[test]
fn bytes_beyond_counting_are_refused_and_leave_the_draft_as_it_was() {
    let mut draft = Draft::new(&Head::empty());
    let hash = leaf(b"");
    let most = ByteLength::new(u64::MAX);
    assert_eq!(draft.append_hashed(&[(hash, most)]), Ok(0..1));
    let over = draft.append_hashed(&[(hash, ByteLength::new(1))]);
    assert_eq!(over, Err(AppendError::TooManyBytes));
    assert_eq!(
        (draft.length(), draft.byte_length()),
        (Length::new(1), most)
    );
    assert_eq!(draft.append_hashed(&[(hash, ByteLength::ZERO)]), Ok(1..2));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_history_gives_the_tree_of_its_blocks(
        steps in proptest::collection::vec((0u64..40, any::<bool>(), any::<u64>()), 1..8),
    ) {
        let mut store = Store::empty();
        let mut model: Vec<Bytes> = Vec::new();
        for (count, cut, seed) in steps {
            if cut {
                let length = seed % (model.len() as u64 + 1);
                truncate(&mut store, length);
                model.truncate(usize::try_from(length).unwrap());
            } else {
                let blocks: Vec<Bytes> = (0..count).map(|i| text(i + seed % 1000)).collect();
                append(&mut store, blocks.iter().cloned());
                model.extend(blocks);
            }
            let length = Length::new(model.len() as u64);
            prop_assert_eq!(store.head.length(), length);
            let mut expected = Vec::new();
            let mut roots = Vec::new();
            for root in roots_at(length) {
                let from = usize::try_from(root.first_block().get()).unwrap();
                let to = usize::try_from(root.end().get()).unwrap();
                let shift = 2 * from as u64;
                let shifted = tree(&model[from..to]).into_iter().map(|mut node| {
                    node.index = NodeIndex::new(node.index.get() + shift);
                    node
                });
                expected.extend(shifted);
                roots.extend(expected.iter().filter(|node| node.index == root).copied());
            }
            prop_assert_eq!(store.nodes.values().copied().collect::<Vec<_>>(), expected);
            prop_assert_eq!(store.head.roots(), roots.as_slice());
            prop_assert_eq!(store.blocks.values().cloned().collect::<Vec<_>>(), model.clone());
        }
    }
}

/// The log as it was at a length, to go on from.
fn back_to(store: &Store, length: u64) -> Draft {
    let fork = store.head.fork();
    let plan = Truncation::new(&store.head, Length::new(length), fork).expect("shorter");
    plan.apply(&store.read(plan.nodes())).expect("whole tree")
}

#[test]
fn a_branch_goes_into_the_log_that_went_the_same_way_or_none() {
    for (parted, went_on, branched) in [(0, 0, 3), (3, 0, 4), (5, 2, 6), (5, 3, 3), (6, 7, 30)] {
        let mut store = Store::empty();
        append(&mut store, (0..parted + went_on).map(text));
        let what = format!("{parted} {went_on} {branched}");
        let blocks = (parted..parted + branched).map(text);
        let rejoined = back_to(&store, parted).rejoin(&store.head, blocks);
        let change = match rejoined.expect("the same way") {
            Rejoined::Longer(draft) => draft.seal_unsigned(),
            Rejoined::Same(change) => {
                assert_eq!(branched, went_on, "{what}");
                assert!(change.head().is_none());
                change
            }
        };
        let base = (store.head.fork(), store.head.length());
        assert_eq!((change.base(), change.truncate()), (base, None), "{what}");
        assert_eq!(change.blocks().len() as u64, branched, "{what}");
        store.commit(&change);
        let mut whole = Store::empty();
        append(&mut whole, (0..parted + branched).map(text));
        assert_eq!(store.head.roots(), whole.head.roots(), "{what}");
        for block in parted..parted + branched {
            let leaf = BlockIndex::new(block).leaf().expect("small");
            assert_eq!(store.read(&[leaf]), whole.read(&[leaf]), "{what}, {block}");
        }
    }
}

#[test]
fn a_branch_does_not_go_into_a_log_that_is_ahead_or_went_another_way() {
    let mut store = Store::empty();
    append(&mut store, (0..5).map(text));
    let ahead = back_to(&store, 2).rejoin(&store.head, (2..4).map(text));
    let length = Length::new(5);
    assert_eq!(ahead.map(drop), Err(RejoinError::Ahead { length }));
    let other = back_to(&store, 2).rejoin(&store.head, (3..9).map(text));
    assert_eq!(other.map(drop), Err(RejoinError::Diverged));
    // the last block alone is another
    let blocks = (2..4).chain([9]).map(text);
    let other = back_to(&store, 2).rejoin(&store.head, blocks);
    assert_eq!(other.map(drop), Err(RejoinError::Diverged));
}
