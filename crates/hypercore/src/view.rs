//! What a log is at one moment: a value, swapped whole.
//!
//! Readers take the current one and keep it as long as they like; only `core/publish.rs` puts a new
//! one in place, and only after a commit.

use std::sync::{Arc, LazyLock};

use hc_bitfield::Bitfield;
use hc_merkle::{Authority, Head, Length};

use crate::core::cuts::Cuts;
use crate::event::State;
use crate::sync::Mutex;

/// One state of a log.
#[derive(Debug, Clone)]
pub(crate) struct View {
    pub(crate) head: Head,
    pub(crate) have: Bitfield,
    /// Blocks stored without a gap from the first.
    pub(crate) contiguous: Length,
    pub(crate) authority: Arc<Authority>,
    /// How often blocks that were here ceased to be: a reader that misses a block it saw in an older
    /// view compares this.
    pub(crate) epoch: u64,
    /// How long the log was, where roots of its tree are lost: the head is then that of an empty log.
    pub(crate) lost: Option<Length>,
    /// To what lengths the log was cut since it was opened: what older states share with it at least.
    pub(crate) cuts: Arc<Cuts>,
    /// The same, from where on it is certain that blocks are other ones: the most that may be shared.
    pub(crate) parted: Arc<Cuts>,
}

/// Of most logs: all of them share it.
static NO_CUTS: LazyLock<Arc<Cuts>> = LazyLock::new(Arc::default);

impl View {
    pub(crate) fn new(head: Head, have: Bitfield, authority: Authority) -> Self {
        let contiguous = Length::new(have.contiguous_len());
        Self {
            head,
            have,
            contiguous,
            authority: Arc::new(authority),
            epoch: 0,
            lost: None,
            cuts: Arc::clone(&NO_CUTS),
            parted: Arc::clone(&NO_CUTS),
        }
    }

    pub(crate) fn state(&self) -> State {
        State {
            length: self.head.length(),
            contiguous_length: self.contiguous,
            byte_length: self.head.byte_length(),
            fork: self.head.fork(),
        }
    }
}

/// The current view.
#[derive(Debug)]
pub(crate) struct ViewCell(Mutex<Arc<View>>);

impl ViewCell {
    pub(crate) fn new(view: View) -> Self {
        Self(Mutex::new(Arc::new(view)))
    }

    /// Held only while a pointer is copied: readers never wait for a writer's work.
    pub(crate) fn load(&self) -> Arc<View> {
        self.0.lock().clone()
    }

    pub(super) fn store(&self, view: Arc<View>) {
        let old = std::mem::replace(&mut *self.0.lock(), view);
        // Freed, if nobody else has it, after the lock is given back.
        drop(old);
    }
}
