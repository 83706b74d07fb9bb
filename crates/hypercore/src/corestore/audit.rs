//! Verifying all logs of a store, one after the other, and dropping what does not hold.

use std::fmt;
use std::sync::Arc;

use hc_storage::{CoreEntry, StorageError};
use thiserror::Error;

use super::registry::Found;
use super::shared::Shared;
use crate::audit::{LogAudit, LogAuditError};
use crate::core::{Core, Identity};
use crate::error::OpenError;
use crate::hypercore::Hypercore;

/// All logs of a store, each audited when it is asked for; see [`Corestore::audit`](crate::Corestore::audit).
///
/// ```
/// # futures_lite::future::block_on(async {
/// use hypercore::{Corestore, Storage};
///
/// let store = Corestore::open(Storage::memory()).await?;
/// store.get("a").await?.append("block").await?;
/// let mut audit = store.audit()?;
/// while let Some(audited) = audit.next().await {
///     assert!(audited.outcome?.is_ok());
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[must_use = "nothing is verified unless it is asked for"]
pub struct Audit {
    shared: Arc<Shared>,
    drops: Drops,
    logs: std::vec::IntoIter<CoreEntry>,
}

/// What an audit takes away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Drops {
    Nothing,
    WhatIsBad,
}

/// What was found in one log.
#[derive(Debug)]
pub struct Audited {
    /// Which log.
    pub log: CoreEntry,
    /// What was found, or why nothing was.
    pub outcome: Result<LogAudit, AuditError>,
}

/// Why a log was not audited.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AuditError {
    /// It did not open.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Its head does not hold, or what does not hold was not dropped.
    #[error(transparent)]
    Audit(#[from] LogAuditError),
    /// The job that read the store did not end.
    #[error("reading was interrupted")]
    Interrupted,
}

impl Audit {
    pub(super) fn new(shared: &Arc<Shared>, drops: Drops) -> Result<Self, StorageError> {
        Ok(Self {
            drops,
            logs: shared.store.cores()?.into_iter(),
            shared: shared.clone(),
        })
    }

    /// Audits the next log; `None` after the last.
    pub async fn next(&mut self) -> Option<Audited> {
        let log = self.logs.next()?;
        let outcome = self.audit(&log).await;
        Some(Audited { log, outcome })
    }

    async fn audit(&self, log: &CoreEntry) -> Result<LogAudit, AuditError> {
        loop {
            // Its last handle, if nobody else has one: dropping it closes the log.
            let handle = Hypercore::passive(self.open(log).await?);
            let job = move || (handle.audit_dry_run(), handle);
            let read = crate::rt::run(&*self.shared.runtime, job).await;
            let (found, handle) = read.ok_or(AuditError::Interrupted)?;
            let found = found?;
            if found.is_ok() || self.drops == Drops::Nothing {
                return Ok(found);
            }
            match handle.audit().await {
                // Somebody else's last handle was, meanwhile.
                Err(LogAuditError::Closed) if !self.shared.cores.is_closed() => {}
                dropped => return Ok(dropped?),
            }
        }
    }

    async fn open(&self, log: &CoreEntry) -> Result<Arc<Core>, OpenError> {
        loop {
            let identity = Identity {
                discovery_key: Some(log.discovery_key),
                ..Identity::default()
            };
            let opening = self.shared.opening(identity);
            match self.shared.find(&log.discovery_key, opening)? {
                Found::Open(core) | Found::Opened(core) => return Ok(core),
                Found::Closing(core) => core.lane.idle().await,
            }
        }
    }
}

impl fmt::Debug for Audit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Audit")
            .field("left", &self.logs.len())
            .finish_non_exhaustive()
    }
}
