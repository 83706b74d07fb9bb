//! The three hashes of the tree: BLAKE2b-256 over a type byte (0 leaf, 1 parent, 2 roots) and what
//! identifies the node, so that no node can pass for one of another kind.
//!
//! Owns what is hashed, and the choice between one digest at a time and several side by side
//! ([`leaves`], [`parents`]). Knows nothing of which nodes a tree has.

use alloc::vec::Vec;

use blake2::digest::{FixedOutput, Update};
use blake2::{Blake2b, digest::consts::U32};
use blake2b_simd::many::{HashManyJob, degree, hash_many};

use crate::{ByteLength, Hash, Node, NodeIndex, TreeHash};

type Blake2b256 = Blake2b<U32>;

const LEAF: u8 = 0;
const PARENT: u8 = 1;
const ROOTS: u8 = 2;

/// Bytes before a block in what its leaf is the hash of: type and size.
const LEAF_PREFIX: usize = 9;
/// Type, size and two hashes.
const PARENT_INPUT: usize = 73;
/// Blocks longer than this are hashed one by one: they are not worth the copy that puts their prefix
/// in front of them.
const WIDE_BLOCK: usize = 1 << 16;
/// Blocks prepared for hashing side by side at one time, so that the copies stay small.
const WIDE_BATCH: usize = 8;

/// Hash of a block.
#[must_use]
pub fn leaf(block: &[u8]) -> Hash {
    let mut digest = Blake2b256::default();
    digest.update(&leaf_prefix(block));
    digest.update(block);
    Hash(digest.finalize_fixed().into())
}

/// Hash of the parent of two siblings, in either order. The sum of their sizes is taken modulo 2^64;
/// [`parent_node`] checks it.
#[must_use]
pub fn parent(a: &Node, b: &Node) -> Hash {
    let mut digest = Blake2b256::default();
    digest.update(&parent_input(a, b));
    Hash(digest.finalize_fixed().into())
}

/// Hash over the roots of a tree, from left to right: what identifies all blocks under them.
#[must_use]
pub fn tree_hash(roots: &[Node]) -> TreeHash {
    let mut digest = Blake2b256::default();
    digest.update(&[ROOTS]);
    for root in roots {
        digest.update(root.hash.as_bytes());
        digest.update(&root.index.get().to_le_bytes());
        digest.update(&root.size.get().to_le_bytes());
    }
    TreeHash(digest.finalize_fixed().into())
}

/// The leaf of a block.
#[must_use]
pub fn leaf_node(index: NodeIndex, block: &[u8]) -> Node {
    Node {
        index,
        size: ByteLength::new(block.len() as u64),
        hash: leaf(block),
    }
}

/// The parent of two siblings, in either order; `None` where they are no siblings, or their sizes
/// together exceed 64 bits.
#[must_use]
pub fn parent_node(a: &Node, b: &Node) -> Option<Node> {
    if a.index.sibling()? != b.index {
        return None;
    }
    let size = a.size.get().checked_add(b.size.get())?;
    Some(Node {
        index: a.index.parent()?,
        size: ByteLength::new(size),
        hash: parent(a, b),
    })
}

/// Puts the next subtree to the right of `roots`, and joins what then are siblings: subtrees that tile
/// a log, taken from left to right, end up as its roots. Where sizes together exceed 64 bits, siblings
/// stay apart, and are no roots of a tree.
pub(crate) fn join(roots: &mut Vec<Node>, subtree: Node) {
    let mut right = subtree;
    while let Some(parent) = roots.last().and_then(|left| parent_node(left, &right)) {
        roots.pop();
        right = parent;
    }
    roots.push(right);
}

/// Hashes of many blocks, several side by side where the processor can. Same results as [`leaf`].
#[must_use]
pub fn leaves(blocks: &[&[u8]]) -> Vec<Hash> {
    let mut hashes = Vec::with_capacity(blocks.len());
    let mut inputs = Vec::new();
    for batch in blocks.chunks(WIDE_BATCH) {
        if !is_wide(batch.len()) || batch.iter().any(|block| block.len() > WIDE_BLOCK) {
            hashes.extend(batch.iter().map(|block| leaf(block)));
            continue;
        }
        inputs.clear();
        inputs.reserve(batch.iter().map(|block| LEAF_PREFIX + block.len()).sum());
        for block in batch {
            inputs.extend_from_slice(&leaf_prefix(block));
            inputs.extend_from_slice(block);
        }
        let mut rest = inputs.as_slice();
        side_by_side(
            batch.iter().map(|block| {
                let (input, after) = rest.split_at(LEAF_PREFIX + block.len());
                rest = after;
                input
            }),
            &mut hashes,
        );
    }
    hashes
}

