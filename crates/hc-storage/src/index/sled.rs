//! sled 0.34 as the index: one tree, small values, and nothing in it that cannot be made again.
//!
//! Owns what has to be known about sled: a snapshot that was being written when its process died keeps
//! it from opening, it may panic on damaged files, its `flush` does not reach the device on Linux, and a
//! handle that was just dropped may hold its lock a little longer.

use std::fs::{self, File};
use std::io;
use std::ops::RangeInclusive;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

use bytes::Bytes;
use sled::{Batch, Config, Db};

use super::copy::copy_moment;
use super::private::{PRIVATE, PrivateIndex};
use super::{Changes, Index, IndexHost, Visit, engine_fault};
use crate::error::{IndexError, IndexFault};

/// Bytes of pages that sled keeps in memory.
const CACHE: u64 = 4 << 20;

/// sled's only fsync, and its only collection of space, happen this often.
const FLUSH_EVERY_MS: u64 = 500;

/// How often, and how long apart, to ask again for a lock that a dropped handle has not yet released.
const LOCK_TRIES: u32 = 40;
const LOCK_DELAY: Duration = Duration::from_millis(25);

/// sled's directory for values that are longer than any here.
const BLOBS: &str = "blobs";

/// How the name of a snapshot ends that is being written.
const UNFINISHED: &str = ".generating";

/// The directory of an index.
#[derive(Debug)]
pub(crate) struct SledHost(PathBuf);

#[derive(Debug)]
struct SledIndex {
    path: PathBuf,
    db: Db,
    /// Our own handle on sled's file: what is synced through it is synced for all.
    file: File,
}

impl SledHost {
    pub(crate) fn new(path: &Path) -> Self {
        Self(path.to_path_buf())
    }

    fn io(&self, error: &io::Error) -> IndexError {
        engine_fault(&self.0, IndexFault::Io(error.kind()))
    }

    /// A snapshot under this name was never finished, and sled takes it for a whole one.
    fn remove_unfinished(&self) -> io::Result<()> {
        let entries = match fs::read_dir(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.starts_with("snap.") && name.ends_with(UNFINISHED) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    fn open_db(&self) -> Result<Db, IndexError> {
        let config = Config::new()
            .path(&self.0)
            .cache_capacity(CACHE)
            .flush_every_ms(Some(FLUSH_EVERY_MS));
        for _ in 0..LOCK_TRIES {
            match guard(&self.0, || config.open()) {
                Err(IndexError::Engine {
                    reason: IndexFault::Io(io::ErrorKind::WouldBlock | io::ErrorKind::Other),
                    ..
                }) => {
                    sleep(LOCK_DELAY);
                }
                done => return done,
            }
        }
        guard(&self.0, || config.open())
    }
}

impl IndexHost for SledHost {
    fn open(&self) -> Result<Arc<dyn Index>, IndexError> {
        self.remove_unfinished().map_err(|error| self.io(&error))?;
        let db = self.open_db()?;
        let file = File::open(self.0.join("db")).map_err(|error| self.io(&error))?;
        Ok(Arc::new(SledIndex {
            path: self.0.clone(),
            db,
            file,
        }))
    }

    /// The files are those of a database whose process died at that moment: sled opens such.
    fn copy(&self) -> Result<Option<Arc<dyn Index>>, IndexError> {
        let blobs = fs::read_dir(self.0.join(BLOBS)).map_err(|error| self.io(&error))?;
        // they are written beside what refers to them; none of our values is that long
        if blobs.count() > 0 {
            return Ok(None);
        }
        let copy = PrivateIndex::directory()?;
        let path = copy.path().join(PRIVATE);
        let is_wanted = |name: &str| name != BLOBS && !name.ends_with(UNFINISHED);
        let copied = fs::create_dir(&path).and_then(|()| copy_moment(&self.0, &path, is_wanted));
        if copied.map_err(|error| self.io(&error))? {
            Ok(Some(Arc::new(PrivateIndex::open(copy)?)))
        } else {
            Ok(None)
        }
    }

    fn discard(&self) -> Result<(), IndexError> {
        let aside = self.0.with_extension("discarded");
        let removed = |result: io::Result<()>| match result {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result.map_err(|error| self.io(&error)),
        };
        removed(fs::remove_dir_all(&aside))?;
        removed(fs::rename(&self.0, &aside))?;
        removed(fs::remove_dir_all(&aside))
    }
}

impl Index for SledIndex {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, IndexError> {
        let value = guard(&self.path, || self.db.get(key))?;
        Ok(value.map(|value| Bytes::copy_from_slice(&value)))
    }

    fn scan(&self, keys: RangeInclusive<Vec<u8>>, visit: Visit<'_>) -> Result<(), IndexError> {
        let mut entries = guard(&self.path, || Ok(self.db.range(keys)))?;
        while let Some((key, value)) = guard(&self.path, || entries.next().transpose())? {
            visit(&key, Bytes::copy_from_slice(&value))?;
        }
        Ok(())
    }

    fn apply(&self, changes: Changes) -> Result<(), IndexError> {
        let mut batch = Batch::default();
        for (key, value) in changes {
            match value {
                Some(value) => batch.insert(key, value),
                None => batch.remove(key),
            }
        }
        guard(&self.path, || self.db.apply_batch(batch))
    }

    fn flush(&self) -> Result<(), IndexError> {
        guard(&self.path, || self.db.flush())?;
        self.file
            .sync_data()
            .map_err(|error| engine_fault(&self.path, IndexFault::Io(error.kind())))
    }

    fn size(&self) -> Result<u64, IndexError> {
        guard(&self.path, || self.db.size_on_disk())
    }

    fn path(&self) -> &Path {
        &self.path
    }
}

/// Calls sled; what goes wrong in there, panics included, comes back as an error.
fn guard<T>(path: &Path, call: impl FnOnce() -> sled::Result<T>) -> Result<T, IndexError> {
    let reason = match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(value)) => return Ok(value),
        Ok(Err(sled::Error::Io(error))) => IndexFault::Io(error.kind()),
        Ok(Err(sled::Error::Corruption { .. })) => IndexFault::Corrupt,
        Ok(Err(_)) => IndexFault::Refused,
        Err(_) => IndexFault::Panicked,
    };
    Err(engine_fault(path, reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_in_there_is_an_error_out_here() {
        let path = Path::new("an index");
        let panics = || -> sled::Result<()> { std::panic::resume_unwind(Box::new("on purpose")) };
        let fault = |reason| Err(engine_fault(path, reason));
        assert_eq!(guard(path, panics), fault(IndexFault::Panicked));
        let refuses = || -> sled::Result<()> { Err(sled::Error::Unsupported("no".into())) };
        assert_eq!(guard(path, refuses), fault(IndexFault::Refused));
        let full =
            || -> sled::Result<()> { Err(sled::Error::Io(io::ErrorKind::StorageFull.into())) };
        let expected = fault(IndexFault::Io(io::ErrorKind::StorageFull));
        assert_eq!(guard(path, full), expected);
        assert_eq!(guard(path, || Ok(7)), Ok(7));
    }
}
