//! The default runtime: the reactor and the thread pool that async-std itself runs on.

use std::time::Instant;

use async_io::Timer;

use super::{BoxFuture, Job, Runtime};

/// Timers from `async-io`, blocking work on the pool of `blocking`. Works under any executor; under
/// async-std it adds no threads of its own.
#[derive(Debug, Clone, Copy, Default)]
pub struct AsyncStd;

impl Runtime for AsyncStd {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn sleep_until(&self, deadline: Instant) -> BoxFuture<()> {
        Box::pin(async move {
            Timer::at(deadline).await;
        })
    }

    fn unblock(&self, job: Job) -> BoxFuture<()> {
        // A dropped task is cancelled only if it has not begun.
        Box::pin(blocking::unblock(job))
    }
}
