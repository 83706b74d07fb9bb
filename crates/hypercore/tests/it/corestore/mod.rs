//! Many logs in one store.

mod groups;
mod replicate;
mod sessions;
mod store;
mod threads;

use hypercore::{Corestore, Hypercore, Role, Storage};

use crate::peers::Running;
use crate::pipe::pipe;

async fn in_memory() -> Corestore {
    Corestore::open(Storage::memory()).await.unwrap()
}

/// Connects two stores; both connections run on their own.
fn connect(a: &Corestore, b: &Corestore) -> (Running, Running) {
    let (left, right) = pipe();
    let left = async_std::task::spawn(a.replicate(left, Role::Initiator));
    (
        left,
        async_std::task::spawn(b.replicate(right, Role::Responder)),
    )
}

/// The first block of a log, wherever it is.
async fn first(log: &Hypercore) -> hypercore::Bytes {
    crate::peers::soon(log.get(0)).await.unwrap()
}
