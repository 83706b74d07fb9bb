//! Time, randomness and blocking work: all that this crate asks of an executor.
//!
//! Nothing here spawns. A connection is a future that the caller runs wherever they like; what is
//! left of "a runtime" is a value with four methods, given to the builder.

use std::future::Future;
use std::pin::Pin;
use std::time::Instant;

use crate::sync::reply;

#[cfg(feature = "async-std")]
mod async_std;
#[cfg(feature = "tokio")]
mod tokio;

#[cfg(feature = "async-std")]
pub use self::async_std::AsyncStd;
#[cfg(feature = "tokio")]
pub use self::tokio::Tokio;

/// A future on the heap that any thread may run.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A job for a thread that may block.
pub type Job = Box<dyn FnOnce() + Send>;

/// Whether randomness could be had.
pub type Random = Result<(), getrandom::Error>;

/// Where time and randomness come from, and where blocking work goes.
///
/// Work that the operating system serves from memory never goes through [`unblock`](Self::unblock):
/// waking another thread costs more than the work. Only what really waits for a disk does.
pub trait Runtime: Send + Sync + 'static {
    /// The present moment.
    fn now(&self) -> Instant;

    /// Resolves at `deadline`, or at once if that has passed.
    fn sleep_until(&self, deadline: Instant) -> BoxFuture<()>;

    /// Runs `job` where it may block. Resolves when it has ended; a job that has begun runs to its
    /// end even if the future is dropped.
    fn unblock(&self, job: Job) -> BoxFuture<()>;

    /// Fills `bytes` with what nobody can guess: keys are made of it. From the operating system, unless
    /// this is a world that has to repeat itself.
    ///
    /// # Errors
    /// Where the operating system has none.
    fn fill_random(&self, bytes: &mut [u8]) -> Random {
        getrandom::getrandom(bytes)
    }
}

/// Runs `job` where it may block, and gives its answer; `None` if it did not run to its end.
pub(crate) async fn run<T: Send + 'static>(
    runtime: &dyn Runtime,
    job: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let (sender, receiver) = reply();
    let job = runtime.unblock(Box::new(move || sender.send(job())));
    job.await;
    receiver.await
}
