//! Which windows of a log one side asked the other to tell it about, kept by either side. Set logic
//! only: knows nothing of peers, messages or when one is sent.
//!
//! Windows are as in the reference: powers of two from 32 to 2,097,152 bits that start at a multiple
//! of their length. This side asks for the largest alone.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::ops::Range;

use crate::limits::{
    MAX_ANY_WANTS, MAX_BITS, MAX_WANT_BITS, MAX_WANT_LENGTHS, MAX_WANTS, MIN_WANT_BITS,
    SEGMENT_BITS,
};

/// A window of a log that one side wants to know about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Index of its first bit.
    pub start: u64,
    /// Number of its bits.
    pub length: u64,
    /// Any one set bit of it is enough.
    pub any: bool,
}

impl Window {
    /// Its bits.
    #[must_use]
    pub fn range(&self) -> Range<u64> {
        self.start..self.start.saturating_add(self.length)
    }
}

/// What a remote wants to be told about.
///
/// What it asks for beyond the limits is not forgotten but rounded up: everything is wanted then, and
/// stays so.
#[derive(Debug, Clone, Default)]
pub struct RemoteWants {
    everything: bool,
    any: Vec<Range<u64>>,
    /// Starts of the windows by their length.
    windows: BTreeMap<u64, BTreeSet<u64>>,
}

impl RemoteWants {
    /// Nothing is wanted.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            everything: false,
            any: Vec::new(),
            windows: BTreeMap::new(),
        }
    }

    /// Whether everything is wanted.
    #[must_use]
    pub fn everything(&self) -> bool {
        self.everything
    }

    /// Bytes of memory that it takes, about.
    #[must_use]
    pub fn memory(&self) -> usize {
        let starts: usize = self.windows.values().map(BTreeSet::len).sum();
        // as much again for the nodes of the sets
        self.any.capacity() * size_of::<Range<u64>>() + starts * 2 * size_of::<u64>()
    }

    /// Remembers a window and says whether to answer it; one longer than [`MAX_WANT_BITS`] is neither
    /// remembered nor answered.
    pub fn add(&mut self, window: Window) -> bool {
        if window.any {
            if self.any.len() < MAX_ANY_WANTS {
                self.any.push(window.range());
            } else {
                self.everything = true;
            }
            return true;
        }
        if window.length > MAX_WANT_BITS {
            return false;
        }
        let count: usize = self.windows.values().map(BTreeSet::len).sum();
        let lengths = self.windows.len();
        let known = self.windows.contains_key(&window.length);
        if !is_aligned(window) || count >= MAX_WANTS || (!known && lengths >= MAX_WANT_LENGTHS) {
            self.everything = true;
        } else {
            self.windows
                .entry(window.length)
                .or_default()
                .insert(window.start);
        }
        true
    }

    /// Forgets a window and says whether it was remembered.
    pub fn remove(&mut self, window: Window) -> bool {
        if window.any {
            let found = self.any.iter().position(|own| *own == window.range());
            return found.map(|at| self.any.swap_remove(at)).is_some();
        }
        let Some(starts) = self.windows.get_mut(&window.length) else {
            return false;
        };
        let removed = starts.remove(&window.start);
        if starts.is_empty() {
            self.windows.remove(&window.length);
        }
        removed
    }

    /// Whether any bit of a range is wanted.
    #[must_use]
    pub fn intersects(&self, range: Range<u64>) -> bool {
        if range.is_empty() {
            return false;
        }
        let overlaps = |own: &Range<u64>| own.start < range.end && range.start < own.end;
        self.everything
            || self.any.iter().any(overlaps)
            || self.windows.iter().any(|(length, starts)| {
                let first = range.start - range.start % length;
                starts.range(first..range.end).next().is_some()
            })
    }
}

/// Whether a window is one that is remembered as such.
fn is_aligned(window: Window) -> bool {
    window.length.is_power_of_two()
        && (MIN_WANT_BITS..=MAX_WANT_BITS).contains(&window.length)
        && window.start.is_multiple_of(window.length)
}

