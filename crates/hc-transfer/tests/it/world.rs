//! Logs to move, and what has to hold of those that were moved.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use hc_merkle::hash::{leaf_node, parent_node};
use hc_merkle::{
    Authority, BlockIndex, Change, CoreKey, Draft, Fork, Head, KeyPair, Length, Manifest, Node,
    PublicKey, Truncation, Verifier,
};
use hc_storage::{Auth, Batch, CoreRead, CoreRecord, CoreStore, Durability, MemoryStore, Store};
use hc_transfer::StoredLog;

/// A log that can be written to.
pub(crate) struct Writer {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) log: Arc<dyn CoreStore>,
    pub(crate) key: CoreKey,
    verifier: Verifier,
}

impl Writer {
    /// A log of so many blocks of all sizes.
    pub(crate) fn of(blocks: u64) -> Self {
        Self::within(Arc::new(MemoryStore::new()), blocks)
    }

    /// The same in a store.
    pub(crate) fn within(store: Arc<dyn Store>, blocks: u64) -> Self {
        let manifest = Manifest::single(pair().public_key());
        Self::new(store, Verifier::from_manifest(manifest).unwrap(), blocks)
    }

    /// A log that has no manifest: its key is the one that signs it.
    pub(crate) fn compat(store: Arc<dyn Store>, blocks: u64) -> Self {
        let verifier = Verifier::compat(pair().public_key());
        Self::new(store, verifier, blocks)
    }

    fn new(store: Arc<dyn Store>, verifier: Verifier, blocks: u64) -> Self {
        let auth = Auth {
            key: verifier.key(),
            manifest: verifier.shared_manifest(),
            secret_key: Some(pair().secret_key()),
            encryption: None,
            compat: verifier.is_compat(),
        };
        let (key, discovery_key) = (auth.key, auth.key.discovery_key());
        let record = CoreRecord {
            discovery_key,
            auth,
            alias: None,
        };
        let log = store.create_core(record).unwrap();
        let writer = Self {
            store,
            log,
            key,
            verifier,
        };
        if blocks > 0 {
            writer.append(blocks);
        }
        writer
    }

    pub(crate) fn append(&self, blocks: u64) {
        let start = self.log.head().unwrap().length().get();
        self.append_all((start..start + blocks).map(block));
    }

    /// Another writer with the same key goes another way.
    pub(crate) fn append_other(&self, value: &'static str) {
        self.append_all([Bytes::from_static(value.as_bytes())]);
    }

    fn append_all(&self, blocks: impl IntoIterator<Item = Bytes>) {
        let mut draft = Draft::new(&self.log.head().unwrap());
        draft.append(blocks).unwrap();
        self.commit(Batch::from_change(&self.seal(draft)));
    }

    /// Cuts the log, which is another fork from then on.
    pub(crate) fn truncate(&self, to: u64) {
        let head = self.log.head().unwrap();
        let fork = Fork::new(head.fork().get() + 1);
        let plan = Truncation::new(&head, Length::new(to), fork).unwrap();
        let mut nodes = Vec::new();
        self.log.nodes(plan.nodes(), &mut nodes).unwrap();
        let change = self.seal(plan.apply(&nodes).unwrap());
        self.commit(Batch::from_change(&change));
    }

    fn seal(&self, draft: Draft) -> Change {
        let sign = |head: &Head| self.verifier.sign(&pair(), &head.signed_tree());
        draft.seal(sign).unwrap()
    }

    pub(crate) fn commit(&self, batch: Batch) {
        let ticket = self.log.commit(batch, Durability::Os).unwrap();
        ticket.wait().unwrap();
    }

    pub(crate) fn clear(&self, range: Range<u64>) {
        let mut batch = Batch::new();
        batch.clear(BlockIndex::new(range.start)..BlockIndex::new(range.end));
        self.commit(batch);
    }

    pub(crate) fn source(&self) -> StoredLog {
        StoredLog::new(self.log.snapshot().unwrap())
    }
}

/// Who signs every log here.
fn pair() -> KeyPair {
    KeyPair::from_seed(&[5; 32])
}

/// Block `index` of every log here.
pub(crate) fn block(index: u64) -> Bytes {
    let len = usize::try_from(index * 37 % 300).unwrap();
    let [byte, ..] = index.to_le_bytes();
    vec![byte; len].into()
}

/// Everything that is stored leads to the roots, which are signed.
pub(crate) fn verify(log: &dyn CoreRead) {
    let (auth, head) = (log.auth().unwrap(), log.head().unwrap());
    if head.length() == Length::ZERO {
        return;
    }
    let authority = match &auth.manifest {
        Some(manifest) => Verifier::new(auth.key, manifest.clone()).unwrap(),
        None => Verifier::compat(PublicKey(*auth.key.as_bytes())),
    };
    let authority = Authority::from(authority);
    authority.verifier().unwrap().verify(&head).unwrap();
    let have = log.bitfield().unwrap();
    for index in have.ranges(0..u64::MAX).flatten().map(BlockIndex::new) {
        let bytes = log.block(index).unwrap().unwrap();
        let mut node: Node = leaf_node(index.leaf().unwrap(), &bytes);
        while !head.roots().contains(&node) {
            let sibling = log.node(node.index.sibling().unwrap()).unwrap();
            let sibling = sibling.unwrap_or_else(|| panic!("block {index} is not tied"));
            node = parent_node(&node, &sibling).unwrap();
            let leaves = node.index.leaves();
            assert!(
                leaves <= head.length().get(),
                "block {index} misses the roots"
            );
        }
    }
}
