//! The arithmetic of the flat tree, exhaustively for small sizes and at random for large ones.

use alloc::vec::Vec;

use proptest::prelude::*;

use super::*;

fn node(index: u64) -> NodeIndex {
    NodeIndex::new(index)
}

/// A tree of `1 << depth` leaves numbered by walking it in order: (index, depth, first, last leaf).
fn in_order(depth: u32, next: &mut u64, out: &mut Vec<(u64, u32, u64, u64)>) -> (u64, u64) {
    if depth == 0 {
        let leaf = *next;
        *next += 1;
        out.push((leaf, 0, leaf, leaf));
        return (leaf, leaf);
    }
    let (first, _) = in_order(depth - 1, next, out);
    let own = *next;
    *next += 1;
    let (_, last) = in_order(depth - 1, next, out);
    out.push((own, depth, first, last));
    (first, last)
}

#[test]
fn every_node_of_a_small_tree_agrees_with_an_in_order_walk() {
    let mut nodes = Vec::new();
    in_order(11, &mut 0, &mut nodes);
    for &(index, depth, first, last) in &nodes {
        let n = node(index);
        assert_eq!(n.depth(), depth);
        assert_eq!(n.left_span(), node(first));
        assert_eq!(n.right_span(), node(last));
        assert_eq!(n.leaves(), 1 << depth);
        assert_eq!(n.first_block().get(), first / 2);
        assert_eq!(n.end().get(), last / 2 + 1);
        if depth > 0 {
            let (left, right) = (n.left_child().unwrap(), n.right_child().unwrap());
            assert_eq!((left.parent(), right.parent()), (Some(n), Some(n)));
            assert_eq!((left.sibling(), right.sibling()), (Some(right), Some(left)));
            assert!(left.is_left() && !right.is_left());
            assert!(left.left_span() == n.left_span() && right.right_span() == n.right_span());
            assert_eq!(n.block(), None);
        } else {
            assert_eq!((n.left_child(), n.right_child()), (None, None));
            assert_eq!(n.block().and_then(BlockIndex::leaf), Some(n));
        }
    }
}

#[test]
fn roots_of_every_small_length_tile_it() {
    for length in 0..4096u64 {
        let roots = roots_at(Length::new(length));
        assert_eq!(roots.len(), length.count_ones() as usize);
        let mut next = 0;
        for root in &roots {
            assert_eq!(root.first_block().get(), next);
            next = root.end().get();
        }
        assert_eq!(next, length);
        assert!(
            roots
                .windows(2)
                .all(|pair| pair[0].leaves() > pair[1].leaves())
        );
    }
}

#[test]
fn growth_of_every_small_tree_fills_the_gap_and_joins_the_roots() {
    for to in 0..130u64 {
        for from in 0..130u64 {
            let nodes = growth(Length::new(from), Length::new(to));
            if from >= to {
                assert!(nodes.is_empty());
                continue;
            }
            let mut roots = roots_at(Length::new(from));
            let mut next = from;
            for node in nodes {
                assert_eq!(node.first_block().get(), next);
                next = node.end().get();
                roots.push(node);
                while let [.., left, right] = roots[..] {
                    if left.sibling() != Some(right) {
                        break;
                    }
                    roots.truncate(roots.len() - 2);
                    roots.extend(left.parent());
                }
            }
            assert_eq!(roots, roots_at(Length::new(to)));
        }
    }
}

#[test]
fn the_ends_of_the_numbers_are_refused_not_wrapped() {
    let top = node((1 << 63) - 1);
    assert_eq!((top.depth(), top.leaves()), (63, 1 << 63));
    assert_eq!((top.parent(), top.sibling()), (None, None));
    assert_eq!(top.right_span(), node(u64::MAX - 1));
    assert_eq!(top.end().get(), 1 << 63);
    let last = node(u64::MAX);
    assert_eq!(
        (last.parent(), last.sibling(), last.right_child()),
        (None, None, None)
    );
    assert_eq!((last.left_span(), last.right_span()), (node(0), last));
    assert_eq!(roots_at(Length::new(1 << 63)), [top]);
    assert!(roots_at(Length::new((1 << 63) + 1)).is_empty());
    assert_eq!(roots_at(Length::new((1 << 63) - 1)).len(), 63);
    assert!(growth(Length::new(5), Length::new(u64::MAX)).is_empty());
    assert_eq!(
        growth(Length::new((1 << 63) - 1), Length::new(1 << 63)),
        [node(u64::MAX - 1)]
    );
}

proptest! {
    #[test]
    fn nothing_panics_and_kin_agree(index in any::<u64>()) {
        let n = node(index);
        prop_assert!(n.contains(n));
        prop_assert!(n.left_span() <= n && n <= n.right_span());
        let _ = (n.end(), n.first_block(), n.is_left(), n.block());
        if let Some(parent) = n.parent() {
            prop_assert_eq!(parent.depth(), n.depth() + 1);
            prop_assert!(parent.contains(n));
            let child = if n.is_left() { parent.left_child() } else { parent.right_child() };
            prop_assert_eq!(child, Some(n));
        }
        if let Some(sibling) = n.sibling() {
            prop_assert_eq!(sibling.sibling(), Some(n));
            prop_assert_eq!(sibling.parent(), n.parent());
        }
    }

    #[test]
    fn roots_of_any_length_tile_it(length in 0..=1u64 << 63) {
        let mut next = 0;
        for root in full_roots(Length::new(length)) {
            prop_assert_eq!(root.first_block().get(), next);
            next = root.end().get();
        }
        prop_assert_eq!(next, length);
    }
}
