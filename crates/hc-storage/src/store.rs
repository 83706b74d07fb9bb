//! The seam that every engine implements: a store of many logs.
//!
//! A log may have branches: logs without a name of their own, which read what is below some length from
//! the log that they left. A branch is opened from its log, and used like one.
//!
//! Owns the three traits. All calls block; what the page cache or memory can serve is quick enough to
//! call from anywhere, [`Ticket::wait`], [`Store::sync`], [`Store::close`] and opening are not. Knows
//! no engine, no key layout, no file.

use std::any::Any;
use std::fmt::Debug;
use std::ops::{Bound, ControlFlow, Range};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hc_bitfield::{Bitfield, RangeSet};
use hc_merkle::{BlockIndex, DiscoveryKey, Fork, Head, Length, Node, NodeIndex, SecretKey};

use crate::batch::Batch;
use crate::durability::{Durability, Ticket};
use crate::error::{Damage, StorageError};
use crate::record::{
    ActiveCore, Alias, Auth, CoreEntry, CoreRecord, Hints, Lineage, NamedCore, NamespaceId,
    StoreSecret, Topic,
};

/// Whether a store can be written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Access {
    /// This handle may write; no other process can.
    ReadWrite,
    /// This handle only reads; some other process may be writing.
    ReadOnly,
}

/// Bytes that a store takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Everything.
    pub total: u64,
    /// The commit log, blocks included.
    pub log: u64,
    /// The index.
    pub index: u64,
    /// Bytes in blocks that are stored.
    pub live: u64,
    /// Bytes in blocks that were cleared, cut or replaced and still take space.
    pub dead: u64,
}

/// What a [repair](Store::repair) dropped.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Repaired {
    /// Blocks that were not what was written, by log. They are cleared: peers can be asked for them.
    pub blocks: Vec<(DiscoveryKey, RangeSet)>,
    /// Frames of the store's log that were damaged.
    pub frames: u64,
    /// Logs whose trees had lost their roots, and which start again from nothing: peers have them.
    pub reset: Vec<DiscoveryKey>,
    /// Logs whose secret keys are here and whose last appends may be lost. Whoever appends to one of
    /// them has to see first that no peer has more of it.
    pub suspect: Vec<DiscoveryKey>,
    /// Logs of whose secret keys a byte was altered, which is as it was again; 32 zero bytes stand for the
    /// secret of the store itself.
    pub corrected_keys: Vec<DiscoveryKey>,
    /// Secret keys that can not be read, by the log that their records name, in which bytes may be altered
    /// too. They were set aside.
    pub lost_keys: Vec<DiscoveryKey>,
}

impl Repaired {
    /// Whether there was nothing to repair.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A log that has lost roots of its tree; see [`Store::open_rootless`].
#[derive(Debug, Clone)]
pub struct Rootless {
    /// The log.
    pub log: Arc<dyn CoreStore>,
    /// Fork that it is on.
    pub fork: Fork,
    /// Number of blocks that it had.
    pub length: Length,
}

/// A store of many logs.
pub trait Store: Debug + Send + Sync {
    /// Adds a log.
    ///
    /// # Errors
    /// [`StorageError::CoreExists`] where the store has it, [`StorageError::NameTaken`] where another log
    /// has its name, [`StorageError::NameTooLong`].
    fn create_core(&self, record: CoreRecord) -> Result<Arc<dyn CoreStore>, StorageError>;

    /// The log with this discovery key; `None` where the store does not have it.
    ///
    /// # Errors
    /// What reading may return.
    fn open_core(&self, key: &DiscoveryKey) -> Result<Option<Arc<dyn CoreStore>>, StorageError>;

    /// All logs, in the order of their discovery keys.
    ///
    /// # Errors
    /// What reading may return.
    fn cores(&self) -> Result<Vec<CoreEntry>, StorageError>;

    /// The log that is meant where none is named.
    ///
    /// # Errors
    /// What reading may return.
    fn default_core(&self) -> Result<Option<DiscoveryKey>, StorageError>;

