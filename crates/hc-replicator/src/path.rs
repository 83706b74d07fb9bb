//! Which nodes of the tree must be here, going by the bits of its blocks alone. Knows no hashes.
//!
//! A node that is not a root is stored if any block under its parent is: whoever stored that block has
//! verified its path, and with it every sibling on the way up. So the two nearest blocks that are here
//! say how far up the first known node on a path is.

use hc_bitfield::Bitfield;

/// Up to this many levels up, the blocks under a node are looked at one by one: a search goes through
/// a whole page where nothing is set.
const PROBED: u64 = 4;

/// How many nodes on the path of block `index`, from its leaf up, are not here: what
/// [`BlockRequest::nodes`](hc_merkle::proof::BlockRequest) asks for. `length` is that of the shorter
/// of the two trees, ours and that of who is asked; 0 past it.
///
/// Never too few. It may be more than the store lacks, where blocks were cleared or nodes came without
/// blocks; the answer is then longer than it had to be, and as good.
///
/// Where `coming` blocks may be counted as held, and that makes for fewer: also which one the answer
/// leans on.
pub(crate) fn missing_nodes(
    held: &Bitfield,
    coming: Option<&Bitfield>,
    index: u64,
    length: u64,
) -> (u64, Option<u64>) {
    if held.get(index) {
        return (0, None);
    }
    let root = path_to_root(index, length);
    // what is coming is mostly nearer, and then the search of what is held is short
    let leans = coming.and_then(|coming| nearest(coming, index, root));
    let enough = leans.map_or(root, |(nodes, _)| nodes + 1);
    match (nearest(held, index, enough), leans) {
        (Some((nodes, _)), _) => (nodes, None),
        (None, Some((nodes, at))) => (nodes, Some(at)),
        (None, None) => (root, None),
    }
}

/// The same where nothing is taken to be known but the roots.
pub(crate) fn path_to_root(index: u64, length: u64) -> u64 {
    if index < length {
        paths_meet(index, length)
    } else {
        0
    }
}

/// The block of a set, other than `index`, whose path meets that of `index` first and with fewer than
/// `most` nodes of the path of `index` below; and how many those are.
fn nearest(blocks: &Bitfield, index: u64, most: u64) -> Option<(u64, u64)> {
    if most == 0 {
        return None;
    }
    let meets = |at: u64| (paths_meet(index, at), at);
    let before = index.checked_sub(1).and_then(|at| blocks.last_set(at));
    let before = before.map(meets).filter(|(nodes, _)| *nodes < most);
    // only under the node where the two meet can there be a nearer one
    let height = before.map_or(most, |(nodes, _)| nodes);
    let last = index
        | 1_u64
            .checked_shl(u32::try_from(height).ok()?)
            .map_or(u64::MAX, |size| size - 1);
    let after = if height <= PROBED {
        (index + 1..=last).find(|at| blocks.get(*at))
    } else {
        blocks.first_set(index + 1).filter(|at| *at <= last)
    };
    after.map(meets).or(before)
}

/// How many nodes, from the leaf up, the path of `index` has to itself where that of `other` joins it:
/// the place of the highest bit in which the two differ. With the length of the tree in place of a
/// block, the nodes below the root.
fn paths_meet(index: u64, other: u64) -> u64 {
    (index ^ other).checked_ilog2().map_or(0, u64::from)
}

/// Whether all roots of the tree of `at` blocks must be here, in a log of `length` blocks. `None` if
/// the bits do not tell.
pub(crate) fn roots_known(held: &Bitfield, at: u64, length: u64) -> Option<bool> {
    if at == 0 {
        return Some(true);
    }
    if at > length {
        return Some(false);
    }
    let mut start = 0_u64;
    for level in (0..u64::from(u64::BITS))
        .rev()
        .filter(|level| at >> level & 1 == 1)
    {
        let parent = Subtree::above(start, level);
        let known = parent
            .is_none_or(|parent| parent.end > length || held.any_set(parent.start..parent.end));
        if !known {
            return None;
        }
        start += 1 << level;
    }
    Some(true)
}

