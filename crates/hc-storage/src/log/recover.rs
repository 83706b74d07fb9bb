//! Finding the segments of a log, and whether it is there as far as it is known to reach.
//!
//! Owns which of the files in the directory are the log: of two that stand for one place, the one that
//! was collected later.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use hc_bitfield::RangeSet;

use super::mark::{self, Mark, Recorded};
use super::scan::{Next, Scanner};
use super::segment::{self, BadHeader, StoreId};
use super::{Lsn, Position};
use crate::disk::{Disk, fault};
use crate::error::{Action, Damage, DamageKind, OpenError};

/// The segments of a log, from what is in its directory.
#[derive(Debug, Clone)]
pub(crate) struct Extent {
    pub(crate) store: StoreId,
    /// The first frame there is.
    pub(crate) start: Position,
    /// All of them, in order; there is one at least.
    pub(crate) segments: Arc<[u32]>,
}

/// What is in the directory of the log.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) extent: Extent,
    /// A last segment that was being made when its maker died; not in the extent.
    pub(crate) unfinished: Option<u32>,
    /// Segments that a collected one stands for; not in the extent.
    pub(crate) superseded: Vec<u32>,
}

impl Extent {
    pub(crate) fn last_segment(&self) -> u32 {
        self.segments.last().copied().unwrap_or_default()
    }

    /// The segment that has a place, or stands for it.
    pub(crate) fn at_place(&self, place: u32) -> Option<u32> {
        let behind = |number: &u32| segment::place(*number) <= place;
        let at = self.segments.partition_point(behind).checked_sub(1)?;
        self.segments.get(at).copied()
    }

    /// Whether a segment is one of them.
    pub(crate) fn has(&self, number: u32) -> bool {
        self.at_place(segment::place(number)) == Some(number)
    }
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
    if !extent.has(mark.segment) {
        return Err(missing().into());
    }
    if holds(disk, extent, mark)? {
        Ok(())
    } else {
        Err(first_damage(disk, extent, mark))
    }
}

/// Whether the frame is there, as it was but for the bytes of its blocks.
pub(crate) fn holds(disk: &Arc<dyn Disk>, extent: &Extent, mark: &Mark) -> Result<bool, OpenError> {
    let at = mark.position();
    if !extent.has(at.segment) {
        return Ok(false);
    }
    let scanner = Scanner::new(disk, at, extent);
    match scanner.and_then(|mut scanner| scanner.frame(false)) {
        Ok(found) => Ok(found.is_some_and(|frame| frame.mark == *mark)),
        Err(OpenError::Damaged(_)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Where a log that lacks a frame stops being what it was: the first frame that is not whole, or else
/// the place of the one it lacks.
pub(crate) fn first_damage(disk: &Arc<dyn Disk>, extent: &Extent, mark: &Mark) -> OpenError {
    let scan = || {
        let mut scanner = Scanner::new(disk, extent.start, extent)?;
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
    let numbers = names.iter().filter_map(|name| segment::number(name));
    let (mut segments, superseded) = in_order(disk, numbers.collect())?;
    let Some((&first, &last)) = segments.first().zip(segments.last()) else {
        return Ok(None);
    };
    let Some(header) = read_header(disk, first, first == last)? else {
        return Ok(Some(Found {
            extent: empty_extent(first),
            unfinished: Some(first),
            superseded,
        }));
    };
    let start = Position {
        segment: first,
        offset: segment::HEADER_LEN,
        lsn: header.first,
    };
    let mut unfinished = None;
    if last != first {
        match read_header(disk, last, true)? {
            Some(last) if last.store != header.store => {
                return Err(damage(disk, last.number, 0, DamageKind::SegmentHeader).into());
            }
            Some(_) => {}
            None => unfinished = segments.pop(),
        }
    }
    let extent = Extent {
        store: header.store,
        start,
        segments: segments.into(),
    };
    Ok(Some(Found {
        extent,
        unfinished,
        superseded,
    }))
}

/// Segments in their order, and those that one of them stands for.
fn in_order(disk: &dyn Disk, mut numbers: Vec<u32>) -> Result<(Vec<u32>, Vec<u32>), OpenError> {
    numbers.sort_unstable_by_key(|number| Reverse(segment::round(*number)));
    let mut places = RangeSet::new();
    let mut segments = BTreeMap::new();
    let mut superseded = Vec::new();
    for number in numbers {
        let place = segment::place(number);
        if places.contains(place.into()) {
            superseded.push(number);
            continue;
        }
        let through = match segment::round(number) {
            0 => place,
            _ => read_header(disk, number, false)?
                .and_then(|header| header.collected)
                .map_or(place, |collected| collected.through.max(place)),
        };
        places.insert(place.into()..u64::from(through) + 1);
        segments.insert(place, (number, through));
    }
    let mut before: Option<(u32, u32)> = None;
    for (place, (number, through)) in &segments {
        if let Some((before, end)) = before
            && end.checked_add(1) != Some(*place)
        {
            return Err(damage(disk, before, 0, DamageKind::Missing).into());
        }
        before = Some((*number, *through));
    }
    let segments = segments.into_values().map(|(number, _)| number);
    Ok((segments.collect(), superseded))
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
        segments: [segment].into(),
    }
}

/// `None` where the segment may be new and its header is not whole: only frames make it old.
pub(crate) fn read_header(
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

pub(crate) fn damage(disk: &dyn Disk, number: u32, offset: u64, kind: DamageKind) -> Damage {
    Damage {
        path: disk.root().join(segment::name(number)),
        offset,
        kind,
    }
}
