//! The manifest: which tables, blob files and logs make up the database, as a history of changes.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::log::{LastRecord, records};
use crate::cursor::Cursor;
use crate::error::{BadFile, FileFault};
use crate::files::PlacedFile;
use crate::limits::{MAX_MANIFEST_BYTES, MAX_TABLES};

/// Tags of what a change says.
mod tag {
    pub(super) const COMPARATOR: u32 = 1;
    pub(super) const LOG_NUMBER: u32 = 2;
    pub(super) const NEXT_FILE: u32 = 3;
    pub(super) const LAST_SEQUENCE: u32 = 4;
    pub(super) const COMPACT_CURSOR: u32 = 5;
    pub(super) const DELETED_FILE: u32 = 6;
    pub(super) const PREV_LOG_NUMBER: u32 = 9;
    pub(super) const MIN_LOG_TO_KEEP: u32 = 10;
    pub(super) const NEW_FILE_4: u32 = 103;
    pub(super) const FAMILY: u32 = 200;
    pub(super) const FAMILY_ADD: u32 = 201;
    pub(super) const FAMILY_DROP: u32 = 202;
    pub(super) const MAX_FAMILY: u32 = 203;
    pub(super) const IN_ATOMIC_GROUP: u32 = 300;
    pub(super) const BLOB_ADDITION: u32 = 400;
    pub(super) const BLOB_GARBAGE: u32 = 401;
    /// Set in tags that may be passed over by who does not know them.
    pub(super) const SAFE_TO_IGNORE: u32 = 1 << 13;
}

/// Tags of what else is said of a table.
mod table_tag {
    pub(super) const END: u32 = 1;
    pub(super) const PATH: u32 = 65;
    /// Set in tags that may not be passed over.
    pub(super) const MUST_KNOW: u32 = 1 << 6;
}

const COMPARATOR: &[u8] = b"leveldb.BytewiseComparator";

/// A table, as the manifest names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TableMeta {
    pub(crate) number: u64,
    pub(crate) len: u64,
    /// First key in it, last key in it.
    pub(crate) keys: (Bytes, Bytes),
}

/// What makes up one column family.
#[derive(Debug, Default)]
pub(crate) struct Family {
    pub(crate) id: u32,
    /// Logs with smaller numbers are in the tables.
    pub(crate) log_number: u64,
    pub(crate) tables: BTreeMap<u64, TableMeta>,
}

/// A change, as far as it matters here.
#[derive(Debug, Default)]
pub(super) struct Edit {
    family: u32,
    name: Option<Bytes>,
    drops: bool,
    log_number: Option<u64>,
    deleted: Vec<u64>,
    added: Vec<TableMeta>,
}

/// Reads which files make up the column family of a name.
pub(crate) fn read(file: &PlacedFile, name: &str) -> Result<Family, BadFile> {
    let bytes = file.read_all("a manifest", MAX_MANIFEST_BYTES)?;
    let mut families: BTreeMap<u32, (Bytes, Family)> = BTreeMap::new();
    let default = (Bytes::from_static(b"default"), Family::default());
    families.insert(0, default);
    for record in records(file, &bytes, 0, LastRecord::MayBeCut)? {
        let bad = |fault| file.bad(record.offset, fault);
        let edit = edit(&record.bytes).map_err(bad)?;
        apply(&mut families, edit).map_err(bad)?;
    }
    let found = families
        .into_values()
        .find(|(other, _)| other.as_ref() == name.as_bytes());
    let what = "the reference's column family";
    let (_, family) = found.ok_or_else(|| file.bad(0, FileFault::Absent { what }))?;
    Ok(family)
}

fn apply(families: &mut BTreeMap<u32, (Bytes, Family)>, edit: Edit) -> Result<(), FileFault> {
    if edit.drops {
        families.remove(&edit.family);
        return Ok(());
    }
    if let Some(name) = edit.name {
        let family = Family {
            id: edit.family,
            ..Family::default()
        };
        families.insert(edit.family, (name, family));
    }
    let what = "a column family in a manifest";
    let Some((_, family)) = families.get_mut(&edit.family) else {
        return Err(FileFault::Malformed { what });
    };
    family.log_number = edit.log_number.unwrap_or(family.log_number);
    for number in edit.deleted {
        family.tables.remove(&number);
    }
    for table in edit.added {
        family.tables.insert(table.number, table);
    }
    if family.tables.len() > MAX_TABLES {
        let (what, len) = ("tables", family.tables.len() as u64);
        let limit = MAX_TABLES as u64;
        return Err(FileFault::TooLong { what, len, limit });
    }
    Ok(())
}

