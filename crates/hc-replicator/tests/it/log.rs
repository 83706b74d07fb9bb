//! A log in memory that does what machines ask for: proofs are made and verified by `hc-merkle`.

use std::collections::BTreeMap;
use std::convert::Infallible;

use bytes::Bytes;
use hc_bitfield::Bitfield;
use hc_merkle::proof::{Batch, Planner, Proof, Remote, Reorg, Request, UpgradeRequest};
use hc_merkle::{
    Authority, BlockIndex, Change, Draft, Fork, Head, KeyPair, Length, Manifest, Node, NodeIndex,
    ProofError, Truncation, Verifier, Walk, drive,
};
use hc_replicator::{LocalView, ManifestState, Published, Rejection, Reply};

#[derive(Clone)]
pub(crate) struct Log {
    pub(crate) head: Head,
    authority: Authority,
    keys: KeyPair,
    nodes: BTreeMap<NodeIndex, Node>,
    pub(crate) blocks: BTreeMap<u64, Bytes>,
    bits: Bitfield,
    /// How often each block was stored.
    pub(crate) stored: BTreeMap<u64, u32>,
    /// A later fork on the way to where it parts from this one.
    reorg: Option<Reorg>,
    pub(crate) frozen: bool,
}

/// The block that stands at an index in every test.
pub(crate) fn block(fork: u64, index: u64) -> Bytes {
    Bytes::from(format!("fork {fork}, block {index}"))
}

impl Log {
    /// Of the writer, empty.
    pub(crate) fn writer(seed: u8) -> Self {
        let keys = KeyPair::from_seed(&[seed; 32]);
        let manifest = Manifest::single(keys.public_key());
        let verifier = Verifier::from_manifest(manifest).unwrap();
        Self::new(Authority::Known(verifier), keys)
    }

    /// Of a reader that knows the key alone.
    pub(crate) fn reader(&self) -> Self {
        Self::new(Authority::KeyOnly(self.authority.key()), self.keys.clone())
    }

    fn new(authority: Authority, keys: KeyPair) -> Self {
        Self {
            head: Head::empty(),
            authority,
            keys,
            nodes: BTreeMap::new(),
            blocks: BTreeMap::new(),
            bits: Bitfield::new(),
            stored: BTreeMap::new(),
            reorg: None,
            frozen: false,
        }
    }

    pub(crate) fn view(&self) -> LocalView {
        let contiguous = self.bits.contiguous_len();
        LocalView {
            fork: self.head.fork(),
            length: self.head.length(),
            contiguous: Length::new(contiguous),
            blocks: self.bits.clone(),
            manifest: match self.authority {
                Authority::KeyOnly(_) => ManifestState::Unknown,
                Authority::Known(_) => ManifestState::Known,
            },
            least: Length::ZERO,
        }
    }

    pub(crate) fn length(&self) -> u64 {
        self.head.length().get()
    }

    /// Appends one block that stands at its place in this log alone.
    pub(crate) fn append_own(&mut self, value: &'static str) -> Published {
        let mut draft = Draft::new(&self.head);
        draft
            .append([Bytes::from_static(value.as_bytes())])
            .unwrap();
        let change = self.seal(draft);
        self.commit(&change)
    }

    pub(crate) fn append(&mut self, count: u64) -> Published {
        let (fork, from) = (self.head.fork().get(), self.length());
        let mut draft = Draft::new(&self.head);
        draft
            .append((from..from + count).map(|index| block(fork, index)))
            .unwrap();
        let change = self.seal(draft);
        self.commit(&change)
    }

    pub(crate) fn truncate(&mut self, length: u64) -> Published {
        let fork = Fork::new(self.head.fork().get() + 1);
        let truncation = Truncation::new(&self.head, Length::new(length), fork).unwrap();
        let draft = truncation.apply(&self.read(truncation.nodes())).unwrap();
        let change = self.seal(draft);
        self.commit(&change)
    }

