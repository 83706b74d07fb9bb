//! The file system of the operating system, and the lock on a store in it.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, IoSlice, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{Disk, DiskFile, LockGuard, LockRefusal};
use crate::error::Holder;

const LOCK: &str = "LOCK";

/// A real directory.
#[derive(Debug)]
pub(crate) struct OsDisk {
    root: PathBuf,
}

impl OsDisk {
    pub(crate) fn new(root: &Path) -> Self {
        Self {
            root: root.to_path_buf(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        if name.is_empty() {
            self.root.clone()
        } else {
            self.root.join(name)
        }
    }
}

impl Disk for OsDisk {
    fn root(&self) -> &Path {
        &self.root
    }

    fn list(&self, dir: &str) -> io::Result<Option<Vec<String>>> {
        let entries = match fs::read_dir(self.path(dir)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let name = |entry: io::Result<fs::DirEntry>| {
            entry.map(|entry| entry.file_name().to_string_lossy().into_owned())
        };
        entries.map(name).collect::<io::Result<Vec<_>>>().map(Some)
    }

    fn create_dir(&self, dir: &str) -> io::Result<()> {
        fs::create_dir_all(self.path(dir))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true);
        private(&mut options);
        Ok(Arc::new(OsFile(options.open(self.path(name))?)))
    }

    fn open(&self, name: &str, write: bool) -> io::Result<Option<Arc<dyn DiskFile>>> {
        match OpenOptions::new()
            .read(true)
            .write(write)
            .open(self.path(name))
        {
            Ok(file) => Ok(Some(Arc::new(OsFile(file)))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path(from), self.path(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path(name))
    }

    #[cfg(unix)]
    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        File::open(self.path(dir))?.sync_all()
    }

    /// Other systems neither need this nor allow it.
    #[cfg(not(unix))]
    fn sync_dir(&self, _dir: &str) -> io::Result<()> {
        Ok(())
    }

    fn lock(&self) -> Result<LockGuard, LockRefusal> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let mut file = options.open(self.path(LOCK)).map_err(LockRefusal::Io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(LockRefusal::Held(read_holder(&mut file))),
            Err(TryLockError::Error(error)) => return Err(LockRefusal::Io(error)),
        }
        write_holder(&mut file).map_err(LockRefusal::Io)?;
        Ok(Box::new(HeldLock(file)))
    }
}

/// Keys are in some of the files, so all of them are their owner's alone.
fn private(options: &mut OpenOptions) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    #[cfg(not(unix))]
    let _ = options;
}

/// The lock, as long as this lives. The file stays: removing it would let two processes lock two
/// different files of the same name.
#[derive(Debug)]
struct HeldLock(File);

impl Drop for HeldLock {
    fn drop(&mut self) {
        // an old name left in the file misleads nobody who holds it
        let _ = self.0.set_len(0);
        // closing alone would leave it to a process that is being started, until that has begun
        let _ = self.0.unlock();
    }
}

fn write_holder(file: &mut File) -> io::Result<()> {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    let text = format!("{}\n{}\n{since}\n", std::process::id(), host());
    file.set_len(0)?;
    file.rewind()?;
    file.write_all(text.as_bytes())
}

fn read_holder(file: &mut File) -> Option<Holder> {
    let mut text = String::new();
    file.take(1024).read_to_string(&mut text).ok()?;
    let mut lines = text.lines();
    let pid = lines.next()?.parse().ok()?;
    let host = lines.next()?.to_owned();
    let since = UNIX_EPOCH.checked_add(Duration::from_secs(lines.next()?.parse().ok()?))?;
    Some(Holder { pid, host, since })
}

#[cfg(unix)]
fn host() -> String {
    rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned()
}

#[cfg(not(unix))]
fn host() -> String {
    std::env::var("COMPUTERNAME").unwrap_or_default()
}

#[derive(Debug)]
struct OsFile(File);

impl DiskFile for OsFile {
    fn len(&self) -> io::Result<u64> {
        self.0.metadata().map(|metadata| metadata.len())
    }

    fn read_at(&self, out: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut read = 0;
        while let Some(rest) = out.get_mut(read..).filter(|rest| !rest.is_empty()) {
            match positioned::read(&self.0, rest, offset.saturating_add(read as u64)) {
                Ok(0) => break,
                Ok(more) => read += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(read)
    }

    fn write_at(&self, parts: &[&[u8]], offset: u64) -> io::Result<()> {
        let (mut single, mut several);
        let mut left = if let [part] = parts {
            single = [IoSlice::new(part)];
            single.as_mut_slice()
        } else {
            several = parts
                .iter()
                .map(|part| IoSlice::new(part))
                .collect::<Vec<_>>();
            several.as_mut_slice()
        };
        let mut at = offset;
        IoSlice::advance_slices(&mut left, 0);
        while !left.is_empty() {
            match positioned::write(&self.0, left, at) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(more) => {
                    at = at.saturating_add(more as u64);
                    IoSlice::advance_slices(&mut left, more);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn allocated(&self) -> io::Result<u64> {
        self.0.metadata().map(|metadata| allocated(&metadata))
    }

    fn punch(&self, offset: u64, len: u64) -> io::Result<()> {
        punch(&self.0, offset, len)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }
}

#[cfg(unix)]
fn allocated(metadata: &fs::Metadata) -> u64 {
    use std::os::unix::fs::MetadataExt;
    // in units of 512 bytes, whatever the file system's own are
    metadata.len().min(metadata.blocks().saturating_mul(512))
}

#[cfg(not(unix))]
fn allocated(metadata: &fs::Metadata) -> u64 {
    metadata.len()
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn punch(file: &File, offset: u64, len: u64) -> io::Result<()> {
    use rustix::fs::{FallocateFlags, fallocate};
    let mode = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    Ok(fallocate(file, mode, offset, len)?)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn punch(_file: &File, _offset: u64, _len: u64) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Reads and writes that do not move a common position.
#[cfg(unix)]
mod positioned {
    use std::fs::File;
    use std::io::{self, IoSlice};
    use std::os::unix::fs::FileExt;

    /// Most parts that the system takes in one call, on every system.
    const MAX_PARTS: usize = 1024;

    pub(super) fn read(file: &File, out: &mut [u8], offset: u64) -> io::Result<usize> {
        file.read_at(out, offset)
    }

    pub(super) fn write(file: &File, parts: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        match parts {
            [part] => file.write_at(part, offset),
            #[cfg(not(target_vendor = "apple"))]
            parts => {
                let parts = parts.get(..MAX_PARTS).unwrap_or(parts);
                Ok(rustix::io::pwritev(file, parts, offset)?)
            }
            #[cfg(target_vendor = "apple")]
            parts => parts
                .first()
                .map_or(Ok(0), |part| file.write_at(part, offset)),
        }
    }
}

#[cfg(windows)]
mod positioned {
    use std::fs::File;
    use std::io::{self, IoSlice};
    use std::os::windows::fs::FileExt;

    pub(super) fn read(file: &File, out: &mut [u8], offset: u64) -> io::Result<usize> {
        file.seek_read(out, offset)
    }

    pub(super) fn write(file: &File, parts: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        parts
            .first()
            .map_or(Ok(0), |part| file.seek_write(part, offset))
    }
}
