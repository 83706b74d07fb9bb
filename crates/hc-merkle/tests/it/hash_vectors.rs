//! Hashes of leaves, parents and roots agree with the golden vectors.

use hc_merkle::hash::{leaf, leaves, parent, parents, tree_hash};
use hc_merkle::{ByteLength, Fork, Head, HeadError, Length, Node};
use serde_json::Value;

use crate::vectors::{array, bytes, list, load, node, uint};

#[test]
fn leaves_of_blocks() {
    let vectors = load("crypto.json");
    let data: Vec<_> = list(&vectors["leaf"])
        .iter()
        .map(|case| bytes(&case["data"]))
        .collect();
    let blocks: Vec<&[u8]> = data.iter().map(Vec::as_slice).collect();
    for ((case, block), wide) in list(&vectors["leaf"])
        .iter()
        .zip(&blocks)
        .zip(leaves(&blocks))
    {
        assert_eq!(leaf(block).as_bytes(), &array::<32>(&case["hash"]));
        assert_eq!(wide, leaf(block));
    }
}

#[test]
fn parents_of_nodes() {
    let vectors = load("crypto.json");
    let pairs: Vec<_> = list(&vectors["parent"])
        .iter()
        .map(|case| (node(&case["left"]), node(&case["right"])))
        .collect();
    for ((case, (left, right)), wide) in list(&vectors["parent"])
        .iter()
        .zip(&pairs)
        .zip(parents(&pairs))
    {
        assert_eq!(parent(left, right).as_bytes(), &array::<32>(&case["hash"]));
        assert_eq!(parent(right, left), wide);
        assert_eq!(wide, parent(left, right));
    }
}

#[test]
fn trees_of_roots() {
    let vectors = load("crypto.json");
    for case in list(&vectors["tree"]) {
        let roots: Vec<Node> = list(&case["roots"]).iter().map(node).collect();
        assert_eq!(tree_hash(&roots).as_bytes(), &array::<32>(&case["hash"]));
    }
}

fn head_of(case: &Value) -> Result<Head, HeadError> {
    let roots = list(&case["roots"]).iter().map(node).collect();
    Head::new(Fork::ZERO, Length::new(uint(&case["length"])), roots)
}

#[test]
fn heads_of_lengths() {
    for dataset in list(&load("merkle.json")["datasets"]) {
        for case in list(&dataset["cases"]) {
            let head = head_of(case).expect("roots belong to the length");
            assert_eq!(head.tree_hash().as_bytes(), &array::<32>(&case["treeHash"]));
            assert_eq!(head.byte_length().get(), uint(&case["byteLength"]));
        }
    }
}

#[test]
fn heads_refuse_roots_of_another_length() {
    let vectors = load("merkle.json");
    let case = &list(&vectors["datasets"][0]["cases"])[7];
    let length = Length::new(uint(&case["length"]));
    let roots: Vec<Node> = list(&case["roots"]).iter().map(node).collect();
    assert!(roots.len() > 1, "the case has several roots");

    let longer = Length::new(length.get() + 1);
    let refused = Err(HeadError::Roots { length: longer });
    assert_eq!(Head::new(Fork::ZERO, longer, roots.clone()), refused);

    let refused = Err(HeadError::Roots { length });
    let mut swapped = roots.clone();
    swapped.swap(0, 1);
    assert_eq!(Head::new(Fork::ZERO, length, swapped), refused);
    assert_eq!(Head::new(Fork::ZERO, length, roots[1..].to_vec()), refused);

    let mut heavy = roots;
    heavy[0].size = ByteLength::new(u64::MAX);
    assert_eq!(
        Head::new(Fork::ZERO, length, heavy),
        Err(HeadError::TooManyBytes)
    );
}
