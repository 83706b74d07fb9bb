//! Rehashing everything that is stored, against the signed head.
//!
//! Owns the walk over the stored blocks and their paths. Trusts nothing but the key of the log: not
//! the store's checksums, not its nodes. Changes nothing.

use std::collections::BTreeMap;

use bytes::Bytes;
use hc_merkle::hash::{leaf_node, parent_node};
use hc_merkle::{BlockIndex, Head, Length, Node, NodeIndex, SignatureError, TreeHash};
use hc_storage::{CoreRead, Damage, StorageError};
use thiserror::Error;

use crate::error::InfoError;
use crate::hypercore::Hypercore;

/// What was found; see [`Hypercore::verify`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verification {
    /// Blocks in the log, stored here or not.
    pub length: Length,
    /// Blocks that were rehashed.
    pub blocks: u64,
    /// Bytes in them, as stored.
    pub bytes: u64,
    /// Hash over the roots of the signed tree.
    pub tree_hash: TreeHash,
    /// Stored blocks that are not what was signed, or that no stored nodes tie to it.
    pub bad: Vec<BlockIndex>,
    /// Those of them whose bytes are not even what was stored, and where these are.
    pub damaged: Vec<DamagedBlock>,
}

/// A stored block whose bytes rotted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct DamagedBlock {
    /// Which.
    pub index: BlockIndex,
    /// Number of the segment of the store's log that has it.
    pub segment: u32,
    /// Where its bytes start in that.
    pub offset: u32,
}

impl Verification {
    /// Whether everything that is stored is what was signed.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.bad.is_empty()
    }
}

/// Why a log could not be verified at all.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The head of the log is not signed by who may sign.
    #[error("the head at length {length}: {source}")]
    Head {
        /// Its length.
        length: Length,
        /// Why it does not hold.
        source: SignatureError,
    },
    /// There are blocks, but nothing is known of who may sign.
    #[error("nobody has told yet who may sign this log")]
    NoManifest,
    /// The store could not be read.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl Hypercore {
    /// What the store of the log, with all other logs in it, knows to be damaged: parts of its own log, and
    /// records of secret keys. Reads nothing; of blocks, [`verify`](Self::verify) tells.
    ///
    /// ```
    /// # futures_lite::future::block_on(async {
    /// # use hypercore::{Hypercore, Storage};
    /// # let log = Hypercore::builder(Storage::memory()).open().await?;
    /// assert!(log.damage()?.is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`InfoError`] where the store was closed.
    pub fn damage(&self) -> Result<Vec<Damage>, InfoError> {
        Ok(self.core.store.damage()?)
    }

    /// Rehashes every block that is stored and ties it to the signed head; calls `progress` with the
    /// number of blocks done, now and then. A block that does not hold is named, not an error.
    ///
    /// Reads and hashes everything, on the calling thread.
    ///
    /// # Errors
    /// [`VerifyError`] where the head itself does not hold, or the store can not be read.
    ///
    /// ```
    /// # futures_lite::future::block_on(async {
    /// # use hypercore::{Hypercore, Storage};
    /// # let log = Hypercore::builder(Storage::memory()).open().await.unwrap();
    /// log.append_batch(["a", "b", "c"]).await.unwrap();
    /// let found = log.verify(|_| {})?;
    /// assert!(found.is_ok());
    /// assert_eq!(found.blocks, 3);
    /// # Ok::<(), hypercore::VerifyError>(())
    /// # }).unwrap();
    /// ```
    pub fn verify(&self, mut progress: impl FnMut(u64)) -> Result<Verification, VerifyError> {
        let stored = self.core.log.snapshot()?;
        let head = stored.head()?;
        if head.length() > Length::ZERO {
            let authority = self.authority();
            let verifier = authority.verifier().ok_or(VerifyError::NoManifest)?;
            verifier.verify(&head).map_err(|source| VerifyError::Head {
                length: head.length(),
                source,
            })?;
        }
        let mut found = Verification {
            length: head.length(),
            blocks: 0,
            bytes: 0,
            tree_hash: head.tree_hash(),
            bad: Vec::new(),
            damaged: Vec::new(),
        };
        let mut paths = Paths::new(&*stored, &head);
        let have = stored.bitfield()?;
        for range in have.ranges(0..head.length().get()) {
            for index in range {
                let index = BlockIndex::new(index);
                let holds = match stored.block(index) {
                    Ok(Some(block)) => {
                        found.bytes += block.len() as u64;
                        paths.hold(index, &block)?
                    }
                    Ok(None) => false,
                    Err(StorageError::BlockDamaged {
                        segment, offset, ..
                    }) => {
                        found.damaged.push(DamagedBlock {
                            index,
                            segment,
                            offset,
                        });
                        false
                    }
                    Err(error) => return Err(error.into()),
                };
                if !holds {
                    found.bad.push(index);
                }
                found.blocks += 1;
                if found.blocks.is_multiple_of(256) {
                    progress(found.blocks);
                }
            }
        }
        progress(found.blocks);
        Ok(found)
    }
}

/// Ties blocks to the roots, and remembers what the last block proved: for blocks in order, each
/// node is read once.
struct Paths<'a> {
    stored: &'a dyn CoreRead,
    roots: BTreeMap<NodeIndex, Node>,
    /// Nodes that the last block's path has proven: at most two for each level.
    proven: BTreeMap<NodeIndex, Node>,
}

impl<'a> Paths<'a> {
    fn new(stored: &'a dyn CoreRead, head: &Head) -> Self {
        let roots = head
            .roots()
            .iter()
            .map(|root| (root.index, *root))
            .collect();
        Self {
            stored,
            roots,
            proven: BTreeMap::new(),
        }
    }

    /// Whether the block is the one that was signed at this index.
    fn hold(&mut self, index: BlockIndex, block: &Bytes) -> Result<bool, StorageError> {
        let Some(leaf) = index.leaf() else {
            return Ok(false);
        };
        let mut node = leaf_node(leaf, block);
        let mut path = vec![node];
        loop {
            let known = self.roots.get(&node.index).or(self.proven.get(&node.index));
            if let Some(known) = known {
                if *known != node {
                    return Ok(false);
                }
                break;
            }
            let sibling = match node.index.sibling() {
                Some(sibling) => self.stored.node(sibling)?,
                None => None,
            };
            let parent = sibling.and_then(|sibling| {
                path.push(sibling);
                parent_node(&node, &sibling)
            });
            let Some(parent) = parent else {
                return Ok(false);
            };
            path.push(parent);
            node = parent;
        }
        // What lies to the left of this block is behind us.
        self.proven
            .retain(|other, _| other.end() > Length::new(index.get()));
        self.proven
            .extend(path.into_iter().map(|node| (node.index, node)));
        Ok(true)
    }
}
