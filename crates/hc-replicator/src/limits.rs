//! Every bound on what a remote can make a machine hold or do. At the limit all is well; one above, the
//! stated thing happens.

use core::time::Duration;

/// Requests of one peer that are not answered yet. One more is [`Fault::OverLimit`](crate::Fault).
/// (The reference keeps up to 512 in flight, hotswaps included.)
pub const OPEN_REQUESTS: usize = 2048;

/// Answers to one peer that are being proven at once. Further requests wait.
pub const PROVING: usize = 32;

/// Invalid requests at which a peer is hung up. As the reference has it.
pub const INVALID_REQUESTS: u32 = 64;

/// Refusals of one kind at which a peer is asked for nothing more. As the reference has it.
pub const REFUSALS: u32 = 32;

/// Windows of one size or another that a peer may want. One more, and it is told everything. As the
/// reference has it.
pub const REMOTE_WANTS: usize = 512;

/// Sizes that a peer's windows may have. One more, and it is told everything. As the reference has it.
pub const REMOTE_WANT_SIZES: usize = 4;

/// Windows of which a peer may want any block. One more, and it is told everything. As the reference
/// has it.
pub const REMOTE_ANY_WANTS: usize = 16;

/// The shortest window that is kept; shorter, and the peer is told everything. As the reference has it.
pub const WANT_MIN: u64 = 32;

/// The longest window that is answered; longer is ignored. As the reference has it.
pub const WANT_MAX: u64 = 2_097_152;

/// Wants of one peer that wait for room in its outbox. One more is a fault.
pub const UNANSWERED_WANTS: usize = 512;

/// How long the answer to a want stands: asked again within this time and with nothing new to tell, a
/// peer gets no answer. (The reference can be made to ask without end.)
pub const WANT_REPEAT: Duration = Duration::from_secs(1);

/// Windows that we want from one peer. For one more, another is given up. As the reference has it.
pub const LOCAL_WANTS: usize = 512;

/// Blocks in a window that we want.
pub const WANT_WINDOW: u64 = 2_097_152;

/// Words in one bitfield message: the bits of one window.
pub const BITFIELD_WORDS: usize = 65_536;

/// Numbers of cancelled requests that a peer has not acknowledged, with those under way. At the limit
/// the peer is asked for nothing more until it answers.
pub const REQUEST_IDS: usize = 4096;

/// Requests for one block under way to different peers. As the reference has it.
pub const COPIES: usize = 3;

/// Blocks at the end of the log that are announced even to peers that did not ask. As the reference has
/// it.
pub const LAST_BLOCKS: u64 = 256;

/// Pages of bits that are kept of what one peer has beyond its contiguous start; what would need more is
/// not remembered.
pub const REMOTE_PAGES: usize = 4096;

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