/// What this side wants one remote to tell about, and for whom.
///
/// A window is wanted on behalf of handles, and each is asked for once. One that no handle is left
/// for stays asked for, as the answer may be of use again, until its place is needed.
#[derive(Debug, Clone)]
pub struct LocalWants<H> {
    /// Handles by the number of the window.
    wanted: BTreeMap<u64, BTreeSet<H>>,
    /// Windows that were asked for and that no handle wants any more.
    idle: BTreeSet<u64>,
    any: Vec<(Range<u64>, BTreeSet<H>)>,
}

/// What to tell the remote so that it tells about a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask {
    /// Nothing: it has been asked.
    Asked,
    /// That `unwant` is no longer wanted, then that `want` is.
    Send {
        /// The window to ask for.
        want: Window,
        /// The window that makes place for it.
        unwant: Option<Window>,
    },
    /// Nothing: [`MAX_WANTS`] windows are wanted, and this one is not.
    Full,
}

impl<H> Default for LocalWants<H> {
    fn default() -> Self {
        Self {
            wanted: BTreeMap::new(),
            idle: BTreeSet::new(),
            any: Vec::new(),
        }
    }
}

impl<H: Ord> LocalWants<H> {
    /// Nothing is wanted.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Wants the window that a bit is in, on behalf of a handle.
    pub fn add(&mut self, index: u64, handle: H) -> Ask {
        let at = index / SEGMENT_BITS;
        if let Some(handles) = self.wanted.get_mut(&at) {
            handles.insert(handle);
            return Ask::Asked;
        }
        let mut unwant = None;
        let asked = self.idle.remove(&at);
        if !asked && self.wanted.len() + self.idle.len() >= MAX_WANTS {
            let Some(idle) = self.idle.pop_first() else {
                return Ask::Full;
            };
            unwant = Some(segment(idle));
        }
        self.wanted.insert(at, BTreeSet::from([handle]));
        if asked {
            Ask::Asked
        } else {
            Ask::Send {
                want: segment(at),
                unwant,
            }
        }
    }

    /// Takes back what a handle wanted, and says whether that made place where there was none.
    pub fn remove(&mut self, index: u64, handle: &H) -> bool {
        let at = index / SEGMENT_BITS;
        let Some(handles) = self.wanted.get_mut(&at) else {
            return false;
        };
        if !handles.remove(handle) || !handles.is_empty() {
            return false;
        }
        self.wanted.remove(&at);
        let was_full = self.idle.is_empty() && self.wanted.len() + 1 >= MAX_WANTS;
        self.idle.insert(at);
        was_full
    }

    /// Wants to know of any bit of a range, on behalf of a handle; the window to ask for, if it has
    /// not been. It is the range widened to whole segments, and asked for as a plain one, which every
    /// version of the reference understands.
    pub fn add_any(&mut self, range: Range<u64>, handle: H) -> Option<Window> {
        let range = widen(range);
        if let Some((_, handles)) = self.any.iter_mut().find(|(own, _)| *own == range) {
            handles.insert(handle);
            return None;
        }
        self.any.push((range.clone(), BTreeSet::from([handle])));
        Some(plain(range))
    }

    /// Takes back what a handle wanted of a range; the window to take back, if no handle is left.
    pub fn remove_any(&mut self, range: Range<u64>, handle: &H) -> Option<Window> {
        let range = widen(range);
        let at = self.any.iter().position(|(own, _)| *own == range)?;
        let (_, handles) = self.any.get_mut(at)?;
        if !handles.remove(handle) || !handles.is_empty() {
            return None;
        }
        self.any.swap_remove(at);
        Some(plain(range))
    }
}

fn segment(at: u64) -> Window {
    Window {
        start: at * SEGMENT_BITS,
        length: SEGMENT_BITS,
        any: false,
    }
}

fn plain(range: Range<u64>) -> Window {
    Window {
        start: range.start,
        length: range.end - range.start,
        any: false,
    }
}

/// The whole segments that a range touches.
fn widen(range: Range<u64>) -> Range<u64> {
    let start = range.start.min(MAX_BITS);
    let end = range.end.clamp(start, MAX_BITS);
    start - start % SEGMENT_BITS..end.next_multiple_of(SEGMENT_BITS)
}
