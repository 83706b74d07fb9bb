//! The small seam below the default engine: an ordered map from short keys to short values, written in
//! atomic batches. All of it can be made again from the log.
//!
//! Owns the seam and the keys. Knows nothing of what is in a page.

mod copy;
mod directory;
pub(crate) mod memory;
pub(crate) mod nodes;
pub(crate) mod page;
mod private;
pub(crate) mod sled;
pub(crate) mod spill;

use std::fmt::Debug;
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use crate::error::{IndexError, IndexFault};
use crate::record::entry::CoreId;

/// Version of everything that is in the index. One of another version is made again from the log.
pub(crate) const FORMAT_VERSION: u64 = 6;

/// Keys and what they get; `None` removes.
pub(crate) type Changes = Vec<(Vec<u8>, Option<Vec<u8>>)>;

/// What looks at the entries of a scan.
pub(crate) type Visit<'a> = &'a mut dyn FnMut(&[u8], Bytes) -> Result<(), IndexError>;

/// An ordered map. Values it returns are those that were put: a checksum is part of each.
pub(crate) trait Index: Debug + Send + Sync {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, IndexError>;
    /// All entries in a range of keys, in order.
    fn scan(&self, keys: RangeInclusive<Vec<u8>>, visit: Visit<'_>) -> Result<(), IndexError>;
    /// All of it, or none.
    fn apply(&self, changes: Changes) -> Result<(), IndexError>;
    /// Brings all that was applied to the device.
    fn flush(&self) -> Result<(), IndexError>;
    /// Bytes that it takes.
    fn size(&self) -> Result<u64, IndexError>;
    /// Where it is, for messages.
    fn path(&self) -> &Path;
}

/// Where an index is found again.
pub(crate) trait IndexHost: Debug + Send + Sync {
    fn open(&self) -> Result<Arc<dyn Index>, IndexError>;
    /// An index of one's own, as this one was at some moment, whoever is writing to it; `None` where there
    /// was no such moment. What is here is not touched.
    fn copy(&self) -> Result<Option<Arc<dyn Index>>, IndexError>;
    /// Puts away whatever is there, so that the next open finds nothing.
    fn discard(&self) -> Result<(), IndexError>;
}

pub(crate) const LOCATORS: u8 = b'l';
pub(crate) const NODES: u8 = b'n';
pub(crate) const BITS: u8 = b'f';
pub(crate) const USER_DATA: u8 = b'u';
/// Of a log: number of a branch, by its name.
pub(crate) const BRANCHES: u8 = b'b';

/// Of the store: where the log was when this was written.
pub(crate) const STORE: u8 = b's';
/// Of the store: all that opening a log or a branch takes, by its number.
pub(crate) const CORE: u8 = b'c';
/// Of the store: number of a log, by its discovery key.
pub(crate) const DISCOVERY: u8 = b'd';
/// Of the store: number and keys of a log, by its name.
pub(crate) const NAME: u8 = b'm';
/// Of the store: the logs of a group that were active, by topic and number.
pub(crate) const GROUP: u8 = b't';
/// Of the store: bytes in a segment.
pub(crate) const SEGMENT: u8 = b'g';

/// Of the store: a part of the log that is damaged and was passed over.
pub(crate) const GAP: u8 = b'q';

/// The key of something of which a log has one.
pub(crate) fn key(core: CoreId, kind: u8) -> Vec<u8> {
    let mut key = Vec::with_capacity(17);
    key.extend_from_slice(&core.0.to_be_bytes());
    key.push(kind);
    key
}

/// The key of a numbered page.
pub(crate) fn page_key(core: CoreId, kind: u8, page: u64) -> Vec<u8> {
    let mut key = key(core, kind);
    key.extend_from_slice(&page.to_be_bytes());
    key
}

/// The key of something that has a name.
pub(crate) fn named_key(core: CoreId, kind: u8, name: &[u8]) -> Vec<u8> {
    let mut key = key(core, kind);
    key.extend_from_slice(name);
    key
}

/// The number in a key made by [`page_key`].
pub(crate) fn page_of(key: &[u8]) -> Option<u64> {
    key.get(9..)?.try_into().ok().map(u64::from_be_bytes)
}

/// All keys of one kind.
pub(crate) fn keys_of(core: CoreId, kind: u8) -> RangeInclusive<Vec<u8>> {
    // the longest are user data's (two bytes of length, the key, four of the chunk) and a name's (32 of
    // its place)
    let mut last = key(core, kind);
    last.resize(
        last.len() + 40 + crate::limits::MAX_USER_KEY_LEN.max(crate::limits::MAX_NAME_LEN),
        0xff,
    );
    key(core, kind)..=last
}

/// All keys of a log.
pub(crate) fn keys_of_core(core: CoreId) -> RangeInclusive<Vec<u8>> {
    core.0.to_be_bytes().to_vec()..=keys_of(core, 0xff).into_inner().1
}

/// Puts a checksum over key and value behind the value.
pub(crate) fn seal(key: &[u8], mut value: Vec<u8>) -> Vec<u8> {
    let crc = crc32c::crc32c_append(crc32c::crc32c(key), &value);
    value.extend_from_slice(&crc.to_le_bytes());
    value
}

/// The value without its checksum; `None` where they do not belong together.
pub(crate) fn unseal(key: &[u8], mut value: Bytes) -> Option<Bytes> {
    let crc = value.split_off(value.len().checked_sub(4)?);
    let expected = crc32c::crc32c_append(crc32c::crc32c(key), &value);
    (crc.as_ref() == expected.to_le_bytes()).then_some(value)
}

/// An entry that is there and makes no sense.
pub(crate) fn bad_entry(index: &dyn Index) -> IndexError {
    IndexError::Entry {
        path: index.path().to_path_buf(),
    }
}

/// The engine below refused.
pub(crate) fn engine_fault(path: &Path, reason: IndexFault) -> IndexError {
    IndexError::Engine {
        path: path.to_path_buf(),
        reason,
    }
}

/// Entries, with their checksums taken off.
pub(crate) trait IndexExt {
    fn value(&self, key: &[u8]) -> Result<Option<Bytes>, IndexError>;
    fn values(
        &self,
        keys: RangeInclusive<Vec<u8>>,
        visit: &mut dyn FnMut(&[u8], Bytes) -> Option<()>,
    ) -> Result<(), IndexError>;
}

impl IndexExt for dyn Index + '_ {
    fn value(&self, key: &[u8]) -> Result<Option<Bytes>, IndexError> {
        let Some(value) = self.get(key)? else {
            return Ok(None);
        };
        unseal(key, value).map(Some).ok_or_else(|| bad_entry(self))
    }

    fn values(
        &self,
        keys: RangeInclusive<Vec<u8>>,
        visit: &mut dyn FnMut(&[u8], Bytes) -> Option<()>,
    ) -> Result<(), IndexError> {
        self.scan(keys, &mut |key, value| {
            let value = unseal(key, value).ok_or_else(|| bad_entry(self))?;
            visit(key, value).ok_or_else(|| bad_entry(self))
        })
    }
}
