//! Where a byte of the log lies, as far as the stored nodes tell.
//!
//! Owns reading the nodes for the walk, which is `hc-merkle`'s. Asks no peer.

use hc_merkle::{BlockIndex, ByteOffset, Seek, Sought, drive};
use hc_storage::StorageError;
use thiserror::Error;

use crate::hypercore::Hypercore;

/// Where a byte lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// The block it is in; the length of the log for the byte after the last.
    pub index: BlockIndex,
    /// Bytes of that block's plain text before it.
    pub offset: u64,
}

/// Why it is not known where a byte lies.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SeekError {
    /// The log has fewer bytes.
    #[error("byte {byte} is past the end of the log, at {byte_length}")]
    PastEnd {
        /// Which was sought.
        byte: u64,
        /// Bytes in the log.
        byte_length: u64,
    },
    /// The nodes that tell are not stored here.
    #[error("byte {byte} is in one of the blocks {} to {}; which, is not known here", blocks.start, blocks.end - 1)]
    NotLocal {
        /// Which was sought.
        byte: u64,
        /// Where it may be.
        blocks: std::ops::Range<u64>,
    },
    /// The store could not be read.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl Hypercore {
    /// Finds the block that a byte lies in, by the nodes that are stored here. Bytes are those of the
    /// plain text where the handle can decrypt.
    ///
    /// # Errors
    /// [`SeekError`].
    ///
    /// ```
    /// # futures_lite::future::block_on(async {
    /// # use hypercore::{Hypercore, Storage};
    /// # let log = Hypercore::builder(Storage::memory()).open().await.unwrap();
    /// log.append_batch(["abc", "d", "efg"]).await.unwrap();
    /// let found = log.seek_local(5)?;
    /// assert_eq!((found.index.get(), found.offset), (2, 1));
    /// # Ok::<(), hypercore::SeekError>(())
    /// # }).unwrap();
    /// ```
    pub fn seek_local(&self, byte: u64) -> Result<Position, SeekError> {
        let stored = self.core.log.snapshot()?;
        let head = stored.head()?;
        let padding = self.padding();
        let sought = drive(
            Seek::new(&head, ByteOffset::new(byte), padding),
            |indexes| {
                let mut nodes = Vec::with_capacity(indexes.len());
                stored.nodes(indexes, &mut nodes)?;
                Ok::<_, StorageError>(nodes)
            },
        )?;
        match sought {
            Sought::Block { index, offset } => Ok(Position { index, offset }),
            Sought::Within { blocks } => Err(SeekError::NotLocal { byte, blocks }),
            Sought::Past => Err(SeekError::PastEnd {
                byte,
                byte_length: self.byte_length().get(),
            }),
        }
    }
}
