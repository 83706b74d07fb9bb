//! Reading the log from front to back, and telling what a crash may leave from what it may not.
//!
//! A crash leaves a last segment whose end is torn. Everything else that is not whole is damage: a bad
//! frame in a finished segment, or one of which a later frame says that it was on the device. Reading
//! can go on behind damage, with the next frame that is whole.

use std::sync::Arc;

use bytes::Bytes;

use super::files::Files;
use super::frame::{self, Header};
use super::mark::Mark;
use super::recover::{Extent, damage, read_header};
use super::segment::{self, Collected, StoreId};
use super::{Gap, Locator, Lsn, PlacedNode, Position, place_nodes};
use crate::disk::{Disk, fault};
use crate::error::{Action, DamageKind, IoFault, OpenError};
use crate::record::entry::{BlockSlot, Entry, NodesAt};

/// Bytes that are read at once.
const WINDOW: usize = 256 << 10;

/// A frame that is whole.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) mark: Mark,
    /// What it says, each with where its nodes are in the segment.
    pub(crate) entries: Vec<(Entry, NodesAt)>,
    /// Where its data starts.
    pub(crate) data: u32,
}

/// What a frame says of one log, and where the blocks and nodes in it are.
#[derive(Debug)]
pub(crate) struct Located {
    pub(crate) entry: Entry,
    pub(crate) blocks: Vec<(u64, Locator)>,
    pub(crate) nodes: Vec<PlacedNode>,
}

