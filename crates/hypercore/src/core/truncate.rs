//! Truncating: read the roots of the shorter tree, seal it on another fork, commit, publish.

use std::sync::Arc;

use hc_merkle::{Change, Draft, Fork, Length, Truncation, Verifier};
use hc_storage::{Batch, Durability};

use super::Core;
use super::publish::Staged;
use super::seal::Seal;
use crate::session::Handle;
use crate::view::View;
use crate::write::{TruncateError, Truncated};

/// How a log is to be truncated.
#[derive(Debug, Clone)]
pub(crate) struct TruncateOptions {
    pub(crate) level: Durability,
    pub(crate) seal: Seal,
    /// The fork that begins; one above the present one by default.
    pub(crate) fork: Option<Fork>,
}

impl Core {
    /// Cuts the log to a length, on a higher fork. Where nobody can sign it can only be cut to nothing,
    /// which leaves the fork as it is.
    pub(crate) async fn truncate(
        self: &Arc<Self>,
        handle: &Handle,
        length: Length,
        options: TruncateOptions,
    ) -> Result<Truncated, TruncateError> {
        let mut guard = self.enter(&handle.gate).await?;
        let view = self.view.load();
        if view.lost.is_some() {
            return Err(TruncateError::Repairing);
        }
        let mut staged = Staged::on(&view);
        let change = if handle.may_write(&options.seal) {
            let verifier = handle.verifier(&view).ok_or(TruncateError::NotWritable)?;
            let draft = self.shorten(&view, &verifier, length, options.fork)?;
            let sealed = self.seal(handle, guard, &verifier, draft, &options.seal);
            let (turn, change) = sealed.await?;
            guard = turn;
            staged.batch = Batch::from_change(&change);
            staged.learn(verifier);
            change
        } else {
            let change = self.forget(&view, length, options.fork)?;
            staged.batch = Batch::from_change(&change);
            change
        };
        staged.gain(&change);
        let truncated = Truncated::at(&staged.next.head);
        self.commit(guard, staged, options.level).await?;
        Ok(truncated)
    }

    fn shorten(
        &self,
        view: &View,
        verifier: &Verifier,
        length: Length,
        fork: Option<Fork>,
    ) -> Result<Draft, TruncateError> {
        let present = view.head.fork();
        let next = present.get().checked_add(1).map(Fork::new);
        let fork = fork.or(next).filter(|fork| *fork > present);
        let fork = fork.ok_or(TruncateError::ForkNotHigher { present })?;
        let prologue = verifier.prologue().map(|prologue| prologue.length);
        if let Some(prologue) = prologue.filter(|prologue| length < *prologue) {
            return Err(TruncateError::BelowPrologue { length, prologue });
        }
        let truncation = Truncation::new(&view.head, length, fork)?;
        let nodes = self.nodes(truncation.nodes())?;
        Ok(truncation.apply(&nodes)?)
    }

    /// What a reader may do: drop all that it has.
    fn forget(
        &self,
        view: &View,
        length: Length,
        fork: Option<Fork>,
    ) -> Result<Change, TruncateError> {
        let present = view.head.fork();
        let keeps_fork = fork.is_none_or(|fork| fork == present);
        let is_writer = self.has_secret_key || self.can_sign();
        if is_writer || length > Length::ZERO || !keeps_fork {
            return Err(TruncateError::NotWritable);
        }
        let truncation = Truncation::new(&view.head, length, present)?;
        Ok(truncation.apply(&[])?.seal_unsigned())
    }
}
