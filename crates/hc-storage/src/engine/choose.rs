//! Which segments are best collected next. Knows nothing of how that is done.

use super::collect::{Collecting, Effort};
use super::{Engine, Space};
use crate::disk::fault;
use crate::error::{Action, StorageError};
use crate::lock::lock;
use crate::log::recover::Extent;
use crate::log::segment;

/// Segments that are put together where they would fit into one.
const MERGE: usize = 4;

/// Parts that what is stored has, at least, where much is void.
const PARTS: u64 = 16;

/// Bytes that a segment may always have.
const LEAST: u32 = 64 << 10;

/// The round from which on a segment is collected only once next to nothing of it is left: there are 255,
/// and what has been through all of them would stay for good.
const LAST_ROUND: u32 = 250;

/// A segment that may be collected.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Piece {
    pub(crate) number: u32,
    /// The last place that it stands for.
    pub(crate) through: u32,
    /// Bytes that it takes, without holes.
    pub(crate) len: u64,
    /// Bytes in it that are void, as far as can be told without reading it.
    pub(crate) void: u64,
    /// Whether it is not to be collected with others.
    pub(crate) alone: bool,
}

impl Piece {
    pub(crate) const fn needed(&self) -> u64 {
        self.len.saturating_sub(self.void)
    }

    /// Whether it was collected so often that it is left to become void first.
    pub(crate) const fn is_worn(&self) -> bool {
        segment::round(self.number) >= LAST_ROUND && self.void < self.len / 16 * 15
    }

    /// Whether a third of it is void; a quarter, of one that is much longer than what is collected from several:
    /// what is left of it is there twice for a moment, so that it is better done while not too much is void.
    const fn is_worthwhile(&self, segment_len: u64) -> bool {
        let part = if self.len > segment_len.saturating_mul(2) {
            4
        } else {
            3
        };
        self.void > 0 && self.void.saturating_mul(part) >= self.len
    }
}

/// Bytes that are next to nothing, where a segment may have so many.
pub(crate) fn least(limit: u32) -> u32 {
    (limit / 32).max(LEAST).min(limit)
}

/// Bytes of a segment that is collected, where so much is stored: what is collected is there twice for a
/// moment.
pub(crate) fn grain(live: u64, limit: u32) -> u32 {
    let part = u32::try_from(live / PARTS).unwrap_or(u32::MAX);
    part.clamp(least(limit), limit)
}

/// Bytes of a segment that is written to, of which nothing can be collected before it is finished: as many
/// as it may have, unless an eighth of everything is void.
pub(crate) fn grain_of_tail(all: Space, limit: u32) -> u32 {
    if all.void().saturating_mul(8) < all.data {
        limit
    } else {
        grain(all.live, limit)
    }
}

/// The last place that a segment has or stands for.
pub(crate) fn through(extent: &Extent, number: u32) -> u32 {
    let place = segment::place(number);
    let places = extent.segments.iter().map(|number| segment::place(*number));
    let next = places.filter(|other| *other > place).min();
    next.map_or(place, |next| next - 1)
}

/// Bytes of a segment that are void: blocks, nodes and facts in proportion, and of what was never
/// collected half of the rest, which heads make up that have successors.
pub(crate) fn void_of(number: u32, len: u64, space: Space) -> u64 {
    let dead = space.void();
    let facts = len.saturating_sub(space.data);
    let void = dead.saturating_add(facts.saturating_mul(dead) / space.data.max(1));
    let void = void.min(len);
    if segment::round(number) > 0 {
        return void;
    }
    void.saturating_add(len.saturating_sub(void).saturating_sub(space.live) / 2)
}

/// Whether so much is void that space counts for more than the disk's peace: a third of everything.
pub(crate) fn is_urgent(pieces: &[Piece]) -> bool {
    let (void, len) = pieces.iter().fold((0u64, 0u64), |(void, len), piece| {
        (
            void.saturating_add(piece.void),
            len.saturating_add(piece.len),
        )
    });
    void.saturating_mul(3) > len
}

