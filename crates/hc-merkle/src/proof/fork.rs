//! Following a log to another fork: where it parts from ours, then one change.
//!
//! Owns the search for the common ancestor, from a signed head of the new fork down to the first block
//! that differs. Knows nothing of who is asked, or of where nodes are stored.

use alloc::collections::btree_map::Entry;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::ops::Range;

use super::verify::{paths, whole};
use super::{Proof, Remote};
use crate::error::ProofError;
use crate::manifest::Manifest;
use crate::walk::node_at;
use crate::{Authority, ByteLength, Change, Fork, Head, Length, Node, NodeIndex, Verifier};

/// What to ask for next: the hash of the leaf of any of these blocks, with this many nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Blocks among which the forks part.
    pub blocks: Range<u64>,
    /// Steps from a leaf up to the node that differs: what goes in
    /// [`HashRequest::nodes`](super::HashRequest::nodes).
    pub nodes: u64,
}

/// A log on its way to another fork.
///
/// Made of a proof of the whole new fork. Then, in turn: read the [`expected`](Self::expected) nodes
/// and [`compare`](Self::compare); while that wants more, ask for it and [`update`](Self::update).
/// When nothing is wanted, [`finish`](Self::finish) makes the change.
#[derive(Debug, Clone)]
pub struct Reorg {
    base: (Fork, Length),
    head: Head,
    manifest: Option<Manifest>,
    learned: Option<Verifier>,
    nodes: Nodes,
    /// Nodes to compare with those stored.
    expected: Vec<NodeIndex>,
    /// Nodes that were compared and are the same in both forks.
    shared: BTreeSet<NodeIndex>,
    /// What the forks have in common ends before this block, or at it.
    parted: Length,
    search: Search,
}

#[derive(Debug, Clone, Copy)]
enum Search {
    /// The roots of the new fork have to be compared.
    Roots,
    /// Under this node the forks part.
    Under(Node),
    /// The forks have this many blocks in common.
    Found(Length),
}

/// All nodes of the new fork that are known to be authentic.
#[derive(Debug, Clone, Default)]
struct Nodes {
    all: BTreeMap<NodeIndex, Node>,
    /// Those of them whose sizes are not: good to compare, but not to store.
    loose: BTreeSet<NodeIndex>,
}

impl Nodes {
    fn extend(&mut self, loose: Vec<Node>, sure: Vec<Node>) {
        for node in loose {
            if let Entry::Vacant(place) = self.all.entry(node.index) {
                place.insert(node);
                self.loose.insert(node.index);
            }
        }
        for node in sure {
            self.all.insert(node.index, node);
            self.loose.remove(&node.index);
        }
    }

    /// A loose node that is stored here has the size that it has here, and its sibling what is left.
    fn settle(&mut self, stored: Node) {
        let claimed = self.all.get(&stored.index).copied();
        let same = claimed.filter(|node| node.hash == stored.hash);
        let sibling = stored.index.sibling().and_then(|at| self.all.get_mut(&at));
        let (Some(claimed), Some(sibling)) = (same, sibling) else {
            return;
        };
        if !self.loose.contains(&stored.index) || !self.loose.contains(&sibling.index) {
            return;
        }
        let sum = claimed.size.get().saturating_add(sibling.size.get());
        if let Some(left) = sum.checked_sub(stored.size.get()) {
            sibling.size = ByteLength::new(left);
            self.loose.remove(&sibling.index);
            self.loose.remove(&stored.index);
            self.all.insert(stored.index, stored);
        }
    }

    fn into_sure(mut self) -> Vec<Node> {
        self.all.retain(|index, _| !self.loose.contains(index));
        self.all.into_values().collect()
    }
}

impl Reorg {
    /// Starts from a proof of a whole other fork: its signature holds, and it is a later one.
    ///
    /// # Errors
    /// [`ProofError`] says what is wrong.
    pub fn new(head: &Head, proof: Proof, authority: &Authority) -> Result<Self, ProofError> {
        if proof.fork <= head.fork {
            return Err(ProofError::OtherFork {
                ours: head.fork,
                theirs: proof.fork,
            });
        }
        let (
            Remote {
                head: next,
                learned,
                ..
            },
            loose,
            sure,
        ) = whole(proof, authority)?;
        let mut nodes = Nodes::default();
        nodes.extend(loose, sure);
        Ok(Self {
            base: (head.fork, head.length),
            manifest: learned
                .as_ref()
                .and_then(|verifier| verifier.manifest().cloned()),
            learned,
            expected: nodes.all.keys().copied().collect(),
            nodes,
            shared: BTreeSet::new(),
            parted: next.length,
            search: if head.length == Length::ZERO {
                Search::Found(Length::ZERO)
            } else {
                Search::Roots
            },
            head: next,
        })
    }

    /// The head of the new fork.
    #[must_use]
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// Who may sign, where only the key was known before.
    #[must_use]
    pub fn learned(&self) -> Option<&Verifier> {
        self.learned.as_ref()
    }

    /// The stored nodes to compare with next, in the order of their index.
    #[must_use]
    pub fn expected(&self) -> &[NodeIndex] {
        &self.expected
    }

