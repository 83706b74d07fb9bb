//! A log that was restored from a backup while its peers went on: its writer would sign lengths again
//! that it has signed before. Found out before the first append, where that is asked for.
//!
//! Owns the question to the peers and what follows from the answer. Trusts no peer: a log is behind only
//! if a longer one came and was verified.

use std::sync::Arc;
use std::time::Duration;

use hc_merkle::{Fork, Head, Length};
use hc_replicator::{Demand, Outcome};
use hc_storage::StorageError;

use super::Core;
use crate::error::AppendError;
use crate::read::{FindingPeers, Wait, Waited};
use crate::sync::{Gate, Mutex};

/// What to find out from peers before the first append after a log was opened; see
/// [`Builder::check_peers`](crate::Builder::check_peers).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerCheck {
    patience: Duration,
    required: bool,
}

impl PeerCheck {
    /// Waits so long for peers to say how long the log is. Where none has answered then, it is appended
    /// to all the same.
    #[must_use]
    pub const fn within(patience: Duration) -> Self {
        Self {
            patience,
            required: false,
        }
    }

    /// Appends nothing before a peer has answered.
    #[must_use]
    pub const fn required(mut self) -> Self {
        self.required = true;
        self
    }
}

/// A log whose peers are to be asked.
#[derive(Debug)]
pub(crate) struct Unchecked {
    rule: PeerCheck,
    /// Where the log was when it was opened, until the peers were asked.
    opened: Mutex<Option<(Fork, Length)>>,
}

impl Unchecked {
    pub(crate) fn new(rule: PeerCheck, head: &Head) -> Box<Self> {
        Box::new(Self {
            rule,
            opened: Mutex::new(Some((head.fork(), head.length()))),
        })
    }
}

impl Core {
    /// Asks the peers, where that is wanted and was not done yet, whether one has more of the log. If one
    /// has, the log has it too when this says so.
    pub(crate) async fn check_peers(self: &Arc<Self>, gate: &Gate) -> Result<(), AppendError> {
        let Some(unchecked) = &self.unchecked else {
            return Ok(());
        };
        let Some((fork, had)) = *unchecked.opened.lock() else {
            return Ok(());
        };
        let answered = self.ask_peers(gate, unchecked.rule.patience).await?;
        let view = self.view.load();
        let length = view.head.length();
        if length > had || view.head.fork() > fork {
            // said once: whoever appends after that knows
            unchecked.opened.lock().take();
            return Err(AppendError::Behind { had, length });
        }
        if unchecked.rule.required && !answered {
            return Err(AppendError::NoPeer);
        }
        unchecked.opened.lock().take();
        Ok(())
    }

    /// Asks until no peer has more. Whether one has answered.
    async fn ask_peers(
        self: &Arc<Self>,
        gate: &Gate,
        patience: Duration,
    ) -> Result<bool, AppendError> {
        let _finding = FindingPeers::new(self);
        let wait = Wait::For(patience).fixed(self);
        loop {
            let demand = self.demand(Demand::Upgrade);
            match wait.apply(self, gate, demand).await {
                Waited::Done(Outcome::Upgraded) => {}
                Waited::Done(_) => return Ok(!self.peers().is_empty()),
                Waited::TimedOut => return Ok(false),
                Waited::Closed(why) => return Err(why.into()),
                Waited::Failed(cause) => return Err(StorageError::Poisoned { cause }.into()),
            }
        }
    }
}