/// The run of segments that is best collected next.
pub(crate) fn worthwhile(pieces: &[Piece], segment_len: u64) -> &[Piece] {
    let best = (0..pieces.len())
        .filter(|at| {
            pieces
                .get(*at)
                .is_some_and(|piece| piece.is_worthwhile(segment_len))
        })
        .max_by_key(|at| {
            pieces
                .get(*at)
                .map(|piece| piece.void * 1000 / piece.len.max(1))
        });
    if let Some(best) = best {
        // its neighbours too, where they are as void or small
        let joins =
            |piece: &Piece| piece.is_worthwhile(segment_len) || piece.len * 8 <= segment_len;
        return run_from(pieces, best, segment_len, joins);
    }
    let many = |at: &usize| run_from(pieces, *at, segment_len, |_| true).len() >= MERGE;
    match (0..pieces.len()).find(many) {
        Some(at) => run_from(pieces, at, segment_len, |_| true),
        None => &[],
    }
}

/// The next run of segments from a place on of which anything can be gained.
pub(crate) fn next_run(pieces: &[Piece], from: u32, segment_len: u64) -> &[Piece] {
    for (at, piece) in pieces.iter().enumerate() {
        if segment::place(piece.number) < from {
            continue;
        }
        let run = run_from(pieces, at, segment_len, |_| true);
        if run.len() > 1 || segment::round(piece.number) == 0 || piece.void > 0 {
            return run;
        }
    }
    &[]
}

/// Segments that follow each other, from one on, which fit into one.
fn run_from(
    pieces: &[Piece],
    at: usize,
    segment_len: u64,
    joins: impl Fn(&Piece) -> bool,
) -> &[Piece] {
    let rest = pieces.get(at..).unwrap_or_default();
    let mut needed = 0u64;
    let mut len = 0;
    let mut next = None;
    for piece in rest {
        needed = needed.saturating_add(piece.needed());
        let follows = next.is_none_or(|next| next == segment::place(piece.number));
        let joins = follows && !piece.alone && joins(piece);
        if len > 0 && (needed > segment_len || !joins) {
            break;
        }
        next = piece.through.checked_add(1);
        len += 1;
        if piece.alone {
            break;
        }
    }
    rest.get(..len).unwrap_or_default()
}

