//! Appending to the log: one writer at a time, for all that is queued.
//!
//! Whoever finds nobody writing becomes the leader, takes the queue and writes it in one call; the
//! others wait for it. Syncing works the same way, beside writing. Owns when what is at the end of the log is
//! written, brought to the device and carried on in a new segment. Knows nothing of what is in a frame.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use bytes::Bytes;

use super::files::Files;
use super::frame::Draft;
use super::mark::Mark;
use super::room::{self, Room};
use super::segment::{self, Header, StoreId};
use super::tail::{Queued, Tail, write_run};
use super::{Locator, Lsn, Position};
use crate::disk::{Disk, DiskFile, fault};
use crate::durability::{Durability, Pending};
use crate::error::{Action, IoFault, StorageError};
use crate::lock::{lock, wait};

/// Bytes that may wait in this process before they are written all the same.
const MAX_BUFFERED: u64 = 1 << 20;

/// Bytes that the device is given soon, and how often a segment that is finished aside is brought to it until
/// there are no more than that left.
const LITTLE: u64 = 512 << 10;
const ROUNDS: usize = 4;

/// The end of a log, and what is on its way there.
#[derive(Debug)]
pub(crate) struct Log {
    disk: Arc<dyn Disk>,
    files: Files,
    store: StoreId,
    /// Bytes after which a new segment is begun.
    segment_len: AtomicU32,
    /// Whether somebody beside the appends finishes segments, which may grow a little until then.
    aside: AtomicBool,
    tail: Mutex<Tail>,
    changed: Condvar,
    /// Segment and offset up to which the operating system has everything.
    written: AtomicU64,
    /// Bytes appended since the device was last asked to keep what it has.
    unsynced: AtomicU64,
}

/// Where a frame went.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Placed {
    pub(crate) lsn: Lsn,
    pub(crate) segment: u32,
    /// Where it starts.
    pub(crate) start: u32,
    /// Where its data starts.
    pub(crate) data: u32,
}

impl Log {
    /// Continues a log at its end, with all of it on the device.
    pub(crate) fn new(
        disk: Arc<dyn Disk>,
        store: StoreId,
        segment_len: u32,
        end: Position,
        file: Arc<dyn DiskFile>,
    ) -> Self {
        Self {
            files: Files::new(Arc::clone(&disk)),
            disk,
            store,
            segment_len: AtomicU32::new(segment_len),
            aside: AtomicBool::new(false),
            tail: Mutex::new(Tail::at(end, file)),
            changed: Condvar::new(),
            written: AtomicU64::new(pack(end.segment, end.offset)),
            unsynced: AtomicU64::new(0),
        }
    }

    /// Goes on from a position that is on the device with all before it.
    pub(crate) fn continue_at(&self, end: Position, last: Option<Mark>, file: Arc<dyn DiskFile>) {
        let mut tail = lock(&self.tail);
        tail.last = last;
        (tail.next, tail.written, tail.synced) = (end, end.lsn, end.lsn);
        (tail.segment, tail.file, tail.room) = (end.segment, file, Room::default());
        self.written
            .store(pack(end.segment, end.offset), Ordering::Release);
    }

