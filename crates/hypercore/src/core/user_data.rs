//! Small pieces of data that are kept beside a log and never replicated.

use std::sync::Arc;

use bytes::Bytes;
use hc_storage::{Access, Batch, Durability};

use super::Core;
use super::publish::CommitError;
use crate::sync::Gate;
use crate::write::UserDataError;

impl Core {
    /// Stores a piece of user data, or removes it. One that is there already is not written again.
    pub(crate) async fn set_user_data(
        self: &Arc<Self>,
        gate: &Gate,
        key: String,
        value: Option<Bytes>,
        level: Durability,
    ) -> Result<(), UserDataError> {
        let guard = self.enter(gate).await?;
        if self.store.access() == Access::ReadOnly {
            return Err(UserDataError::ReadOnly);
        }
        if self.log.user_data(&key)? == value {
            return Ok(());
        }
        let mut batch = Batch::new();
        batch.set_user_data(key, value);
        let core = self.clone();
        let write = move || -> Result<(), CommitError> {
            let written = core.log.commit(batch, level)?.wait();
            if let Err(error) = written {
                guard.poison();
                return Err(error.into());
            }
            drop(guard);
            Ok(())
        };
        if level < Durability::Disk {
            return Ok(write()?);
        }
        let written = self.block_on_disk(write).await;
        Ok(written.unwrap_or(Err(CommitError::InDoubt))?)
    }
}
