//! A log that can be read from, whoever wrote it.

use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use hc_bitfield::Bitfield;
use hc_merkle::{BlockIndex, Head, Node, NodeIndex};
use hc_storage::{Alias, Auth, CoreRead, is_reserved};

use crate::error::SourceError;

/// Blocks between two calls that tell of progress.
pub(crate) const TELL_EVERY: u64 = 256;

/// How far something has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Blocks done, those passed over included.
    pub blocks: u64,
    /// Blocks in all.
    pub total: u64,
    /// Bytes in the blocks that were done, those passed over not included.
    pub bytes: u64,
}

/// A log that can be read from. Nothing it says is believed before it is verified.
pub trait Source {
    /// What verifies the log, and who may write it.
    ///
    /// # Errors
    /// What reading may return, here and below.
    fn auth(&self) -> Result<Auth, SourceError>;

    /// What its store calls it; `None` where it has no name.
    ///
    /// # Errors
    /// What reading may return.
    fn alias(&self) -> Result<Option<Alias>, SourceError>;

    /// Fork, length, roots and signature; [`Head::empty`] before the first block.
    ///
    /// # Errors
    /// What reading may return.
    fn head(&self) -> Result<Head, SourceError>;

    /// Which blocks it has.
    ///
    /// # Errors
    /// What reading may return.
    fn bitfield(&self) -> Result<Bitfield, SourceError>;

    /// Several nodes of the tree, pushed to `out` in the order asked for, `None` where it has not got
    /// one.
    ///
    /// # Errors
    /// What reading may return.
    fn nodes(&self, indexes: &[NodeIndex], out: &mut Vec<Option<Node>>) -> Result<(), SourceError>;

    /// A block as stored, `None` where it has not got it.
    ///
    /// # Errors
    /// What reading may return.
    fn block(&self, index: BlockIndex) -> Result<Option<Bytes>, SourceError>;

    /// All user data, in the order of its keys.
    ///
    /// # Errors
    /// What reading may return.
    fn user_data(&self) -> Result<Vec<(String, Bytes)>, SourceError>;
}

/// A log in a store of ours, as it was when this was made.
#[derive(Debug, Clone)]
pub struct StoredLog(Arc<dyn CoreRead>);

impl StoredLog {
    /// A log that is read as it is now, whatever becomes of it: give a snapshot.
    #[must_use]
    pub fn new(snapshot: Arc<dyn CoreRead>) -> Self {
        Self(snapshot)
    }
}

impl Source for StoredLog {
    fn auth(&self) -> Result<Auth, SourceError> {
        Ok(self.0.auth()?)
    }

    fn alias(&self) -> Result<Option<Alias>, SourceError> {
        Ok(self.0.alias()?)
    }

    fn head(&self) -> Result<Head, SourceError> {
        Ok(self.0.head()?)
    }

    fn bitfield(&self) -> Result<Bitfield, SourceError> {
        Ok(self.0.bitfield()?)
    }

    fn nodes(&self, indexes: &[NodeIndex], out: &mut Vec<Option<Node>>) -> Result<(), SourceError> {
        Ok(self.0.nodes(indexes, out)?)
    }

    fn block(&self, index: BlockIndex) -> Result<Option<Bytes>, SourceError> {
        Ok(self.0.block(index)?)
    }

    fn user_data(&self) -> Result<Vec<(String, Bytes)>, SourceError> {
        let all = (Bound::Unbounded, Bound::Unbounded);
        let mut found = self.0.user_data_between(all)?;
        // what the library keeps for itself stays with the store
        found.retain(|(key, _)| !is_reserved(key));
        Ok(found)
    }
}

/// Sets the bits of a field of bytes, least significant first, from `start` on.
pub(crate) fn set_bits(bits: &mut Bitfield, start: u64, field: &[u8]) {
    let mut run: Option<u64> = None;
    let mut at = start;
    for byte in field {
        match byte {
            0xff if run.is_some() => {}
            0 if run.is_none() => {}
            _ => {
                for bit in 0..8 {
                    let is_set = byte >> bit & 1 == 1;
                    match run {
                        None if is_set => run = Some(at + bit),
                        Some(first) if !is_set => {
                            bits.set_range(first..at + bit);
                            run = None;
                        }
                        _ => {}
                    }
                }
            }
        }
        at = at.saturating_add(8);
    }
    if let Some(first) = run {
        bits.set_range(first..at);
    }
}
