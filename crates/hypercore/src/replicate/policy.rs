//! What one connection may do, and at what price. Knows nothing of how it is kept.

use hc_replicator::PeerPolicy;

use super::rate::RateLimit;
use crate::limits::{APPLY_QUEUE_BYTES, LEAST_CONNECTION_MEMORY, OUTBOX_BYTES, PEER_MEMORY};

/// Least memory for what waits on a connection.
const LEAST: usize = 16 * 1024;

/// What a connection may do, and what it may cost: for [`Replication::policy`](crate::Replication::policy).
///
/// ```
/// use hypercore::{Policy, RateLimit};
///
/// // serves, asks for nothing, sends no more than 1 MiB a second, holds no more than 16 MiB
/// let policy = Policy::new()
///     .downloads(false)
///     .upload_limit(RateLimit::per_second(1 << 20).unwrap())
///     .memory(16 << 20);
/// ```
#[derive(Debug, Clone)]
#[must_use = "a policy does nothing until it is given to a connection"]
pub struct Policy {
    uploads: bool,
    downloads: bool,
    pub(super) upload_limit: Option<RateLimit>,
    pub(super) download_limit: Option<RateLimit>,
    memory: usize,
}

impl Default for Policy {
    fn default() -> Self {
        Self::new()
    }
}

impl Policy {
    /// Everything, as fast as it goes, within [`PEER_MEMORY`].
    pub fn new() -> Self {
        Self {
            uploads: true,
            downloads: true,
            upload_limit: None,
            download_limit: None,
            memory: PEER_MEMORY,
        }
    }

    /// Whether the remote is given what is here. It is told so; if it asks all the same, it is refused.
    pub fn uploads(mut self, uploads: bool) -> Self {
        self.uploads = uploads;
        self
    }

    /// Whether the remote is asked for what is wanted here. It is told so.
    pub fn downloads(mut self, downloads: bool) -> Self {
        self.downloads = downloads;
        self
    }

    /// At most so many bytes a second are written, all that goes over the connection counted.
    pub fn upload_limit(mut self, limit: RateLimit) -> Self {
        self.upload_limit = Some(limit);
        self
    }

    /// At most so many bytes a second are read, all that comes over the connection counted.
    pub fn download_limit(mut self, limit: RateLimit) -> Self {
        self.download_limit = Some(limit);
        self
    }

    /// Bytes of memory for a connection, about: a quarter each for what waits to be stored and to be sent, and
    /// half for what the remote says it has, wants and asks for of all logs together. Where it goes over that
    /// half the connection is closed: [`TooMuchHeld`](crate::ReplicateError::TooMuchHeld). What it says it has
    /// of one log is remembered up to an eighth of the whole. What one message holds comes on top.
    pub fn memory(mut self, bytes: usize) -> Self {
        self.memory = bytes;
        self
    }

    /// As the machine of each log keeps it.
    pub(super) fn of_peer(&self) -> PeerPolicy {
        PeerPolicy {
            uploads: self.uploads,
            downloads: self.downloads,
            memory: self.memory / 8,
        }
    }

    /// Bytes that may wait to be stored before nothing more is read.
    pub(super) fn unstored_bytes(&self) -> usize {
        APPLY_QUEUE_BYTES.min(self.share())
    }

    /// Bytes that may wait to be written before no more requests are served: no more than are written in
    /// a moment, so that what is urgent does not wait behind them.
    pub(super) fn unsent_bytes(&self) -> usize {
        let moment = self.upload_limit.as_ref().map(RateLimit::at_once);
        let moment = moment.map_or(OUTBOX_BYTES, |bytes| bytes.max(LEAST));
        OUTBOX_BYTES.min(self.share()).min(moment)
    }

    /// Bytes that the remote can make all logs hold before the connection is closed.
    pub(super) fn held_bytes(&self) -> usize {
        (self.memory / 2).max(LEAST_CONNECTION_MEMORY)
    }

    fn share(&self) -> usize {
        (self.memory / 4).max(LEAST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_is_bounded_by_memory_and_rate() {
        let usual = Policy::new();
        assert_eq!(usual.unstored_bytes(), APPLY_QUEUE_BYTES);
        assert_eq!(usual.unsent_bytes(), OUTBOX_BYTES);
        assert_eq!(usual.of_peer(), PeerPolicy::default());
        assert_eq!(usual.held_bytes(), crate::limits::CONNECTION_MEMORY);
        let small = Policy::new().memory(1 << 20);
        assert_eq!(small.unstored_bytes(), 256 * 1024);
        assert_eq!(small.unsent_bytes(), 256 * 1024);
        assert_eq!(small.of_peer().memory, 128 * 1024);
        let slow = Policy::new().upload_limit(RateLimit::per_second(1000).unwrap());
        assert_eq!(slow.unsent_bytes(), LEAST);
        assert_eq!(Policy::new().memory(0).unstored_bytes(), LEAST);
        assert_eq!(
            Policy::new().memory(0).held_bytes(),
            LEAST_CONNECTION_MEMORY
        );
    }
}
