//! Every bound of this crate on what others can make it hold.

use std::time::Duration;

/// Largest block, in bytes, as stored: what the reference accepts.
pub const MAX_BLOCK_BYTES: usize = 15 * 1024 * 1024;

/// Events that wait for one subscriber; the oldest go first, and
/// [`Event::Lagged`](crate::Event::Lagged) says how many went.
pub const MAX_EVENTS_WAITING: usize = 4096;

/// Truncations that an open log remembers for those who read an older state of it; beyond that, the
/// oldest two count as one, as deep as the deeper.
pub const MAX_CUTS_REMEMBERED: usize = 256;

/// How long a log that was opened for a peer stays when neither side wants it, where no other time is
/// set. As long as the reference's corestore keeps one.
pub const PASSIVE_LINGER: Duration = Duration::from_secs(6);

/// How long a handshake may take where no other time is set.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes read from a connection's stream at once.
pub const READ_BYTES: usize = 256 * 1024;

/// Bytes that wait to be written to a connection before its requests are no longer served.
pub const OUTBOX_BYTES: usize = 1024 * 1024;

/// Bytes that wait to be written to a connection before nothing more is read from it. More than
/// [`OUTBOX_BYTES`], so that two sides that both serve cannot wait for each other: what is left to send
/// then is small, and a remote that makes it grow does not read.
pub const OUTBOX_FULL_BYTES: usize = OUTBOX_BYTES + 2 * MAX_BLOCK_BYTES;

/// Messages of a connection that are taken in before what follows from them is done. One frame can hold
/// millions, each of which costs more memory than it has bytes.
pub const MESSAGES_PER_TURN: usize = 4096;

/// Messages that are handed to a machine at once; between two such portions it is looked at whether
/// their answers leave room for more.
pub const MESSAGES_AT_ONCE: usize = 64;

/// Bytes of blocks that wait to be verified and stored, per log, before their connections are no
/// longer read.
pub const APPLY_QUEUE_BYTES: usize = 32 * 1024 * 1024;

/// Runs of blocks that a sweep clears at once, before others get a turn.
pub const SWEEP_BATCH: usize = 1000;

/// Proofs that are verified and stored together.
pub const APPLY_BATCH: usize = 256;

/// Bytes of blocks that are verified and stored together: one more block is always taken.
pub const APPLY_BATCH_BYTES: usize = 4 * 1024 * 1024;

/// Memory of a connection where its [policy](crate::Policy) says nothing else, in bytes, about.
pub const PEER_MEMORY: usize = 128 * 1024 * 1024;

/// Memory that a remote can make all logs of a connection hold together, in bytes, about, where its
/// [policy](crate::Policy) says nothing else: what it says it has, wants and asks for. One byte more, and the
/// connection is closed. It is 64 KiB each for 1,000 logs; a log without holes takes about 2.
pub const CONNECTION_MEMORY: usize = PEER_MEMORY / 2;

/// Least of that, whatever a policy says.
pub const LEAST_CONNECTION_MEMORY: usize = 1024 * 1024;

/// Logs that a remote asks for and that nobody has answered yet, per connection; one more is declined.
pub const QUESTIONS_WAITING: usize = 1024;

/// Messages of an extension that wait to be read; the oldest go first.
pub const EXTENSION_MESSAGES_WAITING: usize = 4096;

/// Bytes of an extension's messages that wait to be read; the oldest go first.
pub const EXTENSION_BYTES_WAITING: usize = 16 * 1024 * 1024;

/// Rounds of reading, working and writing before a connection lets others run.
pub const ROUNDS_PER_POLL: usize = 8;

/// Requests that a connection answers before it lets others run: so many answers at most one connection
/// can put before the first of another, whatever is asked of it.
pub const ANSWERS_PER_POLL: usize = 64;

/// Blocks that a stream of bytes has fetched ahead of the one it reads, where it is not told. As the
/// reference has it.
pub const PREFETCH_BLOCKS: u64 = 32;

/// Blocks that a [`WriteStream`](crate::WriteStream) gathers before it appends them unasked.
pub const SINK_BLOCKS: usize = 1024;

/// Bytes that a [`WriteStream`](crate::WriteStream) gathers before it appends them unasked.
pub const SINK_BYTES: usize = 4 * 1024 * 1024;

/// How long a change may wait for a store that gives space back more slowly than it is taken.
pub const MAX_STORE_DELAY: Duration = Duration::from_secs(1);
