//! Deciding whether proofs are authentic, many at a time.
//!
//! Owns the way from untrusted proofs to a [`Change`]: first everything is hashed and signatures are
//! checked; what is then left to compare are a few stored nodes, which the caller reads in one go.
//! Knows nothing of where they are stored, or of who sent a proof.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use bytes::Bytes;

use super::grow::{Grown, grow};
use super::path::{Path, Top, climb};
use super::{Proof, UpgradeProof};
use crate::error::ProofError;
use crate::manifest::{Manifest, Prologue};
use crate::{
    Authority, BlockIndex, ByteLength, Change, Fork, Hash, Head, Length, Node, NodeIndex, Verifier,
    hash,
};

impl Head {
    /// Verifies a proof against this head: hashes, then the signature where it brings one.
    ///
    /// # Errors
    /// [`ProofError`] says what is wrong, and whether whoever sent it is to blame.
    pub fn verify(&self, proof: Proof, authority: &Authority) -> Result<Verified, ProofError> {
        let mut batch = Batch::verify(self, authority, [proof]);
        match batch.items.pop() {
            Some(Err(error)) => Err(error),
            item => {
                batch.items.extend(item);
                Ok(Verified(batch))
            }
        }
    }
}

/// What a proof claims without anything of the log being at hand: all of it is signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote {
    /// The head that is signed.
    pub head: Head,
    /// The head at the length that was asked for, unsigned: what to compare to find that one length
    /// was signed twice. Compare the hashes of its roots, and not its own, as where more was signed
    /// than was asked for the sizes of its last root and of the node after that are only known together.
    pub asked: Head,
    /// Who may sign, where only the key was known before.
    pub learned: Option<Verifier>,
}

impl Remote {
    /// Verifies a proof of a whole log, from its first block on, that nothing else is known of. A
    /// block, hash or seek it may have has to be part of the tree that it proves.
    ///
    /// # Errors
    /// [`ProofError`] says what is wrong.
    pub fn verify(proof: Proof, authority: &Authority) -> Result<Self, ProofError> {
        whole(proof, authority).map(|(remote, _, _)| remote)
    }
}

/// Verifies a proof that starts from nothing: what it claims, then its nodes that are loose (see
/// [`Path::loose`]) and those that are sure.
pub(super) fn whole(
    proof: Proof,
    authority: &Authority,
) -> Result<(Remote, Vec<Node>, Vec<Node>), ProofError> {
    let mut proofs = [proof];
    let path = paths(&mut proofs).pop().transpose()?.flatten();
    let [proof] = proofs;
    let upgrade = proof.upgrade.ok_or(ProofError::Empty)?;
    if upgrade.start > Length::ZERO {
        return Err(ProofError::OtherLength {
            ours: Length::ZERO,
            theirs: upgrade.start,
        });
    }
    let top = path.as_ref().map(Path::top);
    let manifest = proof.manifest.as_ref();
    let (grown, learned) = signed(
        &Head::empty(),
        authority,
        proof.fork,
        upgrade,
        top,
        manifest,
    )?;
    let (mut loose, mut sure) = (grown.loose, grown.sure);
    if let Some(path) = path {
        if !grown.joined {
            return Err(ProofError::Unconnected {
                index: path.top().node.index,
            });
        }
        loose.extend(path.loose);
        sure.extend(path.sure);
    }
    Ok((
        Remote {
            head: grown.head,
            asked: grown.asked,
            learned,
        },
        loose,
        sure,
    ))
}

/// A proof that holds if one stored node is the right one.
#[derive(Debug)]
pub struct Verified(Batch);

impl Verified {
    /// The stored node that decides; `None` where it holds already.
    #[must_use]
    pub fn expected(&self) -> Option<NodeIndex> {
        self.0.expected.first().copied()
    }

    /// Compares with the stored node, and makes the change.
    ///
    /// # Errors
    /// [`ProofError::Unconnected`] where no such node is stored, [`ProofError::Checksum`] where it is
    /// another.
    pub fn confirm(self, stored: Option<Node>) -> Result<Change, ProofError> {
        let mut confirmed = self.0.confirm(&[stored]);
        match (confirmed.outcomes.pop(), confirmed.change) {
            (Some(Err(error)), _) => Err(error),
            (_, Some(change)) => Ok(change),
            (_, None) => Err(ProofError::Empty),
        }
    }
}