    /// Names the log that is meant where none is named.
    ///
    /// # Errors
    /// [`StorageError::NoCore`] where the store does not have it.
    fn set_default_core(&self, key: &DiscoveryKey) -> Result<(), StorageError>;

    /// The log with a name; `None` where none has it.
    ///
    /// # Errors
    /// What reading may return.
    fn find_named(&self, alias: &Alias) -> Result<Option<CoreEntry>, StorageError>;

    /// All logs with a name, or those of one place for names, in the order of place and name.
    ///
    /// # Errors
    /// What reading may return.
    fn named(&self, namespace: Option<NamespaceId>) -> Result<Vec<NamedCore>, StorageError>;

    /// Gives a name to a log that has none.
    ///
    /// # Errors
    /// [`StorageError::NameTaken`] where another log has it, [`StorageError::OtherName`] where this one
    /// has another, [`StorageError::NoCore`] where the store does not have it,
    /// [`StorageError::NameTooLong`].
    fn set_name(&self, key: &DiscoveryKey, alias: Alias) -> Result<(), StorageError>;

    /// The logs of a group whose heads have changed since they joined it, the last to change first.
    ///
    /// # Errors
    /// What reading may return.
    fn group(&self, topic: &Topic) -> Result<Vec<ActiveCore>, StorageError>;

    /// The secret that the store keeps for the layer above.
    ///
    /// # Errors
    /// What reading may return.
    fn secret(&self) -> Result<Option<StoreSecret>, StorageError>;

    /// Keeps a secret, for good. On the device when this returns.
    ///
    /// # Errors
    /// [`StorageError::OtherSecret`] where another is kept, [`StorageError::Damaged`] where one may be, and
    /// can not be read.
    fn set_secret(&self, secret: StoreSecret) -> Result<(), StorageError>;

    /// The log with this discovery key, where roots of its tree are lost and
    /// [`open_core`](Self::open_core) names the damage; `None` for all others. Its head reads as that of
    /// an empty log. It takes a head that is not shorter than the one that was lost, on the same fork,
    /// with its roots, and no other.
    ///
    /// # Errors
    /// What reading may return.
    fn open_rootless(&self, key: &DiscoveryKey) -> Result<Option<Rootless>, StorageError> {
        let _ = key;
        Ok(None)
    }

    /// Removes a log with all that belongs to it, branches too. Handles to it fail from then on with
    /// [`StorageError::CoreDeleted`]. `false` where the store does not have it.
    ///
    /// # Errors
    /// What writing may return.
    fn delete_core(&self, key: &DiscoveryKey) -> Result<bool, StorageError>;

    /// Stores batches to several logs or branches of this store: all of them, or nothing. As durable as
    /// asked for once the ticket was waited for, like a [commit](CoreStore::commit).
    ///
    /// # Errors
    /// As [`commit`](CoreStore::commit); [`StorageError::OtherStore`] where one is of another store.
    fn commit_all(
        &self,
        batches: Vec<(Arc<dyn CoreStore>, Batch)>,
        level: Durability,
    ) -> Result<Ticket, StorageError>;

    /// Bytes that the store takes.
    ///
    /// # Errors
    /// What reading may return.
    fn usage(&self) -> Result<Usage, StorageError>;

    /// How long whoever is about to store blocks had better wait before: nothing, unless more was cleared,
    /// cut or replaced than is given back in the meantime. A few milliseconds at most: that much later it may be
    /// less, or more, so it is asked again. Who does not wait is made to by
    /// [`commit`](CoreStore::commit), on its thread, but for no more than a few milliseconds at a time; so
    /// whoever shares a thread with others asks first, and waits elsewhere.
    fn delay(&self) -> Duration {
        Duration::ZERO
    }

