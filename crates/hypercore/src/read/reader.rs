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

/// In which form a block is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// Decrypted, where the handle can.
    Plain,
    /// Encrypted, without what the encryption put in front.
    Ciphertext,
    /// As it is stored.
    Stored,
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
    /// Blocks in it.
    pub(crate) fn length(&self) -> u64 {
        let length = match &self.frozen {
            Some(frozen) => frozen.head.length(),
            None => self.handle.core.view.load().head.length(),
        };
        length.get()
    }

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

    /// A block as it is stored, if it is; an error where a state that is held fast never had it.
    fn stored(&self, index: BlockIndex) -> Result<Option<Bytes>, GetError> {
        if let Some(frozen) = &self.frozen {
            let length = frozen.head.length();
            if index.get() >= length.get() {
                let log = self.handle.core.discovery_key;
                return Err(GetError::PastSnapshot { index, length, log });
            }
        }
        self.local(index)
    }

    /// A block, if it is stored here.
    pub(crate) async fn look(
        &self,
        index: BlockIndex,
        form: Form,
    ) -> Result<Option<Bytes>, GetError> {
        match self.stored(index)? {
            Some(stored) => self.form(index, stored, form).await.map(Some),
            None => Ok(None),
        }
    }

    /// A block that is stored here and needs nothing done to it: what can be had without a future.
    pub(crate) fn glance(&self, index: BlockIndex) -> Option<Bytes> {
        let stored = self.gives_as_stored().then(|| self.stored(index).ok());
        stored.flatten().flatten()
    }

    /// Whether blocks are given as they are stored, and at all.
    pub(crate) fn gives_as_stored(&self) -> bool {
        self.handle.defaults.cipher.is_none() && !self.handle.gate.is_closed()
    }

    async fn form(&self, index: BlockIndex, stored: Bytes, form: Form) -> Result<Bytes, GetError> {
        let Some(cipher) = &self.handle.defaults.cipher else {
            return Ok(stored);
        };
        let authority = &*self.handle.core.view.load().authority.clone();
        match form {
            Form::Stored => Ok(stored),
            Form::Ciphertext => {
                let padding = usize::try_from(cipher.padding(authority)).unwrap_or(usize::MAX);
                Ok(stored.slice(padding.min(stored.len())..))
            }
            Form::Plain => {
                let plain = cipher.decrypt(authority, index, &stored).await;
                plain.map_err(|source| GetError::Encryption { index, source })
            }
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

    /// Whether a block that was there when it was asked for, stored here or not, has been cut: for certain,
    /// where that is the log's own.
    pub(crate) fn is_cut(&self, index: BlockIndex, asked: Moment) -> bool {
        match (&self.frozen, &self.line) {
            (Some(frozen), _) => index.get() >= frozen.shared(&self.handle.core).get(),
            (None, Some(line)) => asked.has_lost(index, &line.place().cuts),
            (None, None) => asked.has_lost(index, &self.handle.core.view.load().parted),
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
            Waited::Closed(why) => Err(why.into()),
            Waited::Failed(error) => Err(GetError::Unstorable { index, error }),
        }
    }
}