    /// Puts a frame at the end. When this returns, what `level` promises short of the device is kept.
    pub(crate) fn append(&self, frame: Draft, level: Durability) -> Result<Placed, StorageError> {
        let mut tail = lock(&self.tail);
        tail.check()?;
        let (len, data_offset) = (frame.frame_len(), frame.data_offset());
        let end = u64::from(tail.next.offset).saturating_add(len);
        if end > self.longest() {
            tail.begin_segment();
        }
        let at = tail.next;
        let offset = u64::from(at.offset);
        let (Ok(data), Ok(end)) = (
            u32::try_from(offset + data_offset),
            u32::try_from(offset + len),
        ) else {
            return Err(StorageError::Batch(crate::BatchError::TooManyOperations));
        };
        tail.next = Position {
            segment: at.segment,
            offset: end,
            lsn: at.lsn.next(),
        };
        let (parts, crc) = frame.seal(at.lsn, tail.synced, self.store);
        tail.last = Some(Mark {
            segment: at.segment,
            start: at.offset,
            end,
            lsn: at.lsn,
            crc,
        });
        let queued = Queued { at, len, parts };
        let alone = !tail.writing && tail.queue.is_empty() && at.segment == tail.segment;
        tail.lasting |= level == Durability::Disk;
        tail.queued_len = tail.queued_len.saturating_add(len);
        self.unsynced.fetch_add(len, Ordering::Relaxed);
        if level > Durability::Buffered && alone {
            self.write_alone(tail, &queued)?;
        } else {
            tail.queue.push(queued);
            if level > Durability::Buffered || tail.queued_len > MAX_BUFFERED {
                drop(self.write_until(tail, at.lsn)?);
            }
        }
        Ok(Placed {
            lsn: at.lsn,
            segment: at.segment,
            start: at.offset,
            data,
        })
    }

    /// Bytes of a segment after which an append begins the next.
    fn longest(&self) -> u64 {
        let len = u64::from(self.segment_len.load(Ordering::Relaxed));
        let grown = match self.aside.load(Ordering::Relaxed) {
            true => len / 4,
            false => 0,
        };
        (len + grown).min(u32::MAX.into())
    }

    /// From now on [`finish`](Self::finish) is called when a segment [is full](Self::is_full).
    pub(crate) fn finish_aside(&self) {
        self.aside.store(true, Ordering::Relaxed);
    }

    /// Whether the segment is as long as it should be.
    pub(crate) fn is_full(&self) -> bool {
        let end = offset_of(self.written.load(Ordering::Relaxed));
        end >= self.segment_len.load(Ordering::Relaxed)
    }

    /// Begins the next segment if this one is full. Most of it is brought to the device while appends go
    /// on, so that they wait for the rest of it alone.
    pub(crate) fn finish(&self) -> Result<(), StorageError> {
        let mut rounds = 0..ROUNDS;
        while self.is_full() && rounds.next().is_some() {
            self.sync_all()?;
            if self.unsynced() < LITTLE {
                break;
            }
        }
        let mut tail = lock(&self.tail);
        while tail.writing {
            tail = self.wait(tail);
        }
        // somebody else may have begun one
        if !self.is_full() || tail.next.segment != tail.segment {
            return Ok(());
        }
        tail.check()?;
        tail.begin_segment();
        let first = tail.next;
        self.lead(tail, Some(first)).map(drop)
    }

    /// From now on a new segment is begun after so many bytes.
    pub(crate) fn set_segment_len(&self, bytes: u32) {
        self.segment_len.store(bytes, Ordering::Relaxed);
    }

    /// Has the next frame begin a segment.
    pub(crate) fn begin_segment(&self) {
        lock(&self.tail).begin_segment();
    }

    /// Closes a segment that is about to be removed.
    pub(crate) fn forget(&self, segment: u32) {
        self.files.forget(segment);
    }

    /// Where the next frame will go, once all before it is with the operating system.
    pub(crate) fn flush(&self) -> Result<Position, StorageError> {
        let tail = lock(&self.tail);
        let Some(last) = tail.next.lsn.0.checked_sub(1) else {
            return Ok(tail.next);
        };
        self.write_until(tail, Lsn(last)).map(|tail| tail.next)
    }

    /// The frame before the place where the next one goes.
    pub(crate) fn last(&self) -> Option<Mark> {
        lock(&self.tail).last
    }

