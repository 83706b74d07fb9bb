//! Seeks, byte ranges and counts of missing nodes agree with the golden vectors, and read no more
//! than they say.

use std::convert::Infallible;

use hc_merkle::{
    BlockIndex, ByteRange, Draft, Length, Missing, NodeIndex, OffsetError, Seek, Sought, drive,
    max_missing_nodes, missing_nodes,
};
use proptest::prelude::*;

use crate::store::Store;
use crate::vectors::{block, list, load, uint};

fn log_of(lengths: &[usize]) -> Store {
    let mut store = Store::empty();
    let mut draft = Draft::new(&store.head);
    draft
        .append(lengths.iter().map(|len| vec![7; *len].into()))
        .expect("few blocks");
    store.commit(&draft.seal_unsigned());
    store
}

fn seek(store: &Store, bytes: u64, padding: u64) -> Sought {
    let walk = Seek::new(&store.head, bytes.into(), padding);
    let read = |indexes: &[NodeIndex]| Ok::<_, Infallible>(store.read(indexes));
    drive(walk, read).expect("no error")
}

fn found(index: u64, offset: u64) -> Sought {
    Sought::Block {
        index: index.into(),
        offset,
    }
}

#[test]
fn seeks_and_offsets_of_many_lengths() {
    for dataset in list(&load("merkle.json")["datasets"]) {
        let mut store = Store::empty();
        let padding = uint(&dataset["padding"]);
        for case in list(&dataset["cases"]) {
            let mut draft = Draft::new(&store.head);
            let blocks = store.head.length().get()..uint(&case["length"]);
            draft
                .append(blocks.map(|i| block(&dataset["data"], i).into()))
                .unwrap();
            store.commit(&draft.seal_unsigned());
            for case in list(&case["seeks"]) {
                let expected = match list(&case["result"]) {
                    [index, offset] => found(uint(index), uint(offset)),
                    _ => Sought::Past,
                };
                assert_eq!(
                    seek(&store, uint(&case["bytes"]), padding),
                    expected,
                    "{case}"
                );
            }
            for case in list(&case["offsets"]) {
                let index = NodeIndex::new(uint(&case["index"]));
                let plan = ByteRange::of_node(&store.head, index).unwrap();
                let range = plan.range(&store.read(plan.nodes())).unwrap();
                let start = uint(&case["offset"]);
                assert_eq!(range, start..start + uint(&case["size"]), "{case}");
            }
        }
    }
}

#[test]
fn a_seek_stops_where_nodes_are_missing() {
    let mut store = log_of(&[10; 8]);
    assert_eq!(seek(&store, 45, 0), found(4, 5));
    store.nodes.remove(&NodeIndex::new(8));
    assert_eq!(seek(&store, 45, 0), Sought::Within { blocks: 4..6 });
    store.nodes.remove(&NodeIndex::new(3));
    assert_eq!(seek(&store, 45, 0), Sought::Within { blocks: 0..8 });
    assert_eq!(seek(&store, 80, 0), found(8, 0));
    assert_eq!(seek(&store, 81, 0), Sought::Past);
}

#[test]
fn empty_blocks_are_found_as_the_reference_finds_them() {
    let store = log_of(&[1, 0, 0, 2]);
    assert_eq!(seek(&store, 1, 0), found(2, 0));
    assert_eq!(seek(&store, 2, 0), found(3, 1));
}

#[test]
fn a_byte_range_of_what_is_not_there_is_refused() {
    let mut store = log_of(&[10; 6]);
    let range = |store: &Store, block: u64| {
        let plan = ByteRange::of_block(&store.head, block.into())?;
        plan.range(&store.read(plan.nodes()))
    };
    assert_eq!(range(&store, 5), Ok(50..60));
    let outside = OffsetError::OutOfBounds {
        index: NodeIndex::new(12),
    };
    assert_eq!(range(&store, 6), Err(outside));
    assert!(range(&store, u64::MAX).is_err());
    store.nodes.remove(&NodeIndex::new(1));
    let missing = OffsetError::MissingNode {
        index: NodeIndex::new(1),
    };
    assert_eq!(range(&store, 2), Err(missing));
}

#[test]
fn most_missing_nodes_of_the_vectors() {
    for case in list(&load("merkle.json")["maxMissing"]) {
        let (length, index) = (
            Length::new(uint(&case["length"])),
            uint(&case["index"]).into(),
        );
        assert_eq!(
            max_missing_nodes(length, index),
            uint(&case["nodes"]),
            "{case}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn missing_nodes_are_counted_up_to_the_first_that_is_there(
        length in 1..200u64, block in 0..220u64, gone in proptest::collection::vec(any::<bool>(), 10),
    ) {
        let mut store = log_of(&vec![1; usize::try_from(length).unwrap()]);
        let length = Length::new(length);
        let leaf = BlockIndex::new(block).leaf().unwrap();
        let mut at = leaf;
        let mut expected = 0;
        let mut counting = true;
        for gone in gone {
            let is_root = store.head.roots().iter().any(|root| root.index == at);
            if is_root || at.end() > length {
                break;
            }
            if gone {
                store.nodes.remove(&at);
                expected += u64::from(counting);
            } else {
                counting = false;
            }
            at = at.parent().unwrap();
        }
        let plan = Missing::new(length, leaf);
        prop_assert_eq!(plan.count(&store.read(plan.nodes())), expected);
        let count = missing_nodes(length, leaf, |index| store.nodes.contains_key(&index));
        prop_assert_eq!(count, expected);
        prop_assert!(count <= max_missing_nodes(length, leaf));
    }

    #[test]
    fn numbers_far_out_are_outside(length in any::<u64>(), index in any::<u64>()) {
        let (length, index) = (Length::new(length), NodeIndex::new(index));
        let most = max_missing_nodes(length, index);
        prop_assert!(most < 64);
        prop_assert!(index.end() <= length || most == 0);
        prop_assert_eq!(missing_nodes(length, index, |_| false), most);
    }

    #[test]
    fn a_seek_finds_the_block_that_has_the_byte(
        lengths in proptest::collection::vec(1..20usize, 1..60), padding in 0..2u64, at in 0.0..1.0f64,
    ) {
        let store = log_of(&lengths);
        let sizes: Vec<u64> = lengths.iter().map(|len| *len as u64 - padding).collect();
        let total: u64 = sizes.iter().sum();
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a fraction of a total
        let byte = (total as f64 * at) as u64;
        let sought = seek(&store, byte, padding);
        let Sought::Block { index, offset } = sought else {
            return Err(TestCaseError::fail(format!("{sought:?}")));
        };
        let before: u64 = sizes.iter().take(usize::try_from(index.get()).unwrap()).sum();
        prop_assert_eq!(before + offset, byte);
    }
}
