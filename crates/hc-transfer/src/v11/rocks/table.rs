//! A table: blocks of sorted entries, an index over them, and deletions of ranges.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use hc_encoding::zigzag_decode;

use super::block::{Checksum, Checksums, Entry, Handle, TRAILER, Values, entries};
use super::{Version, kind};
use crate::cursor::Cursor;
use crate::error::{BadFile, FileFault};
use crate::files::{PlacedFile, lock};

/// Ends every table.
const MAGIC: u64 = 0x88e2_41b7_85f4_cff7;
/// Bytes of what ends a table: kind of checksum, 40 bytes, version, magic.
const FOOTER: u64 = 53;
/// First bytes of those 40 from version 6 on.
const EXTENDED: [u8; 4] = [0x3e, 0x00, 0x7a, 0x00];
/// Number of the plain index among those that there are.
const BINARY_SEARCH: u32 = 0;

/// A deletion of a range: start, end (exclusive), sequence number.
pub(crate) type RangeDeletion = (Bytes, Bytes, u64);

/// A table that is open.
#[derive(Debug)]
pub(crate) struct Table {
    file: PlacedFile,
    checksums: Checksums,
    /// For each block a key that none in it is greater than, and where the block is.
    index: Vec<(Bytes, Handle)>,
    pub(crate) deletions: Vec<RangeDeletion>,
    last: Mutex<Option<(u64, Arc<Vec<Entry>>)>>,
}

/// What the end of a table says.
struct Footer {
    checksums: Checksums,
    meta_index: Handle,
    /// Before version 6 the index is named here.
    index: Option<Handle>,
}

/// What a table says of itself, as far as it matters.
struct Properties {
    handles_follow: bool,
    index_has_user_keys: bool,
}

impl Table {
    pub(crate) fn open(path: &Path, len: u64) -> Result<Self, BadFile> {
        let file = PlacedFile::open(path)?;
        if file.len() != len {
            return Err(file.bad(file.len().min(len), FileFault::Truncated));
        }
        let footer = footer(&file)?;
        let checksums = footer.checksums;
        let read = |at: Handle, what| {
            let block = checksums.read(&file, at)?;
            entries(&block, Values::Sized).ok_or_else(|| file.malformed(at.offset, what))
        };
        let at = footer.meta_index;
        let named = read(at, "an index of the parts of a table")?;
        let named: BTreeMap<_, _> = named
            .iter()
            .map(|entry| (entry.key.as_ref(), Cursor::new(&entry.value)))
            .collect();
        let handle = |name: &str| {
            let mut cursor = named.get(name.as_bytes())?.clone();
            Handle::decode(&mut cursor)
        };
        let absent = || file.malformed(at.offset, "an index of the parts of a table");
        let properties_at = handle("rocksdb.properties").ok_or_else(absent)?;
        let properties = read(properties_at, "the properties of a table")?;
        let properties =
            Properties::of(&properties).map_err(|fault| file.bad(properties_at.offset, fault))?;
        let index_at = footer
            .index
            .or_else(|| handle("rocksdb.index"))
            .ok_or_else(absent)?;
        let index = checksums.read(&file, index_at)?;
        let index = read_index(&index, &properties)
            .ok_or_else(|| file.malformed(index_at.offset, "the index of a table"))?;
        let deletions = match handle("rocksdb.range_del") {
            Some(at) => read(at, "a deletion of a range")?
                .iter()
                .map(range_deletion)
                .collect::<Option<_>>()
                .ok_or_else(|| file.malformed(at.offset, "a deletion of a range"))?,
            None => Vec::new(),
        };
        Ok(Self {
            file,
            checksums,
            index,
            deletions,
            last: Mutex::default(),
        })
    }

    /// The latest entry of a key.
    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<Version>, BadFile> {
        let mut latest = None;
        for (_, handle) in self.index.get(self.first_block(key)..).unwrap_or_default() {
            let block = self.block(*handle)?;
            let first = block.partition_point(|entry| user_key(entry) < key);
            let rest = block.get(first..).unwrap_or_default();
            for entry in rest.iter().take_while(|entry| user_key(entry) == key) {
                version(entry).supersede(&mut latest);
            }
            if rest.iter().any(|entry| user_key(entry) > key) {
                break;
            }
        }
        Ok(latest)
    }

    /// The latest entries of all keys of a range, into `found`.
    pub(crate) fn scan(
        &self,
        keys: &Range<Bytes>,
        found: &mut BTreeMap<Bytes, Option<Version>>,
    ) -> Result<(), BadFile> {
        let from = self.first_block(&keys.start);
        for (_, handle) in self.index.get(from..).unwrap_or_default() {
            for entry in self.block(*handle)?.iter() {
                let key = user_key(entry);
                if key >= keys.end.as_ref() {
                    return Ok(());
                }
                if key >= keys.start.as_ref() {
                    let slot = found.entry(entry.key.slice_ref(key)).or_default();
                    version(entry).supersede(slot);
                }
            }
        }
        Ok(())
    }

    /// The first block that may have a key.
    fn first_block(&self, key: &[u8]) -> usize {
        self.index.partition_point(|(last, _)| last.as_ref() < key)
    }

