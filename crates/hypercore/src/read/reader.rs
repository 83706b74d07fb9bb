//! What is read from: a handle, at the present state of its log, at one that is held fast, or on a branch.
//!
//! Owns the difference between them. Knows nothing of streams and searches.

use std::sync::Arc;

use bytes::Bytes;
use hc_merkle::{BlockIndex, Head, Length};
use hc_replicator::{Demand, Outcome};
use hc_storage::StorageError;

use super::frozen::Frozen;
use super::wait::{Wait, Waited};
use crate::core::cuts::Cuts;
use crate::error::GetError;
use crate::event::Watch;
use crate::line::LineState;
use crate::session::Handle;

/// What is read from.
#[derive(Debug, Clone)]
pub(crate) struct Reader {
    pub(crate) handle: Handle,
    pub(crate) frozen: Option<Arc<Frozen>>,
    /// The branch, or what else goes on beside the log.
    pub(crate) line: Option<Arc<LineState>>,
}

/// The state that something was asked on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    epoch: u64,
    length: Length,
}

impl Moment {
    pub(crate) const fn new(epoch: u64, length: Length) -> Self {
        Self { epoch, length }
    }

    /// Whether a block that was there then, stored or not, is below none of the lengths that there were
    /// since.
    fn has_lost(self, index: BlockIndex, cuts: &Cuts) -> bool {
        let cut = cuts.shortest_since(self.epoch);
        index.get() < self.length.get() && cut.is_some_and(|cut| index.get() >= cut.get())
    }
}

impl Reader {
    /// Bytes that encryption adds to each block.
    pub(crate) fn padding(&self) -> u64 {
        let cipher = self.handle.defaults.cipher.as_ref();
        let authority = &self.handle.core.view.load().authority;
        cipher.map_or(0, |cipher| cipher.padding(authority))
    }

    /// Bytes in all blocks of a head, without what encryption adds.
    pub(crate) fn plain_length(&self, head: &Head) -> u64 {
        let added = self.padding().saturating_mul(head.length().get());
        head.byte_length().get().saturating_sub(added)
    }

    /// The state that a search reads: the one that is held fast, or the present one.
    pub(crate) fn hold(&self) -> Result<Arc<Frozen>, StorageError> {
        match (&self.frozen, &self.line) {
            (Some(frozen), _) => Ok(frozen.clone()),
            (None, Some(line)) => Ok(Arc::new(line.freeze()?)),
            (None, None) => Ok(Arc::new(self.handle.core.freeze()?)),
        }
    }

    /// A block as it is stored; `None` if it is not.
    pub(crate) fn local(&self, index: BlockIndex) -> Result<Option<Bytes>, GetError> {
        let core = &self.handle.core;
        match (&self.frozen, &self.line) {
            (Some(frozen), _) => frozen.block(core, index),
            (None, Some(line)) => line.read(index),
            (None, None) => core.read(index),
        }
    }

    /// The state that a block is asked on.
    pub(crate) fn moment(&self) -> Moment {
        if let Some(line) = &self.line {
            return line.moment();
        }
        let view = self.handle.core.view.load();
        Moment::new(view.epoch, view.head.length())
    }

    /// Whether a block that was there when it was asked for, stored here or not, has been cut.
    pub(crate) fn is_cut(&self, index: BlockIndex, asked: Moment) -> bool {
        match (&self.frozen, &self.line) {
            (Some(frozen), _) => index.get() >= frozen.shared(&self.handle.core).get(),
            (None, Some(line)) => asked.has_lost(index, &line.place().cuts),
            (None, None) => asked.has_lost(index, &self.handle.core.view.load().cuts),
        }
    }

    /// What yields when the state that is read changes.
    pub(crate) fn watch_next(&self) -> Watch {
        match &self.line {
            Some(line) => line.watchers.watch_next(),
            None => self.handle.core.watchers.watch_next(),
        }
    }

    /// Demands a block, and says once it is stored. It may be gone again then.
    pub(crate) async fn fetch(
        &self,
        what: Demand,
        index: BlockIndex,
        wait: Wait,
    ) -> Result<(), GetError> {
        if let Some(line) = self.line.as_ref().filter(|_| self.frozen.is_none()) {
            return line.fetch(&self.handle.gate, what, index, wait).await;
        }
        let Handle { core, gate, .. } = &self.handle;
        let demand = core.demand(what);
        match wait.apply(core, gate, demand).await {
            Waited::Done(Outcome::Available) => Ok(()),
            Waited::Done(_) => Err(GetError::Truncated { index }),
            Waited::TimedOut => Err(GetError::TimedOut { index }),
            Waited::Closed => Err(GetError::Closed),
            Waited::Failed(error) => Err(GetError::Unstorable { index, error }),
        }
    }
}
