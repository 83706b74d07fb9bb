//! Bounds on what a set may hold and on what a remote may put into one. Knows no set.

/// Bits that a set can hold: indexes below 2^53, as in the reference, whose integers end there.
///
/// Bits from here up are never set, and setting them does nothing.
pub const MAX_BITS: u64 = 1 << 53;

/// Bits in one page, the unit of persistence.
pub const PAGE_BITS: u64 = 32_768;

/// Bytes of one page.
pub const PAGE_BYTES: usize = 4_096;

/// Bits in one segment, the unit of sharing and the most that one answer to a want covers.
pub const SEGMENT_BITS: u64 = 2_097_152;

/// Most words of 32 bits that one received message may carry: one segment, the most that the
/// reference ever sends.
pub const MAX_RECEIVED_WORDS: usize = 65_536;

/// Bytes of memory from which a set takes nothing more from a remote: 64 MiB, which is every second
/// block of 500 million. One message adds less than 300 KiB, so this is passed by no more than that.
pub const MAX_RECEIVED_MEMORY: usize = 64 << 20;

/// Most bits of a window that a remote may want; a longer one is not answered.
pub const MAX_WANT_BITS: u64 = SEGMENT_BITS;

/// Fewest bits of a window that is remembered as such; a shorter one means everything is wanted.
pub const MIN_WANT_BITS: u64 = 32;

/// Most windows that are remembered of a remote, and that are asked of one.
pub const MAX_WANTS: usize = 512;

/// Most different lengths among the windows that are remembered of a remote.
pub const MAX_WANT_LENGTHS: usize = 4;

/// Most windows of which any one block is enough that are remembered of a remote.
pub const MAX_ANY_WANTS: usize = 16;
