//! The commit log: frames, one after the other, in numbered segments. It is the truth; everything else
//! in a store can be made from it.
//!
//! Owns the bytes of segments and frames, appending to them, reading blocks out of them, and finding
//! out after a crash what is whole. Knows nothing of what a frame's entry means.

pub(crate) mod committer;
pub(crate) mod files;
pub(crate) mod frame;
pub(crate) mod mark;
pub(crate) mod recover;
pub(crate) mod scan;
pub(crate) mod segment;

/// A place in the log: where a frame starts, and how many frames were written before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Position {
    pub(crate) segment: u32,
    pub(crate) offset: u32,
    pub(crate) lsn: Lsn,
}

/// Number of a frame in its log, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(crate) struct Lsn(pub(crate) u64);

impl Lsn {
    pub(crate) const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// Frames that were there and are not whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gap {
    pub(crate) segment: u32,
    /// Where it begins.
    pub(crate) start: u32,
    /// Where reading goes on, or the end of the segment.
    pub(crate) end: u32,
    /// The first frame that is missing.
    pub(crate) first: Lsn,
    /// The first one behind it that is there.
    pub(crate) next: Lsn,
}

/// Where the bytes of a block are, and their checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Locator {
    pub(crate) segment: u32,
    pub(crate) offset: u32,
    pub(crate) len: u32,
    pub(crate) crc: u32,
}

impl Locator {
    /// Bytes that a locator takes.
    pub(crate) const LEN: usize = 16;

    pub(crate) fn end(&self) -> u64 {
        u64::from(self.offset) + u64::from(self.len)
    }

    pub(crate) fn to_bytes(self) -> [u8; Self::LEN] {
        let mut out = [0; Self::LEN];
        let fields = [self.segment, self.offset, self.len, self.crc];
        for (place, field) in out.chunks_exact_mut(4).zip(fields) {
            place.copy_from_slice(&field.to_le_bytes());
        }
        out
    }

    pub(crate) fn from_bytes(bytes: &[u8; Self::LEN]) -> Self {
        let mut fields = bytes.chunks_exact(4).map(|field| {
            field
                .first_chunk()
                .map_or(0, |field| u32::from_le_bytes(*field))
        });
        let mut next = || fields.next().unwrap_or(0);
        Self {
            segment: next(),
            offset: next(),
            len: next(),
            crc: next(),
        }
    }
}
