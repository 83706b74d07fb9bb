//! Reading the log from front to back, and telling what a crash may leave from what it may not.
//!
//! A crash leaves a last segment whose end is torn. Everything else that is not whole is damage: a bad
//! frame in a finished segment, or one of which a later frame says that it was on the device.

use std::sync::Arc;

use bytes::Bytes;

use super::files::Files;
use super::frame::{self, Header};
use super::mark::{self, Mark, Recorded};
use super::segment::{self, BadHeader, StoreId};
use super::{Lsn, Position};
use crate::disk::{Disk, fault};
use crate::error::{Action, Damage, DamageKind, IoFault, OpenError};
use crate::record::entry::Entry;

/// Bytes that are read at once.
const WINDOW: usize = 256 << 10;

/// The segments of a log, from what is in its directory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Extent {
    pub(crate) store: StoreId,
    /// The first frame there is.
    pub(crate) start: Position,
    pub(crate) last_segment: u32,
}

/// A frame that is whole.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) mark: Mark,
    pub(crate) entries: Vec<Entry>,
    /// Where its data starts.
    pub(crate) data: u32,
}

/// What is in the directory of the log.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Found {
    pub(crate) extent: Extent,
    /// A last segment that was being made when its maker died; not in the extent.
    pub(crate) unfinished: Option<u32>,
}

/// Finds the log, and what is known of its end; the end is there. `None` where there is no log and none
/// is known of.
pub(crate) fn find(disk: &Arc<dyn Disk>) -> Result<(Option<Found>, Option<Mark>), OpenError> {
    // in this order: somebody may be writing, and what is recorded was in the log before
    let recorded = mark::read(&**disk)?;
    let found = extent(&**disk)?;
    if let Some(recorded) = &recorded {
        check(disk, found.as_ref(), recorded)?;
    }
    Ok((found, recorded.map(|recorded| recorded.mark)))
}

/// Whether the log is there up to what is recorded of it.
fn check(
    disk: &Arc<dyn Disk>,
    found: Option<&Found>,
    recorded: &Recorded,
) -> Result<(), OpenError> {
    let mark = &recorded.mark;
    let missing = || damage(&**disk, mark.segment, 0, DamageKind::Missing);
    let found = found.ok_or_else(missing)?;
    if let Some(unfinished) = found.unfinished.filter(|number| *number <= mark.segment) {
        return Err(damage(&**disk, unfinished, 0, DamageKind::SegmentHeader).into());
    }
    let extent = &found.extent;
    if extent.store != recorded.store {
        return Err(mark::damage(&**disk).into());
    }
    if mark.segment > extent.last_segment {
        return Err(missing().into());
    }
    if holds(disk, extent, mark)? {
        Ok(())
    } else {
        Err(first_damage(disk, extent, mark))
    }
}

