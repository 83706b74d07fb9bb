//! One logical change to one log, as plain data: all of it is stored, or none of it.
//!
//! Owns the operations, their order and the checks that need nothing but the head they apply to.
//! Knows no engine: keys, pages and frames are the engine's own matter.

use std::ops::Range;

use bytes::Bytes;
use hc_merkle::limits::MAX_LENGTH;
use hc_merkle::manifest::Manifest;
use hc_merkle::{BlockIndex, Change, Fork, Head, Length, Node, NodeIndex};
use thiserror::Error;

use crate::limits::{
    MAX_BATCH_BYTES, MAX_BLOCK_LEN, MAX_BRANCH_NAME_LEN, MAX_USER_KEY_LEN, MAX_USER_VALUE_LEN,
};
use crate::record::{EncryptionScheme, Hints, Topic};

/// What is to be done to one log, at once.
///
/// Whatever the order of the calls, an engine applies a batch in this one: truncation, what a branch
/// inherits, nodes, blocks, head, cleared ranges, and then what is stored about the log.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    pub(crate) base: Option<(Fork, Length)>,
    pub(crate) truncate: Option<Length>,
    pub(crate) inherit: Option<Length>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) blocks: Vec<(BlockIndex, Bytes)>,
    pub(crate) head: Option<Head>,
    pub(crate) clears: Vec<Range<u64>>,
    pub(crate) manifest: Option<Manifest>,
    pub(crate) encryption: Option<EncryptionScheme>,
    pub(crate) hints: Option<Hints>,
    pub(crate) user_data: Vec<(String, Option<Bytes>)>,
    pub(crate) group: Option<Topic>,
}

/// A batch that no log could take.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BatchError {
    /// A change was added that does not follow from the ones before it.
    #[error("change starts at fork {} length {}, the batch is at fork {} length {}", found.0, found.1, expected.0, expected.1)]
    Gap {
        /// Where the batch stands.
        expected: (Fork, Length),
        /// Where the change starts.
        found: (Fork, Length),
    },
    /// A truncation was added after other changes.
    #[error("a truncation must be the first change of its batch")]
    LateTruncation,
    /// The log is cut, and there is no head for what is left of it.
    #[error("a truncation to length {to} comes without a head")]
    HeadlessTruncation {
        /// What the log is cut to.
        to: Length,
    },
    /// The log is to be cut to more than it has.
    #[error("truncation to length {to} of a log of length {length}")]
    TruncationPastEnd {
        /// What the log is cut to.
        to: Length,
        /// What it has.
        length: Length,
    },
    /// The head moves back, or to another fork, without a truncation.
    #[error("head at fork {} length {} needs a truncation", head.0, head.1)]
    HeadMovesBack {
        /// Fork and length of the head.
        head: (Fork, Length),
    },
    /// A block lies past the end of the log.
    #[error("block {block} is past the length {length} of the log")]
    BlockPastEnd {
        /// Which.
        block: BlockIndex,
        /// Length of the log after the batch.
        length: Length,
    },
    /// A node lies past the end of any log.
    #[error("node {node} is past the end of any log")]
    NodePastEnd {
        /// Which.
        node: NodeIndex,
    },
    /// A block is longer than [`MAX_BLOCK_LEN`].
    #[error("block {block} has {len} bytes, the limit is {MAX_BLOCK_LEN}")]
    BlockTooLong {
        /// Which.
        block: BlockIndex,
        /// Its bytes.
        len: usize,
    },
    /// The blocks together are longer than [`MAX_BATCH_BYTES`].
    #[error("blocks of the batch have {bytes} bytes, the limit is {MAX_BATCH_BYTES}")]
    TooManyBytes {
        /// Bytes in all blocks.
        bytes: usize,
    },
    /// Only a branch inherits, and only a branch can be moved.
    #[error("not a branch")]
    NotABranch,
    /// A branch would inherit more than it has.
    #[error("a branch of length {length} cannot inherit up to {shared}")]
    InheritsPastEnd {
        /// What it would inherit.
        shared: Length,
        /// What it has.
        length: Length,
    },
    /// The log does not have the tree that its branch would have of it.
    #[error("the log has another tree than its branch")]
    OtherTree,
    /// The name of a branch is longer than [`MAX_BRANCH_NAME_LEN`].
    #[error("a name of {len} bytes, the limit is {MAX_BRANCH_NAME_LEN}")]
    NameTooLong {
        /// Its bytes.
        len: usize,
    },
    /// Only a log joins a group.
    #[error("a branch is in no group")]
    GroupOfBranch,
    /// Two batches for one log were to be stored together.
    #[error("two batches for one log")]
    Repeated,
    /// A log was to be cut together with a change to a branch of it.
    #[error("a log cannot be cut together with a change to its branch")]
    CutWithBranch,
    /// The batch does not fit into one frame of the log.
    #[error("the batch has too many operations for one frame")]
    TooManyOperations,
    /// A piece of user data is longer than [`MAX_USER_KEY_LEN`] or [`MAX_USER_VALUE_LEN`] allow.
    #[error(
        "user data of {key} bytes of key and {value} bytes of value, the limits are {MAX_USER_KEY_LEN} and {MAX_USER_VALUE_LEN}"
    )]
    UserDataTooLong {
        /// Bytes in the key.
        key: usize,
        /// Bytes in the value.
        value: usize,
    },
}

