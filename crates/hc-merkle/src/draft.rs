//! Appending to a head: an unsigned continuation that becomes a [`Change`] when it is sealed.
//!
//! Owns how leaves become roots. Knows nothing of who signs, or of where nodes are kept.

use alloc::vec::Vec;
use core::ops::Range;

use bytes::Bytes;

use crate::error::{AppendError, RejoinError};
use crate::limits::MAX_LENGTH;
use crate::{BlockIndex, ByteLength, Change, Fork, Hash, Head, Length, Node, hash};

/// A log that is being written: a head, the blocks appended to it, and the nodes that come of them.
///
/// Everything that is appended before [`seal`](Self::seal) is under one signature.
#[derive(Debug, Clone)]
pub struct Draft {
    base: (Fork, Length),
    truncate: Option<Length>,
    fork: Fork,
    length: Length,
    byte_length: ByteLength,
    roots: Vec<Node>,
    nodes: Vec<Node>,
    blocks: Vec<(BlockIndex, Bytes)>,
}

/// What a branch means to the log that it left; see [`Draft::rejoin`].
#[derive(Debug, Clone)]
pub enum Rejoined {
    /// The log has all of it, but perhaps not all blocks and nodes: the change brings those, and no head.
    Same(Change),
    /// The log is continued by it: to be signed.
    Longer(Draft),
}

impl Draft {
    /// A draft that continues `head`.
    #[must_use]
    pub fn new(head: &Head) -> Self {
        Self {
            base: (head.fork, head.length),
            truncate: None,
            fork: head.fork,
            length: head.length,
            byte_length: head.byte_length,
            roots: head.roots().to_vec(),
            nodes: Vec::new(),
            blocks: Vec::new(),
        }
    }

    /// A draft that continues `shorter`, an earlier state of the log that stands at `base`.
    pub(crate) fn truncated(base: (Fork, Length), shorter: &Head) -> Self {
        Self {
            base,
            truncate: Some(shorter.length),
            fork: shorter.fork,
            length: shorter.length,
            byte_length: shorter.byte_length,
            roots: shorter.roots().to_vec(),
            nodes: Vec::new(),
            blocks: Vec::new(),
        }
    }

    /// Appends blocks, and says which they became.
    ///
    /// # Errors
    /// [`AppendError`] where the log would have more blocks or bytes than can be counted; the draft
    /// is then unchanged.
    pub fn append(
        &mut self,
        blocks: impl IntoIterator<Item = Bytes>,
    ) -> Result<Range<u64>, AppendError> {
        let blocks: Vec<Bytes> = blocks.into_iter().collect();
        let values: Vec<&[u8]> = blocks.iter().map(AsRef::as_ref).collect();
        let hashes = hash::leaves(&values);
        let sizes = blocks
            .iter()
            .map(|block| ByteLength::new(block.len() as u64));
        let leaves: Vec<_> = hashes.into_iter().zip(sizes).collect();
        let appended = self.append_hashed(&leaves)?;
        self.blocks
            .extend(appended.clone().map(BlockIndex::new).zip(blocks));
        Ok(appended)
    }

    /// Appends blocks of which only hash and size are known, or which are stored by other means, and
    /// says which they became. [`Change::blocks`] will not have them.
    ///
    /// # Errors
    /// As [`append`](Self::append).
    pub fn append_hashed(
        &mut self,
        leaves: &[(Hash, ByteLength)],
    ) -> Result<Range<u64>, AppendError> {
        let start = self.length.get();
        let end = start
            .checked_add(leaves.len() as u64)
            .filter(|end| *end <= MAX_LENGTH.get())
            .ok_or(AppendError::TooManyBlocks)?;
        let byte_length = leaves
            .iter()
            .try_fold(self.byte_length.get(), |sum, (_, size)| {
                sum.checked_add(size.get())
            })
            .ok_or(AppendError::TooManyBytes)?;
        let row = (start..end)
            .zip(leaves)
            .filter_map(|(block, &(hash, size))| {
                Some(Node {
                    index: BlockIndex::new(block).leaf()?,
                    size,
                    hash,
                })
            })
            .collect();
        self.grow(row);
        self.length = Length::new(end);
        self.byte_length = ByteLength::new(byte_length);
        Ok(start..end)
    }

    /// Number of blocks, with those appended.
    #[must_use]
    pub fn length(&self) -> Length {
        self.length
    }

