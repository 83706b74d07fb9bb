//! The open logs of a store: each once, however many ask for it at the same time. Holds none of them open.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use hc_merkle::DiscoveryKey;

use crate::core::Core;
use crate::error::OpenError;
use crate::sync::Mutex;

/// The open logs of a store.
#[derive(Default)]
pub(super) struct Registry(Mutex<Open>);

#[derive(Default)]
struct Open {
    cores: HashMap<DiscoveryKey, Weak<Core>>,
    /// How many there may be before those that are gone are taken out.
    crowded: usize,
    closed: bool,
}

/// A log that was looked for.
pub(super) enum Found {
    /// It was open.
    Open(Arc<Core>),
    /// It was opened now.
    Opened(Arc<Core>),
    /// It is being closed: to be looked for again once its lane is idle.
    Closing(Arc<Core>),
}

impl Registry {
    /// The log, opened by `open` where it is not. That runs under the registry's lock, so that a log is
    /// opened once; it does not wait for other tasks.
    pub(super) fn find(
        &self,
        log: &DiscoveryKey,
        open: impl FnOnce() -> Result<Arc<Core>, OpenError>,
    ) -> Result<Found, OpenError> {
        let mut state = self.0.lock();
        if state.closed {
            return Err(OpenError::Closed);
        }
        if let Some(core) = state.cores.get(log).and_then(Weak::upgrade) {
            if !core.gate.is_closed() {
                return Ok(Found::Open(core));
            }
            if !core.lane.is_idle() {
                return Ok(Found::Closing(core));
            }
        }
        if state.cores.len() >= state.crowded {
            state.cores.retain(|_, core| core.strong_count() > 0);
            state.crowded = state.cores.len().saturating_mul(2).saturating_add(16);
        }
        let core = open()?;
        state.cores.insert(*log, Arc::downgrade(&core));
        Ok(Found::Opened(core))
    }

    /// All that are open now.
    pub(super) fn all(&self) -> Vec<Arc<Core>> {
        let cores: Vec<_> = {
            let state = self.0.lock();
            state.cores.values().filter_map(Weak::upgrade).collect()
        };
        let open = cores.into_iter().filter(|core| !core.gate.is_closed());
        open.collect()
    }

    /// Opens no more; gives back what is open. `None` if that was done before.
    pub(super) fn close(&self) -> Option<Vec<Arc<Core>>> {
        let cores = {
            let mut state = self.0.lock();
            if std::mem::replace(&mut state.closed, true) {
                return None;
            }
            std::mem::take(&mut state.cores)
        };
        Some(cores.values().filter_map(Weak::upgrade).collect())
    }

    pub(super) fn is_closed(&self) -> bool {
        self.0.lock().closed
    }
}