/// The blocks under one node.
struct Subtree {
    start: u64,
    end: u64,
}

impl Subtree {
    /// Under the parent of the node that is `level` levels above block `index`; `None` where no log is
    /// that long.
    fn above(index: u64, level: u64) -> Option<Self> {
        let size = 1_u64.checked_shl(u32::try_from(level + 1).ok()?)?;
        let start = index & !(size - 1);
        Some(Self {
            start,
            end: start.checked_add(size)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    /// Nodes as (level, number at that level), from every block that is held and the roots.
    fn stored(held: &[u64], length: u64) -> alloc::collections::BTreeSet<(u32, u64)> {
        let mut nodes = alloc::collections::BTreeSet::new();
        let spans = |level: u32, at: u64| ((at + 1) << level) <= length;
        for level in 0..8 {
            for at in (0..length).filter(|at| spans(level, *at) && !spans(level + 1, at / 2)) {
                nodes.insert((level, at));
            }
        }
        for index in held {
            let mut at = *index;
            for level in 0.. {
                nodes.insert((level, at));
                if !spans(level + 1, at / 2) {
                    break;
                }
                nodes.insert((level, at ^ 1));
                at /= 2;
            }
        }
        nodes
    }

    #[test]
    fn missing_nodes_matches_a_store_for_every_small_log() {
        for length in 1..=9_u64 {
            for held in 0_u64..1 << length {
                let blocks: alloc::vec::Vec<u64> =
                    (0..length).filter(|i| held >> i & 1 == 1).collect();
                let nodes = stored(&blocks, length);
                let bits: Bitfield = blocks.iter().map(|i| *i..*i + 1).collect();
                for index in 0..length {
                    let expected =
                        (0..).take_while(|level| !nodes.contains(&(*level, index >> level)));
                    let expected = expected.count() as u64;
                    assert_eq!(
                        missing_nodes(&bits, None, index, length).0,
                        expected,
                        "block {index} of {length}, held {blocks:?}"
                    );
                }
                for at in 0..=length {
                    if let Some(known) = roots_known(&bits, at, length) {
                        assert!(known);
                        let mut start = 0;
                        for level in (0..8).rev().filter(|level| at >> level & 1 == 1) {
                            assert!(nodes.contains(&(level, start >> level)), "{at} of {length}");
                            start += 1 << level;
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn the_nearest_block_is_the_one_whose_path_meets_first() {
        let mut rng = crate::rng::Rng::new(5);
        for _ in 0..200 {
            let others: Vec<u64> = (0..rng.below(12)).map(|_| rng.below(300)).collect();
            let bits: Bitfield = others.iter().map(|at| *at..*at + 1).collect();
            for index in (0..300).filter(|index| !bits.get(*index)) {
                let meets =
                    |at: &u64| (0..).find(|level| index >> (level + 1) == at >> (level + 1));
                let least = others.iter().filter_map(meets).min();
                for most in 0..10_u64 {
                    let found = nearest(&bits, index, most);
                    assert_eq!(
                        found.map(|(nodes, _)| nodes),
                        least.filter(|least| *least < most)
                    );
                    assert!(found.is_none_or(|(nodes, at)| meets(&at) == Some(nodes)));
                }
            }
        }
    }

    #[test]
    fn a_path_never_leaves_the_shorter_tree() {
        assert_eq!(path_to_root(0, 1), 0);
        assert_eq!(path_to_root(0, 2), 1);
        assert_eq!(path_to_root(4, 5), 0);
        assert_eq!(path_to_root(5, 5), 0);
        assert_eq!(path_to_root(0, 100_000), 16);
        assert_eq!(path_to_root(u64::MAX - 1, u64::MAX), 0);
        assert_eq!(path_to_root(0, u64::MAX), 63);
        assert_eq!(roots_known(&Bitfield::new(), 6, 5), Some(false));
        assert_eq!(roots_known(&Bitfield::new(), 4, 7), Some(true));
        assert_eq!(roots_known(&Bitfield::new(), 4, 8), None);
        assert_eq!(
            roots_known(&Bitfield::contiguous(8), u64::MAX, 8),
            Some(false)
        );
    }
}
