//! The pre-release that has a replicator.

use std::path::Path;

use anyhow::Result;
use hypercore017 as hypercore;

pub async fn open_storage(dir: &Path, sync: bool) -> Result<hypercore::Storage> {
    use std::sync::Arc;

    use hypercore::{Storage, StorageTraits, Store};
    let dir = dir.to_path_buf();
    let storage = Storage::open(
        move |store: Store| {
            let path = dir.join(store.to_string());
            Box::pin(async move {
                let disk = rad017::RandomAccessDisk::builder(path)
                    .auto_sync(sync)
                    .build()
                    .await;
                disk.map(|d| Arc::new(d) as Arc<dyn StorageTraits>)
            })
        },
        false,
    );
    Ok(storage.await?)
}

#[path = "ops.rs"]
mod ops;
pub use ops::run;
