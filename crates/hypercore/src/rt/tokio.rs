//! The tokio runtime: its timer and its pool for blocking work.

use std::time::Instant;

use ::tokio::runtime::{Handle, TryCurrentError};

use super::{BoxFuture, Job, Runtime};

/// Timers and blocking work of one tokio runtime, usable from any thread.
#[derive(Debug, Clone)]
pub struct Tokio(Handle);

impl Tokio {
    /// The runtime that the calling task runs on.
    ///
    /// # Errors
    /// Outside of a tokio runtime.
    pub fn current() -> Result<Self, TryCurrentError> {
        Handle::try_current().map(Self)
    }

    /// The runtime behind `handle`.
    #[must_use]
    pub fn new(handle: Handle) -> Self {
        Self(handle)
    }
}

impl Runtime for Tokio {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn sleep_until(&self, deadline: Instant) -> BoxFuture<()> {
        let _entered = self.0.enter();
        Box::pin(::tokio::time::sleep_until(deadline.into()))
    }

    fn unblock(&self, job: Job) -> BoxFuture<()> {
        let task = self.0.spawn_blocking(job);
        Box::pin(async move {
            // Err only where the job panicked or the runtime is shutting down: who waits for the
            // job's answer learns it from the answer's absence.
            task.await.ok();
        })
    }
}