    pub(crate) fn clear(&mut self, blocks: std::ops::Range<u64>) -> Published {
        self.bits.unset_range(blocks.clone());
        blocks.clone().for_each(|index| {
            self.blocks.remove(&index);
        });
        Published {
            lost: vec![blocks],
            ..Published::default()
        }
    }

    fn seal(&self, draft: Draft) -> Change {
        let verifier = self.authority.verifier().unwrap();
        draft
            .seal(|head| verifier.sign(&self.keys, &head.signed_tree()))
            .unwrap()
    }

    fn read(&self, nodes: &[NodeIndex]) -> Vec<Option<Node>> {
        nodes
            .iter()
            .map(|index| self.nodes.get(index).copied())
            .collect()
    }

    fn commit(&mut self, change: &Change) -> Published {
        let mut published = Published {
            truncated: change.truncate(),
            ..Published::default()
        };
        if let Some(length) = change.truncate() {
            self.blocks.split_off(&length.get());
            self.stored.split_off(&length.get());
            self.nodes.split_off(&NodeIndex::new(2 * length.get()));
            self.bits.unset_range(length.get()..u64::MAX);
        }
        self.nodes
            .extend(change.nodes().iter().map(|node| (node.index, *node)));
        for (index, value) in change.blocks() {
            let index = index.get();
            self.blocks.insert(index, value.clone());
            self.bits.set(index);
            *self.stored.entry(index).or_default() += 1;
            published.gained.push(index..index + 1);
        }
        if let Some(head) = change.head() {
            self.head = head.clone();
        }
        published
    }

    pub(crate) fn prove(&self, fork: Fork, request: &Request) -> Reply {
        if fork != self.head.fork() {
            return Reply::NotAvailable;
        }
        let plan = Planner::new(&self.head, request, None).and_then(|planner| {
            let read = |wanted: &[NodeIndex]| Ok::<_, Infallible>(self.read(wanted));
            drive(planner, read).unwrap_or_else(|never| match never {})
        });
        let proof = plan.and_then(|plan| {
            let block = request
                .block
                .and_then(|block| self.blocks.get(&block.index.get()).cloned());
            let manifest = self.authority.verifier().and_then(Verifier::manifest);
            plan.assemble(&self.read(plan.nodes()), block, manifest)
        });
        match proof {
            Ok(proof) => Reply::Proof(proof),
            Err(error) if error.is_invalid_request() => Reply::Invalid,
            Err(_) => Reply::NotAvailable,
        }
    }

    pub(crate) fn has_roots(&self, length: Length) -> bool {
        hc_merkle::flat::full_roots(length).all(|root| self.nodes.contains_key(&root))
    }

    /// Verifies and stores many proofs as one change.
    pub(crate) fn apply(&mut self, proofs: Vec<Proof>) -> (Published, Vec<Reply>) {
        let batch = Batch::verify(&self.head, &self.authority, proofs);
        let nodes = self.read(batch.expected());
        let confirmed = batch.confirm(&nodes);
        let published = confirmed
            .change
            .map(|change| self.commit(&change))
            .unwrap_or_default();
        if let Some(verifier) = confirmed.learned {
            self.authority = Authority::Known(verifier);
        }
        let replies = confirmed.outcomes.into_iter().map(|outcome| match outcome {
            Ok(()) => Reply::Applied,
            Err(ProofError::Signature(_)) => Reply::Rejected(Rejection::Signature),
            Err(error) if error.is_senders_fault() => Reply::Rejected(Rejection::Proof),
            Err(_) => Reply::Stale,
        });
        (published, replies.collect())
    }

    /// Examines what a peer sent of a later fork, and takes the fork over once it is known where it parts
    /// from this one.
    pub(crate) fn examine_fork(&mut self, proof: Proof) -> (Published, Reply) {
        match self.step_fork(proof) {
            Ok(Some(change)) => {
                let fresh = change.manifest().cloned().map(Verifier::from_manifest);
                if let Some(verifier) = fresh {
                    self.authority = Authority::Known(verifier.unwrap());
                }
                (self.commit(&change), Reply::Applied)
            }
            Ok(None) => {
                let wanted = self.reorg.as_ref().and_then(Reorg::wanted);
                (Published::default(), Reply::Wanted(wanted.unwrap()))
            }
            Err(error) if error.is_senders_fault() => {
                let rejection = Rejection::Proof;
                (Published::default(), Reply::Rejected(rejection))
            }
            Err(_) => (Published::default(), Reply::Stale),
        }
    }

