//! Values that are too large for tables: each in a file of many, after its key.

use bytes::Bytes;

use super::masked;
use crate::cursor::Cursor;
use crate::error::{BadFile, FileFault};
use crate::files::PlacedFile;

/// Bytes before key and value: the length of each, an expiry (8 each), checksums over these and over
/// those (4 each).
const HEADER: u64 = 32;

/// Where a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BlobPlace {
    /// Of the file.
    pub(crate) number: u64,
    offset: u64,
    len: u64,
}

impl BlobPlace {
    /// Reads what stands in the place of the value.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, FileFault> {
        const BLOB: u8 = 1;
        let what = "the place of a large value";
        let malformed = || FileFault::Malformed { what };
        let mut cursor = Cursor::new(bytes);
        if cursor.u8() != Some(BLOB) {
            let what = "a value that expires";
            return Err(FileFault::Unsupported { what });
        }
        let fields = (cursor.varint(), cursor.varint(), cursor.varint());
        let (Some(number), Some(offset), Some(len)) = fields else {
            return Err(malformed());
        };
        match cursor.u8() {
            Some(0) => Ok(Self {
                number,
                offset,
                len,
            }),
            Some(_) => {
                let what = "a compressed value";
                Err(FileFault::Unsupported { what })
            }
            None => Err(malformed()),
        }
    }

    /// Reads the value of a key, whose checksum has to be right.
    pub(crate) fn read(self, file: &PlacedFile, key: &[u8]) -> Result<Bytes, BadFile> {
        let bad = |fault| file.bad(self.offset, fault);
        let what = "a large value";
        let malformed = || bad(FileFault::Malformed { what });
        let before = HEADER + key.len() as u64;
        let start = self.offset.checked_sub(before).ok_or_else(malformed)?;
        let len = self.len.checked_add(before).ok_or_else(malformed)?;
        let bytes = file.read(start, len)?;
        let (header, rest) = bytes.split_first_chunk::<32>().ok_or_else(malformed)?;
        let mut cursor = Cursor::new(header);
        let covered = cursor.clone().raw(24).unwrap_or_default();
        let lens = (cursor.u64(), cursor.u64());
        cursor.u64();
        let checksums = (cursor.u32(), cursor.u32());
        if checksums.0 != Some(masked(crc32c::crc32c(covered)))
            || checksums.1 != Some(masked(crc32c::crc32c(rest)))
        {
            return Err(bad(FileFault::Checksum));
        }
        let (found, value) = rest.split_at_checked(key.len()).ok_or_else(malformed)?;
        if lens != (Some(key.len() as u64), Some(self.len)) || found != key {
            return Err(malformed());
        }
        Ok(bytes.slice_ref(value))
    }
}
