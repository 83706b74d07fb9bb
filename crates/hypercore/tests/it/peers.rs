//! Logs, and connections between them, as the tests need them.

use std::pin::Pin;
use std::time::Duration;

use async_std::task::{self, JoinHandle};
use futures_lite::future::poll_once;
use hypercore::{Ended, Hypercore, ReplicateError, Role, Storage};

use crate::pipe::pipe;

pub(crate) type Running = JoinHandle<Result<Ended, ReplicateError>>;

/// When to give up. It only tells a test that hangs from one on a machine that is busy with others.
const SOON: Duration = Duration::from_secs(120);

/// The log in a place, as it is by default.
pub(crate) async fn opened(storage: Storage) -> Hypercore {
    Hypercore::builder(storage).open().await.unwrap()
}

pub(crate) async fn writer() -> Hypercore {
    opened(Storage::memory()).await
}

pub(crate) async fn reader(of: &Hypercore) -> Hypercore {
    Hypercore::builder(Storage::memory())
        .key(of.key())
        .open()
        .await
        .unwrap()
}

/// Connects two logs; both connections run on their own.
pub(crate) fn connect(a: &Hypercore, b: &Hypercore) -> (Running, Running) {
    let (left, right) = pipe();
    let left = task::spawn(a.replicate(left, Role::Initiator));
    (left, task::spawn(b.replicate(right, Role::Responder)))
}

/// Cuts what [`connect`] connected, and returns when neither side runs any more. (A task that is only
/// dropped goes on.)
pub(crate) async fn disconnect((left, right): (Running, Running)) {
    drop((left.cancel().await, right.cancel().await));
}

/// Fails the test instead of hanging it.
pub(crate) async fn soon<T>(what: impl IntoFuture<Output = T>) -> T {
    async_std::future::timeout(SOON, what.into_future())
        .await
        .expect("within a reasonable time")
}

/// Something that has to wait, and that has been asked for once this returns. (A task that was spawned
/// may not have been run yet.)
pub(crate) async fn asked<T: IntoFuture>(what: T) -> Pin<Box<T::IntoFuture>> {
    let mut what = Box::pin(what.into_future());
    assert!(poll_once(&mut what).await.is_none(), "it has to wait");
    what
}

pub(crate) fn block(index: u64) -> Vec<u8> {
    // Sizes from nothing to a few KiB, and now and then several MiB.
    let size = match index {
        400 => 5 << 20,
        _ if index % 50 == 7 => 0,
        _ => usize::try_from(index * 7919 % 3000).unwrap(),
    };
    (0..size)
        .map(|at| ((at as u64 * 31 + index) % 251).try_into().unwrap())
        .collect()
}

pub(crate) async fn check_all(log: &Hypercore, blocks: u64) {
    for index in 0..blocks {
        assert_eq!(
            log.get(index).local().await.unwrap(),
            block(index),
            "block {index}"
        );
    }
}