    /// Number of bytes, with those appended.
    #[must_use]
    pub fn byte_length(&self) -> ByteLength {
        self.byte_length
    }

    /// Fork that the sealed head will have.
    #[must_use]
    pub fn fork(&self) -> Fork {
        self.fork
    }

    /// The head as it stands, unsigned.
    #[must_use]
    pub fn head(&self) -> Head {
        Head::of(
            self.fork,
            self.length,
            self.byte_length,
            self.roots.as_slice().into(),
        )
    }

    /// Has the head signed and makes the change that writes it. `sign` gets the unsigned head and
    /// gives the signature as it stands in proofs.
    ///
    /// # Errors
    /// Whatever `sign` returns.
    pub fn seal<E>(self, sign: impl FnOnce(&Head) -> Result<Bytes, E>) -> Result<Change, E> {
        let head = self.head();
        let signature = sign(&head)?;
        Ok(self.into_change(head.with_signature(signature)))
    }

    /// Makes the change without a signature: for a log that is not longer than its prologue, and for
    /// one that is dropped to nothing without the right to sign.
    #[must_use]
    pub fn seal_unsigned(self) -> Change {
        let head = self.head();
        self.into_change(head)
    }

    fn into_change(mut self, head: Head) -> Change {
        self.nodes.sort_unstable_by_key(|node| node.index);
        Change {
            base: self.base,
            truncate: self.truncate,
            nodes: self.nodes,
            blocks: self.blocks,
            head: Some(head),
            manifest: None,
        }
    }

    /// Takes what was appended on a branch to the log that it left. The draft is the log as it was at the
    /// length where both part (see [`Truncation::apply`](crate::Truncation::apply)); `blocks` are those of
    /// the branch from there on; `log` is the present head of the log, which may have gone on, but only
    /// the same way.
    ///
    /// # Errors
    /// [`RejoinError`] where the log has gone further or another way, or would be too long.
    pub fn rejoin(
        mut self,
        log: &Head,
        blocks: impl IntoIterator<Item = Bytes>,
    ) -> Result<Rejoined, RejoinError> {
        let mut known: Vec<Bytes> = blocks.into_iter().collect();
        let shared = log.length.get().saturating_sub(self.length.get());
        let shared = usize::try_from(shared).unwrap_or(usize::MAX);
        if known.len() < shared || self.length > log.length {
            return Err(RejoinError::Ahead { length: log.length });
        }
        let new = known.split_off(shared);
        self.append(known)?;
        if self.roots != log.roots() {
            return Err(RejoinError::Diverged);
        }
        (self.base, self.fork) = ((log.fork, log.length), log.fork);
        self.truncate = None;
        if new.is_empty() {
            let head = self.head();
            let change = self.into_change(head);
            return Ok(Rejoined::Same(Change {
                head: None,
                ..change
            }));
        }
        self.append(new)?;
        Ok(Rejoined::Longer(self))
    }

    /// Takes in a row of leaves that continues the tree, level by level so that all parents of a
    /// level are hashed side by side.
    fn grow(&mut self, mut row: Vec<Node>) {
        let mut new_roots = Vec::new();
        let mut depth = 0;
        while !row.is_empty() {
            self.nodes.extend_from_slice(&row);
            // A root at this height is the left sibling of the first node of the row.
            if let Some(root) = self.roots.pop_if(|root| root.index.depth() == depth) {
                row.insert(0, root);
            }
            if row.len() % 2 == 1 {
                new_roots.extend(row.pop());
            }
            row = parents_of(&row);
            depth += 1;
        }
        self.roots.extend(new_roots.into_iter().rev());
    }
}

/// Parents of a row of siblings, left, right, left, right. Their sizes were checked as a whole.
fn parents_of(row: &[Node]) -> Vec<Node> {
    let pairs: Vec<(Node, Node)> = row
        .chunks_exact(2)
        .filter_map(|pair| match pair {
            [left, right] => Some((*left, *right)),
            _ => None,
        })
        .collect();
    pairs
        .iter()
        .zip(hash::parents(&pairs))
        .filter_map(|((left, right), hash)| {
            let size = left.size.get().checked_add(right.size.get())?;
            Some(Node {
                index: left.index.parent()?,
                size: ByteLength::new(size),
                hash,
            })
        })
        .collect()
}
