//! The last release: its disk crate syncs after every write.

use std::path::Path;

use anyhow::Result;
use hypercore016 as hypercore;

pub async fn open_storage(dir: &Path, sync: bool) -> Result<hypercore::Storage> {
    use hypercore::{Storage, StorageTraits, Store};
    // Its disk crate has no way to turn the sync off under tokio.
    anyhow::ensure!(sync, "0.16 cannot run without fsync on tokio");
    let dir = dir.to_path_buf();
    let storage = Storage::open(
        move |store: Store| {
            let path = dir.join(store.to_string());
            Box::pin(async move {
                let disk = rad016::RandomAccessDisk::open(path).await;
                disk.map(|d| Box::new(d) as Box<dyn StorageTraits + Send>)
            })
        },
        false,
    );
    Ok(storage.await?)
}

#[path = "ops.rs"]
mod ops;
pub use ops::run;
