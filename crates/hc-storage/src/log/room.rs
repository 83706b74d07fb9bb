//! Zeros ahead of the end of the log, for small appends.
//!
//! A write that makes a file longer costs a file system more than one in place of other bytes: the device takes
//! the bytes and what is said of the file, one after the other, and even where nobody waits for the device, each
//! page has to be found a place. Owns how far ahead, and when it is worth it. Knows nothing of frames: to who
//! reads the log, zeros are what a crash left behind the last one.

use std::io;
use std::ops::Range;

use crate::disk::DiskFile;

/// Bytes that are made room for at once where appends wait for the device, and the fewest and most where they do
/// not: the more at once, the longer takes each of the appends, and the less all of the zeros.
const STEP_SYNCED: u64 = 1 << 20;
const STEP: u64 = 128 << 10;
const STEP_MOST: u64 = 512 << 10;

/// Appends that have to fit, so that there is more to save than zeros cost.
const LEAST: u64 = 16;

/// Zeros that are written from one place again and again.
const CHUNK: usize = 64 << 10;

static ZEROS: [u8; CHUNK] = [0; CHUNK];

/// The room behind the frames of a segment.
#[derive(Debug, Default)]
pub(super) struct Room {
    /// Where the file ends, if that is behind its frames.
    until: u64,
    /// Bytes of the small appends since the last that was not.
    small: u64,
}

impl Room {
    /// Where zeros are to be put behind an append of `len` bytes that ends at `end`. `synced`: whether it waits
    /// for the device; where none does, there is no room before as much was appended in small pieces.
    pub(super) fn behind(
        &mut self,
        end: u64,
        len: u64,
        limit: u64,
        synced: bool,
    ) -> Option<Range<u64>> {
        let least = len.saturating_mul(LEAST);
        let step = if synced {
            STEP_SYNCED
        } else {
            least.min(STEP_MOST).next_power_of_two().max(STEP)
        };
        let step = step.min(limit / LEAST);
        if least > step {
            self.small = 0;
            return None;
        }
        self.small = self.small.saturating_add(len);
        let until = end.saturating_add(step).min(limit);
        if end < self.until || until <= end || !synced && self.small < step {
            return None;
        }
        self.until = until;
        Some(end..until)
    }

    /// Whether anything is behind the frame that ends there.
    pub(super) fn is_behind(&self, end: u64) -> bool {
        self.until > end
    }
}

/// Puts zeros there. Where they are refused, there are fewer or none, which costs time alone.
pub(super) fn fill(file: &dyn DiskFile, place: &Range<u64>) -> io::Result<()> {
    let mut parts = Vec::new();
    let mut left = usize::try_from(place.end.saturating_sub(place.start)).unwrap_or(0);
    while left > 0 {
        let part = ZEROS.get(..left).unwrap_or(&ZEROS);
        parts.push(part);
        left -= part.len();
    }
    file.write_at(&parts, place.start)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: u64 = 64 << 20;

    #[test]
    fn sixteen_more_have_to_fit() {
        let behind = |len, limit| Room::default().behind(100, len, limit, true);
        let most = STEP_SYNCED / LEAST;
        assert_eq!(behind(most, LIMIT), Some(100..100 + STEP_SYNCED));
        assert_eq!(behind(most + 1, LIMIT), None);
        let short = STEP_SYNCED * LEAST / 2;
        assert_eq!(behind(most / 2, short), Some(100..100 + STEP_SYNCED / 2));
        assert_eq!(behind(most / 2 + 1, short), None);
    }

    #[test]
    fn where_nobody_waits_as_much_has_to_be_appended_before() {
        let mut room = Room::default();
        let len = STEP / LEAST;
        let mut append = |end, len| room.behind(end, len, LIMIT, false);
        for _ in 1..LEAST {
            assert_eq!(append(1000, len), None);
        }
        assert_eq!(append(1000, len), Some(1000..1000 + STEP));
        assert_eq!(append(1000 + STEP - 1, len), None);
        assert_eq!(append(1000 + STEP, len), Some(1000 + STEP..1000 + 2 * STEP));
        let most = STEP_MOST / LEAST;
        assert_eq!(append(1000 + 2 * STEP, most + 1), None, "not a small one");
        assert_eq!(append(1000 + 2 * STEP, len), None, "the first since");
    }

    #[test]
    fn the_longer_appends_are_the_more_room_they_find() {
        for (len, step) in [
            (STEP / LEAST, STEP),
            (STEP / LEAST + 1, 2 * STEP),
            (STEP_MOST / LEAST, STEP_MOST),
        ] {
            let mut room = Room::default();
            let found =
                (0..step.div_ceil(len)).filter_map(|_| room.behind(1000, len, LIMIT, false));
            let found: Vec<_> = found.map(|place| (place.start, place.end)).collect();
            assert_eq!(found, [(1000, 1000 + step)]);
        }
    }

    #[test]
    fn room_ends_with_the_segment() {
        let mut room = Room::default();
        assert_eq!(
            room.behind(LIMIT - 10, 100, LIMIT, true),
            Some(LIMIT - 10..LIMIT)
        );
        assert!(room.is_behind(LIMIT - 1) && !room.is_behind(LIMIT));
        for end in [LIMIT - 1, LIMIT, LIMIT + 10] {
            assert_eq!(room.behind(end, 100, LIMIT, true), None);
        }
    }
}