    /// Gives back, at once, the space of what was cleared, cut, replaced or deleted. Engines that do so by
    /// themselves need not be told; engines that have nothing to give back do nothing. Calls `progress`
    /// with the number of bytes that were read and written, now and then.
    ///
    /// # Errors
    /// What writing may return.
    fn compact(&self, progress: &mut dyn FnMut(u64)) -> Result<(), StorageError> {
        let _ = progress;
        Ok(())
    }

    /// Parts of the store that are known to be damaged, and were passed over when it was opened, those of
    /// its secret keys too. A block that is damaged is not known before it is read.
    ///
    /// # Errors
    /// [`StorageError::Closed`].
    fn damage(&self) -> Result<Vec<Damage>, StorageError> {
        Ok(Vec::new())
    }

    /// Reads every block and drops what is damaged, so that the rest is sound and peers can be asked for
    /// what is missing. Calls `progress` with the number of blocks that were read, now and then.
    ///
    /// # Errors
    /// What writing may return.
    fn repair(&self, progress: &mut dyn FnMut(u64)) -> Result<Repaired, StorageError> {
        let _ = progress;
        Ok(Repaired::default())
    }

    /// Brings everything acknowledged so far to a level of durability.
    ///
    /// # Errors
    /// What writing may return.
    fn sync(&self, level: Durability) -> Result<(), StorageError>;

    /// On a store that is read beside its writer: takes in what was written since, and says whether
    /// there was anything. Elsewhere there never is.
    ///
    /// # Errors
    /// What opening may return.
    fn refresh(&self) -> Result<bool, StorageError>;

    /// Brings everything to the device, releases the lock, and refuses further calls. Closing twice is
    /// no error.
    ///
    /// # Errors
    /// What writing may return; the store is closed all the same.
    fn close(&self) -> Result<(), StorageError>;

    /// Whether this handle can write.
    fn access(&self) -> Access;
}

/// What can be read of a log: all calls on one snapshot see the same state, calls on a live log the
/// latest.
pub trait CoreRead: Debug + Send + Sync {
    /// What verifies the log, and who may write it.
    ///
    /// # Errors
    /// What reading may return.
    fn auth(&self) -> Result<Auth, StorageError>;

    /// Fork, length, roots and signature; [`Head::empty`] before the first block.
    ///
    /// # Errors
    /// What reading may return.
    fn head(&self) -> Result<Head, StorageError>;

    /// Which blocks are stored. Cheap: shares its memory with the store.
    ///
    /// # Errors
    /// What reading may return.
    fn bitfield(&self) -> Result<Bitfield, StorageError>;

    /// What was last said about completeness.
    ///
    /// # Errors
    /// What reading may return.
    fn hints(&self) -> Result<Hints, StorageError>;

    /// A block; `None` where it is not stored.
    ///
    /// # Errors
    /// [`StorageError::BlockDamaged`] where its bytes are not those that were stored.
    fn block(&self, index: BlockIndex) -> Result<Option<Bytes>, StorageError>;

    /// The blocks of a range that are stored, in order, until `visit` breaks.
    ///
    /// # Errors
    /// As [`block`](Self::block).
    fn blocks(
        &self,
        range: Range<BlockIndex>,
        visit: &mut dyn FnMut(BlockIndex, Bytes) -> ControlFlow<()>,
    ) -> Result<(), StorageError>;

    /// A node of the tree; `None` where it is not stored.
    ///
    /// # Errors
    /// What reading may return.
    fn node(&self, index: NodeIndex) -> Result<Option<Node>, StorageError> {
        let mut found = Vec::with_capacity(1);
        self.nodes(&[index], &mut found)?;
        Ok(found.pop().flatten())
    }

    /// Several nodes in one call, pushed to `out` in the order asked for.
    ///
    /// # Errors
    /// What reading may return; `out` may then hold a part.
    fn nodes(&self, indexes: &[NodeIndex], out: &mut Vec<Option<Node>>)
    -> Result<(), StorageError>;

    /// A piece of user data. A branch has its own.
    ///
    /// # Errors
    /// What reading may return.
    fn user_data(&self, key: &str) -> Result<Option<Bytes>, StorageError>;