    /// Brings the frame with all before it to the device.
    pub(crate) fn sync(&self, lsn: Lsn) -> Result<(), StorageError> {
        let mut tail = self.write_until(lock(&self.tail), lsn)?;
        loop {
            if tail.synced > lsn {
                return Ok(());
            }
            tail.check()?;
            if tail.syncing {
                tail = self.wait(tail);
                continue;
            }
            tail.syncing = true;
            self.unsynced.store(0, Ordering::Relaxed);
            let (file, number, target) = (Arc::clone(&tail.file), tail.segment, tail.written);
            drop(tail);
            let synced = file.sync();
            tail = lock(&self.tail);
            tail.syncing = false;
            match synced {
                Ok(()) => tail.synced = tail.synced.max(target),
                Err(source) => {
                    let io = fault(&*self.disk, Action::Sync, &segment::name(number))(source);
                    tail.failed = Some(Arc::new(StorageError::Io(io)));
                }
            }
            self.notify(&tail);
        }
    }

    /// Brings all that was written to the device.
    pub(crate) fn sync_all(&self) -> Result<(), StorageError> {
        match self.last() {
            Some(last) => self.sync(last.lsn),
            None => Ok(()),
        }
    }

    /// Bytes appended that nobody has brought to the device yet.
    pub(crate) fn unsynced(&self) -> u64 {
        self.unsynced.load(Ordering::Relaxed)
    }

    pub(crate) fn is_synced(&self, lsn: Lsn) -> bool {
        let tail = lock(&self.tail);
        tail.synced > lsn || tail.failed.is_some()
    }

    /// Refuses all further writes, and waits for the one under way.
    pub(crate) fn fail(&self, cause: Arc<StorageError>) {
        let mut tail = lock(&self.tail);
        tail.failed.get_or_insert(cause);
        self.changed.notify_all();
        while tail.writing {
            tail = self.wait(tail);
        }
    }

    pub(crate) fn check(&self) -> Result<(), StorageError> {
        lock(&self.tail).check()
    }

    /// Bytes of the log from `offset` on, be they written or still on their way.
    pub(crate) fn read(&self, number: u32, offset: u32, len: usize) -> Result<Bytes, IoFault> {
        let end = u64::from(offset).saturating_add(len as u64);
        let end = u32::try_from(end).unwrap_or(u32::MAX);
        if segment::round(number) == 0
            && pack(number, end) > self.written.load(Ordering::Acquire)
            && let Some(bytes) = lock(&self.tail).find(number, offset, len)
        {
            return Ok(bytes);
        }
        self.files.read(number, offset.into(), len)
    }

    /// The block at a locator; `None` where its bytes are not those that were written.
    pub(crate) fn read_block(&self, at: &Locator) -> Result<Option<Bytes>, IoFault> {
        let bytes = self.read(at.segment, at.offset, at.len as usize)?;
        Ok(super::files::is_whole(at, &bytes).then_some(bytes))
    }