impl Batch {
    /// A batch that does nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The batch that stores a change. It applies only to a log at the change's base.
    #[must_use]
    pub fn from_change(change: &Change) -> Self {
        Self {
            base: Some(change.base()),
            truncate: change.truncate(),
            nodes: change.nodes().to_vec(),
            blocks: change.blocks().to_vec(),
            head: change.head().cloned(),
            manifest: change.manifest().cloned(),
            ..Self::default()
        }
    }

    /// The batch that makes a branch, which stands at `base`, what its log is at the length of `head`.
    /// What the branch had itself is dropped.
    #[must_use]
    pub fn reset(base: (Fork, Length), head: Head) -> Self {
        Self {
            base: Some(base),
            truncate: Some(Length::ZERO),
            inherit: Some(head.length()),
            head: Some(head),
            ..Self::default()
        }
    }

    /// On a branch: what is below `length` is the log's from now on, which must have the same there.
    /// What the branch had of it itself is dropped.
    pub fn inherit(&mut self, length: Length) -> &mut Self {
        self.inherit = Some(length);
        self
    }

    /// Adds a change that follows from those already in the batch: made against the same head where
    /// none of them moved it, else against the last one's.
    ///
    /// # Errors
    /// [`BatchError::Gap`] where it starts elsewhere, [`BatchError::LateTruncation`] where it
    /// truncates; the batch is then as it was.
    pub fn push_change(&mut self, change: &Change) -> Result<(), BatchError> {
        if let Some(base) = self.base {
            let at = self
                .head
                .as_ref()
                .map_or(base, |head| (head.fork(), head.length()));
            if change.base() != at {
                return Err(BatchError::Gap {
                    expected: at,
                    found: change.base(),
                });
            }
            if change.truncate().is_some() {
                return Err(BatchError::LateTruncation);
            }
        } else {
            self.base = Some(change.base());
            self.truncate = change.truncate();
        }
        self.nodes.extend_from_slice(change.nodes());
        self.blocks.extend_from_slice(change.blocks());
        if let Some(head) = change.head() {
            self.head = Some(head.clone());
        }
        if let Some(manifest) = change.manifest() {
            self.manifest = Some(manifest.clone());
        }
        Ok(())
    }

    /// Drops the blocks in `range`; their nodes stay, so that they can be fetched again.
    pub fn clear(&mut self, range: Range<BlockIndex>) -> &mut Self {
        self.clears.push(range.start.get()..range.end.get());
        self
    }

