//! Zeros ahead of the end of the log, where every append waits for the device.
//!
//! To bring a longer file to the device takes a file system two writes, of the bytes and of what it says of
//! the file; bytes that take the place of others take one. Owns how far ahead, and when it is worth it.
//! Knows nothing of frames: to who reads the log, zeros are what a crash left behind the last one.

use std::io;

use crate::disk::DiskFile;

/// Bytes that are made room for at once.
const STEP: u64 = 1 << 20;

/// Appends that have to fit, so that there is more to save than zeros cost.
const LEAST: u64 = 16;

/// Zeros that are written from one place again and again.
const CHUNK: usize = 4 << 10;

static ZEROS: [u8; CHUNK] = [0; CHUNK];

/// Where the file of a segment ends in which a write of `len` bytes ended at `end`, with zeros behind it where
/// there was no room left. `room` is what this said before, or 0. Where zeros are refused, there are fewer
/// or none, which costs time alone.
pub(crate) fn ahead(file: &dyn DiskFile, room: u64, end: u64, len: u64, limit: u64) -> u64 {
    let step = STEP.min(limit / LEAST);
    let until = end.saturating_add(step).min(limit);
    if end < room || len.saturating_mul(LEAST) > step || until <= end {
        return room;
    }
    let _ = fill(file, end, until);
    until
}

fn fill(file: &dyn DiskFile, from: u64, until: u64) -> io::Result<()> {
    let mut parts = Vec::new();
    let mut left = usize::try_from(until.saturating_sub(from)).unwrap_or(0);
    while left > 0 {
        let part = ZEROS.get(..left).unwrap_or(&ZEROS);
        parts.push(part);
        left -= part.len();
    }
    file.write_at(&parts, from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::Disk;
    use crate::fault::FaultDisk;

    const LIMIT: u64 = 64 << 20;

    /// Where the file ends after a write at its start.
    fn after(len: u64, limit: u64) -> io::Result<(u64, u64)> {
        let file = FaultDisk::new().create("file")?;
        let room = ahead(&*file, 0, len, len, limit);
        Ok((room, file.len()?))
    }

    #[test]
    fn sixteen_more_have_to_fit() -> io::Result<()> {
        let most = STEP / LEAST;
        assert_eq!(after(most, LIMIT)?, (most + STEP, most + STEP));
        assert_eq!(after(most + 1, LIMIT)?, (0, 0));
        let short = STEP * LEAST / 2;
        assert_eq!(after(most / 2, short)?.0, most / 2 + STEP / 2);
        assert_eq!(after(most / 2 + 1, short)?.0, 0);
        Ok(())
    }

    #[test]
    fn room_ends_with_the_segment() -> io::Result<()> {
        let file = FaultDisk::new().create("file")?;
        assert_eq!(ahead(&*file, 0, LIMIT - 10, 100, LIMIT), LIMIT);
        assert_eq!(file.len()?, LIMIT);
        for end in [LIMIT, LIMIT + 10] {
            assert_eq!(ahead(&*file, LIMIT - 20, end, 100, LIMIT), LIMIT - 20);
        }
        assert_eq!(file.len()?, LIMIT);
        Ok(())
    }

    #[test]
    fn there_is_no_more_before_the_last_is_used() -> io::Result<()> {
        let file = FaultDisk::new().create("file")?;
        assert_eq!(ahead(&*file, 200, 199, 10, LIMIT), 200);
        assert_eq!(file.len()?, 0);
        assert_eq!(ahead(&*file, 200, 200, 10, LIMIT), 200 + STEP);
        Ok(())
    }
}
