//! A log as it is at one moment, held fast: what a snapshot reads, and what a search over several nodes
//! needs so that they belong together.
//!
//! What is not stored in it may still come from peers, as long as the log has not been cut below that
//! since. Knows nothing of waiting.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use hc_bitfield::Bitfield;
use hc_merkle::{BlockIndex, Head, Length, Node, NodeIndex};
use hc_storage::{CoreRead, StorageError};

use crate::core::Core;
use crate::error::GetError;

/// One state of a log that stays readable.
pub(crate) struct Frozen {
    pub(crate) head: Head,
    pub(crate) stored: Arc<dyn CoreRead>,
    have: Bitfield,
    /// When it was so, by the log.
    epoch: u64,
    /// Of a branch: up to where it is the log's.
    inherited: Option<Length>,
}

impl Core {
    /// Holds the present state fast.
    pub(crate) fn freeze(&self) -> Result<Frozen, StorageError> {
        let view = self.view.load();
        let stored = self.log.snapshot()?;
        let (latest, have) = (stored.head()?, stored.bitfield()?);
        // The store may be one commit ahead of what was published. An append is left out, as all nodes
        // of the shorter tree are still there; after a truncation only the new state is whole.
        let grown = latest.fork() == view.head.fork() && latest.length() >= view.head.length();
        let head = if grown { view.head.clone() } else { latest };
        Ok(Frozen {
            head,
            stored,
            have,
            epoch: view.epoch,
            inherited: None,
        })
    }
}

impl Frozen {
    /// A branch as it is stored, which is what its log is up to some length.
    pub(crate) fn of_line(
        core: &Core,
        stored: Arc<dyn CoreRead>,
        head: Head,
        inherited: Length,
    ) -> Result<Self, StorageError> {
        Ok(Self {
            have: stored.bitfield()?,
            head,
            stored,
            epoch: core.view.load().epoch,
            inherited: Some(inherited),
        })
    }

    /// How much of it the present log still has: what may be asked of peers.
    pub(crate) fn shared(&self, core: &Core) -> Length {
        let cut = core.view.load().cuts.shortest_since(self.epoch);
        let limits = [cut, self.inherited].into_iter().flatten();
        limits.fold(self.head.length(), Length::min)
    }

    /// Whether all blocks of a range were stored.
    pub(crate) fn has(&self, range: Range<u64>) -> bool {
        range.start >= range.end
            || (range.end <= self.head.length().get() && !self.have.any_unset(range))
    }

    /// A block as it is stored; `None` where it is neither stored in this state nor in the present one.
    pub(crate) fn block(&self, core: &Core, index: BlockIndex) -> Result<Option<Bytes>, GetError> {
        if self.have.get(index.get())
            && let Some(block) = self.stored.block(index)?
        {
            return Ok(Some(block));
        }
        let is_shared = || index.get() < self.shared(core).get();
        if !is_shared() {
            return Ok(None);
        }
        let block = core.read(index)?;
        // It is this state's only if nothing was cut while it was read.
        Ok(block.filter(|_| is_shared()))
    }

    /// Nodes of its tree: those that came since, too.
    pub(crate) fn nodes(
        &self,
        core: &Core,
        indexes: &[NodeIndex],
    ) -> Result<Vec<Option<Node>>, StorageError> {
        let mut nodes = Vec::with_capacity(indexes.len());
        self.stored.nodes(indexes, &mut nodes)?;
        if nodes.iter().all(Option::is_some) {
            return Ok(nodes);
        }
        let since = core.nodes(indexes)?;
        let shared = self.shared(core);
        for (node, since) in nodes.iter_mut().zip(since) {
            *node = node.or(since.filter(|since| since.index.end() <= shared));
        }
        Ok(nodes)
    }
}

impl fmt::Debug for Frozen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frozen")
            .field("length", &self.head.length())
            .field("fork", &self.head.fork())
            .finish_non_exhaustive()
    }
}
