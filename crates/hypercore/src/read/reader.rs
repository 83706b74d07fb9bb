//! What is read from: a handle, at the present state of its log or at one that is held fast.
//!
//! Owns the difference between the two. Knows nothing of streams and searches.

use std::sync::Arc;

use bytes::Bytes;
use hc_merkle::{BlockIndex, Head, Length};
use hc_replicator::{Demand, Outcome};
use hc_storage::StorageError;

use super::frozen::Frozen;
use super::wait::{Wait, Waited};
use crate::error::GetError;
use crate::session::Handle;

/// What is read from.
#[derive(Debug, Clone)]
pub(crate) struct Reader {
    pub(crate) handle: Handle,
    pub(crate) frozen: Option<Arc<Frozen>>,
}

/// The state that something was asked on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    epoch: u64,
    length: Length,
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
        match &self.frozen {
            Some(frozen) => Ok(frozen.clone()),
            None => Ok(Arc::new(self.handle.core.freeze()?)),
        }
    }

    /// A block as it is stored; `None` if it is not.
    pub(crate) fn local(&self, index: BlockIndex) -> Result<Option<Bytes>, GetError> {
        let core = &self.handle.core;
        match &self.frozen {
            Some(frozen) => frozen.block(core, index),
            None => core.read(index),
        }
    }

    /// The state that a block is asked on.
    pub(crate) fn moment(&self) -> Moment {
        let view = self.handle.core.view.load();
        Moment {
            epoch: view.epoch,
            length: view.head.length(),
        }
    }

    /// Whether a block that was there when it was asked for, stored here or not, has been cut.
    pub(crate) fn is_cut(&self, index: BlockIndex, asked: Moment) -> bool {
        if let Some(frozen) = &self.frozen {
            return index.get() >= frozen.shared(&self.handle.core).get();
        }
        let cut = self
            .handle
            .core
            .view
            .load()
            .cuts
            .shortest_since(asked.epoch);
        index.get() < asked.length.get() && cut.is_some_and(|cut| index.get() >= cut.get())
    }

    /// Demands a block, and says once it is stored. It may be gone again then.
    pub(crate) async fn fetch(
        &self,
        what: Demand,
        index: BlockIndex,
        wait: Wait,
    ) -> Result<(), GetError> {
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
