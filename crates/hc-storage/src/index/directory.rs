//! Directories under the system's temporary one, each of which goes with its owner: at the end, or, of owners
//! that were killed, when the next is made.
//!
//! Owns how the living are told from the dead: an owner holds the lock on a file in its directory, which is
//! there from the moment on from which the file is. Knows nothing of what else is in a directory.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use tempfile::TempDir;

use crate::limits::{MAX_LEFT_BEHIND, MAX_LOOKED_THROUGH};

const PREFIX: &str = "hypercore-index-";

/// Locked as long as the owner lives.
const LOCK: &str = "lock";
/// Until it is.
const UNLOCKED: &str = "lock.new";

/// A directory that nobody else uses.
#[derive(Debug)]
pub(super) struct Directory {
    path: TempDir,
    // after the directory, so that nobody else removes it meanwhile
    _lock: File,
}

impl Directory {
    /// Makes one, and removes those whose owners are dead.
    pub(super) fn new() -> io::Result<Self> {
        Self::below(&std::env::temp_dir())
    }

    fn below(parent: &Path) -> io::Result<Self> {
        let path = tempfile::Builder::new().prefix(PREFIX).tempdir_in(parent)?;
        let lock = File::create(path.path().join(UNLOCKED))?;
        lock.try_lock()?;
        fs::rename(path.path().join(UNLOCKED), path.path().join(LOCK))?;
        // whether or not this succeeds, there is a directory
        let _ = remove_left_behind(parent, path.path());
        Ok(Self { path, _lock: lock })
    }

    pub(super) fn path(&self) -> &Path {
        self.path.path()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // what cannot be removed now is when the next one is made
        let _ = empty(self.path.path());
    }
}

/// Removes directories whose owners are dead, of the same user.
fn remove_left_behind(parent: &Path, own: &Path) -> io::Result<()> {
    let user = user_of(own)?;
    let mut removed = 0;
    for entry in fs::read_dir(parent)?.take(MAX_LOOKED_THROUGH) {
        let entry = entry?;
        let name = entry.file_name();
        let path = entry.path();
        let is_one = name.as_encoded_bytes().starts_with(PREFIX.as_bytes());
        if !is_one || path == own || !user_of(&path).is_ok_and(|other| other == user) {
            continue;
        }
        let Ok(lock) = File::open(path.join(LOCK)) else {
            continue;
        };
        if lock.try_lock().is_ok() && empty(&path).is_ok() {
            fs::remove_dir_all(&path)?;
            removed += 1;
        }
        if removed == MAX_LEFT_BEHIND {
            break;
        }
    }
    Ok(())
}

/// Removes what is in a directory but for the file that says that it can be removed.
fn empty(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_name() == LOCK {
            continue;
        }
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Whose directory it is; an error for what is none.
fn user_of(path: &Path) -> io::Result<u32> {
    let metadata = fs::symlink_metadata(path)?;
    if !metadata.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        Ok(metadata.uid())
    }
    // each user has a temporary directory of their own
    #[cfg(not(unix))]
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(parent: &Path) -> io::Result<usize> {
        Ok(fs::read_dir(parent)?.count())
    }

    /// What a process that was killed leaves.
    fn dead(parent: &Path) -> io::Result<()> {
        let path = tempfile::Builder::new()
            .prefix(PREFIX)
            .tempdir_in(parent)?
            .keep();
        fs::write(path.join(LOCK), "")?;
        fs::create_dir_all(path.join("index/blobs"))?;
        fs::write(path.join("index/db"), "pages")
    }

    #[test]
    fn what_the_dead_left_goes_and_what_the_living_have_stays() -> io::Result<()> {
        let parent = tempfile::tempdir()?;
        let parent = parent.path();
        let one = Directory::below(parent)?;
        fs::write(one.path().join("db"), "mine")?;
        for _ in 0..3 {
            dead(parent)?;
        }
        assert_eq!(count(parent)?, 4);
        let two = Directory::below(parent)?;
        assert_eq!(count(parent)?, 2);
        assert_eq!(fs::read(one.path().join("db"))?, b"mine");
        drop((one, two));
        assert_eq!(count(parent)?, 0);
        Ok(())
    }

    #[test]
    fn what_is_not_known_to_be_left_behind_stays() -> io::Result<()> {
        let parent = tempfile::tempdir()?;
        let parent = parent.path();
        // one that is just being made, and what others have
        fs::create_dir(parent.join("hypercore-index-new"))?;
        fs::write(parent.join("hypercore-index-file"), "")?;
        fs::create_dir(parent.join("other"))?;
        fs::write(parent.join("other").join(LOCK), "")?;
        #[cfg(unix)]
        std::os::unix::fs::symlink(parent.join("other"), parent.join("hypercore-index-link"))?;
        let before = count(parent)?;
        drop(Directory::below(parent)?);
        assert_eq!(count(parent)?, before);
        assert!(parent.join("other").join(LOCK).exists());
        Ok(())
    }

    #[test]
    fn of_many_that_are_left_behind_some_go_each_time() -> io::Result<()> {
        let parent = tempfile::tempdir()?;
        let parent = parent.path();
        for _ in 0..=MAX_LEFT_BEHIND {
            dead(parent)?;
        }
        let one = Directory::below(parent)?;
        assert_eq!(count(parent)?, 2);
        let two = Directory::below(parent)?;
        assert_eq!(count(parent)?, 2);
        drop((one, two));
        Ok(())
    }
}
