//! The handles of a log: who keeps it open, and who wants it to grow. Knows nothing of what a handle can
//! do.

use std::sync::{Arc, Weak};

use super::Core;
use super::lane::{Guard, LaneError};
use crate::session::{Presence, Sessions};
use crate::sync::{Gate, Mutex};

/// The open handles.
#[derive(Debug, Default)]
pub(crate) struct Handles(Mutex<Vec<Entry>>);

#[derive(Debug)]
struct Entry {
    gate: Weak<Gate>,
    presence: Presence,
}

impl Entry {
    /// Its gate, as long as the handle is neither closed nor dropped.
    fn open(&self) -> Option<Arc<Gate>> {
        self.gate.upgrade().filter(|gate| !gate.is_closed())
    }
}

impl Handles {
    pub(super) fn close(&self) {
        let entries = std::mem::take(&mut *self.0.lock());
        for gate in entries.iter().filter_map(|entry| entry.gate.upgrade()) {
            gate.close();
        }
    }

    /// Closes the log, and what does not keep it open, unless a handle does; `false` if one does, or the
    /// log was closed before.
    pub(super) fn close_unless_held(&self, log: &Gate) -> bool {
        let weak = {
            let mut entries = self.0.lock();
            let mut open = entries.iter().filter(|entry| entry.open().is_some());
            // Under the lock that a new handle takes: it finds the log open, or closed for good.
            if open.any(|entry| !entry.presence.weak) || !log.close() {
                return false;
            }
            std::mem::take(&mut *entries)
        };
        for gate in weak.iter().filter_map(|entry| entry.gate.upgrade()) {
            gate.close();
        }
        true
    }

    fn any(&self, what: impl Fn(&Presence) -> bool) -> bool {
        let entries = self.0.lock();
        let mut open = entries.iter().filter(|entry| entry.open().is_some());
        open.any(|entry| what(&entry.presence))
    }
}

impl Core {
    /// The gate of a new handle; closed from the start if the log is.
    pub(crate) fn attach(&self, presence: Presence) -> Arc<Gate> {
        let gate = Arc::new(Gate::default());
        let mut entries = self.handles.0.lock();
        entries.retain(|entry| entry.open().is_some());
        if entries.is_empty() {
            // One is the rule.
            entries.reserve_exact(1);
        }
        entries.push(Entry {
            gate: Arc::downgrade(&gate),
            presence,
        });
        if self.gate.is_closed() {
            gate.close();
        }
        gate
    }

    /// Whether any handle that keeps the log open is neither closed nor dropped.
    pub(crate) fn is_attached(&self) -> bool {
        self.handles.any(|presence| !presence.weak)
    }

    /// The open handles.
    pub(crate) fn sessions(&self) -> Sessions {
        let mut sessions = Sessions::default();
        let entries = self.handles.0.lock();
        for entry in entries.iter().filter(|entry| entry.open().is_some()) {
            if entry.presence.weak {
                sessions.weak += 1;
            } else {
                sessions.strong += 1;
            }
        }
        sessions
    }

    /// Whether there are handles and none of them gives peers anything.
    fn refuse(&self) -> bool {
        self.handles.any(|presence| !presence.uploads)
            && !self.handles.any(|presence| presence.uploads)
    }

    /// Tells peers whether anybody here is interested: as long as an active handle is open, somebody
    /// is. Without a handle that keeps the log open, those that do not are closed; with those of one of a
    /// store's logs, that waits until its peers are gone.
    pub(crate) fn note_handles(&self) {
        let attached = self.is_attached();
        if !attached && self.home.is_none() {
            self.handles.close();
        }
        self.set_uploads(!self.refuse());
        self.set_active(self.handles.any(|presence| presence.active));
        if !attached {
            self.retire();
        }
    }

    /// Whether one handle gives peers what is here.
    pub(crate) fn set_handle_uploads(&self, gate: &Arc<Gate>, uploads: bool) {
        self.change_handle(gate, |presence| presence.uploads = uploads);
    }

    /// Whether one handle is interested.
    pub(crate) fn set_handle_active(&self, gate: &Arc<Gate>, active: bool) {
        self.change_handle(gate, |presence| presence.active = active);
    }

    fn change_handle(&self, gate: &Arc<Gate>, change: impl FnOnce(&mut Presence)) {
        let of_handle = |entry: &&mut Entry| std::ptr::eq(entry.gate.as_ptr(), Arc::as_ptr(gate));
        if let Some(entry) = self.handles.0.lock().iter_mut().find(of_handle) {
            change(&mut entry.presence);
        }
        self.note_handles();
    }

    /// The turn of an exclusive session, unless the handle is closed before it comes.
    pub(crate) async fn take_exclusive(&self, gate: &Gate) -> Result<Guard, LaneError> {
        let closed = async {
            gate.closed().await;
            Err(LaneError::Closed)
        };
        if gate.is_closed() {
            return Err(LaneError::Closed);
        }
        let exclusive = self.exclusive.get_or_init(Arc::default);
        futures_lite::future::or(exclusive.lock(), closed).await
    }
}
