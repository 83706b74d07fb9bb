//! What was seen of other peers and is worth remembering: how many blocks from the first one on some
//! peer has. Knows nothing of peers.
//!
//! It is written together with the next change, and at the end: a hint is not worth a write of its own.

use std::sync::atomic::{AtomicU64, Ordering};

use hc_merkle::Length;
use hc_storage::{Access, Batch, Durability, Hints as Stored, StorageError};

use super::Core;
use super::publish::Staged;
use crate::hypercore::Hypercore;

/// The hint as it is, and as it is stored.
#[derive(Debug)]
pub(crate) struct Hints {
    known: AtomicU64,
    stored: AtomicU64,
}

impl Hints {
    pub(super) fn new(stored: Stored) -> Self {
        let length = stored.remote_contiguous_length.get();
        Self {
            known: AtomicU64::new(length),
            stored: AtomicU64::new(length),
        }
    }

    /// The most that any peer was seen to have.
    pub(crate) fn known(&self) -> Length {
        Length::new(self.known.load(Ordering::Acquire))
    }

    /// Some peer has so many blocks.
    pub(crate) fn raise(&self, length: Length) {
        self.known.fetch_max(length.get(), Ordering::AcqRel);
    }

    /// The log was cut to so many.
    pub(super) fn lower(&self, length: Length) {
        self.known.fetch_min(length.get(), Ordering::AcqRel);
    }

    /// The hint, if another one is stored; it will be.
    fn unstored(&self, cut: Option<Length>) -> Option<Length> {
        let known = self.known();
        let length = cut.map_or(known, |cut| cut.min(known));
        let before = self.stored.swap(length.get(), Ordering::AcqRel);
        (before != length.get()).then_some(length)
    }
}

impl Core {
    /// Adds the hint to what is written anyway.
    pub(super) fn stage_hints(&self, staged: &mut Staged) {
        if let Some(length) = self.hints.unstored(staged.published.truncated) {
            staged.batch.set_hints(Stored {
                contiguous_length: staged.next.contiguous,
                remote_contiguous_length: length,
            });
        }
    }

    /// Writes the hint, where it is not written yet.
    pub(super) fn store_hints(&self) -> Result<(), StorageError> {
        if self.store.access() == Access::ReadOnly || self.fault().is_some() {
            return Ok(());
        }
        let Some(length) = self.hints.unstored(None) else {
            return Ok(());
        };
        let mut batch = Batch::new();
        batch.set_hints(Stored {
            contiguous_length: self.view.load().contiguous,
            remote_contiguous_length: length,
        });
        self.log.commit(batch, Durability::Buffered).map(drop)
    }
}

impl Hypercore {
    /// The most blocks without a gap from the first that any peer said it has, on this fork and up to the
    /// length here. Remembered when the log is closed; what no peer said yet is 0.
    #[must_use]
    pub fn remote_contiguous_length(&self) -> Length {
        let length = self.core.view.load().head.length();
        self.core.hints.known().min(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_is_stored_once() {
        let hints = Hints::new(Stored::default());
        assert_eq!(hints.unstored(None), None);
        hints.raise(Length::new(7));
        hints.raise(Length::new(5));
        assert_eq!(hints.unstored(None), Some(Length::new(7)));
        assert_eq!(hints.unstored(None), None);
        assert_eq!(hints.unstored(Some(Length::new(3))), Some(Length::new(3)));
        hints.lower(Length::new(3));
        assert_eq!(hints.unstored(None), None);
        assert_eq!(hints.known(), Length::new(3));
    }
}
