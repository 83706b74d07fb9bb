//! Every bound on what a remote can make a machine hold or do. At the limit all is well; one above, the
//! stated thing happens. (Bounds on bits and windows are in [`hc_bitfield::limits`].)

use core::time::Duration;

/// Requests of one peer that are not answered yet. One more is [`Fault::OverLimit`](crate::Fault).
/// (The reference keeps up to 512 in flight, hotswaps included.)
pub const OPEN_REQUESTS: usize = 2048;

/// Answers to one peer that are being proven at once. Further requests wait.
pub const PROVING: usize = 32;

/// Invalid requests at which a peer is hung up. As the reference has it.
pub const INVALID_REQUESTS: u32 = 64;

/// Blocks pushed by one peer that are being checked. More are dropped.
pub const PUSHES: usize = 512;

/// Blocks that wait to be pushed to one peer, behind one with a longer tree. More are not pushed.
pub const PUSHES_WAITING: usize = 4096;

/// Pushed blocks that do not hold at which a peer is hung up. Fewer may be nobody's fault: what a push
/// builds on may have been lost.
pub const PUSH_REJECTIONS: u32 = 32;

/// Refusals of one kind at which a peer is asked for nothing more. As the reference has it.
pub const REFUSALS: u32 = 32;

/// Wants of one peer that wait for room in its outbox. One more is a fault.
pub const UNANSWERED_WANTS: usize = 512;

/// How long the answer to a want stands: asked again within this time and with nothing new to tell, a
/// peer gets no answer. (The reference can be made to ask without end.)
pub const WANT_REPEAT: Duration = Duration::from_secs(1);

/// Windows for which it is remembered when they were answered. At the limit all are forgotten.
pub const WANTS_REMEMBERED: usize = 1024;

/// Windows that are asked for at once when there is nothing else to ask a peer for.
pub const WANTS_PER_PASS: usize = 3;

/// Ranges that are looked at when a peer can be asked for more. As the reference has it.
pub const RANGES_PER_PASS: usize = 64;

/// Blocks of a scattered range that are asked for one after the other: aligned, so that they share most
/// of their paths. A power of two.
pub const RUN: u64 = 64;

/// Runs of blocks that came or went that are kept for a peer without room. More are rounded up.
pub const BACKLOG_RUNS: usize = 1024;

/// Numbers of cancelled requests that a peer has not acknowledged, with those under way. At the limit
/// the peer is asked for nothing more until it answers.
pub const REQUEST_IDS: usize = 4096;

/// Requests for one block under way to different peers. As the reference has it.
pub const COPIES: usize = 3;

/// Blocks at the end of the log that are announced even to peers that did not ask. As the reference has
/// it.
pub const LAST_BLOCKS: u64 = 256;

/// Peers that are asked for the whole of a later fork at once.
pub const FORK_HEADS: usize = 3;

/// Rounds of questions until it is known where two forks part: a tree is not higher than that, and each
/// round leads down by a level at least. One more is a fault of whoever answered.
pub const FORK_ROUNDS: u32 = 64;

/// Blocks that are given up for a later fork where no peer can tell whether it has them too. Where more
/// are at stake, the fork is not followed until somebody can.
pub const FORFEITED_BLOCKS: u64 = 64;

/// Proofs of its whole log of one peer that are compared with ours in search of a conflict. Further ones
/// are dropped.
pub const CONFLICT_CHECKS: u32 = 16;

/// How long a peer that sent bad data may take to prove that its log was signed as well as ours.
pub const CONFLICT_PATIENCE: Duration = Duration::from_secs(3);

/// Requests of others that are looked at when an idle peer could take one over.
pub const HOTSWAPS_PER_PASS: usize = 64;

/// Bytes of memory for what one peer says it has of a log, where its [policy](crate::PeerPolicy) says nothing
/// else: 16 MiB, which is every second block of 125 million. Blocks without holes take next to nothing.
pub const PEER_MEMORY: usize = 16 << 20;

/// How long the refusal of an invalid request is held back, by how many came before. As the reference
/// has it.
#[must_use]
pub const fn refusal_delay(count: u32) -> Duration {
    Duration::from_millis(match count {
        0..=1 => 200,
        2..=4 => 500,
        5..=39 => 1000,
        _ => 5000,
    })
}