    /// What a branch has of the log that it left; `None` on a log.
    ///
    /// # Errors
    /// What reading may return.
    fn lineage(&self) -> Result<Option<Lineage>, StorageError>;

    /// The name of the log, where it has one.
    ///
    /// # Errors
    /// What reading may return.
    fn alias(&self) -> Result<Option<Alias>, StorageError>;

    /// The group of the log, where it is in one.
    ///
    /// # Errors
    /// What reading may return.
    fn group(&self) -> Result<Option<Topic>, StorageError>;

    /// The pieces of user data whose keys lie between two bounds, in the order of their keys (by their
    /// bytes). Empty where the bounds leave nothing between them.
    ///
    /// # Errors
    /// What reading may return.
    fn user_data_between(
        &self,
        bounds: (Bound<&str>, Bound<&str>),
    ) -> Result<Vec<(String, Bytes)>, StorageError>;
}

/// A log in a store. Clones of the `Arc`, and further opens, are the same log.
pub trait CoreStore: CoreRead {
    /// Stores a batch: all of it, or nothing. It is visible when this returns, and as durable as asked
    /// for once the ticket was waited for ([`Durability::Buffered`] and [`Durability::Os`] need no
    /// waiting).
    ///
    /// # Errors
    /// [`StorageError::Stale`] where the log is not at the batch's base, [`StorageError::Batch`] where
    /// the batch makes no sense; the log is then as it was. After an input or output error the store
    /// takes no more writes until it is opened again ([`StorageError::Poisoned`]).
    fn commit(&self, batch: Batch, level: Durability) -> Result<Ticket, StorageError>;

    /// Replaces or forgets the secret key. On the device when this returns.
    ///
    /// # Errors
    /// What writing may return.
    fn set_secret_key(&self, secret: Option<SecretKey>) -> Result<(), StorageError>;

    /// The log as it is now: later truncations and clears do not show in it.
    ///
    /// # Errors
    /// What reading may return.
    fn snapshot(&self) -> Result<Arc<dyn CoreRead>, StorageError>;

    /// The names of the log's branches, in order.
    ///
    /// # Errors
    /// What reading may return.
    fn branches(&self) -> Result<Vec<String>, StorageError>;

    /// A branch; `None` where the log does not have it.
    ///
    /// # Errors
    /// What reading may return.
    fn open_branch(&self, name: &str) -> Result<Option<Arc<dyn CoreStore>>, StorageError>;

    /// Makes a branch that is, to begin with, what the log was at `head`: an unsigned head of the log
    /// at its present or an earlier length, on any fork.
    ///
    /// # Errors
    /// [`StorageError::BranchExists`] where the log has it, [`StorageError::BranchOfBranch`] on a
    /// branch, [`StorageError::Batch`] where the head is not the log's.
    fn create_branch(&self, name: &str, head: &Head) -> Result<Arc<dyn CoreStore>, StorageError>;

    /// Removes a branch with all that it has itself. Handles to it fail from then on with
    /// [`StorageError::NoBranch`]. `false` where the log does not have it.
    ///
    /// # Errors
    /// What writing may return.
    fn delete_branch(&self, name: &str) -> Result<bool, StorageError>;

    /// On a branch: makes it one of another log of the same store, which has the same tree up to
    /// `shared`; what is below is then that log's. What the branch has of the old log past that, it
    /// keeps itself. Then carries out `batch` on it; all of it, or nothing.
    ///
    /// # Errors
    /// As [`commit`](Self::commit) and [`create_branch`](Self::create_branch);
    /// [`StorageError::OtherStore`] where the log is another store's, [`StorageError::Batch`] where
    /// this is no branch, or the log has another tree.
    fn move_to(
        &self,
        parent: &dyn CoreStore,
        shared: Length,
        batch: Batch,
        level: Durability,
    ) -> Result<Ticket, StorageError>;

    /// The handle, for the engine that it is of.
    fn as_any(&self) -> &dyn Any;
}