    fn write_until<'a>(
        &'a self,
        mut tail: MutexGuard<'a, Tail>,
        lsn: Lsn,
    ) -> Result<MutexGuard<'a, Tail>, StorageError> {
        while tail.written <= lsn {
            tail.check()?;
            if tail.writing {
                tail = self.wait(tail);
            } else {
                tail = self.lead(tail, None)?;
            }
        }
        Ok(tail)
    }

    /// Writes all that is queued, and begins a segment behind it where there is to be a `first` in one.
    fn lead<'a>(
        &'a self,
        mut tail: MutexGuard<'a, Tail>,
        first: Option<Position>,
    ) -> Result<MutexGuard<'a, Tail>, StorageError> {
        let group = Arc::new(std::mem::take(&mut tail.queue));
        let room = self.room_behind(&mut tail);
        tail.queued_len = 0;
        tail.in_flight = Some(Arc::clone(&group));
        tail.writing = true;
        let (file, number) = (Arc::clone(&tail.file), tail.segment);
        drop(tail);
        let written = self.write_group(&group, file, number, first);
        if let Some((file, place)) = room.filter(|_| written.is_ok()) {
            let _ = room::fill(&*file, &place);
        }
        let mut tail = lock(&self.tail);
        tail.in_flight = None;
        self.settle(&mut tail, written, group.last())?;
        if let Some(first) = first {
            let end = pack(first.segment, first.offset);
            self.written.store(end, Ordering::Release);
        }
        // the room for a queue is used again
        if let Some(mut written) = Arc::into_inner(group).filter(|_| tail.queue.is_empty()) {
            written.clear();
            tail.queue = written;
        }
        Ok(tail)
    }

    /// Writes a frame before which no other waits, into the segment that is written to. Nobody looks for it
    /// before this returns.
    fn write_alone(
        &self,
        mut tail: MutexGuard<'_, Tail>,
        frame: &Queued,
    ) -> Result<(), StorageError> {
        let room = self.room_behind(&mut tail);
        tail.queued_len = 0;
        tail.writing = true;
        let file = Arc::clone(&tail.file);
        drop(tail);
        let start = u64::from(frame.at.offset);
        let written = write_run(&*file, std::slice::from_ref(frame), start);
        let written = written.map_err(|source| {
            let name = segment::name(frame.at.segment);
            fault(&*self.disk, Action::Write, &name)(source)
        });
        match (&written, room) {
            (Ok(()), Some((file, place))) => drop(room::fill(&*file, &place)),
            (Ok(()), None) => {}
            (Err(_), _) => self.take_back(&[(frame.at.segment, file, start)]),
        }
        self.settle(&mut lock(&self.tail), written, Some(frame))
    }

    /// Takes note that frames up to a last were written, or were not.
    fn settle(
        &self,
        tail: &mut Tail,
        written: Result<(), IoFault>,
        last: Option<&Queued>,
    ) -> Result<(), StorageError> {
        tail.writing = false;
        match (&written, last) {
            (Ok(()), Some(last)) => {
                tail.written = last.at.lsn.next();
                let end = pack(last.at.segment, last.end());
                self.written.store(end, Ordering::Release);
            }
            (Ok(()), None) => {}
            (Err(error), _) => {
                tail.failed
                    .get_or_insert_with(|| Arc::new(StorageError::Io(error.duplicate())));
            }
        }
        self.notify(tail);
        written.map_err(StorageError::Io)
    }

    /// Writes all frames of a group, or leaves none of them behind.
    fn write_group(
        &self,
        group: &[Queued],
        mut file: Arc<dyn DiskFile>,
        mut number: u32,
        first: Option<Position>,
    ) -> Result<(), IoFault> {
        // where each segment was written to, and the last one apart: mostly it is the only one
        let mut done: Vec<(u32, Arc<dyn DiskFile>, u64)> = Vec::new();
        let mut end = offset_of(self.written.load(Ordering::Relaxed));
        let mut current = None;
        for run in group.chunk_by(|a, b| a.at.segment == b.at.segment) {
            let Some(first) = run.first() else { continue };
            let start = u64::from(first.at.offset);
            let written = if first.at.segment == number {
                Ok(())
            } else {
                self.rotate(&file, number, end, first.at).map(|next| {
                    file = next;
                    number = first.at.segment;
                })
            };
            end = run.last().map_or(end, Queued::end);
            let written = written.and_then(|()| {
                done.extend(current.replace((number, Arc::clone(&file), start)));
                write_run(&*file, run, start).map_err(|source| {
                    fault(&*self.disk, Action::Write, &segment::name(number))(source)
                })
            });
            if let Err(error) = written {
                done.extend(current);
                self.take_back(&done);
                return Err(error);
            }
        }
        let begun = first.map_or(Ok(()), |first| {
            self.rotate(&file, number, end, first).map(drop)
        });
        if begun.is_err() {
            done.extend(current);
            self.take_back(&done);
        }
        begun
    }

    /// Cuts what a group wrote before it stopped, newest first. Should that not succeed either, the
    /// next to open the store finds whole frames that nobody acknowledged, and keeps them.
    fn take_back(&self, done: &[(u32, Arc<dyn DiskFile>, u64)]) {
        for (at, (number, file, start)) in done.iter().enumerate().rev() {
            let cut = if at > 0 {
                self.disk.remove(&segment::name(*number))
            } else {
                file.set_len(*start)
            };
            if cut.is_err() {
                return;
            }
        }
    }

    /// Where zeros are to be put behind all that is queued, in the segment that is written to.
    fn room_behind(&self, tail: &mut Tail) -> Option<(Arc<dyn DiskFile>, Range<u64>)> {
        let synced = std::mem::take(&mut tail.lasting);
        if tail.next.segment != tail.segment {
            return None;
        }
        let (end, limit) = (tail.next.offset, self.segment_len.load(Ordering::Relaxed));
        let place = tail
            .room
            .behind(end.into(), tail.queued_len, limit.into(), synced);
        Some((Arc::clone(&tail.file), place?))
    }

    /// Gives back the room behind the last frame.
    pub(crate) fn trim(&self) -> Result<(), StorageError> {
        self.check()?;
        self.flush()?;
        let mut tail = lock(&self.tail);
        // not where the next frame goes, which may be in a segment that there is not yet
        let end = offset_of(self.written.load(Ordering::Relaxed)).into();
        if std::mem::take(&mut tail.room).is_behind(end) {
            let cut = tail.file.set_len(end);
            let name = segment::name(tail.segment);
            cut.map_err(fault(&*self.disk, Action::Truncate, &name))?;
        }
        Ok(())
    }

    /// Finishes a segment and starts the next. All frames of a finished segment are on the device, and
    /// nothing is behind them.
    fn rotate(
        &self,
        old: &Arc<dyn DiskFile>,
        number: u32,
        end: u32,
        first: Position,
    ) -> Result<Arc<dyn DiskFile>, IoFault> {
        let name = segment::name(number);
        if lock(&self.tail).room.is_behind(end.into()) {
            old.set_len(end.into())
                .map_err(fault(&*self.disk, Action::Truncate, &name))?;
        }
        old.sync()
            .map_err(fault(&*self.disk, Action::Sync, &name))?;
        let header = Header {
            number: first.segment,
            store: self.store,
            first: first.lsn,
            collected: None,
        };
        let file = create_segment(&*self.disk, header)?;
        let mut tail = lock(&self.tail);
        tail.synced = tail.synced.max(first.lsn);
        tail.segment = first.segment;
        tail.file = Arc::clone(&file);
        tail.room = Room::default();
        Ok(file)
    }

    fn wait<'a>(&'a self, mut tail: MutexGuard<'a, Tail>) -> MutexGuard<'a, Tail> {
        tail.waiting += 1;
        let mut tail = wait(&self.changed, tail);
        tail.waiting -= 1;
        tail
    }

    fn notify(&self, tail: &Tail) {
        if tail.waiting > 0 {
            self.changed.notify_all();
        }
    }
}

