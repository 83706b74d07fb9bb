//! The end of a log, with the frames that are on their way there. Owns where the next one goes, and finding
//! bytes that are not written yet. Knows nothing of who writes them, nor when.

use std::io;
use std::sync::Arc;

use bytes::Bytes;

use super::frame::Parts;
use super::mark::Mark;
use super::room::Room;
use super::{Lsn, Position, segment};
use crate::disk::DiskFile;
use crate::error::StorageError;

/// The end of a log.
#[derive(Debug)]
pub(super) struct Tail {
    /// Where the next frame goes.
    pub(super) next: Position,
    /// The frame before that, if there is one.
    pub(super) last: Option<Mark>,
    pub(super) queue: Vec<Queued>,
    pub(super) queued_len: u64,
    /// What the leader is writing.
    pub(super) in_flight: Option<Arc<Vec<Queued>>>,
    pub(super) writing: bool,
    pub(super) syncing: bool,
    pub(super) waiting: usize,
    /// All frames before this one are with the operating system.
    pub(super) written: Lsn,
    /// All frames before this one are on the device.
    pub(super) synced: Lsn,
    /// The segment that is written to, and its file.
    pub(super) segment: u32,
    pub(super) file: Arc<dyn DiskFile>,
    /// What is behind the frames in that file.
    pub(super) room: Room,
    /// Whether somebody in the queue waits for the device.
    pub(super) lasting: bool,
    pub(super) failed: Option<Arc<StorageError>>,
}

/// A frame that is not written yet.
#[derive(Debug)]
pub(super) struct Queued {
    pub(super) at: Position,
    pub(super) len: u64,
    pub(super) parts: Parts,
}

impl Queued {
    /// Where the next one begins.
    pub(super) fn end(&self) -> u32 {
        let end = u64::from(self.at.offset).saturating_add(self.len);
        u32::try_from(end).unwrap_or(u32::MAX)
    }
}

impl Tail {
    /// Where a log ends that ends with the operating system.
    pub(super) fn at(end: Position, file: Arc<dyn DiskFile>) -> Self {
        Self {
            next: end,
            last: None,
            queue: Vec::new(),
            queued_len: 0,
            in_flight: None,
            writing: false,
            syncing: false,
            waiting: 0,
            written: end.lsn,
            synced: end.lsn,
            segment: end.segment,
            file,
            room: Room::default(),
            lasting: false,
            failed: None,
        }
    }

    pub(super) fn check(&self) -> Result<(), StorageError> {
        match &self.failed {
            Some(cause) => Err(StorageError::Poisoned {
                cause: Arc::clone(cause),
            }),
            None => Ok(()),
        }
    }

    /// Leaves the segment as it is, if there is anything in it and a place for another.
    pub(super) fn begin_segment(&mut self) {
        let place = segment::place(self.next.segment).saturating_add(1);
        if let Some(number) = segment::numbered(place, 0)
            && self.next.offset > segment::HEADER_LEN
        {
            self.next.segment = number;
            self.next.offset = segment::HEADER_LEN;
        }
    }

    /// Bytes that wait to be written.
    pub(super) fn find(&self, segment: u32, offset: u32, len: usize) -> Option<Bytes> {
        let holds = |queued: &&Queued| {
            let (start, offset) = (u64::from(queued.at.offset), u64::from(offset));
            queued.at.segment == segment && start <= offset && offset < start + queued.len
        };
        let in_flight = self.in_flight.iter().flat_map(|group| group.iter());
        let queued = in_flight.chain(&self.queue).find(holds)?;
        let mut skip = (offset - queued.at.offset) as usize;
        let mut out = Vec::with_capacity(len);
        for part in queued.parts.iter() {
            let from = part.get(skip..).unwrap_or_default();
            skip = skip.saturating_sub(part.len());
            out.extend_from_slice(from.get(..len - out.len()).unwrap_or(from));
        }
        Some(Bytes::from(out))
    }
}

/// Writes frames that follow each other.
pub(super) fn write_run(file: &dyn DiskFile, run: &[Queued], start: u64) -> io::Result<()> {
    if let [queued] = run
        && let Some(whole) = queued.parts.whole()
    {
        return file.write_at(&[whole], start);
    }
    let count = run.iter().map(|queued| queued.parts.count()).sum();
    let mut parts: Vec<&[u8]> = Vec::with_capacity(count);
    parts.extend(run.iter().flat_map(|queued| queued.parts.iter()));
    file.write_at(&parts, start)
}
