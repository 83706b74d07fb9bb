//! `purge`: removes a log from its folder.

use std::path::Path;

use hypercore::{IfMissing, Storage};
use serde_json::json;

use super::{compact, key};
use crate::failure::{Failure, Kind};
use crate::output::{self, Output};
use crate::place::{Place, Which};
use crate::store;

pub(crate) async fn run(
    dir: &Path,
    named: Option<&str>,
    yes: bool,
    output: Output,
) -> Result<(), Failure> {
    let mut place = Place::of(dir);
    if let Some(named) = named {
        if place.which != Which::Default {
            let message = "names a log already; leave out --key";
            return Err(Failure::new(Kind::Usage, message).at(dir.display()));
        }
        place.which = Which::Key(key::parse(named)?);
    }
    let builder = place.builder(|dir| Storage::existing(dir));
    let log = store::open(builder.if_missing(IfMissing::Fail), dir, None).await?;
    let before = store::taken(&place.store)?;
    let info = log.info();
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
    compact::compact(&place.store)?;
    let freed = before.saturating_sub(store::taken(&place.store)?);
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
