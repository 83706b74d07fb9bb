//! What a record of the write-ahead log does: a number, a count, and so many writes.

use bytes::Bytes;

use super::kind;
use crate::cursor::Cursor;
use crate::error::FileFault;

/// A write.
#[derive(Debug)]
pub(crate) enum Write {
    /// A value, its place in a blob file, or its absence.
    Point { key: Bytes, kind: u8, value: Bytes },
    /// The absence of all keys from one up to another.
    Range { start: Bytes, end: Bytes },
}

/// Visits the writes of a record to one column family, each with its sequence number.
pub(crate) fn writes(
    record: &Bytes,
    family: u32,
    mut visit: impl FnMut(u64, Write),
) -> Result<(), FileFault> {
    let what = "a write";
    let malformed = || FileFault::Malformed { what };
    let mut cursor = Cursor::new(record);
    let mut sequence = cursor.u64().ok_or_else(malformed)?;
    let count = cursor.u32().ok_or_else(malformed)?;
    let mut seen = 0u32;
    while !cursor.is_empty() {
        let tag = cursor.u8().ok_or_else(malformed)?;
        if tag == kind::NOOP {
            continue;
        }
        if tag == kind::LOG_DATA {
            cursor.slice().ok_or_else(malformed)?;
            continue;
        }
        let (tag, to) = match tag {
            kind::CF_DELETION => (kind::DELETION, cursor.varint32()),
            kind::CF_VALUE => (kind::VALUE, cursor.varint32()),
            kind::CF_SINGLE_DELETION => (kind::SINGLE_DELETION, cursor.varint32()),
            kind::CF_RANGE_DELETION => (kind::RANGE_DELETION, cursor.varint32()),
            kind::CF_BLOB_INDEX => (kind::BLOB_INDEX, cursor.varint32()),
            tag => (tag, Some(0)),
        };
        let to = to.ok_or_else(malformed)?;
        let key = record.slice_ref(cursor.slice().ok_or_else(malformed)?);
        let write = match tag {
            kind::DELETION | kind::SINGLE_DELETION => Write::Point {
                key,
                kind: tag,
                value: Bytes::new(),
            },
            kind::VALUE | kind::BLOB_INDEX => Write::Point {
                key,
                kind: tag,
                value: record.slice_ref(cursor.slice().ok_or_else(malformed)?),
            },
            kind::RANGE_DELETION => Write::Range {
                start: key,
                end: record.slice_ref(cursor.slice().ok_or_else(malformed)?),
            },
            _ => {
                let what = "a kind of write that the reference does not use";
                return Err(FileFault::Unsupported { what });
            }
        };
        if to == family {
            visit(sequence, write);
        }
        sequence = sequence.checked_add(1).ok_or_else(malformed)?;
        seen = seen.saturating_add(1);
    }
    if seen == count {
        Ok(())
    } else {
        Err(malformed())
    }
}
