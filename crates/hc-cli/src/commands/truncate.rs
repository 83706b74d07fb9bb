//! `truncate`: a shorter log, on a new fork.

use serde_json::json;

use crate::args::Store;
use crate::failure::Failure;
use crate::output::{self, Output};
use crate::store;

pub(crate) async fn run(
    args: &Store,
    length: u64,
    fork: Option<u64>,
    output: Output,
) -> Result<(), Failure> {
    let log = store::write(&args.dir, Some(&args.encryption)).await?;
    let truncate = log.truncate(length);
    let truncate = match fork {
        Some(fork) => truncate.fork(fork),
        None => truncate,
    };
    let truncated = match truncate.await {
        Ok(truncated) => truncated,
        Err(error) => {
            let failure = store::truncating(error, &log, &args.dir);
            store::close(&log, &args.dir).await.ok();
            return Err(failure);
        }
    };
    let bytes = log.byte_length().get();
    store::close(&log, &args.dir).await?;
    let (length, fork) = (truncated.length.get(), truncated.fork.get());
    let value = json!({ "length": length, "byteLength": bytes, "fork": fork });
    output.result(&value, || {
        let (blocks, bytes) = (output::blocks(length), output::bytes(bytes));
        format!("{blocks}, {bytes}, on fork {fork}")
    })
}
