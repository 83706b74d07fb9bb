//! Facts about a log, at one moment.

use hc_merkle::{ByteLength, CoreKey, DiscoveryKey, Fork, Length, TreeHash};

/// What is known of a log; see [`Hypercore::info`](crate::Hypercore::info).
///
/// ```
/// # futures_lite::future::block_on(async {
/// # use hypercore::{Hypercore, Storage};
/// # let log = Hypercore::builder(Storage::memory()).open().await?;
/// log.append_batch(["a", "bc"]).await?;
/// let info = log.info();
/// assert_eq!((info.length.get(), info.byte_length.get()), (2, 3));
/// assert!(!info.encrypted && info.writable);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Info {
    /// What names the log; its z-base-32 form ([`CoreKey::to_z32`]) is its id.
    pub key: CoreKey,
    /// What it may be announced under without giving the key away.
    pub discovery_key: DiscoveryKey,
    /// Blocks in the log, stored here or not.
    pub length: Length,
    /// Blocks stored here without a gap from the first.
    pub contiguous_length: Length,
    /// Blocks stored here.
    pub stored: Length,
    /// Bytes in all blocks: of the plain text where the handle can decrypt, else as stored.
    pub byte_length: ByteLength,
    /// How often the log was truncated.
    pub fork: Fork,
    /// Bytes that encryption adds to each block, where the handle can decrypt.
    pub padding: u64,
    /// Whether this handle can append.
    pub writable: bool,
    /// Whether a secret key that may sign is at hand: a log that is only read is not writable even so.
    pub has_secret_key: bool,
    /// Whether its blocks are encrypted, as far as is known.
    pub encrypted: bool,
    /// Hash over the roots of its tree.
    pub tree_hash: TreeHash,
}
