//! The one thread that a workload runs on. It waits for sockets itself, so that what comes in need not be
//! handed to another thread: waking one costs more than most of what is done with it.
//!
//! Knows no workload.

use std::future::Future;

use async_executor::{LocalExecutor, Task};

thread_local! {
    static TASKS: LocalExecutor<'static> = const { LocalExecutor::new() };
}

/// Runs a future, and what it [spawns](spawn) meanwhile, to its end.
pub(crate) fn run<T>(work: impl Future<Output = T>) -> T {
    TASKS.with(|tasks| async_io::block_on(tasks.run(work)))
}

/// Runs a future beside the others; dropping the task ends it.
pub(crate) fn spawn<T: 'static>(work: impl Future<Output = T> + 'static) -> Task<T> {
    TASKS.with(|tasks| tasks.spawn(work))
}
