//! `purge`: removes a log from its folder.

use std::path::Path;

use hypercore::{Hypercore, IfMissing, Storage};
use serde_json::json;

use super::{compact, key};
use crate::failure::{Failure, Kind};
use crate::output::{self, Output};
use crate::store;

pub(crate) async fn run(
    dir: &Path,
    named: Option<&str>,
    yes: bool,
    output: Output,
) -> Result<(), Failure> {
    let mut builder = Hypercore::builder(Storage::existing(dir)).if_missing(IfMissing::Fail);
    if let Some(named) = named {
        builder = builder.key(key::parse(named)?);
    }
    let log = store::open(builder, dir, None).await?;
    let info = log.info();
    let before = log
        .usage()
        .map_err(|error| Failure::from(error).at(dir.display()))?;
    let what = format!(
        "log {} with {}",
        info.key,
        output::blocks(info.stored.get())
    );
    if !yes {
        store::close(&log, dir).await?;
        let message = format!("{what} would be gone for good; --yes removes it");
        return Err(Failure::new(Kind::Usage, message).at(dir.display()));
    }
    let purged = log.purge().await;
    drop(log);
    purged.map_err(|error| Failure::from(error).at(dir.display()))?;
    let (_, after) = compact::compact(dir)?;
    let freed = before.total.saturating_sub(after.total);
    let value = json!({
        "key": info.key.to_string(),
        "discoveryKey": info.discovery_key.to_string(),
        "blocks": info.stored.get(),
        "freed": freed,
    });
    output.result(&value, || {
        format!("{what} is gone, {} given back", output::bytes(freed))
    })
}
