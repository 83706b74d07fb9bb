//! Files of a directory as they were at one moment, while somebody else may be writing to them.
//!
//! All of them are copied, and then read once more: what is the same both times was so at the moment
//! between, as long as nothing that was overwritten comes back. Where something is not, it is copied again,
//! and all is read once more. Knows nothing of what is in a file, and asks nothing of who writes.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

/// How often files are read again that change meanwhile.
const PASSES: u32 = 24;

/// Bytes that are compared at once.
const CHUNK: usize = 256 << 10;

/// Copies the files of a directory that `is_wanted` by name to another, which is empty. Returns whether it
/// came upon a moment at which they were as they are there.
pub(super) fn copy_moment(
    from: &Path,
    to: &Path,
    is_wanted: impl Fn(&str) -> bool,
) -> io::Result<bool> {
    let names = || -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(from)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if is_wanted(&name) {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    };
    let copied = names()?;
    for name in &copied {
        // not with its permissions: the original may be on something that cannot be written to
        io::copy(
            &mut File::open(from.join(name))?,
            &mut File::create(to.join(name))?,
        )?;
    }
    for _ in 0..PASSES {
        let mut changed = false;
        for name in &copied {
            changed |= mend(&from.join(name), &to.join(name))?;
        }
        if names()? != copied {
            return Ok(false);
        }
        if !changed {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Makes a copy the same as its file. Returns whether it was not.
fn mend(original: &Path, copy: &Path) -> io::Result<bool> {
    let mut original = File::open(original)?;
    let mut copy = fs::OpenOptions::new().read(true).write(true).open(copy)?;
    let (mut new, mut old) = (vec![0; CHUNK], vec![0; CHUNK]);
    let (mut at, mut changed) = (0u64, false);
    loop {
        let len = fill(&mut original, &mut new)?;
        let known = fill(&mut copy, &mut old)?;
        let (new, old) = (new.get(..len), old.get(..known));
        if new != old {
            changed = true;
            copy.seek(SeekFrom::Start(at))?;
            copy.write_all(new.unwrap_or_default())?;
        }
        at = at.saturating_add(len as u64);
        if len < CHUNK {
            if copy.metadata()?.len() != at {
                changed = true;
                copy.set_len(at)?;
            }
            return Ok(changed);
        }
    }
}

/// Reads until the buffer is full or the file ends. Returns how many bytes.
fn fill(file: &mut File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read(rest) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_made_the_same_again_wherever_it_differs() -> io::Result<()> {
        let directory = tempfile::tempdir()?;
        let path = |name| directory.path().join(name);
        let bytes: Vec<u8> = (0..251).cycle().take(3 * CHUNK + 7).collect();
        let lens = [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, bytes.len()];
        for of_original in lens {
            for of_copy in lens {
                fs::write(path("original"), &bytes[..of_original])?;
                fs::write(path("copy"), &bytes[..of_copy])?;
                let same = of_original == of_copy;
                assert_eq!(mend(&path("original"), &path("copy"))?, !same);
                assert_eq!(fs::read(path("copy"))?, bytes[..of_original]);
                assert!(!mend(&path("original"), &path("copy"))?, "once is enough");
            }
        }
        for at in [0, CHUNK - 1, CHUNK, bytes.len() - 1] {
            let mut other = bytes.clone();
            other[at] ^= 1;
            fs::write(path("copy"), &other)?;
            assert!(mend(&path("original"), &path("copy"))?, "byte {at}");
            assert_eq!(fs::read(path("copy"))?, bytes);
        }
        Ok(())
    }

    #[test]
    fn only_what_is_wanted_is_copied() -> io::Result<()> {
        let (from, to) = (tempfile::tempdir()?, tempfile::tempdir()?);
        for name in ["a", "b", "c"] {
            fs::write(from.path().join(name), name)?;
        }
        assert!(copy_moment(from.path(), to.path(), |name| name != "b")?);
        assert_eq!(fs::read(to.path().join("a"))?, b"a");
        assert_eq!(fs::read_dir(to.path())?.count(), 2);
        let gone = from.path().join("gone");
        assert!(copy_moment(&gone, to.path(), |_| true).is_err());
        Ok(())
    }
}