/// Hashes of the parents of many pairs of siblings, several side by side where the processor can.
/// Same results as [`parent`].
#[must_use]
pub fn parents(pairs: &[(Node, Node)]) -> Vec<Hash> {
    if !is_wide(pairs.len()) {
        return pairs.iter().map(|(a, b)| parent(a, b)).collect();
    }
    let inputs: Vec<_> = pairs.iter().map(|(a, b)| parent_input(a, b)).collect();
    let mut hashes = Vec::with_capacity(pairs.len());
    side_by_side(
        inputs.iter().map(<[u8; PARENT_INPUT]>::as_slice),
        &mut hashes,
    );
    hashes
}

/// Whether so many digests are better made side by side: where the processor cannot, never.
fn is_wide(count: usize) -> bool {
    count > 1 && degree() > 1
}

fn side_by_side<'a>(inputs: impl Iterator<Item = &'a [u8]>, hashes: &mut Vec<Hash>) {
    let mut params = blake2b_simd::Params::new();
    params.hash_length(32);
    let mut jobs: Vec<_> = inputs
        .map(|input| HashManyJob::new(&params, input))
        .collect();
    hash_many(jobs.iter_mut());
    hashes.extend(jobs.iter().map(|job| {
        let mut hash = [0; 32];
        hash.copy_from_slice(job.to_hash().as_bytes());
        Hash(hash)
    }));
}

fn leaf_prefix(block: &[u8]) -> [u8; LEAF_PREFIX] {
    let mut prefix = [LEAF; LEAF_PREFIX];
    prefix[1..].copy_from_slice(&(block.len() as u64).to_le_bytes());
    prefix
}

fn parent_input(a: &Node, b: &Node) -> [u8; PARENT_INPUT] {
    let (left, right) = if a.index <= b.index { (a, b) } else { (b, a) };
    let size = left.size.get().wrapping_add(right.size.get());
    let mut input = [PARENT; PARENT_INPUT];
    input[1..9].copy_from_slice(&size.to_le_bytes());
    input[9..41].copy_from_slice(left.hash.as_bytes());
    input[41..].copy_from_slice(right.hash.as_bytes());
    input
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use proptest::prelude::*;

    use super::*;

    fn any_node() -> impl Strategy<Value = Node> {
        (any::<u64>(), any::<u64>(), any::<[u8; 32]>()).prop_map(|(index, size, hash)| Node {
            index: NodeIndex::new(index),
            size: ByteLength::new(size),
            hash: Hash(hash),
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn leaves_side_by_side_are_the_leaves(
            blocks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 0..20),
        ) {
            let blocks: Vec<&[u8]> = blocks.iter().map(Vec::as_slice).collect();
            let one_by_one: Vec<_> = blocks.iter().map(|block| leaf(block)).collect();
            prop_assert_eq!(leaves(&blocks), one_by_one);
        }

        #[test]
        fn parents_side_by_side_are_the_parents(
            pairs in proptest::collection::vec((any_node(), any_node()), 0..20),
        ) {
            let one_by_one: Vec<_> = pairs.iter().map(|(a, b)| parent(a, b)).collect();
            prop_assert_eq!(parents(&pairs), one_by_one);
        }
    }

    #[test]
    fn a_long_block_among_short_ones_is_hashed_alike() {
        let long = vec![7; WIDE_BLOCK + 1];
        let blocks: [&[u8]; 3] = [b"a", &long, b"b"];
        assert_eq!(leaves(&blocks), blocks.map(leaf));
    }

    #[test]
    fn a_parent_is_made_of_siblings_only() {
        let node = |index, size| Node {
            index: NodeIndex::new(index),
            size: ByteLength::new(size),
            hash: Hash([9; 32]),
        };
        assert_eq!(
            parent_node(&node(0, 3), &node(2, 4)),
            parent_node(&node(2, 4), &node(0, 3))
        );
        assert_eq!(parent_node(&node(0, 3), &node(4, 4)), None);
        assert_eq!(parent_node(&node(2, 3), &node(4, 4)), None);
        assert_eq!(parent_node(&node(0, u64::MAX), &node(2, 1)), None);
    }
}
