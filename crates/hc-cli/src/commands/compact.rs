//! `compact`: gives back the space of what was cleared, cut or deleted.

use std::path::Path;

use hypercore::{StorageError, Store, StoreOptions, Usage};
use serde_json::json;

use crate::failure::{Failure, Kind};
use crate::output::{self, Output};
use crate::progress::Progress;
use crate::store;

pub(crate) fn run(dir: &Path, output: Output) -> Result<(), Failure> {
    store::check_folder(dir)?;
    let before = if dir.is_dir() { store::taken(dir)? } else { 0 };
    let blocks = compact(dir)?.live;
    let after = store::taken(dir)?;
    let freed = before.saturating_sub(after);
    let value = json!({
        "before": before,
        "after": after,
        "freed": freed,
        "blocks": blocks,
    });
    output.result(&value, || {
        format!(
            "{} given back: {} on disk, of which {} in blocks",
            output::bytes(freed),
            output::bytes(after),
            output::bytes(blocks)
        )
    })
}

/// Says what is in the folder then. What it takes is to be looked at while nobody has it open: an index
/// takes room in advance as long as it is.
pub(super) fn compact(dir: &Path) -> Result<Usage, Failure> {
    let at = |error: StorageError| Failure::from(error).at(dir.display());
    let store = store::folder(dir, StoreOptions::default())?;
    let damage = store.damage().map_err(at)?;
    // keys are not in what is compacted
    if let Some(damage) = damage.iter().find(|damage| !store::is_of_key(damage)) {
        let message = format!("{damage}; `hypercore repair` drops what is damaged");
        return Err(Failure::new(Kind::Integrity, message));
    }
    let before = store.usage().map_err(at)?;
    // what is read is written again, but for what is void
    let mut progress = Progress::bytes(Some(before.log.saturating_mul(2)));
    store
        .compact(&mut |bytes| progress.set(bytes))
        .map_err(at)?;
    store.close().map_err(at)?;
    drop((store, progress));
    // an index does not shrink by itself
    let store = store::folder(dir, StoreOptions::default().rebuild_index(true))?;
    let after = store.usage().map_err(at)?;
    store.close().map_err(at)?;
    Ok(after)
}