/// Whether the frame is there, as it was.
pub(crate) fn holds(disk: &Arc<dyn Disk>, extent: &Extent, mark: &Mark) -> Result<bool, OpenError> {
    let at = mark.position();
    if at.segment < extent.start.segment || at.segment > extent.last_segment {
        return Ok(false);
    }
    let last = at.segment == extent.last_segment;
    let scanner = Scanner::new(disk, at, extent.last_segment);
    match scanner.and_then(|mut scanner| scanner.frame(last)) {
        Ok(found) => Ok(found.is_some_and(|frame| frame.mark == *mark)),
        Err(OpenError::Damaged(_)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Where a log that lacks a frame stops being what it was: the first frame that is not whole, or else
/// the place of the one it lacks.
pub(crate) fn first_damage(disk: &Arc<dyn Disk>, extent: &Extent, mark: &Mark) -> OpenError {
    let scan = || {
        let mut scanner = Scanner::new(disk, extent.start, extent.last_segment)?;
        while let Next::Frame(_) = scanner.next(mark.lsn.next())? {}
        Ok(())
    };
    match scan() {
        Err(error) => error,
        Ok(()) => damage(&**disk, mark.segment, mark.start.into(), DamageKind::Frame).into(),
    }
}

/// Finds the segments; `None` where there is no log.
pub(crate) fn extent(disk: &dyn Disk) -> Result<Option<Found>, OpenError> {
    let listed = disk.list(segment::DIR);
    let Some(names) = listed.map_err(fault(disk, Action::List, segment::DIR))? else {
        return Ok(None);
    };
    let mut numbers: Vec<u32> = names
        .iter()
        .filter_map(|name| segment::number(name))
        .collect();
    numbers.sort_unstable();
    for pair in numbers.windows(2) {
        if let [a, b] = *pair
            && a.checked_add(1) != Some(b)
        {
            return Err(damage(disk, a, 0, DamageKind::Missing).into());
        }
    }
    let Some((&first, &last)) = numbers.first().zip(numbers.last()) else {
        return Ok(None);
    };
    let Some(header) = read_header(disk, first, first == last)? else {
        return Ok(Some(Found {
            extent: empty_extent(first),
            unfinished: Some(first),
        }));
    };
    let start = Position {
        segment: first,
        offset: segment::HEADER_LEN,
        lsn: header.first,
    };
    let mut extent = Extent {
        store: header.store,
        start,
        last_segment: last,
    };
    let mut unfinished = None;
    if last != first {
        match read_header(disk, last, true)? {
            Some(header) if header.store != extent.store => {
                return Err(damage(disk, last, 0, DamageKind::SegmentHeader).into());
            }
            Some(_) => {}
            None => {
                unfinished = Some(last);
                extent.last_segment = last - 1;
            }
        }
    }
    Ok(Some(Found { extent, unfinished }))
}

/// What stands for a log whose first segment was being made.
fn empty_extent(segment: u32) -> Extent {
    let start = Position {
        segment,
        offset: segment::HEADER_LEN,
        lsn: Lsn::default(),
    };
    Extent {
        store: StoreId([0; 16]),
        start,
        last_segment: segment,
    }
}

/// `None` where the segment may be new and its header is not whole: only frames make it old.
fn read_header(
    disk: &dyn Disk,
    number: u32,
    may_be_new: bool,
) -> Result<Option<segment::Header>, OpenError> {
    let name = segment::name(number);
    let file = disk
        .open(&name, false)
        .map_err(fault(disk, Action::Open, &name))?;
    let Some(file) = file else {
        return Err(damage(disk, number, 0, DamageKind::Missing).into());
    };
    let mut bytes = [0; segment::HEADER_LEN as usize];
    let read = file
        .read_at(&mut bytes, 0)
        .map_err(fault(disk, Action::Read, &name))?;
    let len = file.len().map_err(fault(disk, Action::Read, &name))?;
    match segment::Header::decode(bytes.get(..read).unwrap_or_default()) {
        Ok(header) if header.number == number => Ok(Some(header)),
        Err(BadHeader::Version(found)) => Err(OpenError::Version {
            path: disk.root().join(&name),
            found,
            supported: segment::FORMAT_VERSION,
        }),
        _ if may_be_new && len <= segment::HEADER_LEN.into() => Ok(None),
        _ => Err(damage(disk, number, 0, DamageKind::SegmentHeader).into()),
    }
}

/// Reads frames from a position on.
#[derive(Debug)]
pub(crate) struct Scanner<'a> {
    disk: &'a dyn Disk,
    files: Files,
    at: Position,
    /// The frame before that, once one was read.
    last: Option<Mark>,
    last_segment: u32,
    window: Bytes,
    window_at: u64,
    /// Length of the segment when it was entered.
    segment_len: u64,
}

/// What a scan came upon.
#[derive(Debug)]
pub(crate) enum Next {
    Frame(Box<Frame>),
    /// The end of the log; `torn` where bytes follow that are no frame.
    End {
        torn: bool,
    },
}

impl<'a> Scanner<'a> {
    pub(crate) fn new(
        disk: &'a Arc<dyn Disk>,
        at: Position,
        last_segment: u32,
    ) -> Result<Self, OpenError> {
        let mut scanner = Self {
            disk: &**disk,
            files: Files::new(Arc::clone(disk)),
            at,
            last: None,
            last_segment,
            window: Bytes::new(),
            window_at: 0,
            segment_len: 0,
        };
        scanner.enter()?;
        Ok(scanner)
    }

    pub(crate) fn position(&self) -> Position {
        self.at
    }

    /// The frame that was read last.
    pub(crate) fn last(&self) -> Option<Mark> {
        self.last
    }

    /// The next frame. `known`: frames below it are known to have been on the device.
    pub(crate) fn next(&mut self, known: Lsn) -> Result<Next, OpenError> {
        loop {
            let last = self.at.segment == self.last_segment;
            if u64::from(self.at.offset) == self.segment_len {
                if last && self.at.lsn < known {
                    let offset = self.segment_len;
                    return Err(
                        damage(self.disk, self.at.segment, offset, DamageKind::Missing).into(),
                    );
                }
                if last {
                    return Ok(Next::End { torn: false });
                }
                self.advance()?;
                continue;
            }
            if let Some(frame) = self.frame(last)? {
                self.at = frame.mark.next();
                self.last = Some(frame.mark);
                return Ok(Next::Frame(Box::new(frame)));
            }
            let offset = u64::from(self.at.offset);
            if !last || self.at.lsn < known || self.was_synced()? {
                return Err(damage(self.disk, self.at.segment, offset, DamageKind::Frame).into());
            }
            return Ok(Next::End { torn: true });
        }
    }

    /// Goes to the next segment, which must continue this one.
    fn advance(&mut self) -> Result<(), OpenError> {
        self.at.segment = self.at.segment.saturating_add(1);
        self.at.offset = segment::HEADER_LEN;
        let last = self.at.segment == self.last_segment;
        let header = read_header(self.disk, self.at.segment, last)?;
        if header.is_none_or(|header| header.first != self.at.lsn) {
            return Err(damage(self.disk, self.at.segment, 0, DamageKind::Missing).into());
        }
        self.enter()
    }

    fn enter(&mut self) -> Result<(), OpenError> {
        let name = segment::name(self.at.segment);
        let missing = || damage(self.disk, self.at.segment, 0, DamageKind::Missing);
        let file = self.files.segment(self.at.segment)?.ok_or_else(missing)?;
        self.segment_len = file.len().map_err(fault(self.disk, Action::Read, &name))?;
        self.window = Bytes::new();
        self.window_at = 0;
        if self.segment_len < self.at.offset.into() {
            return Err(missing().into());
        }
        Ok(())
    }

    /// The frame here, if it is whole. The data of frames in finished segments is not read: it was
    /// checked against its checksums when they were written, and is when it is read.
    fn frame(&mut self, verify_data: bool) -> Result<Option<Frame>, OpenError> {
        let start = u64::from(self.at.offset);
        let Some(header) = self.header(start)? else {
            return Ok(None);
        };
        let end = start.saturating_add(header.frame_len());
        let (Ok(next), true) = (u32::try_from(end), end <= self.segment_len) else {
            return Ok(None);
        };
        if header.lsn != self.at.lsn {
            return Ok(None);
        }
        let body_at = start + frame::HEADER_LEN as u64;
        let body = self.bytes(body_at, header.body_len as usize)?;
        if !header.is_of(&body) {
            return Ok(None);
        }
        let data_at = body_at + u64::from(header.body_len);
        let meaningless = damage(self.disk, self.at.segment, start, DamageKind::FrameContent);
        let entries = Entry::decode_all(&body).ok_or_else(|| meaningless.clone())?;
        let data_len: u64 = entries.iter().map(Entry::data_len).sum();
        if data_len != u64::from(header.data_len) {
            return Err(meaningless.into());
        }
        if verify_data && !self.data_is_whole(&entries, data_at)? {
            return Ok(None);
        }
        Ok(Some(Frame {
            mark: Mark {
                segment: self.at.segment,
                start: self.at.offset,
                end: next,
                lsn: header.lsn,
                crc: header.crc,
            },
            entries,
            data: u32::try_from(data_at).unwrap_or(u32::MAX),
        }))
    }

    fn header(&mut self, at: u64) -> Result<Option<Header>, IoFault> {
        let bytes = self.bytes(at, frame::HEADER_LEN)?;
        Ok(bytes.first_chunk().and_then(Header::decode))
    }

    fn data_is_whole(&mut self, entries: &[Entry], mut at: u64) -> Result<bool, IoFault> {
        for slot in entries.iter().flat_map(|entry| &entry.blocks) {
            let (mut left, mut crc) = (slot.len as usize, 0);
            while left > 0 {
                let bytes = self.bytes(at, left.min(WINDOW))?;
                if bytes.is_empty() {
                    return Ok(false);
                }
                crc = crc32c::crc32c_append(crc, &bytes);
                left -= bytes.len();
                at = at.saturating_add(bytes.len() as u64);
            }
            if crc != slot.crc {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether a whole header behind a bad frame says that the bad one was on the device.
    fn was_synced(&mut self) -> Result<bool, OpenError> {
        let bad = self.at;
        let mut at = u64::from(bad.offset) + 1;
        while at + (frame::HEADER_LEN as u64) <= self.segment_len {
            let window = self.bytes(at, WINDOW)?;
            let found = window
                .windows(frame::MAGIC.len())
                .position(|bytes| bytes == frame::MAGIC);
            let Some(found) = found else {
                at += (window.len().max(frame::MAGIC.len()) - (frame::MAGIC.len() - 1)) as u64;
                continue;
            };
            at += found as u64;
            if let Some(header) = self.header(at)?
                && header.lsn > bad.lsn
                && header.synced > bad.lsn
                && at.saturating_add(header.frame_len()) <= self.segment_len
            {
                let body = self.bytes(at + frame::HEADER_LEN as u64, header.body_len as usize)?;
                if header.is_of(&body) {
                    return Ok(true);
                }
            }
            at += 1;
        }
        Ok(false)
    }

    /// Bytes of the segment, fewer where it ends.
    fn bytes(&mut self, at: u64, len: usize) -> Result<Bytes, IoFault> {
        let left = self.segment_len.saturating_sub(at);
        let len = usize::try_from(left).unwrap_or(usize::MAX).min(len);
        let skip = at
            .checked_sub(self.window_at)
            .and_then(|skip| usize::try_from(skip).ok());
        let held = skip.and_then(|skip| Some(skip..skip.checked_add(len)?));
        if let Some(held) = held.filter(|held| held.end <= self.window.len()) {
            return Ok(self.window.slice(held));
        }
        let want = usize::try_from(left)
            .unwrap_or(usize::MAX)
            .min(len.max(WINDOW));
        self.window = self.files.read(self.at.segment, at, want)?;
        self.window_at = at;
        Ok(self.window.slice(..len.min(self.window.len())))
    }
}

pub(crate) fn damage(disk: &dyn Disk, number: u32, offset: u64, kind: DamageKind) -> Damage {
    Damage {
        path: disk.root().join(segment::name(number)),
        offset,
        kind,
    }
}
