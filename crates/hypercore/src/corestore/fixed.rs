//! Logs that nobody signs, made from what a log holds now. Knows nothing of how blocks are copied.

use hc_merkle::manifest::{Manifest, Prologue};
use thiserror::Error;

use super::Corestore;
use crate::error::OpenError;
use crate::hypercore::Hypercore;
use crate::prologue::CopyPrologueError;

/// Why there is no static log; see [`Corestore::make_static`].
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StaticError {
    /// The log has no blocks, so that there is nothing to fix.
    #[error("an empty log has nothing to fix")]
    Empty,
    /// The log is encrypted under a key that follows from its own, which the static log has not.
    #[error("the blocks of an encrypted log can be read under its own key alone")]
    Encrypted,
    /// The static log did not open.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Not all was copied. What was is kept, and calling again goes on from there.
    #[error(transparent)]
    Copy(#[from] CopyPrologueError),
}

impl Corestore {
    /// Makes a log of what another one holds now, which is that for good: its key follows from the blocks
    /// alone, it needs no signature, and nobody can append to it. Same blocks give the same key, here and
    /// in the reference, so that doing it twice gives one log.
    ///
    /// Blocks that are stored are copied, and may be cleared where they came from; those that are not are
    /// missing here as well, and can be fetched from whoever has the static log. The reference copies
    /// none, and lets the two logs share their storage, so that clearing a block of one takes it from both.
    ///
    /// # Errors
    /// [`StaticError`].
    ///
    /// ```
    /// # futures_lite::future::block_on(async {
    /// use hypercore::{Corestore, Storage};
    ///
    /// let store = Corestore::open(Storage::memory()).await?;
    /// let drafts = store.get("drafts").await?;
    /// drafts.append_batch(["a", "b"]).await?;
    ///
    /// let published = store.make_static(&drafts).await?;
    /// drafts.append("c").await?;
    /// assert_eq!(published.length().get(), 2);
    /// assert_eq!(published.get(1).await?, "b");
    /// assert!(!published.is_writable());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub async fn make_static(&self, log: &Hypercore) -> Result<Hypercore, StaticError> {
        let head = log.head();
        if head.length().get() == 0 {
            return Err(StaticError::Empty);
        }
        if log.core.is_encrypted() {
            return Err(StaticError::Encrypted);
        }
        let prologue = Prologue {
            hash: head.tree_hash(),
            length: head.length(),
        };
        let manifest = Manifest::new([]).with_prologue(prologue);
        let fixed = self.get(manifest).plain().await?;
        fixed.copy_prologue(log).await?;
        Ok(fixed)
    }
}
