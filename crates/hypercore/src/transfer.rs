//! Logs in and out of stores other than over a connection: bundles, sealed backups of secret keys, and the
//! stores of the reference.
//!
//! All of it works on stores ([`Storage::open_store`](crate::Storage::open_store)) and blocks. What comes in
//! is verified block by block, as if a peer had sent it. A log that is open while something comes in does
//! not see it before it is opened again.
//!
//! ```
//! # futures_lite::future::block_on(async {
//! use std::fs::File;
//!
//! use hypercore::transfer::bundle::{Bundle, ExportOptions, export, import};
//! use hypercore::{Hypercore, IfMissing, Storage};
//!
//! let dir = tempfile::tempdir()?;
//! let log = Hypercore::builder(Storage::memory()).open().await?;
//! log.append_batch(["a", "b", "c"]).await?;
//! let file = dir.path().join("log.bundle");
//! export(&log.source()?, &file, &ExportOptions::default(), &mut |_| {})?;
//!
//! let store = Storage::disk(dir.path().join("copy")).open_store()?;
//! let bundle = Bundle::open(File::open(&file)?)?;
//! let imported = import(bundle, &*store, &mut |progress| println!("{}", progress.blocks))?;
//! assert_eq!(imported.blocks, 3);
//!
//! let copy = Hypercore::builder(Storage::open(store.clone())).key(log.key());
//! let copy = copy.if_missing(IfMissing::Fail).open().await?;
//! assert_eq!(copy.get(1).await?, "b");
//! # copy.close().await?;
//! # store.close()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```
//!
//! A directory of the reference, from the first log to the last:
//!
//! ```no_run
//! use hypercore::Storage;
//! use hypercore::transfer::{CopyOptions, Legacy};
//!
//! let legacy = Legacy::open("corestore")?;
//! let store = Storage::disk("store").open_store()?;
//! legacy.migrate_primary_key(&*store)?;
//! for number in 0..legacy.len() {
//!     legacy.migrate(number, &*store, None, &CopyOptions::default(), &mut |_| {})?;
//! }
//! store.close()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub use hc_transfer::{
    BadFile, Copied, CopyError, CopyOptions, FileFault, IntakeError, Legacy, Migrated, Progress,
    ProveError, Source, SourceError, StoredLog, backup, bundle, copy, v10, v11,
};

use hc_storage::{StorageError, Store};

use self::backup::{BackupError, KeyBackup};
use crate::derive::PrimaryKey;
use crate::hypercore::Hypercore;

/// The secret keys of all logs of a store, those of named logs too, which are not kept but follow from the
/// primary key and the name.
///
/// ```
/// # futures_lite::future::block_on(async {
/// use hypercore::transfer::secret_keys;
/// use hypercore::{Corestore, Storage};
///
/// let store = Storage::memory().open_store()?;
/// let logs = Corestore::open(Storage::open(store.clone())).await?;
/// let posts = logs.get("posts").await?;
/// let keys = secret_keys(&*store)?;
/// assert_eq!(keys.logs().collect::<Vec<_>>(), [posts.key()]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
///
/// # Errors
/// What reading may return, and [`BackupError::TooManyKeys`].
pub fn secret_keys(store: &dyn Store) -> Result<KeyBackup, BackupError> {
    KeyBackup::with_named(store, |secret, alias| {
        Some(PrimaryKey::from(secret).key_pair_of(alias))
    })
}

impl Hypercore {
    /// The log as it is stored now, to be exported or copied.
    ///
    /// # Errors
    /// What reading may return.
    pub fn source(&self) -> Result<StoredLog, StorageError> {
        Ok(StoredLog::new(self.core.log.snapshot()?))
    }
}