    fn step_fork(&mut self, proof: Proof) -> Result<Option<Change>, ProofError> {
        let base = (self.head.fork(), self.head.length());
        self.reorg = self.reorg.take().filter(|reorg| reorg.base() == base);
        if proof.upgrade.is_some() {
            self.reorg = Some(Reorg::new(&self.head, proof, &self.authority)?);
        } else {
            let reorg = self.reorg.as_mut();
            let index = NodeIndex::new(0);
            reorg
                .ok_or(ProofError::NotWanted { index })?
                .update(proof)?;
        }
        let Some(mut reorg) = self.reorg.take() else {
            return Ok(None);
        };
        let stored = self.read(reorg.expected());
        if reorg.compare(&stored).is_none() {
            return Ok(reorg.finish());
        }
        self.reorg = Some(reorg);
        Ok(None)
    }

    /// Takes the fork over that was examined, as far as it is known.
    pub(crate) fn adopt_fork(&mut self, fork: Fork) -> (Published, Reply) {
        let base = (self.head.fork(), self.head.length());
        let reorg = self.reorg.take().filter(|reorg| reorg.base() == base);
        let Some(mut reorg) = reorg.filter(|reorg| reorg.head().fork() == fork) else {
            return (Published::default(), Reply::Stale);
        };
        reorg.settle();
        let change = reorg.finish().unwrap();
        (self.commit(&change), Reply::Applied)
    }

    /// Compares a proof of a whole log with this one.
    pub(crate) fn check_conflict(&mut self, proof: Proof) -> Reply {
        let Ok(remote) = Remote::verify(proof.clone(), &self.authority) else {
            return Reply::Rejected(Rejection::Signature);
        };
        let length = remote.asked.length();
        let ours = self.read(&hc_merkle::flat::roots_at(length));
        let same = |(ours, theirs): (&Option<Node>, &Node)| {
            ours.is_none_or(|ours| ours.hash == theirs.hash)
        };
        if ours.iter().zip(remote.asked.roots()).all(same) {
            return Reply::Consistent;
        }
        self.frozen = true;
        let upgrade = UpgradeRequest {
            start: Length::ZERO,
            length,
        };
        let request = Request {
            upgrade: Some(upgrade),
            ..Request::default()
        };
        match self.prove(self.head.fork(), &request) {
            Reply::Proof(ours) => Reply::Conflict {
                ours: Some(ours.into()),
                theirs: proof.into(),
            },
            other => other,
        }
    }

    /// Walks its stored nodes.
    pub(crate) fn walk<W: Walk>(&self, walk: W) -> W::Output {
        let read = |wanted: &[NodeIndex]| Ok::<_, Infallible>(self.read(wanted));
        drive(walk, read).unwrap_or_else(|never| match never {})
    }

    /// Replaces a block by something that is not what was hashed.
    pub(crate) fn spoil(&mut self, index: u64) {
        self.blocks.insert(index, Bytes::from_static(b"spoilt"));
    }

    /// Every block that is here is the one that the writer wrote.
    pub(crate) fn audit(&self, writer: &Self) {
        for (index, value) in &self.blocks {
            if self.head.fork() == writer.head.fork() {
                assert_eq!(
                    Some(value),
                    writer.blocks.get(index).or(Some(value)),
                    "block {index}"
                );
            }
            assert!(self.bits.get(*index));
            assert!(*index < self.length());
        }
        assert_eq!(self.bits.count(0..u64::MAX), self.blocks.len() as u64);
    }

    pub(crate) fn has(&self, index: u64) -> bool {
        self.blocks.contains_key(&index)
    }
}

pub(crate) fn index(index: u64) -> BlockIndex {
    BlockIndex::new(index)
}
