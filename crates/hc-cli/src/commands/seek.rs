//! `seek`: the block that a byte lies in.

use serde_json::json;

use crate::args::Store;
use crate::failure::Failure;
use crate::output::Output;
use crate::store;

pub(crate) async fn run(args: &Store, bytes: u64, output: Output) -> Result<(), Failure> {
    let log = store::read(&args.dir, Some(&args.encryption)).await?;
    let found = log.seek_local(bytes);
    let found = found.map_err(|error| Failure::from(error).at(args.dir.display()))?;
    let (index, offset) = (found.index.get(), found.offset);
    let value = json!({ "index": index, "relativeOffset": offset });
    output.result(&value, || format!("block {index}, byte {offset}"))
}