    /// Stores a piece of user data under `key`, or removes it.
    pub fn set_user_data(&mut self, key: impl Into<String>, value: Option<Bytes>) -> &mut Self {
        self.user_data.push((key.into(), value));
        self
    }

    /// Replaces the hints.
    pub fn set_hints(&mut self, hints: Hints) -> &mut Self {
        self.hints = Some(hints);
        self
    }

    /// Records who may sign. Written once: it is what the key is the hash of.
    pub fn set_manifest(&mut self, manifest: Manifest) -> &mut Self {
        self.manifest = Some(manifest);
        self
    }

    /// Records how blocks are encrypted.
    pub fn set_encryption(&mut self, scheme: EncryptionScheme) -> &mut Self {
        self.encryption = Some(scheme);
        self
    }

    /// Has the log join a group, for good.
    pub fn join_group(&mut self, topic: Topic) -> &mut Self {
        self.group = Some(topic);
        self
    }

    /// Bytes in all its blocks.
    #[must_use]
    pub fn byte_len(&self) -> usize {
        self.blocks.iter().map(|(_, bytes)| bytes.len()).sum()
    }

    /// Fork and length that the log must have, where the batch moves its head or adds to its tree.
    #[must_use]
    pub fn base(&self) -> Option<(Fork, Length)> {
        self.base
    }

    /// Whether all that it does is to add nodes and blocks, or to move the head.
    pub(crate) fn only_adds(&self) -> bool {
        let Self {
            base: _,
            truncate: None,
            inherit: None,
            nodes: _,
            blocks: _,
            head: _,
            clears,
            manifest: None,
            encryption: None,
            hints: None,
            user_data,
            group: None,
        } = self
        else {
            return false;
        };
        clears.is_empty() && user_data.is_empty()
    }

    /// Checks everything but the base, for a log of `length` blocks at `fork`.
    pub(crate) fn check(&self, fork: Fork, length: Length) -> Result<(), BatchError> {
        let after = self.check_head(fork, length)?;
        if let Some(shared) = self.inherit.filter(|shared| *shared > after) {
            return Err(BatchError::InheritsPastEnd {
                shared,
                length: after,
            });
        }
        let past = |node: &&Node| node.index.end() > MAX_LENGTH;
        if let Some(node) = self.nodes.iter().find(past) {
            return Err(BatchError::NodePastEnd { node: node.index });
        }
        let mut bytes = 0usize;
        for (block, data) in &self.blocks {
            if block.get() >= after.get() {
                return Err(BatchError::BlockPastEnd {
                    block: *block,
                    length: after,
                });
            }
            if data.len() > MAX_BLOCK_LEN {
                return Err(BatchError::BlockTooLong {
                    block: *block,
                    len: data.len(),
                });
            }
            bytes = bytes.saturating_add(data.len());
        }
        if bytes > MAX_BATCH_BYTES {
            return Err(BatchError::TooManyBytes { bytes });
        }
        for (key, value) in &self.user_data {
            let value = value.as_ref().map_or(0, Bytes::len);
            if key.len() > MAX_USER_KEY_LEN || value > MAX_USER_VALUE_LEN {
                return Err(BatchError::UserDataTooLong {
                    key: key.len(),
                    value,
                });
            }
        }
        Ok(())
    }

    /// The length after the batch.
    fn check_head(&self, fork: Fork, length: Length) -> Result<Length, BatchError> {
        let kept = match self.truncate {
            Some(to) if to > length => return Err(BatchError::TruncationPastEnd { to, length }),
            Some(to) if self.head.is_none() => return Err(BatchError::HeadlessTruncation { to }),
            Some(to) => to,
            None => length,
        };
        let Some(head) = &self.head else {
            return Ok(length);
        };
        let same_fork = head.fork() == fork || self.truncate.is_some() || length == Length::ZERO;
        if head.length() < kept || !same_fork {
            return Err(BatchError::HeadMovesBack {
                head: (head.fork(), head.length()),
            });
        }
        Ok(head.length())
    }
}
