//! Reading: from the store, and from peers what is not there yet.

mod download;
mod frozen;
mod get;
mod progress;
mod reader;
mod seek;
mod tree_hash;
mod wait;

use std::ops::{Bound, RangeBounds};

pub use download::{Download, Downloading, FindingPeers, Update};
pub(crate) use frozen::Frozen;
pub use get::Get;
pub use progress::{Progress, Source};
pub(crate) use reader::{Moment, Reader};
pub use seek::{Position, Seek, SeekError};
pub use tree_hash::{TreeHashAt, TreeHashError};
pub use wait::Wait;
pub(crate) use wait::Waited;

/// A half-open run of blocks; without an end, to the end of the log and on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bounds {
    pub(crate) start: u64,
    pub(crate) end: Option<u64>,
}

pub(crate) fn bounds(range: &impl RangeBounds<u64>) -> Bounds {
    let start = match range.start_bound() {
        Bound::Included(start) => *start,
        Bound::Excluded(before) => before.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(last) => Some(last.saturating_add(1)),
        Bound::Excluded(end) => Some(*end),
        Bound::Unbounded => None,
    };
    Bounds { start, end }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_range_has_bounds() {
        let of = |start, end| Bounds { start, end };
        assert_eq!(bounds(&(1..4)), of(1, Some(4)));
        assert_eq!(bounds(&(1..=4)), of(1, Some(5)));
        assert_eq!(bounds(&(..4)), of(0, Some(4)));
        assert_eq!(bounds(&(4..)), of(4, None));
        assert_eq!(bounds(&(..)), of(0, None));
        assert_eq!(bounds(&(0..=u64::MAX)), of(0, Some(u64::MAX)));
    }
}
