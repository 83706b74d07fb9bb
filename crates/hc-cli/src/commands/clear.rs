//! `clear`: blocks that are not stored any more.

use std::path::Path;

use hypercore::{ClearError, Cleared, Hypercore};
use serde_json::json;

use crate::failure::{Failure, Kind};
use crate::output::{self, Output};
use crate::store;

pub(crate) async fn run(
    dir: &Path,
    (start, end): (u64, Option<u64>),
    diff: bool,
    output: Output,
) -> Result<(), Failure> {
    let end = match end {
        Some(end) if end < start => {
            let message = format!("END ({end}) is before START ({start})");
            return Err(Failure::new(Kind::Usage, message));
        }
        Some(end) => end,
        None => start.saturating_add(1),
    };
    let log = store::write(dir, None).await?;
    let cleared = clear(&log, start..end, diff).await;
    let closed = store::close(&log, dir).await;
    let cleared = cleared.map_err(|error| Failure::from(error).at(dir.display()))?;
    closed?;
    let Some(cleared) = cleared else {
        return output.result(&json!({}), || "cleared".to_owned());
    };
    let (blocks, bytes) = (cleared.blocks, cleared.bytes.get());
    output.result(&json!({ "blocks": blocks, "bytes": bytes }), || {
        format!(
            "{}, {} cleared",
            output::blocks(blocks),
            output::bytes(bytes)
        )
    })
}

async fn clear(
    log: &Hypercore,
    range: std::ops::Range<u64>,
    diff: bool,
) -> Result<Option<Cleared>, ClearError> {
    if diff {
        return log.clear(range).diff().await.map(Some);
    }
    log.clear(range).await.map(|()| None)
}
