//! One block: from the store if it is there, else from whoever has it.

use std::future::IntoFuture;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hc_merkle::BlockIndex;
use hc_replicator::{Demand, Outcome};

use super::wait::{Wait, Waited};
use crate::cipher::Cipher;
use crate::core::Core;
use crate::error::GetError;
use crate::hypercore::Hypercore;
use crate::rt::BoxFuture;
use crate::sync::Gate;

/// A block that was asked for; see [`Hypercore::get`](crate::Hypercore::get). Dropping it takes the
/// question back.
#[derive(Debug)]
#[must_use = "nothing is read unless it is awaited"]
pub struct Get {
    core: Arc<Core>,
    gate: Arc<Gate>,
    cipher: Option<Arc<Cipher>>,
    index: BlockIndex,
    wait: Wait,
    force: bool,
}

impl Get {
    pub(crate) fn new(log: &Hypercore, index: BlockIndex) -> Self {
        Self {
            core: log.core.clone(),
            gate: log.gate.clone(),
            cipher: log.cipher.clone(),
            index,
            wait: Wait::Forever,
            force: false,
        }
    }

    /// How long to wait for a block that is not stored here; forever by default.
    pub fn wait(mut self, wait: Wait) -> Self {
        self.wait = wait;
        self
    }

    /// Waits for so long: [`GetError::TimedOut`] after that.
    pub fn timeout(self, timeout: Duration) -> Self {
        self.wait(Wait::For(timeout))
    }

    /// Does not wait: [`GetError::NotLocal`] if the block is not stored here.
    pub fn local(self) -> Self {
        self.wait(Wait::No)
    }

    /// Asks peers for it also where [little else](crate::PullPolicy::Forced) is asked for.
    pub fn force(mut self) -> Self {
        self.force = true;
        self
    }

    /// The block as it is stored, encrypted where the log is.
    pub fn raw(mut self) -> Self {
        self.cipher = None;
        self
    }

    async fn run(self) -> Result<Bytes, GetError> {
        let index = self.index;
        if self.gate.is_closed() {
            return Err(GetError::Closed);
        }
        if let Some(stored) = self.core.read(index)? {
            return self.decrypt(stored);
        }
        if self.wait == Wait::No {
            return Err(GetError::NotLocal { index });
        }
        let wait = self.wait.fixed(&self.core);
        loop {
            let what = if self.force {
                Demand::Forced(index)
            } else {
                Demand::Block(index)
            };
            let demand = self.core.demand(what);
            match wait.apply(&self.core, &self.gate, demand).await {
                Waited::Done(Outcome::Available) => {}
                Waited::Done(_) => return Err(GetError::Truncated { index }),
                Waited::TimedOut => return Err(GetError::TimedOut { index }),
                Waited::Closed => return Err(GetError::Closed),
                Waited::Failed(error) => return Err(GetError::Unstorable { index, error }),
            }
            // It may have been cut again in the meantime: then it is waited for once more.
            if let Some(stored) = self.core.read(index)? {
                return self.decrypt(stored);
            }
        }
    }

    fn decrypt(&self, stored: Bytes) -> Result<Bytes, GetError> {
        let Some(cipher) = &self.cipher else {
            return Ok(stored);
        };
        let index = self.index;
        let authority = &self.core.view.load().authority;
        let plain = cipher.decrypt(authority, index, &stored);
        plain.map_err(|source| GetError::Encryption { index, source })
    }
}

impl IntoFuture for Get {
    type Output = Result<Bytes, GetError>;
    type IntoFuture = BoxFuture<Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

impl Core {
    /// A block as it is stored; `None` if it is not.
    ///
    /// Takes no lock but for a moment. A block that a newer view no longer has is not stored; one
    /// that the same view says is there and is not is a damaged store.
    pub(crate) fn read(&self, index: BlockIndex) -> Result<Option<Bytes>, GetError> {
        let mut view = self.view.load();
        loop {
            if !view.have.get(index.get()) {
                return Ok(None);
            }
            if let Some(block) = self.log.block(index)? {
                return Ok(Some(block));
            }
            let newer = self.view.load();
            if newer.epoch == view.epoch {
                return Err(GetError::Lost { index });
            }
            view = newer;
        }
    }
}