impl Frame {
    /// Its entries, each with where its blocks and nodes are.
    pub(crate) fn located(self) -> impl Iterator<Item = Located> {
        let (segment, mut offset) = (self.mark.segment, self.data);
        self.entries.into_iter().map(move |(entry, nodes)| {
            let mut locate = |slot: &BlockSlot| {
                let at = Locator {
                    segment,
                    offset,
                    len: slot.len,
                    crc: slot.crc,
                };
                offset = offset.saturating_add(slot.len);
                (slot.index, at)
            };
            Located {
                blocks: entry.blocks.iter().map(&mut locate).collect(),
                nodes: place_nodes(&entry.nodes, segment, nodes).collect(),
                entry,
            }
        })
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
    store: StoreId,
    segments: Arc<[u32]>,
    /// Which of them it is in.
    entered: usize,
    /// Whether the last of them was finished, so that a crash cannot have torn it.
    finished: bool,
    /// Of a segment that was collected.
    collected: Option<Collected>,
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
    /// Reads on from a position to the end of the log.
    pub(crate) fn new(
        disk: &'a Arc<dyn Disk>,
        at: Position,
        extent: &Extent,
    ) -> Result<Self, OpenError> {
        Self::open(disk, extent.store, at, Arc::clone(&extent.segments), false)
    }

    /// Reads one finished segment, whatever its header says where that is damaged and `lenient`.
    pub(crate) fn of_segment(
        disk: &'a Arc<dyn Disk>,
        store: StoreId,
        number: u32,
        lenient: bool,
    ) -> Result<Self, OpenError> {
        let mut at = Position {
            segment: number,
            offset: segment::HEADER_LEN,
            lsn: Lsn::default(),
        };
        match read_header(&**disk, number, false) {
            Ok(header) => {
                at.lsn = header.map_or(at.lsn, |header| header.first);
                Self::open(disk, store, at, [number].into(), true)
            }
            Err(OpenError::Damaged(_)) if lenient => {
                let mut scanner = Self::open(disk, store, at, [number].into(), true)?;
                if let Some((at, header)) = scanner.find(segment::HEADER_LEN.into(), |_| true)? {
                    scanner.at.offset = at;
                    scanner.at.lsn = header.lsn;
                }
                Ok(scanner)
            }
            Err(error) => Err(error),
        }
    }

    fn open(
        disk: &'a Arc<dyn Disk>,
        store: StoreId,
        at: Position,
        segments: Arc<[u32]>,
        finished: bool,
    ) -> Result<Self, OpenError> {
        let entered = segments.iter().position(|number| *number == at.segment);
        let mut scanner = Self {
            disk: &**disk,
            files: Files::new(Arc::clone(disk)),
            at,
            last: None,
            store,
            segments,
            entered: entered.unwrap_or(usize::MAX),
            finished,
            collected: None,
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

    /// Whether it reads a segment that was collected, whose frames have no numbers of their own.
    pub(crate) fn is_in_collected(&self) -> bool {
        self.collected.is_some()
    }

    fn is_in_last(&self) -> bool {
        self.entered.saturating_add(1) >= self.segments.len()
    }

    /// The next frame. `known`: frames below it are known to have been on the device. After damage it
    /// stays where it is.
    pub(crate) fn next(&mut self, known: Lsn) -> Result<Next, OpenError> {
        loop {
            let last = self.is_in_last();
            if u64::from(self.at.offset) == self.segment_len {
                let len = self.collected.map_or(0, |collected| collected.len);
                if u64::from(len) > self.segment_len || (last && self.at.lsn < known) {
                    return Err(self.damage(DamageKind::Missing));
                }
                if last {
                    return Ok(Next::End { torn: false });
                }
                self.advance()?;
                continue;
            }
            let may_be_torn = last && !self.finished;
            let mut frame = self.frame(may_be_torn)?;
            if frame.is_none() && may_be_torn {
                if self.at.lsn >= known && !self.was_synced()? {
                    return Ok(Next::End { torn: true });
                }
                // it was on the device: what is wrong with a block is said when that is read
                frame = self.frame(false)?;
            }
            let frame = frame.ok_or_else(|| self.damage(DamageKind::Frame))?;
            self.at = frame.mark.next();
            self.last = Some(frame.mark);
            return Ok(Next::Frame(Box::new(frame)));
        }
    }

    fn damage(&self, kind: DamageKind) -> OpenError {
        damage(self.disk, self.at.segment, self.at.offset.into(), kind).into()
    }

    /// After damage, goes to the next frame that is whole, and says what lies before it; `None` where
    /// there is no such frame.
    pub(crate) fn skip(&mut self) -> Result<Option<Gap>, OpenError> {
        let mut gap = None;
        if u64::from(self.at.offset) < self.segment_len {
            let here = Gap {
                segment: self.at.segment,
                start: self.at.offset,
                end: u32::try_from(self.segment_len).unwrap_or(u32::MAX),
                first: self.at.lsn,
                next: self.at.lsn.next(),
            };
            // the frame here may be whole and mean nothing
            let behind = u64::from(here.start) + 1;
            if let Some(next) = self.find(behind, |header| header.lsn >= here.first)? {
                return Ok(Some(self.go_on_at(next, here)));
            }
            gap = Some(here);
        }
        let expected = self.expected();
        while !self.is_in_last() {
            self.entered += 1;
            let number = self.segments.get(self.entered).copied();
            self.at = Position {
                segment: number.unwrap_or_default(),
                offset: segment::HEADER_LEN,
                lsn: expected,
            };
            self.enter()?;
            // where nothing was wrong before it, its header is
            let gap = *gap.get_or_insert(Gap {
                segment: self.at.segment,
                start: 0,
                end: segment::HEADER_LEN,
                first: expected,
                next: expected,
            });
            let start = segment::HEADER_LEN.into();
            if let Some(next) = self.find(start, |header| header.lsn >= expected)? {
                return Ok(Some(self.go_on_at(next, gap)));
            }
        }
        Ok(None)
    }

    fn go_on_at(&mut self, (at, header): (u32, Header), mut gap: Gap) -> Gap {
        self.at.offset = at;
        self.at.lsn = header.lsn;
        if self.at.segment == gap.segment {
            gap.end = at;
        }
        if self.at.segment == gap.segment || segment::round(gap.segment) == 0 {
            gap.next = header.lsn;
        }
        gap
    }

    /// The first frame of the segment behind this one.
    fn expected(&self) -> Lsn {
        self.collected
            .map_or(self.at.lsn, |collected| collected.next)
    }

    /// Goes to the next segment, which must continue this one.
    fn advance(&mut self) -> Result<(), OpenError> {
        let expected = self.expected();
        let next = self.entered + 1;
        let number = self.segments.get(next).copied().unwrap_or_default();
        let header = read_header(self.disk, number, false)?;
        if header.is_none_or(|header| header.first != expected) {
            return Err(damage(self.disk, number, 0, DamageKind::Missing).into());
        }
        self.entered = next;
        self.at = Position {
            segment: number,
            offset: segment::HEADER_LEN,
            lsn: expected,
        };
        self.enter()
    }

    fn enter(&mut self) -> Result<(), OpenError> {
        let number = self.at.segment;
        let name = segment::name(number);
        let missing = || damage(self.disk, number, 0, DamageKind::Missing);
        if self.entered >= self.segments.len() {
            return Err(missing().into());
        }
        let file = self.files.segment(number)?.ok_or_else(missing)?;
        self.segment_len = file.len().map_err(fault(self.disk, Action::Read, &name))?;
        self.collected = match segment::round(number) {
            0 => None,
            _ => read_header(self.disk, number, false)?.and_then(|header| header.collected),
        };
        self.window = Bytes::new();
        self.window_at = 0;
        if self.segment_len < self.at.offset.into() {
            return Err(missing().into());
        }
        Ok(())
    }

    /// The frame here, if it is whole. The data of frames in finished segments is not read: it was
    /// checked against its checksums when they were written, and is when it is read.
    pub(crate) fn frame(&mut self, verify_data: bool) -> Result<Option<Frame>, OpenError> {
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
        if !header.is_of(&body, self.store) {
            return Ok(None);
        }
        let data_at = body_at + u64::from(header.body_len);
        let meaningless = damage(self.disk, self.at.segment, start, DamageKind::FrameContent);
        let mut entries = Entry::decode_all(&body).ok_or_else(|| meaningless.clone())?;
        let data_len: u64 = entries.iter().map(|(entry, _)| entry.data_len()).sum();
        if data_len != u64::from(header.data_len) {
            return Err(meaningless.into());
        }
        if verify_data && !self.data_is_whole(&entries, data_at)? {
            return Ok(None);
        }
        for (_, nodes) in &mut entries {
            let at = |at: u32| u32::try_from(body_at).ok()?.checked_add(at);
            *nodes = nodes.and_then(at);
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

    fn data_is_whole(
        &mut self,
        entries: &[(Entry, NodesAt)],
        mut at: u64,
    ) -> Result<bool, IoFault> {
        for slot in entries.iter().flat_map(|(entry, _)| &entry.blocks) {
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

    /// Whether a whole frame behind a bad one says that the bad one was on the device.
    fn was_synced(&mut self) -> Result<bool, OpenError> {
        let bad = self.at;
        let says = |header: &Header| header.lsn > bad.lsn && header.synced > bad.lsn;
        Ok(self.find(u64::from(bad.offset) + 1, says)?.is_some())
    }

    /// The first whole frame at an offset or behind it that is wanted.
    fn find(
        &mut self,
        from: u64,
        wanted: impl Fn(&Header) -> bool,
    ) -> Result<Option<(u32, Header)>, OpenError> {
        let mut at = from;
        while at + (frame::HEADER_LEN as u64) <= self.segment_len {
            let window = self.bytes(at, WINDOW)?;
            let found = magic_in(&window);
            let Some(found) = found else {
                at += (window.len().max(frame::MAGIC.len()) - (frame::MAGIC.len() - 1)) as u64;
                continue;
            };
            at += found as u64;
            if let Some(header) = self.header(at)?
                && wanted(&header)
                && at.saturating_add(header.frame_len()) <= self.segment_len
            {
                let body = self.bytes(at + frame::HEADER_LEN as u64, header.body_len as usize)?;
                if let (true, Ok(at)) = (header.is_of(&body, self.store), u32::try_from(at)) {
                    return Ok(Some((at, header)));
                }
            }
            at += 1;
        }
        Ok(None)
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

/// Where the first bytes of a frame are. Of zeros, there may be many behind the end of a log.
fn magic_in(window: &[u8]) -> Option<usize> {
    if window.iter().fold(0, |all, byte| all | byte) == 0 {
        return None;
    }
    let mut places = window.windows(frame::MAGIC.len());
    places.position(|bytes| bytes == frame::MAGIC)
}
