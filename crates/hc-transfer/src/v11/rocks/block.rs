//! A block of a table: its checksum, then its entries, whose keys share beginnings.

use std::ops::Range;

use bytes::Bytes;
use xxhash_rust::{xxh3::xxh3_64, xxh32::xxh32, xxh64::xxh64};

use super::masked;
use crate::cursor::Cursor;
use crate::error::{BadFile, FileFault};
use crate::files::PlacedFile;
use crate::limits::MAX_TABLE_BLOCK;

/// Bytes after a block: how it is compressed (1), its checksum (4).
pub(crate) const TRAILER: u64 = 5;

/// Where a block is, its trailer not counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Handle {
    pub(crate) offset: u64,
    pub(crate) len: u64,
}

impl Handle {
    pub(crate) fn decode(cursor: &mut Cursor<'_>) -> Option<Self> {
        let (offset, len) = (cursor.varint()?, cursor.varint()?);
        Some(Self { offset, len })
    }
}

/// Which checksums the blocks of a table have.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Checksums {
    pub(crate) kind: Checksum,
    /// What makes the checksum of a block depend on its file and place; 0 where it does not.
    pub(crate) context: u32,
}

/// A kind of checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Checksum {
    None,
    Crc32c,
    Xxh32,
    Xxh64,
    Xxh3,
}

impl Checksum {
    pub(crate) fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            0 => Self::None,
            1 => Self::Crc32c,
            2 => Self::Xxh32,
            3 => Self::Xxh64,
            4 => Self::Xxh3,
            _ => return None,
        })
    }

    /// Over bytes that end with how the block is compressed.
    #[allow(clippy::cast_possible_truncation)] // the lower half is what is kept
    pub(crate) fn of(self, bytes: &[u8]) -> u32 {
        const PRIME: u32 = 0x6b90_83d9;
        match (self, bytes) {
            (Self::None, _) => 0,
            (Self::Crc32c, _) => masked(crc32c::crc32c(bytes)),
            (Self::Xxh32, _) => xxh32(bytes, 0),
            (Self::Xxh64, _) => xxh64(bytes, 0) as u32,
            (Self::Xxh3, [block @ .., last]) => {
                xxh3_64(block) as u32 ^ u32::from(*last).wrapping_mul(PRIME)
            }
            (Self::Xxh3, []) => xxh3_64(&[]) as u32,
        }
    }
}

impl Checksums {
    /// What the place of a block adds to its checksum.
    #[allow(clippy::cast_possible_truncation)] // both halves are taken
    pub(crate) fn of_place(self, offset: u64) -> u32 {
        if self.context == 0 {
            return 0;
        }
        self.context ^ (offset as u32).wrapping_add((offset >> 32) as u32)
    }

    /// Reads a block, whose checksum has to be right.
    pub(crate) fn read(self, file: &PlacedFile, at: Handle) -> Result<Bytes, BadFile> {
        let (what, limit) = ("a block of a table", MAX_TABLE_BLOCK);
        if at.len > limit {
            let len = at.len;
            return Err(file.bad(at.offset, FileFault::TooLong { what, len, limit }));
        }
        let whole = file.read(at.offset, at.len + TRAILER)?;
        let truncated = || file.bad(at.offset, FileFault::Truncated);
        let (covered, stored) = whole.split_last_chunk::<4>().ok_or_else(truncated)?;
        let expected = u32::from_le_bytes(*stored).wrapping_sub(self.of_place(at.offset));
        if self.kind != Checksum::None && self.kind.of(covered) != expected {
            return Err(file.bad(at.offset, FileFault::Checksum));
        }
        let (compression, block) = covered.split_last().ok_or_else(truncated)?;
        if *compression != 0 {
            let what = "a compressed block of a table";
            return Err(file.bad(at.offset, FileFault::Unsupported { what }));
        }
        Ok(whole.slice_ref(block))
    }
}

/// An entry of a block.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) key: Bytes,
    pub(crate) value: Bytes,
}

/// How values stand in a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Values {
    /// After their length.
    Sized,
    /// Places of blocks, each after the one before it: of an index.
    Handles,
}

/// All entries of a block, in order; `None` where it makes no sense.
pub(crate) fn entries(block: &Bytes, values: Values) -> Option<Vec<Entry>> {
    let mut cursor = Cursor::new(block.get(..content_len(block)?)?);
    let mut found: Vec<Entry> = Vec::new();
    let mut room = usize::try_from(MAX_TABLE_BLOCK).ok()?;
    while !cursor.is_empty() {
        let (shared, own) = (cursor.len()?, cursor.len()?);
        let len = match values {
            Values::Sized => cursor.len()?,
            Values::Handles => 0,
        };
        let own = cursor.raw(own)?;
        let before = found.last();
        let before = before.map_or(&[][..], |entry| entry.key.as_ref());
        let key = [before.get(..shared)?, own].concat();
        room = room.checked_sub(key.len())?;
        let value = match values {
            Values::Sized => block.slice_ref(cursor.raw(len)?),
            Values::Handles => {
                let start = cursor.remaining();
                if shared == 0 {
                    Handle::decode(&mut cursor)?;
                } else {
                    cursor.varint()?;
                }
                let end = cursor.remaining();
                let content = content_len(block)?;
                block.slice(Range {
                    start: content.checked_sub(start)?,
                    end: content.checked_sub(end)?,
                })
            }
        };
        let key = key.into();
        found.push(Entry { key, value });
    }
    Some(found)
}

/// Bytes before the list of places where keys share nothing.
fn content_len(block: &Bytes) -> Option<usize> {
    /// Set in the count where a hash index stands before the list.
    const HASH_INDEX: u32 = 1 << 31;
    let (_, count) = block.split_last_chunk::<4>()?;
    let count = u32::from_le_bytes(*count);
    if count & HASH_INDEX != 0 {
        return None;
    }
    let list = usize::try_from(count)
        .ok()?
        .checked_mul(4)?
        .checked_add(4)?;
    block.len().checked_sub(list)
}

#[cfg(test)]
mod tests;