/// Makes a segment with nothing but its header, on the device with its name.
pub(crate) fn create_segment(
    disk: &dyn Disk,
    header: Header,
) -> Result<Arc<dyn DiskFile>, IoFault> {
    let name = segment::name(header.number);
    let file = disk
        .create(&name)
        .map_err(fault(disk, Action::Create, &name))?;
    file.write_at(&[&header.encode()], 0)
        .map_err(fault(disk, Action::Write, &name))?;
    file.sync().map_err(fault(disk, Action::Sync, &name))?;
    disk.sync_dir(segment::DIR)
        .map_err(fault(disk, Action::Sync, segment::DIR))?;
    Ok(file)
}

/// A frame on its way to the device.
#[derive(Debug)]
pub(crate) struct Syncing {
    pub(crate) log: Arc<Log>,
    pub(crate) lsn: Lsn,
}

impl Pending for Syncing {
    fn is_reached(&self) -> bool {
        self.log.is_synced(self.lsn)
    }

    fn wait(&self) -> Result<(), StorageError> {
        self.log.sync(self.lsn)
    }
}

/// Segment and offset as one number, in their order.
const fn pack(segment: u32, offset: u32) -> u64 {
    ((segment as u64) << 32) | offset as u64
}

fn offset_of(packed: u64) -> u32 {
    u32::try_from(packed & u64::from(u32::MAX)).unwrap_or(u32::MAX)
}
