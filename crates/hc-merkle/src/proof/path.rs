//! Hashing many paths up the tree at once.
//!
//! Owns the climb from a node to the top of its proof. Steps at which paths of different proofs meet
//! are hashed once, all others of a round side by side. Knows nothing of what the tops have to be.

use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;

use crate::error::ProofError;
use crate::{ByteLength, Hash, Node, NodeIndex, hash};

/// A path that is being climbed: the node reached, and the siblings that are left.
#[derive(Debug)]
pub(super) struct Path {
    top: Node,
    siblings: vec::IntoIter<Node>,
    /// The top of another path that joins this one.
    joining: Option<Top>,
    /// The first two nodes of a path that does not begin with a block. Their hashes are authentic once
    /// the top is, and the sum of their sizes; each size by itself is not.
    pub(super) loose: Vec<Node>,
    /// All other nodes below the top, authentic once that is: hashed here, or the sibling of such a
    /// one, whose size is what the sum leaves.
    pub(super) sure: Vec<Node>,
    /// As in [`Top`].
    is_sure: bool,
}

/// Where a path has come to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Top {
    pub(super) node: Node,
    /// Whether its size is authentic once its hash is: it was hashed here.
    pub(super) is_sure: bool,
}

impl Path {
    /// The path of a leaf whose block is at hand.
    pub(super) fn of_leaf(leaf: Node, siblings: Vec<Node>, joining: Option<Top>) -> Self {
        let sure = Vec::with_capacity(2 * siblings.len() + 2);
        let siblings = siblings.into_iter();
        Self {
            top: leaf,
            siblings,
            joining,
            loose: Vec::new(),
            sure,
            is_sure: true,
        }
    }

    /// The path of the first of `nodes`.
    pub(super) fn of_first(nodes: Vec<Node>, joining: Option<Top>) -> Option<Self> {
        let sure = Vec::with_capacity(2 * nodes.len());
        let mut siblings = nodes.into_iter();
        let top = siblings.next()?;
        Some(Self {
            top,
            siblings,
            joining,
            loose: Vec::new(),
            sure,
            is_sure: false,
        })
    }

    /// The node that was reached.
    pub(super) fn top(&self) -> Top {
        Top {
            node: self.top,
            is_sure: self.is_sure,
        }
    }

    /// The next sibling, if any are left.
    fn next_sibling(&mut self) -> Result<Option<Node>, ProofError> {
        if self.siblings.as_slice().is_empty() && self.joining.is_none() {
            return Ok(None);
        }
        let index = self.top.index.sibling().ok_or(ProofError::OutOfTree)?;
        let sibling = match self.joining.take_if(|top| top.node.index == index) {
            Some(joining) => {
                // The hash to come covers the sum: what is known of one is known of both.
                self.is_sure |= joining.is_sure;
                Some(joining.node)
            }
            None => self.siblings.next().filter(|node| node.index == index),
        };
        sibling.map(Some).ok_or(ProofError::ExpectedNode { index })
    }

    fn rise(&mut self, sibling: Node, parent: Node) {
        let below = if self.is_sure {
            &mut self.sure
        } else {
            &mut self.loose
        };
        below.extend([self.top, sibling]);
        self.top = parent;
        self.is_sure = true;
    }
}

/// Parents that were hashed already, by their number.
#[derive(Debug, Default)]
struct Memo {
    places: BTreeMap<NodeIndex, usize>,
    pairs: Vec<(Node, Node)>,
    hashes: Vec<Hash>,
}

impl Memo {
    /// Where the hash of this pair will be found after the round.
    fn place(&mut self, parent: NodeIndex, left: Node, right: Node) -> usize {
        let same = |(a, b): &(Node, Node)| {
            a.hash == left.hash
                && b.hash == right.hash
                && a.size.get().wrapping_add(b.size.get())
                    == left.size.get().wrapping_add(right.size.get())
        };
        if let Some(&place) = self.places.get(&parent)
            && self.pairs.get(place).is_some_and(same)
        {
            return place;
        }
        let place = self.pairs.len();
        self.pairs.push((left, right));
        self.places.insert(parent, place);
        place
    }

    fn hash_round(&mut self) {
        let fresh = self.pairs.get(self.hashes.len()..).unwrap_or_default();
        self.hashes.extend(hash::parents(fresh));
    }
}

/// Climbs all paths to their ends. Paths that fail are replaced by why.
pub(super) fn climb(paths: &mut [Result<Option<Path>, ProofError>]) {
    let mut memo = Memo::default();
    let mut round: Vec<(usize, Node, Node, usize)> = Vec::new();
    loop {
        round.clear();
        for (number, slot) in paths.iter_mut().enumerate() {
            let Ok(Some(path)) = slot else { continue };
            match step(path, &mut memo) {
                Ok(Some((sibling, parent, place))) => round.push((number, sibling, parent, place)),
                Ok(None) => {}
                Err(error) => *slot = Err(error),
            }
        }
        if round.is_empty() {
            return;
        }
        memo.hash_round();
        for &(number, sibling, mut parent, place) in &round {
            if let (Some(Ok(Some(path))), Some(hash)) =
                (paths.get_mut(number), memo.hashes.get(place))
            {
                parent.hash = *hash;
                path.rise(sibling, parent);
            }
        }
    }
}

/// The next sibling of a path, and its parent but for the hash, which will be at the place.
fn step(path: &mut Path, memo: &mut Memo) -> Result<Option<(Node, Node, usize)>, ProofError> {
    let Some(sibling) = path.next_sibling()? else {
        return Ok(None);
    };
    let top = path.top;
    let index = top.index.parent().ok_or(ProofError::OutOfTree)?;
    let size = top
        .size
        .get()
        .checked_add(sibling.size.get())
        .ok_or(ProofError::TooManyBytes)?;
    let (left, right) = if top.index.is_left() {
        (top, sibling)
    } else {
        (sibling, top)
    };
    let place = memo.place(index, left, right);
    let parent = Node {
        index,
        size: ByteLength::new(size),
        hash: top.hash,
    };
    Ok(Some((sibling, parent, place)))
}