    /// Fork and length that the log must still have for the change to apply.
    #[must_use]
    pub fn base(&self) -> (Fork, Length) {
        self.base
    }

    /// Compares with the stored nodes, read in the order of [`expected`](Self::expected), and says
    /// what is wanted next; nothing, when it is known where the forks part.
    pub fn compare(&mut self, stored: &[Option<Node>]) -> Option<Wanted> {
        for (place, &index) in self.expected.iter().enumerate() {
            let Some(stored) = node_at(stored, place, index) else {
                continue;
            };
            let theirs = self.nodes.all.get(&index).map(|node| node.hash);
            match theirs {
                Some(theirs) if theirs == stored.hash => {
                    self.shared.insert(index);
                }
                // Some block below differs: at the latest, the last one.
                Some(_) => {
                    let last = Length::new(index.end().get().saturating_sub(1));
                    self.parted = self.parted.min(last);
                }
                None => {}
            }
            self.nodes.settle(stored);
        }
        self.expected.clear();
        if let Search::Roots = self.search {
            let first = self.head.roots().iter().find(|root| !self.is_shared(root));
            self.search = match first {
                Some(root) => Search::Under(*root),
                None => Search::Found(self.head.length),
            };
        }
        if let Search::Under(node) = self.search {
            self.descend(node);
        }
        self.wanted()
    }

    fn is_shared(&self, node: &Node) -> bool {
        self.shared.contains(&node.index)
    }

    /// Goes on with an answer to what is or was wanted: several may be asked for at once, and each of
    /// them counts.
    ///
    /// # Errors
    /// [`ProofError`] where it is not an answer to that, or does not belong to the new fork; the search
    /// is then where it was.
    pub fn update(&mut self, proof: Proof) -> Result<(), ProofError> {
        if proof.fork != self.head.fork {
            return Err(ProofError::OtherFork {
                ours: self.head.fork,
                theirs: proof.fork,
            });
        }
        let path = paths(&mut [proof])
            .pop()
            .transpose()?
            .flatten()
            .ok_or(ProofError::Empty)?;
        let top = path.top().node;
        let index = top.index;
        let known = self.nodes.all.get(&index).filter(|_| {
            let is_path = !path.loose.is_empty() || !path.sure.is_empty();
            is_path && matches!(self.search, Search::Under(_))
        });
        let known = known.ok_or(ProofError::NotWanted { index })?;
        if known.hash != top.hash {
            return Err(ProofError::Checksum { index });
        }
        let below = path.loose.iter().chain(&path.sure);
        self.expected.extend(below.map(|node| node.index));
        self.expected.sort_unstable();
        self.expected.dedup();
        self.nodes.extend(path.loose, path.sure);
        Ok(())
    }

    /// What to ask for next; nothing, when it is known where the forks part, and before the roots are
    /// compared.
    #[must_use]
    pub fn wanted(&self) -> Option<Wanted> {
        let Search::Under(node) = self.search else {
            return None;
        };
        let blocks = node.index.first_block().get()..node.index.end().min(self.base.1).get();
        Some(Wanted {
            blocks,
            nodes: node.index.depth().into(),
        })
    }

    /// Lets the forks part before the first of the blocks that are [wanted](Self::wanted), without asking
    /// any further: what they have in common among those is dropped with the rest.
    pub fn settle(&mut self) {
        if let Some(wanted) = self.wanted() {
            self.search = Search::Found(Length::new(wanted.blocks.start));
        }
    }

    /// How many blocks the forks have in common, once it is known. Blocks whose nodes are not stored
    /// here do not count.
    #[must_use]
    pub fn ancestors(&self) -> Option<Length> {
        match self.search {
            Search::Found(length) => Some(length),
            Search::Roots | Search::Under(_) => None,
        }
    }

    /// From which block on the log is certainly cut by the change to the new fork. Blocks between the
    /// [`ancestors`](Self::ancestors) and this one may be the same in both forks: nodes that would tell are
    /// not stored here.
    #[must_use]
    pub fn parted(&self) -> Length {
        self.parted
    }

    /// The change that truncates to the common ancestor and takes over the new fork; `None` until the
    /// ancestor is known.
    #[must_use]
    pub fn finish(self) -> Option<Change> {
        let ancestors = self.ancestors()?;
        Some(Change {
            base: self.base,
            truncate: Some(ancestors.min(self.base.1)),
            nodes: self.nodes.into_sure(),
            blocks: Vec::new(),
            head: Some(self.head),
            manifest: self.manifest,
        })
    }

    /// Goes down from a node that differs as far as the nodes known allow.
    fn descend(&mut self, node: Node) {
        let mut at = node;
        loop {
            let first = Length::new(at.index.first_block().get());
            if at.index.is_leaf() || first >= self.base.1 {
                self.search = Search::Found(first);
                return;
            }
            let child = |index: Option<NodeIndex>| self.nodes.all.get(&index?).copied();
            let children = (child(at.index.left_child()), child(at.index.right_child()));
            let (Some(left), Some(right)) = children else {
                break;
            };
            at = if self.is_shared(&left) { right } else { left };
        }
        self.search = Search::Under(at);
    }
}
