//! The store that a log is one of, as the log sees it; and the handles that were opened through one place
//! of it, which close together. Knows nothing of names.

use std::sync::{Arc, Weak};

use hc_merkle::{CoreKey, DiscoveryKey, Fork, Length};
use hc_storage::{CoreEntry, Topic};

use super::Core;
use crate::sync::{Gate, Mutex};

/// What a log tells the store that it was opened in.
pub(crate) trait Home: Send + Sync {
    /// The head of a log that is in a group has moved.
    fn active(&self, active: GroupActive);

    /// The log looked at the store again, and there was something new, perhaps of others alone.
    fn refreshed(&self);

    /// The log was closed.
    fn closed(&self, log: CoreEntry);
}

/// A log of a group grew or was cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupActive {
    /// The group.
    pub topic: Topic,
    /// What names the log.
    pub key: CoreKey,
    /// What it may be announced under.
    pub discovery_key: DiscoveryKey,
    /// Blocks in it now.
    pub length: Length,
    /// The fork it is on now.
    pub fork: Fork,
}

/// The handles that were opened through one place, and their clones.
#[derive(Debug, Default)]
pub(crate) struct Scope(Mutex<Members>);

#[derive(Debug, Default)]
struct Members {
    closed: bool,
    handles: Vec<(Weak<Gate>, Weak<Core>)>,
    /// How many there may be before those that are gone are taken out.
    crowded: usize,
}

impl Scope {
    /// Takes in a handle; `false` where the place is closed.
    pub(crate) fn enter(&self, gate: &Arc<Gate>, core: Weak<Core>) -> bool {
        let mut members = self.0.lock();
        if members.closed {
            return false;
        }
        if members.handles.len() >= members.crowded {
            let is_open = |gate: &Weak<Gate>| gate.upgrade().is_some_and(|gate| !gate.is_closed());
            members.handles.retain(|(gate, _)| is_open(gate));
            members.crowded = members.handles.len().saturating_mul(2).saturating_add(16);
        }
        members.handles.push((Arc::downgrade(gate), core));
        true
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.0.lock().closed
    }

    /// The logs with an open handle from here, each once for each handle.
    pub(crate) fn cores(&self) -> Vec<Arc<Core>> {
        let members = self.0.lock();
        let open = members.handles.iter().filter_map(|(gate, core)| {
            let gate = gate.upgrade()?;
            core.upgrade().filter(|_| !gate.is_closed())
        });
        open.collect()
    }

    /// Closes all handles, now and later ones; `false` if that was done before. Gives back the logs they
    /// were on, whose writes may still be under way.
    pub(crate) fn close(&self) -> Option<Vec<Arc<Core>>> {
        let handles = {
            let mut members = self.0.lock();
            if std::mem::replace(&mut members.closed, true) {
                return None;
            }
            std::mem::take(&mut members.handles)
        };
        let mut left = Vec::new();
        for (gate, core) in handles {
            let closed = gate.upgrade().is_some_and(|gate| gate.close());
            left.extend(core.upgrade().filter(|_| closed));
        }
        left.iter().for_each(|core| core.note_handles());
        Some(left)
    }
}
