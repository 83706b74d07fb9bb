//! What comes in on stdin, appended while the log is served.

use std::io;
use std::thread;

use async_std::channel::{self, Receiver};
use futures_lite::future;
use hypercore::Hypercore;

use crate::args::{Cut, Serve};
use crate::chunk::{Batch, Cutter};
use crate::failure::{Failure, Kind};
use crate::store;

/// Appends stdin to the first log, if that was asked for; ends only with an error.
pub(super) async fn run(args: &Serve, logs: &[Hypercore]) -> Result<(), Failure> {
    let (Some(_), Some(log), Some(dir)) = (&args.append, logs.first(), args.dirs.first()) else {
        return future::pending().await;
    };
    if !log.is_writable() {
        return Err(store::appending(
            hypercore::AppendError::NotWritable,
            log,
            dir,
        ));
    }
    let batches = read(args.cut.clone());
    while let Ok(batch) = batches.recv().await {
        let batch = batch.map_err(|error| Failure::new(Kind::Other, error).at("stdin"))?;
        log.append_batch(batch)
            .await
            .map_err(|error| store::appending(error, log, dir))?;
    }
    // The end of stdin is not the end of the server.
    future::pending().await
}

/// Cuts stdin on a thread of its own, since reading it may wait for ever; one batch ahead of who
/// appends.
fn read(cut: Cut) -> Receiver<io::Result<Batch>> {
    let (sender, receiver) = channel::bounded(1);
    thread::spawn(move || {
        let mut cutter = Cutter::new(io::stdin().lock(), cut, true);
        while let Some(batch) = cutter.next_batch().transpose() {
            let failed = batch.is_err();
            if sender.send_blocking(batch).is_err() || failed {
                return;
            }
        }
    });
    receiver
}
