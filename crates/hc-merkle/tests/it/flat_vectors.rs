//! Numbers of the flat tree agree with the golden vectors.

use hc_merkle::flat::roots_at;
use hc_merkle::{Length, NodeIndex};

use crate::vectors::{list, load, uint};

#[test]
fn kin_and_spans_of_nodes() {
    let vectors = load("merkle.json");
    for case in list(&vectors["flatTree"]) {
        let node = NodeIndex::new(uint(&case["index"]));
        let depth = u64::from(node.depth());
        assert_eq!(depth, uint(&case["depth"]));
        assert_eq!(node.get() >> (depth + 1), uint(&case["offset"]));
        assert_eq!(node.parent(), Some(NodeIndex::new(uint(&case["parent"]))));
        assert_eq!(node.sibling(), Some(NodeIndex::new(uint(&case["sibling"]))));
        let spans = [node.left_span(), node.right_span()].map(NodeIndex::get);
        assert_eq!(
            spans.as_slice(),
            list(&case["spans"]).iter().map(uint).collect::<Vec<_>>()
        );
        assert_eq!(node.leaves(), uint(&case["countLeaves"]));
        let children: Vec<_> = [node.left_child(), node.right_child()]
            .into_iter()
            .flatten()
            .collect();
        let expected: Vec<_> = list(&case["children"])
            .iter()
            .map(uint)
            .map(NodeIndex::new)
            .collect();
        assert_eq!(children, expected);
    }
}

#[test]
fn roots_of_lengths() {
    let vectors = load("merkle.json");
    for case in list(&vectors["fullRoots"]) {
        let roots = roots_at(Length::new(uint(&case["length"])));
        let expected: Vec<_> = list(&case["roots"])
            .iter()
            .map(uint)
            .map(NodeIndex::new)
            .collect();
        assert_eq!(roots, expected);
    }
}
