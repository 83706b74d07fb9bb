//! The group that a log is in.

use hc_storage::{Access, Batch, StorageError, Topic};

use super::publish::Staged;
use crate::error::OpenError;
use crate::hypercore::Hypercore;

impl Hypercore {
    /// The group that the log is in.
    #[must_use]
    pub fn group(&self) -> Option<Topic> {
        self.core.group.get().copied()
    }

    /// Has the log join a group, for good. Joining it again is no error.
    ///
    /// ```
    /// # futures_lite::future::block_on(async {
    /// use hypercore::{Hypercore, Storage, Topic};
    ///
    /// let log = Hypercore::builder(Storage::memory()).open().await?;
    /// log.join_group(Topic([1; 32])).await?;
    /// assert_eq!(log.group(), Some(Topic([1; 32])));
    /// assert!(log.join_group(Topic([2; 32])).await.is_err());
    /// # Ok::<(), hypercore::OpenError>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`StorageError::OtherGroup`] within where it is in another.
    pub async fn join_group(&self, topic: Topic) -> Result<(), OpenError> {
        let core = &self.core;
        match core.group.get() {
            Some(known) if *known == topic => return Ok(()),
            Some(_) => {
                let key = core.discovery_key;
                return Err(StorageError::OtherGroup { key }.into());
            }
            None if core.store.access() == Access::ReadOnly => {
                return Err(StorageError::ReadOnly.into());
            }
            None => {}
        }
        let guard = core.enter(&self.gate).await?;
        let mut staged = Staged::on(&core.view.load());
        let mut batch = Batch::new();
        batch.join_group(topic);
        staged.batch = batch;
        core.commit(guard, staged, core.durability).await?;
        core.group.set(topic).ok();
        Ok(())
    }
}