pub(super) fn edit(record: &Bytes) -> Result<Edit, FileFault> {
    let what = "a change in a manifest";
    let malformed = || FileFault::Malformed { what };
    let mut edit = Edit::default();
    let mut cursor = Cursor::new(record);
    while !cursor.is_empty() {
        let tag = cursor.varint32().ok_or_else(malformed)?;
        let done = match tag {
            tag::COMPARATOR => {
                if cursor.slice().ok_or_else(malformed)? != COMPARATOR {
                    let what = "another order of keys";
                    return Err(FileFault::Unsupported { what });
                }
                Some(())
            }
            tag::LOG_NUMBER => cursor.varint().map(|number| edit.log_number = Some(number)),
            tag::NEXT_FILE | tag::LAST_SEQUENCE | tag::PREV_LOG_NUMBER | tag::MIN_LOG_TO_KEEP => {
                cursor.varint().map(drop)
            }
            tag::COMPACT_CURSOR => cursor.varint32().and_then(|_| cursor.slice()).map(drop),
            tag::DELETED_FILE => cursor
                .varint32()
                .and_then(|_| cursor.varint())
                .map(|number| edit.deleted.push(number)),
            tag::NEW_FILE_4 => new_table(&mut cursor, record)?.map(|table| edit.added.push(table)),
            tag::FAMILY => cursor.varint32().map(|id| edit.family = id),
            tag::FAMILY_ADD => cursor
                .slice()
                .map(|name| edit.name = Some(record.slice_ref(name))),
            tag::FAMILY_DROP => {
                edit.drops = true;
                Some(())
            }
            tag::MAX_FAMILY | tag::IN_ATOMIC_GROUP => cursor.varint32().map(drop),
            tag::BLOB_ADDITION => skip_blob(&mut cursor, true),
            tag::BLOB_GARBAGE => skip_blob(&mut cursor, false),
            tag if tag & tag::SAFE_TO_IGNORE != 0 => cursor.slice().map(drop),
            _ => {
                let what = "an unknown change in a manifest";
                return Err(FileFault::Unsupported { what });
            }
        };
        done.ok_or_else(malformed)?;
    }
    Ok(edit)
}

fn new_table(cursor: &mut Cursor<'_>, record: &Bytes) -> Result<Option<TableMeta>, FileFault> {
    let mut fields = || {
        cursor.varint32()?; // level: the sequence numbers say what is later
        let (number, len) = (cursor.varint()?, cursor.varint()?);
        let first = user_key(record, cursor.slice()?)?;
        let last = user_key(record, cursor.slice()?)?;
        cursor.varint()?; // smallest sequence number
        cursor.varint()?; // greatest
        let keys = (first, last);
        Some(TableMeta { number, len, keys })
    };
    let Some(meta) = fields() else {
        return Ok(None);
    };
    loop {
        let Some(tag) = cursor.varint32() else {
            return Ok(None);
        };
        if tag == table_tag::END {
            return Ok(Some(meta));
        }
        let Some(field) = cursor.slice() else {
            return Ok(None);
        };
        let is_known = tag == table_tag::PATH && field == [0];
        if tag & table_tag::MUST_KNOW != 0 && !is_known {
            let what = "an unknown property of a table";
            return Err(FileFault::Unsupported { what });
        }
    }
}

/// Which blob files there are follows from the values that name them.
fn skip_blob(cursor: &mut Cursor<'_>, is_addition: bool) -> Option<()> {
    for _ in 0..3 {
        cursor.varint()?; // number, blobs, bytes
    }
    if is_addition {
        cursor.slice()?; // method of a checksum over the file
        cursor.slice()?;
    }
    while cursor.varint32()? != 0 {
        cursor.slice()?;
    }
    Some(())
}

/// A key without the eight bytes of sequence number and kind after it.
fn user_key(record: &Bytes, key: &[u8]) -> Option<Bytes> {
    let len = key.len().checked_sub(8)?;
    Some(record.slice_ref(key.get(..len)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn added(numbers: std::ops::Range<usize>) -> Edit {
        let table = |number: usize| TableMeta {
            number: number as u64,
            len: 1,
            keys: (Bytes::new(), Bytes::new()),
        };
        Edit {
            added: numbers.map(table).collect(),
            ..Edit::default()
        }
    }

    #[test]
    fn there_are_at_most_so_many_tables() {
        let mut families = BTreeMap::from([(0, (Bytes::new(), Family::default()))]);
        apply(&mut families, added(0..MAX_TABLES)).expect("the most");
        let more = apply(&mut families, added(MAX_TABLES..MAX_TABLES + 1));
        let error = more.expect_err("one more");
        assert!(matches!(error, FileFault::TooLong { .. }), "{error}");
    }

    #[test]
    fn changes_follow_each_other() {
        let mut families = BTreeMap::from([(0, (Bytes::new(), Family::default()))]);
        apply(&mut families, added(3..9)).expect("tables");
        let edit = Edit {
            deleted: vec![4, 5],
            log_number: Some(12),
            ..Edit::default()
        };
        apply(&mut families, edit).expect("some are gone");
        let named = Edit {
            family: 7,
            name: Some(Bytes::from_static(b"other")),
            ..Edit::default()
        };
        apply(&mut families, named).expect("a family");
        let elsewhere = Edit {
            family: 9,
            ..Edit::default()
        };
        apply(&mut families, elsewhere).expect_err("there is no such family");
        let (_, family) = &families[&0];
        assert_eq!(family.log_number, 12);
        let left: Vec<_> = family.tables.keys().copied().collect();
        assert_eq!(left, [3, 6, 7, 8]);
        assert_eq!(families[&7].1.id, 7);
    }

    #[test]
    fn what_is_unknown_is_refused_unless_it_may_be_passed_over() {
        let read = |bytes: &'static [u8]| edit(&Bytes::from_static(bytes));
        // A tag of its own with a slice, then one that has to be known.
        assert!(read(&[0x81, 0x40, 2, 9, 9]).is_ok());
        let error = read(&[0x63]).expect_err("unknown");
        assert!(matches!(error, FileFault::Unsupported { .. }), "{error}");
        for cut in [&[0x81, 0x40, 2, 9][..], &[2], &[103, 0, 9], &[0x80]] {
            let error = edit(&Bytes::copy_from_slice(cut)).expect_err("cut");
            assert!(matches!(error, FileFault::Malformed { .. }), "{error}");
        }
        let other_order = edit(&Bytes::from_static(&[1, 1, b'x'])).expect_err("another order");
        assert!(matches!(other_order, FileFault::Unsupported { .. }));
    }
}
