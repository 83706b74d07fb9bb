//! Verifying all logs of a store, one after the other.

use std::fmt;
use std::sync::Arc;

use hc_storage::{CoreEntry, StorageError};
use thiserror::Error;

use super::registry::Found;
use super::shared::Shared;
use crate::core::Identity;
use crate::error::OpenError;
use crate::hypercore::Hypercore;
use crate::verify::{Verification, VerifyError};

/// All logs of a store, each verified when it is asked for; see [`Corestore::audit`](crate::Corestore::audit).
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
    logs: std::vec::IntoIter<CoreEntry>,
}

/// What was found in one log.
#[derive(Debug)]
pub struct Audited {
    /// Which log.
    pub log: CoreEntry,
    /// What was found, or why nothing was.
    pub outcome: Result<Verification, AuditError>,
}

/// Why a log was not verified.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AuditError {
    /// It did not open.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// What is stored does not hold together.
    #[error(transparent)]
    Verify(#[from] VerifyError),
    /// The job that read the store did not end.
    #[error("reading was interrupted")]
    Interrupted,
}

impl Audit {
    pub(super) fn new(shared: &Arc<Shared>) -> Result<Self, StorageError> {
        Ok(Self {
            logs: shared.store.cores()?.into_iter(),
            shared: shared.clone(),
        })
    }

    /// Verifies the next log; `None` after the last.
    pub async fn next(&mut self) -> Option<Audited> {
        let log = self.logs.next()?;
        let outcome = self.verify(&log).await;
        Some(Audited { log, outcome })
    }

    async fn verify(&self, log: &CoreEntry) -> Result<Verification, AuditError> {
        let identity = || Identity {
            discovery_key: Some(log.discovery_key),
            ..Identity::default()
        };
        let core = loop {
            let opening = self.shared.opening(identity());
            match self.shared.find(&log.discovery_key, opening)? {
                Found::Open(core) | Found::Opened(core) => break core,
                Found::Closing(core) => core.lane.idle().await,
            }
        };
        // Its last handle, if nobody else has one: dropping it closes the log.
        let handle = Hypercore::passive(core);
        let runtime = self.shared.runtime.clone();
        let verified = crate::rt::run(&*runtime, move || handle.verify(|_| {})).await;
        Ok(verified.ok_or(AuditError::Interrupted)??)
    }
}

impl fmt::Debug for Audit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Audit")
            .field("left", &self.logs.len())
            .finish_non_exhaustive()
    }
}
