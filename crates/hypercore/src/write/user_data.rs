//! Small pieces of data beside a log: kept with it, never replicated.

use std::future::IntoFuture;
use std::ops::RangeBounds;

use bytes::Bytes;
use hc_storage::{CONFLICT_KEY, Durability, StorageError, is_reserved};
use thiserror::Error;

use crate::hypercore::{Hypercore, IntoBlock};
use crate::rt::BoxFuture;
use crate::session::Handle;

/// Why user data was not read or written. Every error leaves it as it was, but for
/// [`InDoubt`](Self::InDoubt).
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum UserDataError {
    /// The store is only read.
    #[error("the store is read-only")]
    ReadOnly,
    /// Keys that begin with a zero byte, and [`CONFLICT_KEY`](hc_storage::CONFLICT_KEY), are the
    /// library's own.
    #[error(
        "user data under a key that begins with a zero byte, or under {CONFLICT_KEY}, is not the application's"
    )]
    Reserved,
    /// The handle was closed.
    #[error("the log is closed")]
    Closed,
    /// A write, this or an earlier one, ended without saying whether it was stored: open the log
    /// again to know.
    #[error("a write ended in doubt; open the log again")]
    InDoubt,
    /// The store refused: the key or the value may be too long.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// A piece of user data that is to be written or removed; see [`Hypercore::set_user_data`].
#[derive(Debug)]
#[must_use = "nothing is written unless it is awaited"]
pub struct SetUserData {
    handle: Handle,
    key: String,
    value: Option<Bytes>,
    level: Durability,
}

impl SetUserData {
    /// What it has to survive before it is acknowledged, instead of what the log was opened with.
    pub fn durability(mut self, level: Durability) -> Self {
        self.level = level;
        self
    }

    async fn run(self) -> Result<(), UserDataError> {
        let Self {
            handle,
            key,
            value,
            level,
        } = self;
        if is_reserved(&key) {
            return Err(UserDataError::Reserved);
        }
        handle
            .core
            .set_user_data(&handle.gate, key, value, level)
            .await
    }
}

impl IntoFuture for SetUserData {
    type Output = Result<(), UserDataError>;
    type IntoFuture = BoxFuture<Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

impl Hypercore {
    /// Stores a piece of user data under a key, in place of what was there: a future to await. User
    /// data is kept with the log, survives truncation, and is never replicated. A value may be empty;
    /// keys have up to 1 KiB, values up to 1 MiB. What is there already is not written again.
    ///
    /// ```
    /// # futures_lite::future::block_on(async {
    /// # use hypercore::{Hypercore, Storage};
    /// # let log = Hypercore::builder(Storage::memory()).open().await.unwrap();
    /// log.set_user_data("app/version", "3").await?;
    /// log.set_user_data("app/name", "notes").await?;
    /// assert_eq!(log.user_data("app/version")?.unwrap(), "3");
    /// let keys = log.user_data_range("app/".."app0")?;
    /// assert_eq!(keys[0], ("app/name".to_owned(), "notes".into()));
    ///
    /// log.remove_user_data("app/version").await?;
    /// assert_eq!(log.user_data("app/version")?, None);
    /// # Ok::<(), hypercore::UserDataError>(())
    /// # }).unwrap();
    /// ```
    pub fn set_user_data(&self, key: impl Into<String>, value: impl IntoBlock) -> SetUserData {
        self.write_user_data(key.into(), Some(value.into_block()))
    }

    /// Removes a piece of user data: a future to await. No error where there is none.
    pub fn remove_user_data(&self, key: impl Into<String>) -> SetUserData {
        self.write_user_data(key.into(), None)
    }

    fn write_user_data(&self, key: String, value: Option<Bytes>) -> SetUserData {
        SetUserData {
            handle: self.handle(),
            key,
            value,
            level: self.core.durability,
        }
    }

    /// A piece of user data; `None` where there is none.
    ///
    /// # Errors
    /// [`UserDataError`] where the handle was closed or the store can not be read.
    pub fn user_data(&self, key: &str) -> Result<Option<Bytes>, UserDataError> {
        if self.gate.is_closed() {
            return Err(UserDataError::Closed);
        }
        if is_reserved(key) {
            return Ok(None);
        }
        Ok(self.core.log.user_data(key)?)
    }

    /// All user data whose keys lie in a range, in the order of the keys' bytes.
    ///
    /// # Errors
    /// As [`user_data`](Self::user_data).
    pub fn user_data_range<'a>(
        &self,
        keys: impl RangeBounds<&'a str>,
    ) -> Result<Vec<(String, Bytes)>, UserDataError> {
        if self.gate.is_closed() {
            return Err(UserDataError::Closed);
        }
        let bounds = (keys.start_bound().cloned(), keys.end_bound().cloned());
        let mut found = self.core.log.user_data_between(bounds)?;
        found.retain(|(key, _)| !is_reserved(key));
        Ok(found)
    }
}
