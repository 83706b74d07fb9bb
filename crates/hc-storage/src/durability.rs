//! How long an acknowledged batch has to live, and how to wait for it. Knows nothing of files.

use std::fmt;
use std::sync::Arc;

use crate::error::StorageError;

/// What must not lose a batch once it is acknowledged. An engine may round up, never down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Durability {
    /// Nothing is promised: the batch may stay in this process for
    /// [`BUFFER_DELAY`](crate::limits::BUFFER_DELAY) or so.
    Buffered,
    /// Survives the death of this process: the operating system has the bytes.
    #[default]
    Os,
    /// Survives the loss of power: the device has the bytes.
    Disk,
}

/// A batch that is stored and visible, and may still be on its way to the durability it was asked for.
///
/// Several tickets can be held before the first is waited for: one wait then serves them all.
#[must_use = "a batch asked for at `Disk` is on the device only once its ticket was waited for"]
pub struct Ticket(Option<Arc<dyn Pending>>);

/// What a ticket waits on.
pub(crate) trait Pending: Send + Sync {
    fn is_reached(&self) -> bool;
    fn wait(&self) -> Result<(), StorageError>;
}

impl Ticket {
    /// The ticket of a batch that already is as durable as it was asked to be.
    pub const fn reached() -> Self {
        Self(None)
    }

    pub(crate) fn pending(pending: Arc<dyn Pending>) -> Self {
        Self(Some(pending))
    }

    /// Whether [`wait`](Self::wait) would return at once.
    #[must_use]
    pub fn is_reached(&self) -> bool {
        self.0.as_ref().is_none_or(|pending| pending.is_reached())
    }

    /// Blocks until the batch is as durable as it was asked to be.
    ///
    /// # Errors
    /// [`StorageError::Poisoned`] where the device refused: whether it has the batch is then unknown
    /// until the store is opened again.
    pub fn wait(self) -> Result<(), StorageError> {
        self.0.map_or(Ok(()), |pending| pending.wait())
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket")
            .field("reached", &self.is_reached())
            .finish()
    }
}
