//! Every bound of this crate, in one place.

use std::time::Duration;

/// Most bytes in one block (2^32 - 1 is what a locator can say; the reference's wire stops far below).
pub const MAX_BLOCK_LEN: usize = 256 << 20;

/// Most bytes in the blocks of one batch.
pub const MAX_BATCH_BYTES: usize = 1 << 30;

/// Most bytes in the key of a piece of user data.
pub const MAX_USER_KEY_LEN: usize = 1 << 10;

/// Most bytes in the value of a piece of user data.
pub const MAX_USER_VALUE_LEN: usize = 1 << 20;

/// Most bytes in the name of a log.
pub const MAX_NAME_LEN: usize = 1 << 10;

/// Most bytes in the name of a branch.
pub const MAX_BRANCH_NAME_LEN: usize = 256;

/// Most runs of void blocks that wait to be given back as holes; more are left to be collected.
pub const MAX_HOLES: usize = 1 << 16;

/// Most void bytes of blocks, for each hundred that are stored, with which appends are not held back. A few MiB come
/// on top.
pub const FREE_VOID_PERCENT: u64 = 45;

/// Most void bytes of blocks, for each hundred that are stored, that appends add to while they can be given back. A few
/// MiB come on top.
pub const MAX_VOID_PERCENT: u64 = 65;

/// How long a batch at [`Durability::Buffered`](crate::Durability::Buffered) may stay in this process.
pub const BUFFER_DELAY: Duration = Duration::from_millis(50);

/// Most directories of readers that were killed that one more reader removes.
pub const MAX_LEFT_BEHIND: usize = 16;

/// Most entries of the system's temporary directory that are looked through for them.
pub const MAX_LOOKED_THROUGH: usize = 16 << 10;
