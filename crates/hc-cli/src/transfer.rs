//! Opening stores to move logs in and out, and what the errors of that mean for the exit code.

use std::path::Path;
use std::sync::Arc;

use hypercore::transfer::backup::BackupError;
use hypercore::transfer::bundle::{BundleError, ExportError, ImportError};
use hypercore::transfer::{BadFile, CopyError, FileFault};
use hypercore::{OpenError, Storage, StorageError, Store};

use crate::failure::{Failure, Kind, chain};
use crate::store;

/// Opens the store in a folder.
pub(crate) fn open(storage: Storage, dir: &Path) -> Result<Arc<dyn Store>, Failure> {
    let opened = storage.open_store();
    opened.map_err(|error| store::opening(OpenError::Store(error), dir))
}

/// Brings everything to the disk.
pub(crate) fn close(store: &dyn Store, dir: &Path) -> Result<(), Failure> {
    store
        .close()
        .map_err(|error| Failure::from(error).at(dir.display()))
}

/// Does something with a store, and closes it whatever comes of that. A folder that was made for nothing
/// goes again.
pub(crate) fn with<T>(
    storage: Storage,
    dir: &Path,
    work: impl FnOnce(&dyn Store) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let is_new = !dir.exists();
    let store = open(storage, dir)?;
    let done = work(&*store);
    let is_void = is_new && done.is_err() && store.cores().is_ok_and(|logs| logs.is_empty());
    let closed = close(&*store, dir);
    drop(store);
    if is_void {
        // should this not succeed, an empty store is left, which does no harm
        let _ = std::fs::remove_dir_all(dir);
    }
    let done = done?;
    closed.map(|()| done)
}

fn of(is_damage: bool, error: &(dyn std::error::Error + 'static)) -> Failure {
    let kind = if is_damage {
        Kind::Integrity
    } else {
        Kind::Other
    };
    Failure::new(kind, chain(error))
}

impl From<StorageError> for Failure {
    fn from(error: StorageError) -> Self {
        Self::new(store::kind(&error), chain(&error))
    }
}

impl From<ExportError> for Failure {
    fn from(error: ExportError) -> Self {
        let is_damage = matches!(&error, ExportError::Source(source) if source.is_damage());
        let advice = match error {
            ExportError::Exists => "; remove it, or name another",
            _ => "",
        };
        let mut failure = of(is_damage, &error);
        failure.message.push_str(advice);
        failure
    }
}

impl From<BundleError> for Failure {
    fn from(error: BundleError) -> Self {
        of(matches!(error, BundleError::Damaged { .. }), &error)
    }
}

impl From<ImportError> for Failure {
    fn from(error: ImportError) -> Self {
        of(error.is_damage(), &error)
    }
}

impl From<CopyError> for Failure {
    fn from(error: CopyError) -> Self {
        of(error.is_damage(), &error)
    }
}

impl From<BadFile> for Failure {
    fn from(error: BadFile) -> Self {
        let advice = match error.fault {
            FileFault::Absent { .. } => "; it takes a folder that version 10 or 11 wrote",
            _ => "",
        };
        let mut failure = of(error.is_damage(), &error);
        failure.message.push_str(advice);
        failure
    }
}

impl From<BackupError> for Failure {
    fn from(error: BackupError) -> Self {
        match &error {
            BackupError::Storage(storage) => Self::new(store::kind(storage), chain(&error)),
            BackupError::EmptyPassphrase => Self::new(Kind::Usage, chain(&error)),
            _ => of(error.is_damage(), &error),
        }
    }
}
