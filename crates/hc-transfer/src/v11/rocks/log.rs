//! The framing that write-ahead logs and the manifest share: records in blocks of 32 KiB, those that do
//! not fit cut into parts.
//!
//! A part stands after its checksum (4), its length (2) and its type (1); in logs that are written over
//! older ones, also after the number of its log (4).

use bytes::Bytes;
use zeroize::Zeroizing;

use super::masked;
use crate::cursor::Cursor;
use crate::error::{BadFile, FileFault};
use crate::files::PlacedFile;

const BLOCK: usize = 32 << 10;
const HEADER: usize = 7;

const ZERO: u8 = 0;
const FULL: u8 = 1;
const FIRST: u8 = 2;
const MIDDLE: u8 = 3;
const LAST: u8 = 4;
/// What the type of a part is higher by where the number of its log stands before it.
const RECYCLABLE: u8 = 4;
const SET_COMPRESSION: u8 = 9;
const TIMESTAMP_SIZE: u8 = 10;
const RECYCLABLE_TIMESTAMP_SIZE: u8 = 11;
/// Types from here on may be passed over by who does not know them; odd ones have the number of a log.
const SAFE_TO_IGNORE: u8 = 128;

/// A whole record.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    /// Where its first part starts.
    pub(crate) offset: u64,
    pub(crate) bytes: Bytes,
}

/// What may be the matter with the last record of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LastRecord {
    /// A crash may have left a part of it, and anything in its place.
    MayBeTorn,
    /// It may have been cut off; what is there is what was written.
    MayBeCut,
}

/// A part that is whole.
struct Part {
    kind: u8,
    content: Bytes,
    end: usize,
}

/// All whole records of a file. Those that a crash has cut off are left out: that is, the last, where
/// nothing follows it.
pub(crate) fn records(
    file: &PlacedFile,
    bytes: &Bytes,
    number: u64,
    last: LastRecord,
) -> Result<Vec<Record>, BadFile> {
    let mut records = Vec::new();
    let mut open: Option<(u64, Zeroizing<Vec<u8>>)> = None;
    let mut at = 0;
    while let Some(part) = next_part(file, bytes, &mut at, (number, last))? {
        let offset = at as u64;
        at = part.end;
        let bad = || file.malformed(offset, "a part of a record");
        match (part.kind, &mut open) {
            (FULL, None) => records.push(Record {
                offset,
                bytes: part.content,
            }),
            (FIRST, None) => open = Some((offset, Zeroizing::new(part.content.to_vec()))),
            (MIDDLE, Some((_, record))) => record.extend_from_slice(&part.content),
            (LAST, Some((_, record))) => {
                record.extend_from_slice(&part.content);
                if let Some((offset, record)) = open.take() {
                    let bytes = Bytes::from_owner(record);
                    records.push(Record { offset, bytes });
                }
            }
            (SET_COMPRESSION, _) if part.content.iter().any(|byte| *byte != 0) => {
                let what = "a compressed log";
                return Err(file.bad(offset, FileFault::Unsupported { what }));
            }
            (SET_COMPRESSION | TIMESTAMP_SIZE | RECYCLABLE_TIMESTAMP_SIZE, _) => {}
            (SAFE_TO_IGNORE.., _) => {}
            _ => return Err(bad()),
        }
    }
    Ok(records)
}

/// The part at `at`, which is moved to where it starts; `None` at the end.
fn next_part(
    file: &PlacedFile,
    bytes: &Bytes,
    at: &mut usize,
    (number, last): (u64, LastRecord),
) -> Result<Option<Part>, BadFile> {
    let left = BLOCK - *at % BLOCK;
    if left < HEADER {
        *at += left;
    }
    let start = *at;
    let room = BLOCK - start % BLOCK;
    let rest = bytes.get(start..).unwrap_or_default();
    if is_zero(rest) {
        return Ok(None); // room that was made ahead, or the end
    }
    let mut header = Cursor::new(rest);
    let (Some(checksum), Some(len), Some(kind)) = (header.u32(), header.u16(), header.u8()) else {
        return Ok(None);
    };
    let is_recyclable = is_recyclable(kind);
    let header_len = HEADER + if is_recyclable { 4 } else { 0 };
    let whole = header_len + usize::from(len);
    let bad = |fault| Err(file.bad(start as u64, fault));
    if kind == ZERO || whole > room {
        let what = "a part of a record";
        return bad(FileFault::Malformed { what });
    }
    let Some(part) = rest.get(..whole) else {
        return Ok(None); // cut off
    };
    if is_recyclable && header.u32().map(u64::from) != Some(number & 0xffff_ffff) {
        return Ok(None); // of the log that was here before
    }
    let covered = part.get(HEADER - 1..).unwrap_or_default();
    if masked(crc32c::crc32c(covered)) != checksum {
        let is_last = is_zero(rest.get(whole..).unwrap_or_default());
        if is_last && last == LastRecord::MayBeTorn {
            return Ok(None);
        }
        return bad(FileFault::Checksum);
    }
    Ok(Some(Part {
        kind: if is_recyclable && kind <= LAST + RECYCLABLE {
            kind - RECYCLABLE
        } else {
            kind
        },
        content: bytes.slice(start + header_len..start + whole),
        end: start + whole,
    }))
}

fn is_recyclable(kind: u8) -> bool {
    let parts = FULL + RECYCLABLE..=LAST + RECYCLABLE;
    parts.contains(&kind)
        || kind == RECYCLABLE_TIMESTAMP_SIZE
        || (kind >= SAFE_TO_IGNORE && kind % 2 == 1)
}

fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

#[cfg(test)]
mod tests;
