//! Stretches of the log with nodes that were read lately: who proves one block mostly proves its
//! neighbours next, whose nodes are in the same ones.
//!
//! A stretch is known by its place and its checksum, so that what is held is never out of date. Knows
//! nothing of nodes.

use std::sync::Mutex;

use bytes::Bytes;

use crate::error::IndexError;
use crate::index::nodes::Stretch;
use crate::lock::lock;

/// Stretches that are held; one more takes the place of the one that was read first.
const HELD: usize = 16;

/// Stretches that were read, with their bytes.
#[derive(Debug, Default)]
pub(crate) struct Stretches(Mutex<Held>);

#[derive(Debug, Default)]
struct Held {
    read: Vec<(Stretch, Bytes)>,
    /// Place of the one that was read first, once there are enough.
    oldest: usize,
}

impl Stretches {
    /// The bytes of a stretch, from `read` where they are not held.
    pub(crate) fn get(
        &self,
        stretch: &Stretch,
        read: impl FnOnce() -> Result<Bytes, IndexError>,
    ) -> Result<Bytes, IndexError> {
        let known = |(held, _): &&(Stretch, Bytes)| held == stretch;
        if let Some((_, bytes)) = lock(&self.0).read.iter().find(known) {
            return Ok(bytes.clone());
        }
        let bytes = read()?;
        let mut held = lock(&self.0);
        let entry = (*stretch, bytes.clone());
        if held.read.len() < HELD {
            held.read.push(entry);
        } else {
            let oldest = held.oldest;
            held.oldest = (oldest + 1) % HELD;
            if let Some(place) = held.read.get_mut(oldest) {
                *place = entry;
            }
        }
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_as_are_held_are_read_once_and_one_more_takes_the_oldest_place() {
        let stretches = Stretches::default();
        let mut reads = 0;
        let held = u8::try_from(HELD).unwrap();
        let mut get = |offset: u8, crc| {
            let stretch = Stretch::at(offset.into(), crc);
            let found = stretches.get(&stretch, || {
                reads += 1;
                Ok(Bytes::from(vec![offset]))
            });
            assert_eq!(found.unwrap(), vec![offset]);
            reads
        };
        for offset in (0..held).chain(0..held) {
            get(offset, 7);
        }
        assert_eq!(get(0, 7), HELD);
        assert_eq!(get(held, 7), HELD + 1, "one more");
        assert_eq!(get(1, 7), HELD + 1, "still there");
        assert_eq!(get(0, 7), HELD + 2, "gone for it");
        assert_eq!(get(2, 8), HELD + 3, "other bytes at a place");
    }

    #[test]
    fn what_cannot_be_read_is_not_held() {
        let stretches = Stretches::default();
        let path = std::path::PathBuf::from("index");
        let bad = || Err(IndexError::Entry { path });
        assert!(stretches.get(&Stretch::at(1, 1), bad).is_err());
        let good = || Ok(Bytes::from_static(b"x"));
        assert_eq!(stretches.get(&Stretch::at(1, 1), good).unwrap(), "x");
    }
}
