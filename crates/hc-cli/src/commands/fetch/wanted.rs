//! Which blocks are to be fetched, and how many of them are here. Knows nothing of servers.

use std::ops::Range;

use hypercore::Hypercore;

use crate::args::Fetch;
use crate::blocks::BlockList;
use crate::failure::{Failure, Kind};

/// What the user asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Asked {
    /// From a block on, to another one or to the end of the log.
    Span { start: u64, end: Option<u64> },
    /// Some blocks.
    List(Wanted),
}

/// Runs of blocks in ascending order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted(Vec<Range<u64>>);

impl Asked {
    pub(super) fn of(args: &Fetch) -> Result<Self, Failure> {
        if let Some(list) = &args.blocks {
            return Ok(Self::List(Wanted::of(list)));
        }
        let (start, end) = (args.start.unwrap_or(0), args.end);
        if let Some(end) = end.filter(|end| *end < start) {
            return Err(Failure::new(
                Kind::Usage,
                format!("--end {end} is before --start {start}"),
            ));
        }
        Ok(Self::Span { start, end })
    }

    /// The blocks that are meant, in a log of this length.
    pub(super) fn in_log(&self, length: u64) -> Wanted {
        match self {
            Self::List(wanted) => wanted.clone(),
            Self::Span { start, end } => {
                let end = end.unwrap_or(length);
                Wanted::run(*start..end)
            }
        }
    }

    /// Whether it is the same whatever the length of the log.
    pub(super) fn is_fixed(&self) -> bool {
        !matches!(self, Self::Span { end: None, .. })
    }

    /// The first block that may be meant.
    pub(super) fn start(&self) -> u64 {
        match self {
            Self::Span { start, .. } => *start,
            Self::List(wanted) => wanted.0.first().map_or(0, |run| run.start),
        }
    }
}

impl Wanted {
    fn run(run: Range<u64>) -> Self {
        Self(
            Some(run)
                .filter(|run| !run.is_empty())
                .into_iter()
                .collect(),
        )
    }

    fn of(list: &BlockList) -> Self {
        let mut runs: Vec<Range<u64>> = Vec::new();
        for index in &list.0 {
            match runs.last_mut() {
                Some(run) if run.end == *index => run.end = index.saturating_add(1),
                _ => runs.push(*index..index.saturating_add(1)),
            }
        }
        Self(runs)
    }

    pub(super) fn total(&self) -> u64 {
        self.0.iter().map(|run| run.end - run.start).sum()
    }

    /// How many of them are here.
    pub(super) fn stored(&self, log: &Hypercore) -> u64 {
        self.0.iter().map(|run| log.count(run.clone())).sum()
    }

    pub(super) fn first_missing(&self, log: &Hypercore) -> Option<u64> {
        let missing = |run: &Range<u64>| log.first_missing(run.clone());
        self.0
            .iter()
            .find_map(missing)
            .map(hypercore::BlockIndex::get)
    }

    pub(super) fn blocks(&self) -> impl Iterator<Item = u64> + use<'_> {
        self.0.iter().cloned().flatten()
    }

    /// As one range, if it is one.
    pub(super) fn as_range(&self) -> Option<Range<u64>> {
        match self.0.as_slice() {
            [] => Some(0..0),
            [run] => Some(run.clone()),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_in_a_list_are_one_run() {
        let wanted = Wanted::of(&"1,5,9-12,13".parse().unwrap());
        assert_eq!(wanted, Wanted(vec![1..2, 5..6, 9..14]));
        assert_eq!(wanted.total(), 7);
        assert_eq!(
            wanted.blocks().collect::<Vec<_>>(),
            [1, 5, 9, 10, 11, 12, 13]
        );
    }

    #[test]
    fn a_span_without_an_end_ends_with_the_log() {
        let open = Asked::Span {
            start: 3,
            end: None,
        };
        assert_eq!(open.in_log(5), Wanted::run(3..5));
        assert_eq!(open.in_log(2).total(), 0);
        let fixed = Asked::Span {
            start: 3,
            end: Some(9),
        };
        assert_eq!(fixed.in_log(5), Wanted::run(3..9));
    }
}
