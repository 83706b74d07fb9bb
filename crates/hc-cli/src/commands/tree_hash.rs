//! `tree-hash`: the hash that is signed for a length of the log.

use std::path::Path;

use hypercore::Wait;
use serde_json::json;

use crate::failure::{Failure, Kind};
use crate::output::Output;
use crate::store;

pub(crate) async fn run(dir: &Path, length: Option<u64>, output: Output) -> Result<(), Failure> {
    let log = store::read(dir, None).await?;
    let present = log.length().get();
    let length = length.unwrap_or(present);
    if length > present {
        let message = format!("length {length} is past the end of the log, at {present}");
        return Err(Failure::new(Kind::NotAvailable, message).at(dir.display()));
    }
    let hash = log.tree_hash(length).wait(Wait::No).await;
    let hash = hash.map_err(|error| Failure::from(error).at(dir.display()))?;
    let value = json!({ "length": length, "treeHash": hash.to_string() });
    output.result(&value, || hash.to_string())
}
