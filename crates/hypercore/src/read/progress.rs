//! How far a download is: what it wants, what is here, what is under way and with whom.

use std::collections::BTreeMap;
use std::ops::Range;

use hc_bitfield::Bitfield;
use hc_replicator::{Demand, PeerId};

use crate::core::Core;
use crate::replicate::Peer;

/// How far a download is; see [`Downloading::progress`](crate::Downloading::progress).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Blocks that it wants; without an end, up to that of the log as it is known.
    pub wanted: u64,
    /// Those of them that were verified and are stored here, whether they came with it or were here
    /// before.
    pub verified: u64,
    /// Those that peers were asked for and that are not stored yet.
    pub in_flight: u64,
    /// The peers of the log that give something: to it now, or so far to anyone.
    pub sources: Vec<Source>,
}

/// A peer that gives blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Source {
    /// Who.
    pub peer: Peer,
    /// Blocks of the download that it was asked for and that are not stored yet.
    pub in_flight: u64,
    /// Blocks of the log that it gave since it is connected.
    pub downloaded: u64,
}

/// The blocks that a download wants.
#[derive(Debug, Clone)]
pub(super) enum Wanted {
    Span { start: u64, end: Option<u64> },
    Listed(Bitfield),
}

impl Wanted {
    pub(super) fn of(what: &Demand) -> Self {
        match what {
            Demand::Span(span) => Self::Span {
                start: span.start.get(),
                end: span.end.map(hc_merkle::BlockIndex::get),
            },
            Demand::Blocks(blocks) => {
                let blocks = blocks.iter().map(|index| index.get());
                Self::Listed(blocks.map(|at| at..at.saturating_add(1)).collect())
            }
            _ => Self::Listed(Bitfield::new()),
        }
    }

    fn range(&self, length: u64) -> Range<u64> {
        match self {
            Self::Span { start, end } => {
                let end = end.unwrap_or(length);
                *start..end.max(*start)
            }
            Self::Listed(_) => 0..u64::MAX,
        }
    }

    fn contains(&self, index: u64) -> bool {
        match self {
            Self::Span { .. } => true,
            Self::Listed(listed) => listed.get(index),
        }
    }
}

impl Core {
    pub(super) fn progress(&self, wanted: &Wanted) -> Progress {
        let view = self.view.load();
        let range = wanted.range(view.head.length().get());
        let (count, verified) = match wanted {
            Wanted::Span { .. } => (range.end - range.start, view.have.count(range.clone())),
            Wanted::Listed(listed) => {
                let here = listed.intersection(&view.have, range.clone());
                let here = here.map(|run| run.end - run.start).sum();
                (listed.count(range.clone()), here)
            }
        };
        let peers = self.peers();
        let sources = self.read_machine(|machine| {
            let mut asked = BTreeMap::<PeerId, u64>::new();
            let (mut in_flight, mut last) = (0, None);
            for (index, peer) in machine.under_way(range) {
                if wanted.contains(index.get()) {
                    *asked.entry(peer).or_default() += 1;
                    // Neighbours, where several peers were asked for one block.
                    in_flight += u64::from(last.replace(index) != Some(index));
                }
            }
            let source = |peer: Peer| {
                let id = PeerId(peer.id);
                let stats = machine.peer_stats(id);
                Source {
                    peer,
                    in_flight: asked.get(&id).copied().unwrap_or(0),
                    downloaded: stats.map_or(0, |stats| stats.blocks_downloaded),
                }
            };
            let gives = |source: &Source| source.in_flight > 0 || source.downloaded > 0;
            let sources = peers.into_iter().map(source).filter(gives).collect();
            (in_flight, sources)
        });
        let (in_flight, sources) = sources.unwrap_or_default();
        Progress {
            wanted: count,
            verified,
            in_flight,
            sources,
        }
    }
}