impl Engine {
    /// The segments before the one that has the last frame of which index and `POSITION` know, but for those that
    /// may not go.
    pub(crate) fn pieces(
        &self,
        extent: &Extent,
        collecting: &Collecting,
        effort: Effort,
    ) -> Result<Vec<Piece>, StorageError> {
        let Some(recorded) = *lock(&self.recorded) else {
            return Ok(Vec::new());
        };
        let end = lock(&self.checkpointing).segment.min(recorded.segment);
        let finished = extent.segments.iter().copied();
        let finished = finished.take_while(|number| segment::place(*number) < end);
        let (mut pieces, mut stuck) = (Vec::new(), 0u64);
        for number in finished {
            let space = lock(&self.registry).space.get(&number).copied();
            let space = space.unwrap_or_default();
            if !collecting.may_go(number) {
                stuck = stuck.saturating_add(space.void());
                continue;
            }
            let name = segment::name(number);
            let opened = self.disk.open(&name, false);
            let Some(file) = opened.map_err(fault(&*self.disk, Action::Open, &name))? else {
                continue;
            };
            let len = file.allocated();
            let len = len.map_err(fault(&*self.disk, Action::Read, &name))?;
            let piece = Piece {
                number,
                through: through(extent, number),
                len,
                void: void_of(number, len, space),
                alone: collecting.goes_alone(number),
            };
            if effort == Effort::Repair || !piece.is_worn() {
                pieces.push(piece);
            } else {
                stuck = stuck.saturating_add(space.void());
            }
        }
        self.collector.set_stuck(stuck);
        Ok(pieces)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: u64 = 1000;

    fn piece(place: u32, len: u64, void: u64) -> Piece {
        Piece {
            number: place,
            through: place,
            len,
            void,
            alone: false,
        }
    }

    fn places(run: &[Piece]) -> Vec<u32> {
        run.iter().map(|piece| piece.number).collect()
    }

    #[test]
    fn the_most_void_comes_first_with_neighbours_that_are_small_or_void() {
        let pieces = [
            piece(0, 1000, 340),
            piece(1, 1000, 100),
            piece(2, 1000, 800),
            piece(3, 1000, 500),
            piece(4, 100, 0),
            piece(5, 1000, 0),
        ];
        assert_eq!(places(worthwhile(&pieces, LIMIT)), [2, 3, 4]);
        assert_eq!(places(worthwhile(&pieces[..2], LIMIT)), [0]);
        assert_eq!(places(worthwhile(&pieces[4..], LIMIT)), []);
        let long = |void| [piece(0, 2001, void)];
        assert_eq!(places(worthwhile(&long(501), LIMIT)), [0]);
        assert_eq!(places(worthwhile(&long(500), LIMIT)), []);
        assert_eq!(places(worthwhile(&[piece(0, 2000, 501)], LIMIT)), []);
    }

    #[test]
    fn four_that_fit_into_one_are_put_together() {
        let small: Vec<_> = (0..6).map(|place| piece(place, 200, 10)).collect();
        assert_eq!(places(worthwhile(&small[..3], LIMIT)), []);
        assert_eq!(places(worthwhile(&small, LIMIT)), [0, 1, 2, 3, 4]);
        let mut alone = small.clone();
        alone[2].alone = true;
        assert_eq!(places(worthwhile(&alone, LIMIT)), []);
    }

    #[test]
    fn it_is_urgent_once_a_third_of_all_is_void() {
        assert!(!is_urgent(&[]));
        assert!(!is_urgent(&[piece(0, 1000, 900), piece(1, 2000, 100)]));
        assert!(is_urgent(&[piece(0, 1000, 900), piece(1, 2000, 101)]));
    }

    #[test]
    fn a_run_has_no_holes() {
        let pieces = [piece(0, 100, 50), piece(2, 100, 50), piece(3, 100, 50)];
        assert_eq!(places(next_run(&pieces, 0, LIMIT)), [0]);
        assert_eq!(places(next_run(&pieces, 1, LIMIT)), [2, 3]);
        assert_eq!(places(next_run(&pieces, 4, LIMIT)), []);
    }

    #[test]
    fn what_was_collected_often_is_left_until_it_is_void() {
        let at_round = |round, void| Piece {
            number: segment::numbered(3, round).expect("a number"),
            ..piece(3, 1600, void)
        };
        assert!(!at_round(LAST_ROUND - 1, 0).is_worn());
        assert!(at_round(LAST_ROUND, 1499).is_worn());
        assert!(!at_round(LAST_ROUND, 1500).is_worn());
        assert!(at_round(LAST_ROUND + 1, 0).is_worn());
    }

    #[test]
    fn segments_are_short_where_much_is_void() {
        const LIMIT: u32 = 64 << 20;
        let space = |data, live| Space { data, live };
        assert_eq!(grain_of_tail(space(1 << 30, 1 << 30), LIMIT), LIMIT);
        assert_eq!(grain_of_tail(space(160 << 20, 128 << 20), LIMIT), 8 << 20);
        assert_eq!(grain_of_tail(space(160 << 30, 128 << 30), LIMIT), LIMIT);
        assert_eq!(grain_of_tail(space(10 << 20, 0), LIMIT), LIMIT / 32);
        assert_eq!(grain(1 << 20, 16 << 10), 16 << 10, "never above the limit");
        assert_eq!(grain(1 << 20, 1 << 20), LEAST);
    }

    #[test]
    fn void_is_what_no_block_and_half_of_what_else_needs() {
        let space = |data, live| Space { data, live };
        assert_eq!(void_of(3, 1000, space(1000, 400)), 600);
        assert_eq!(void_of(3, 1000, space(800, 800)), 100);
        let collected = segment::numbered(3, 1).expect("a number");
        assert_eq!(void_of(collected, 1000, space(800, 800)), 0);
        assert_eq!(void_of(collected, 1000, space(800, 400)), 500);
        assert_eq!(void_of(collected, 64, space(0, 0)), 0);
    }
}
