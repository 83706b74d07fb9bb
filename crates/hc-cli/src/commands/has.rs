//! `has`: whether blocks are stored here.

use std::path::Path;

use serde_json::json;

use crate::failure::{Failure, Kind};
use crate::output::Output;
use crate::store;

pub(crate) async fn run(
    dir: &Path,
    start: u64,
    end: Option<u64>,
    output: Output,
) -> Result<(), Failure> {
    let end = match end {
        Some(end) if end < start => {
            return Err(Failure::new(
                Kind::Usage,
                format!("END ({end}) is before START ({start})"),
            ));
        }
        Some(end) => end,
        None => start.checked_add(1).ok_or_else(|| {
            Failure::new(
                Kind::Usage,
                format!("START ({start}) is past the last possible block"),
            )
        })?,
    };
    let log = store::read(dir, None).await?;
    let has = log.has(start..end);
    let value = json!({ "start": start, "end": end, "has": has });
    output.result(&value, || if has { "yes".into() } else { "no".into() })?;
    if has {
        return Ok(());
    }
    let missing = log
        .first_missing(start..end)
        .map_or(start, hypercore::BlockIndex::get);
    let message = format!("block {missing} is not stored here");
    Err(Failure::new(Kind::NotAvailable, message).at(dir.display()))
}