    /// The entries of a block; the one that was asked for last is kept.
    fn block(&self, handle: Handle) -> Result<Arc<Vec<Entry>>, BadFile> {
        if let Some((offset, block)) = &*lock(&self.last)
            && *offset == handle.offset
        {
            return Ok(Arc::clone(block));
        }
        let block = self.checksums.read(&self.file, handle)?;
        let malformed = || self.file.malformed(handle.offset, "a block of a table");
        let block = entries(&block, Values::Sized).ok_or_else(malformed)?;
        if block.iter().any(|entry| entry.key.len() < 8) {
            return Err(malformed());
        }
        let block = Arc::new(block);
        *lock(&self.last) = Some((handle.offset, Arc::clone(&block)));
        Ok(block)
    }
}

/// The key of an entry without the eight bytes after it.
fn user_key(entry: &Entry) -> &[u8] {
    let len = entry.key.len().saturating_sub(8);
    entry.key.get(..len).unwrap_or_default()
}

/// What the eight bytes after a key say: sequence number and kind.
fn version(entry: &Entry) -> Version {
    let (_, tail) = entry.key.split_last_chunk::<8>().unwrap_or((&[], &[0; 8]));
    let tail = u64::from_le_bytes(*tail);
    Version {
        sequence: tail >> 8,
        kind: tail.to_le_bytes()[0],
        value: entry.value.clone(),
    }
}

fn range_deletion(entry: &Entry) -> Option<RangeDeletion> {
    if entry.key.len() < 8 {
        return None;
    }
    let found = version(entry);
    let start = entry.key.slice_ref(user_key(entry));
    (found.kind == kind::RANGE_DELETION).then_some((start, found.value, found.sequence))
}

fn read_index(block: &Bytes, properties: &Properties) -> Option<Vec<(Bytes, Handle)>> {
    let values = if properties.handles_follow {
        Values::Handles
    } else {
        Values::Sized
    };
    let mut index: Vec<(Bytes, Handle)> = Vec::new();
    for entry in entries(block, values)? {
        let mut cursor = Cursor::new(&entry.value);
        let first = cursor.varint()?;
        let handle = match (cursor.varint(), index.last()) {
            (Some(len), _) => Handle { offset: first, len },
            (None, Some((_, before))) => Handle {
                offset: before
                    .offset
                    .checked_add(before.len)?
                    .checked_add(TRAILER)?,
                len: before.len.checked_add_signed(zigzag_decode(first))?,
            },
            (None, None) => return None,
        };
        let key = if properties.index_has_user_keys {
            entry.key
        } else {
            entry.key.slice(..entry.key.len().checked_sub(8)?)
        };
        index.push((key, handle));
    }
    index.is_sorted_by(|a, b| a.0 <= b.0).then_some(index)
}

impl Properties {
    fn of(entries: &[Entry]) -> Result<Self, FileFault> {
        let find = |name: &str| {
            let found = entries
                .iter()
                .find(|entry| entry.key.as_ref() == name.as_bytes());
            found.map(|entry| Cursor::new(&entry.value))
        };
        let is_set = |name: &str| find(name).and_then(|mut cursor| cursor.varint()) == Some(1);
        let kind = find("rocksdb.block.based.table.index.type").and_then(|mut it| it.u32());
        if kind.is_some_and(|kind| kind != BINARY_SEARCH) {
            let what = "this kind of index of a table";
            return Err(FileFault::Unsupported { what });
        }
        Ok(Self {
            handles_follow: is_set("rocksdb.index.value.is.delta.encoded"),
            index_has_user_keys: is_set("rocksdb.index.key.is.user.key"),
        })
    }
}

fn footer(file: &PlacedFile) -> Result<Footer, BadFile> {
    let start = file.len().checked_sub(FOOTER);
    let start = start.ok_or_else(|| file.bad(file.len(), FileFault::Truncated))?;
    let bytes = file.read(start, FOOTER)?;
    let malformed = || file.malformed(start, "the end of a table");
    let mut cursor = Cursor::new(&bytes);
    let kind = cursor.u8().and_then(Checksum::from_number);
    let middle = cursor.raw(40).ok_or_else(malformed)?;
    let (version, magic) = (cursor.u32(), cursor.u64());
    if magic != Some(MAGIC) {
        return Err(malformed());
    }
    let kind = kind.ok_or_else(malformed)?;
    let mut middle = Cursor::new(middle);
    match version {
        Some(2..=5) => {
            let meta_index = Handle::decode(&mut middle).ok_or_else(malformed)?;
            let index = Handle::decode(&mut middle).ok_or_else(malformed)?;
            Ok(Footer {
                checksums: Checksums { kind, context: 0 },
                meta_index,
                index: Some(index),
            })
        }
        Some(6) => {
            let extended = middle.array::<4>();
            let fields = (middle.u32(), middle.u32(), middle.u32());
            let (Some(EXTENDED), (Some(checksum), Some(context), Some(len))) = (extended, fields)
            else {
                return Err(malformed());
            };
            let checksums = Checksums { kind, context };
            let mut covered = bytes.to_vec();
            covered.splice(5..9, [0; 4]);
            let expected = checksum.wrapping_sub(checksums.of_place(start));
            if kind != Checksum::None && checksums.kind.of(&covered) != expected {
                return Err(file.bad(start, FileFault::Checksum));
            }
            let len = u64::from(len);
            let offset = start
                .checked_sub(len)
                .and_then(|at| at.checked_sub(TRAILER));
            Ok(Footer {
                checksums,
                meta_index: Handle {
                    offset: offset.ok_or_else(malformed)?,
                    len,
                },
                index: None,
            })
        }
        _ => {
            let what = "this version of a table";
            Err(file.bad(start, FileFault::Unsupported { what }))
        }
    }
}
