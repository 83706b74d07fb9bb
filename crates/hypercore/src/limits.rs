//! Every bound of this crate on what others can make it hold.

use std::time::Duration;

/// Largest block, in bytes, as stored: what the reference accepts.
pub const MAX_BLOCK_BYTES: usize = 15 * 1024 * 1024;

/// Events that wait for one subscriber; the oldest go first, and
/// [`Event::Lagged`](crate::Event::Lagged) says how many went.
pub const MAX_EVENTS_WAITING: usize = 4096;

/// How long a handshake may take where no other time is set.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes read from a connection's stream at once.
pub const READ_BYTES: usize = 256 * 1024;

/// Bytes that wait to be written to a connection before nothing more is read from it, nor served.
pub const OUTBOX_BYTES: usize = 1024 * 1024;

/// Bytes of blocks that wait to be verified and stored, per log, before their connections are no
/// longer read.
pub const APPLY_QUEUE_BYTES: usize = 32 * 1024 * 1024;

/// Proofs that are verified and stored together.
pub const APPLY_BATCH: usize = 256;

/// Bytes of blocks that are verified and stored together: one more block is always taken.
pub const APPLY_BATCH_BYTES: usize = 4 * 1024 * 1024;

/// Rounds of reading, working and writing before a connection lets others run.
pub const ROUNDS_PER_POLL: usize = 8;
