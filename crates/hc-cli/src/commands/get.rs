//! `get`: one block as it is.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::args::Store;
use crate::failure::Failure;
use crate::output::Output;
use crate::store;

pub(crate) async fn run(args: &Store, index: u64, output: Output) -> Result<(), Failure> {
    let log = store::read(&args.dir, Some(&args.encryption)).await?;
    let found = log.get(index).local().await;
    let block = found.map_err(|error| Failure::from(error).at(args.dir.display()))?;
    if output.is_json() {
        let value = STANDARD.encode(&block);
        return output.event(&json!({ "index": index, "byteLength": block.len(), "value": value }));
    }
    store::note_ciphertext(&log, &args.encryption);
    match output.raw(&block).and_then(|()| output.flush()) {
        // Who reads this has enough.
        Err(failure) if failure.is_broken_pipe => Ok(()),
        written => written,
    }
}
