//! The few things that the log asks of a file system, so that a test can refuse them.
//!
//! Owns the seam. Names are relative to the store. Knows nothing of what the files hold.

mod os;

use std::fmt::Debug;
use std::io;
use std::path::Path;
use std::sync::Arc;

pub(crate) use os::OsDisk;

use crate::error::{Action, Holder, IoFault};

/// A directory with a store in it.
pub(crate) trait Disk: Debug + Send + Sync {
    /// Where it is, for messages.
    fn root(&self) -> &Path;
    /// Names in a directory; `None` where there is no such directory. `""` is the store itself.
    fn list(&self, dir: &str) -> io::Result<Option<Vec<String>>>;
    /// Makes a directory with all above it; no error where it exists.
    fn create_dir(&self, dir: &str) -> io::Result<()>;
    /// Makes an empty file that only its owner may read, in place of any of that name.
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;
    /// Opens a file; `None` where there is none.
    fn open(&self, name: &str, write: bool) -> io::Result<Option<Arc<dyn DiskFile>>>;
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Brings the names in a directory to the device.
    fn sync_dir(&self, dir: &str) -> io::Result<()>;
    /// Keeps all others from writing until the guard is dropped.
    fn lock(&self) -> Result<LockGuard, LockRefusal>;
}

/// A file of a store.
pub(crate) trait DiskFile: Debug + Send + Sync {
    fn len(&self) -> io::Result<u64>;
    /// Reads what is there, which is less than asked for only at the end.
    fn read_at(&self, out: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes all parts, one after the other.
    fn write_at(&self, parts: &[&[u8]], offset: u64) -> io::Result<()>;
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// Bytes that it takes on the device, fewer than its length where it has holes.
    fn allocated(&self) -> io::Result<u64>;
    /// Gives back bytes, which read as zeros from then on. [`io::ErrorKind::Unsupported`] where the file
    /// system cannot.
    fn punch(&self, offset: u64, len: u64) -> io::Result<()>;
    /// Brings content and length to the device.
    fn sync(&self) -> io::Result<()>;
}

/// What keeps others from writing.
pub(crate) type LockGuard = Box<dyn Debug + Send + Sync>;

/// Why there is no lock.
#[derive(Debug)]
pub(crate) enum LockRefusal {
    Held(Option<Holder>),
    Io(io::Error),
}

/// Names the file in whatever the system says.
pub(crate) fn fault<'a>(
    disk: &'a dyn Disk,
    action: Action,
    name: &'a str,
) -> impl FnOnce(io::Error) -> IoFault + use<'a> {
    move |source| IoFault {
        action,
        path: disk.root().join(name),
        source,
    }
}