/// Proofs that arrived together: hashed together, tied to the tree by one read, and turned into one
/// change.
#[derive(Debug)]
pub struct Batch {
    base: Head,
    items: Vec<Result<Item, ProofError>>,
    expected: Vec<NodeIndex>,
    learned: Option<Verifier>,
}

/// A batch after the stored nodes were compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confirmed {
    /// What is to be written; `None` where no proof held.
    pub change: Option<Change>,
    /// What became of each proof, in the order they were given.
    pub outcomes: Vec<Result<(), ProofError>>,
    /// Who may sign, where only the key was known before.
    pub learned: Option<Verifier>,
}

/// A proof that is hashed, and signed if it moves the head.
#[derive(Debug)]
struct Item {
    loose: Vec<Node>,
    sure: Vec<Node>,
    block: Option<(BlockIndex, Bytes)>,
    /// The top of the path, unless it became part of a signed tree.
    top: Option<Top>,
    upgrade: Option<Upgrade>,
}

#[derive(Debug)]
struct Upgrade {
    from: Length,
    head: Head,
}

impl Batch {
    /// Verifies proofs against `head`, each upgrade against the head that the ones before it led to.
    ///
    /// A proof with an upgrade that others have overtaken still counts for its block, hash or seek. A
    /// proof that fails does not affect the others. A log without blocks follows an upgrade from its
    /// first block on to a later fork; for any other that takes a [`Reorg`](super::Reorg).
    #[must_use]
    pub fn verify(
        head: &Head,
        authority: &Authority,
        proofs: impl IntoIterator<Item = Proof>,
    ) -> Self {
        let mut proofs: Vec<Proof> = proofs.into_iter().collect();
        let paths = paths(&mut proofs);
        let mut batch = Self {
            base: head.clone(),
            items: Vec::with_capacity(proofs.len()),
            expected: Vec::new(),
            learned: None,
        };
        let mut judge = Judge {
            head: head.clone(),
            authority: authority.clone(),
        };
        for (proof, path) in proofs.into_iter().zip(paths) {
            let item = path.and_then(|path| judge.item(proof, path));
            batch.items.push(item);
        }
        if authority.verifier().is_none() {
            batch.learned = judge.authority.verifier().cloned();
        }
        let tops = batch.items.iter().flatten().filter_map(|item| item.top);
        let known = |index| head.roots().iter().any(|root| root.index == index);
        batch.expected = tops
            .map(|top| top.node.index)
            .filter(|index| !known(*index))
            .collect();
        batch.expected.sort_unstable();
        batch.expected.dedup();
        batch
    }

    /// The stored nodes that decide, in the order of their index. At most one for each proof.
    #[must_use]
    pub fn expected(&self) -> &[NodeIndex] {
        &self.expected
    }

    /// Compares with the stored nodes, read in the order of [`expected`](Self::expected), and makes
    /// one change of all proofs that hold.
    #[must_use]
    pub fn confirm(self, stored: &[Option<Node>]) -> Confirmed {
        let mut change = Merged::new(self.base, &self.expected, stored);
        let outcomes: Vec<_> = self
            .items
            .into_iter()
            .map(|item| item.and_then(|item| change.take(item)))
            .collect();
        let held = outcomes.iter().any(Result::is_ok);
        let learned = self.learned.filter(|_| held);
        let manifest = learned
            .as_ref()
            .and_then(|verifier| verifier.manifest().cloned());
        Confirmed {
            change: held.then(|| change.finish(manifest)),
            outcomes,
            learned,
        }
    }
}

/// Takes the paths of block, hash and seek out of proofs and climbs them, those of all proofs
/// together: first what is sought, then what that joins.
pub(super) fn paths(proofs: &mut [Proof]) -> Vec<Result<Option<Path>, ProofError>> {
    let mut seeks: Vec<_> = proofs
        .iter_mut()
        .map(|proof| Ok(seek_path(proof)))
        .collect();
    climb(&mut seeks);

    let values: Vec<&[u8]> = proofs
        .iter()
        .filter_map(|proof| proof.block.as_ref().map(|block| block.value.as_ref()))
        .collect();
    let mut leaves = hash::leaves(&values).into_iter();
    let mut paths = Vec::with_capacity(proofs.len());
    let mut sought = Vec::with_capacity(proofs.len());
    for (proof, seek) in proofs.iter_mut().zip(seeks) {
        // Every block has its leaf, also in a proof that has failed.
        let leaf = proof.block.as_ref().and_then(|_| leaves.next());
        let (path, seek) = match seek {
            Ok(seek) => main_path(proof, leaf, seek),
            Err(error) => (Err(error), None),
        };
        paths.push(path);
        sought.push(seek);
    }
    climb(&mut paths);
    for (path, seek) in paths.iter_mut().zip(sought) {
        if let (Ok(Some(path)), Some(seek)) = (path, seek) {
            path.loose.extend(seek.loose);
            path.sure.extend(seek.sure);
        }
    }
    paths
}

