//! Changing a line: encrypt, draft, commit, publish. Nothing is signed.

use std::ops::RangeBounds;

use bytes::Bytes;
use hc_merkle::{BlockIndex, Draft, Fork, Head, Length, Truncation, Verifier};
use hc_storage::{Access, Batch, is_reserved};

use super::state::{LineStaged, Place};
use super::{Backing, Line};
use crate::core::lane::{Guard, LaneError};
use crate::core::together::enter;
use crate::error::AppendError;
use crate::hypercore::Appended;
use crate::read::bounds;
use crate::write::{ClearError, TruncateError, Truncated, UserDataError};

impl Place {
    fn is_read_only(&self) -> bool {
        let stored = matches!(self.backing, Backing::Stored(_));
        stored && self.core.store.access() == Access::ReadOnly
    }
}

impl Place {
    /// The fork that blocks are encrypted for: the one that the log will have them on.
    fn written_on(&self, log: &Head) -> Fork {
        match &self.backing {
            Backing::Buffered { below: Some(_), .. } => self.head.fork(),
            _ => log.fork(),
        }
    }
}

impl Line {
    /// A turn, unless the handle is closed before it comes.
    pub(crate) async fn enter(&self) -> Result<Guard, LaneError> {
        if self.is_closed() {
            return Err(LaneError::Closed);
        }
        enter(&self.state.lane, &self.gate).await
    }

    pub(super) async fn append_blocks(&self, blocks: Vec<Bytes>) -> Result<Appended, AppendError> {
        let guard = self.enter().await?;
        let place = self.state.place();
        if place.is_read_only() {
            return Err(AppendError::NotWritable);
        }
        let core = &place.core;
        let view = core.view.load();
        let at = (place.head.length(), place.written_on(&view.head));
        let handle = self.handle();
        let encrypted = core.encrypt_at(&handle, guard, &view.authority, at, blocks);
        let (guard, blocks) = encrypted.await?;
        if blocks.is_empty() {
            return Ok(Appended::at(&place.head));
        }
        let mut draft = Draft::new(&place.head);
        draft.append(blocks).map_err(AppendError::TooLong)?;
        let mut staged = LineStaged::on(&place);
        staged.next.head = draft.head();
        staged.batch = Batch::from_change(&draft.seal_unsigned());
        let appended = Appended::at(&staged.next.head);
        let level = core.durability;
        self.state.commit(guard, staged, level).await?;
        Ok(appended)
    }

    /// Cuts it to a length, on the next fork.
    ///
    /// # Errors
    /// [`TruncateError`]; nothing was cut then.
    pub async fn truncate(&self, length: u64) -> Result<Truncated, TruncateError> {
        self.truncate_to(length, None).await
    }

    /// As [`truncate`](Self::truncate), on a fork of the caller's choice. Any will do, as nobody else sees
    /// it: what goes into the log is on the log's fork.
    ///
    /// # Errors
    /// As [`truncate`](Self::truncate).
    pub async fn truncate_on_fork(
        &self,
        length: u64,
        fork: u64,
    ) -> Result<Truncated, TruncateError> {
        self.truncate_to(length, Some(Fork::new(fork))).await
    }

    async fn truncate_to(
        &self,
        length: u64,
        fork: Option<Fork>,
    ) -> Result<Truncated, TruncateError> {
        let guard = self.enter().await?;
        let place = self.state.place();
        if place.is_read_only() {
            return Err(TruncateError::NotWritable);
        }
        let staged = self.shorten(&place, Length::new(length), fork)?;
        let truncated = Truncated::at(&staged.next.head);
        let level = place.core.durability;
        self.state.commit(guard, staged, level).await?;
        Ok(truncated)
    }

    pub(crate) fn shorten(
        &self,
        place: &Place,
        length: Length,
        fork: Option<Fork>,
    ) -> Result<LineStaged, TruncateError> {
        let present = place.head.fork();
        let next = present.get().checked_add(1).map(Fork::new);
        let fork = fork.or(next);
        let fork = fork.ok_or(TruncateError::ForkNotHigher { present })?;
        let authority = &place.core.view.load().authority;
        let prologue = authority.verifier().and_then(Verifier::prologue);
        let prologue = prologue.map(|prologue| prologue.length);
        if let Some(prologue) = prologue.filter(|prologue| length < *prologue) {
            return Err(TruncateError::BelowPrologue { length, prologue });
        }
        let truncation = Truncation::new(&place.head, length, fork)?;
        let nodes = place.backing.nodes(truncation.nodes())?;
        let draft = truncation.apply(&nodes)?;
        let mut staged = LineStaged::on(place);
        staged.cut(length);
        staged.next.head = draft.head();
        staged.batch = Batch::from_change(&draft.seal_unsigned());
        Ok(staged)
    }

    /// Drops the blocks of a range that are its own. Those of the log stay.
    ///
    /// # Errors
    /// [`ClearError`]; nothing was dropped then.
    pub async fn clear(&self, range: impl RangeBounds<u64>) -> Result<(), ClearError> {
        let range = bounds(&range);
        let guard = self.enter().await?;
        let place = self.state.place();
        if place.is_read_only() {
            return Err(ClearError::ReadOnly);
        }
        let length = place.head.length().get();
        let end = range.end.map_or(length, |end| end.min(length));
        if range.start >= end {
            return Ok(());
        }
        let mut staged = LineStaged::on(&place);
        let blocks = BlockIndex::new(range.start)..BlockIndex::new(end);
        staged.batch.clear(blocks);
        let level = place.core.durability;
        Ok(self.state.commit(guard, staged, level).await?)
    }

    pub(super) async fn write_user_data(
        &self,
        key: String,
        value: Option<Bytes>,
    ) -> Result<(), UserDataError> {
        if is_reserved(&key) {
            return Err(UserDataError::Reserved);
        }
        let guard = self.enter().await?;
        let place = self.state.place();
        if place.is_read_only() {
            return Err(UserDataError::ReadOnly);
        }
        let mut staged = LineStaged::on(&place);
        staged.batch.set_user_data(key, value);
        let level = place.core.durability;
        Ok(self.state.commit(guard, staged, level).await?)
    }
}
