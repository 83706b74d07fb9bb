//! Every bound of this crate on what a file can make it hold or do.

/// Most bytes of the header of a bundle: a manifest of the largest size fits.
pub const MAX_BUNDLE_HEADER: u64 = 256 << 10;

/// Most bytes of the head of a bundle: a signature of the largest size fits.
pub const MAX_BUNDLE_HEAD: u64 = 1 << 20;

/// Most pieces of user data in a bundle.
pub const MAX_BUNDLE_USER_DATA: u64 = 1 << 16;

/// Most nodes beside a block in a bundle: the tree is at most 53 levels high.
pub const MAX_BUNDLE_NODES: u64 = 52;

/// Proofs that are verified and stored together.
pub const INTAKE_BATCH: usize = 256;

/// Bytes of blocks that are verified and stored together: one more block is always taken.
pub const INTAKE_BATCH_BYTES: usize = 4 << 20;

/// Most keys in a backup.
pub const MAX_BACKUP_KEYS: usize = 1 << 16;

/// Most bytes of a backup file.
pub const MAX_BACKUP_BYTES: u64 = 16 << 20;

/// Most memory that opening a backup may take, in KiB, whatever the file asks for.
pub const MAX_BACKUP_MEMORY: u32 = 1 << 20;

/// Most passes over that memory.
pub const MAX_BACKUP_PASSES: u32 = 64;

/// Most lanes of that memory.
pub const MAX_BACKUP_LANES: u32 = 16;

/// Most bytes of the `oplog` or `header` of version 10, which are held in memory.
pub const MAX_OPLOG_BYTES: u64 = 64 << 20;

/// Most bytes of a `bitfield` of version 10: 2^29 blocks.
pub const MAX_BITFIELD_BYTES: u64 = 64 << 20;

/// Most bytes of one block of a table of version 11's database.
pub const MAX_TABLE_BLOCK: u64 = 64 << 20;

/// Most bytes of the write-ahead logs of version 11's database together, which are held in memory.
pub const MAX_WAL_BYTES: u64 = 2 << 30;

/// Most bytes of the manifest of version 11's database.
pub const MAX_MANIFEST_BYTES: u64 = 1 << 30;

/// Most tables of version 11's database.
pub const MAX_TABLES: usize = 1 << 16;

/// Most logs that one log of version 11 may be built upon.
pub const MAX_DEPENDENCIES: usize = 1 << 10;

/// Tables of version 11's database that are kept open.
pub const MAX_OPEN_TABLES: usize = 64;
