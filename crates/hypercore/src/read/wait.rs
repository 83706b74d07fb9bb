//! How long to wait, and for whom: one end for all that waits.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_lite::future;
use hc_storage::StorageError;

use crate::core::Core;
use crate::error::Closed;
use crate::sync::Gate;

/// How long to wait for what is not here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Wait {
    /// Not at all: only what is stored here counts.
    No,
    /// Until it comes, or the handle is closed.
    #[default]
    Forever,
    /// For so long.
    For(Duration),
    /// Until then, by the clock of the runtime.
    Until(Instant),
}

/// How waiting ended.
pub(crate) enum Waited<T> {
    Done(T),
    TimedOut,
    Closed(Closed),
    /// What would come could not be stored.
    Failed(Arc<StorageError>),
}

impl Wait {
    fn deadline(self, core: &Core) -> Option<Instant> {
        match self {
            Self::No => Some(core.runtime.now()),
            Self::Forever => None,
            Self::For(wait) => core.runtime.now().checked_add(wait),
            Self::Until(deadline) => Some(deadline),
        }
    }

    /// Moves the end of waiting to a fixed moment, so that it can be waited for in parts.
    pub(crate) fn fixed(self, core: &Core) -> Self {
        self.deadline(core).map_or(Self::Forever, Self::Until)
    }

    /// Waits for `what`, which gives `None` where the log was closed.
    pub(crate) async fn apply<T>(
        self,
        core: &Core,
        gate: &Gate,
        what: impl Future<Output = Option<T>>,
    ) -> Waited<T> {
        let deadline = self.deadline(core);
        let done = async {
            match (what.await, core.fault()) {
                (Some(done), _) => Waited::Done(done),
                (None, Some(fault)) => Waited::Failed(fault),
                (None, None) => why_closed(core),
            }
        };
        let closed = async {
            gate.closed().await;
            why_closed(core)
        };
        let late = async {
            match deadline {
                Some(deadline) => core.runtime.sleep_until(deadline).await,
                None => future::pending().await,
            }
            Waited::TimedOut
        };
        future::or(done, future::or(closed, late)).await
    }
}

fn why_closed<T>(core: &Core) -> Waited<T> {
    Waited::Closed(Closed(core.conflict()))
}