fn seek_path(proof: &mut Proof) -> Option<Path> {
    Path::of_first(core::mem::take(&mut proof.seek.as_mut()?.nodes), None)
}

/// The path of a block or hash, joined by what is sought, which is given back for its nodes; or, where
/// nothing else is proven, what is sought itself.
#[allow(clippy::type_complexity)] // named, it would say less
fn main_path(
    proof: &mut Proof,
    leaf: Option<Hash>,
    seek: Option<Path>,
) -> (Result<Option<Path>, ProofError>, Option<Path>) {
    let joining = seek.as_ref().map(Path::top);
    if let (Some(block), Some(hash)) = (&mut proof.block, leaf) {
        let Some(index) = block.index.leaf() else {
            return (Err(ProofError::OutOfTree), None);
        };
        let leaf = Node {
            index,
            size: ByteLength::new(block.value.len() as u64),
            hash,
        };
        let siblings = core::mem::take(&mut block.nodes);
        return (Ok(Some(Path::of_leaf(leaf, siblings, joining))), seek);
    }
    let Some(hash) = &mut proof.hash else {
        return (Ok(seek), None);
    };
    let index = hash.index;
    let path = Path::of_first(core::mem::take(&mut hash.nodes), joining)
        .filter(|path| path.top().node.index == index)
        .ok_or(ProofError::ExpectedNode { index });
    (path.map(Some), seek)
}

/// What is known while the proofs of a batch are judged one after the other.
struct Judge {
    head: Head,
    authority: Authority,
}

impl Judge {
    /// Without a block there is nothing to keep of one fork, and a signed tree of a later one can be
    /// taken over as it is.
    fn adopts(&self, proof: &Proof) -> bool {
        let from_nothing = |upgrade: &UpgradeProof| upgrade.start == Length::ZERO;
        proof.fork > self.head.fork
            && self.head.length == Length::ZERO
            && proof.upgrade.as_ref().is_some_and(from_nothing)
    }

    fn item(&mut self, proof: Proof, path: Option<Path>) -> Result<Item, ProofError> {
        if proof.fork != self.head.fork && !self.adopts(&proof) {
            return Err(ProofError::OtherFork {
                ours: self.head.fork,
                theirs: proof.fork,
            });
        }
        let block = proof.block.map(|block| (block.index, block.value));
        let top = path.as_ref().map(Path::top);
        let (loose, sure) = path.map_or_else(Default::default, |path| (path.loose, path.sure));
        let mut item = Item {
            loose,
            sure,
            block,
            top,
            upgrade: None,
        };
        let overtaken = |upgrade: &UpgradeProof| upgrade.start < self.head.length;
        match proof.upgrade {
            Some(upgrade) if overtaken(&upgrade) && top.is_some() => {}
            Some(upgrade) => {
                self.upgrade(&mut item, proof.fork, upgrade, proof.manifest.as_ref())?;
            }
            None => self.manifest(&item, proof.manifest.as_ref())?,
        }
        Ok(item)
    }

    fn upgrade(
        &mut self,
        item: &mut Item,
        fork: Fork,
        upgrade: UpgradeProof,
        manifest: Option<&Manifest>,
    ) -> Result<(), ProofError> {
        let from = self.head.length;
        if upgrade.start != from {
            return Err(ProofError::OtherLength {
                ours: from,
                theirs: upgrade.start,
            });
        }
        let top = item.top;
        let (grown, verifier) = signed(&self.head, &self.authority, fork, upgrade, top, manifest)?;
        item.top = top.filter(|_| !grown.joined);
        item.loose.extend(grown.loose);
        item.sure.extend(grown.sure);
        item.upgrade = Some(Upgrade {
            from,
            head: grown.head.clone(),
        });
        self.head = grown.head;
        if let Some(verifier) = verifier {
            self.authority = verifier.into();
        }
        Ok(())
    }

