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