    /// A manifest without an upgrade: all there is to know of a log without blocks.
    fn manifest(&mut self, item: &Item, manifest: Option<&Manifest>) -> Result<(), ProofError> {
        let proves = match (manifest, &self.authority) {
            (Some(_), Authority::KeyOnly(_)) => {
                let verifier = self.authority.resolve(manifest)?.into_owned();
                // Anyone can say of any key that it is a public key; only a signature shows it.
                let is_bound = !verifier.is_compat();
                if is_bound {
                    self.authority = verifier.into();
                }
                is_bound
            }
            (manifest, _) => manifest.is_some(),
        };
        if proves || item.top.is_some() {
            Ok(())
        } else {
            Err(ProofError::Empty)
        }
    }
}

/// Grows a head by an upgrade and checks the signature; gives the verifier where it was not settled.
pub(super) fn signed(
    head: &Head,
    authority: &Authority,
    fork: Fork,
    upgrade: UpgradeProof,
    joining: Option<Top>,
    manifest: Option<&Manifest>,
) -> Result<(Grown, Option<Verifier>), ProofError> {
    let verifier = authority.resolve(manifest)?;
    let mut grown = grow(head, fork, upgrade, joining, verifier.prologue())?;
    verifier.verify(&grown.head)?;
    let needs_none = |prologue: &Prologue| grown.head.length <= prologue.length;
    if verifier.prologue().is_some_and(needs_none) {
        // Nobody has looked at it, so it is not kept.
        grown.head.signature = None;
    }
    let learned = authority
        .verifier()
        .is_none()
        .then(|| verifier.into_owned());
    Ok((grown, learned))
}

/// The change that comes of all proofs that hold.
struct Merged {
    base: Head,
    head: Option<Head>,
    /// Nodes that were authentic before: stored ones and roots.
    known: BTreeMap<NodeIndex, Node>,
    /// Nodes of proofs that held.
    nodes: BTreeMap<NodeIndex, Node>,
    /// Hashes of nodes of proofs that held whose sizes are not sure: paths may end there, but they are
    /// not stored. A wrong size would lead seeks astray, and spoil the proofs that it goes into.
    loose: BTreeMap<NodeIndex, Hash>,
    blocks: BTreeMap<BlockIndex, Bytes>,
}

impl Merged {
    fn new(base: Head, expected: &[NodeIndex], stored: &[Option<Node>]) -> Self {
        let read = expected.iter().zip(stored);
        let read = read.filter_map(|(index, node)| node.filter(|node| node.index == *index));
        let known = base
            .roots()
            .iter()
            .copied()
            .chain(read)
            .map(|node| (node.index, node))
            .collect();
        Self {
            base,
            head: None,
            known,
            nodes: BTreeMap::new(),
            loose: BTreeMap::new(),
            blocks: BTreeMap::new(),
        }
    }

    fn take(&mut self, item: Item) -> Result<(), ProofError> {
        let length = self.head.as_ref().unwrap_or(&self.base).length;
        if let Some(upgrade) = item
            .upgrade
            .as_ref()
            .filter(|upgrade| upgrade.from != length)
        {
            return Err(ProofError::OtherLength {
                ours: length,
                theirs: upgrade.from,
            });
        }
        if let Some(top) = item.top {
            self.tie(top)?;
        }
        for node in item.loose {
            self.loose.insert(node.index, node.hash);
        }
        for node in item.sure {
            self.nodes.insert(node.index, node);
        }
        self.blocks.extend(item.block);
        if let Some(upgrade) = item.upgrade {
            self.head = Some(upgrade.head);
        }
        Ok(())
    }

    /// Compares the top of a path with what is known, and notes it where less was known of it.
    fn tie(&mut self, Top { node, is_sure }: Top) -> Result<(), ProofError> {
        let index = node.index;
        let known = self.nodes.get(&index).or_else(|| self.known.get(&index));
        let hash = known.map(|known| known.hash);
        let hash = hash.or_else(|| self.loose.get(&index).copied());
        if hash.ok_or(ProofError::Unconnected { index })? != node.hash {
            return Err(ProofError::Checksum { index });
        }
        if is_sure && known != Some(&node) {
            self.nodes.insert(index, node);
        }
        Ok(())
    }

    fn finish(self, manifest: Option<Manifest>) -> Change {
        Change {
            base: (self.base.fork, self.base.length),
            truncate: None,
            nodes: self.nodes.into_values().collect(),
            blocks: self.blocks.into_iter().collect(),
            head: self.head,
            manifest,
        }
    }
}
