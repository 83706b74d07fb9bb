//! The database as a map: what is stored under a key at last.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use bytes::Bytes;

use super::batch::{Write, writes};
use super::blob::BlobPlace;
use super::log::{LastRecord, records};
use super::manifest::{self, Family, TableMeta};
use super::table::{RangeDeletion, Table};
use super::tombstones::Tombstones;
use super::{Version, kind};
use crate::error::{BadFile, FileFault};
use crate::files::{PlacedFile, lock};
use crate::limits::{MAX_OPEN_TABLES, MAX_WAL_BYTES};

/// One column family of a database in a directory.
#[derive(Debug)]
pub(crate) struct Database {
    dir: PathBuf,
    family: Family,
    /// What the logs say, which the tables do not have yet.
    recent: BTreeMap<Bytes, Version>,
    deletions: Tombstones,
    tables: Mutex<Opened<Table>>,
    blobs: Mutex<Option<(u64, Arc<PlacedFile>)>>,
}

/// What is kept open, by number, and when each was used last.
#[derive(Debug)]
struct Opened<T> {
    open: BTreeMap<u64, (Arc<T>, u64)>,
    clock: u64,
}

impl<T> Opened<T> {
    const fn new() -> Self {
        Self {
            open: BTreeMap::new(),
            clock: 0,
        }
    }

    fn get(&mut self, number: u64) -> Option<Arc<T>> {
        self.clock += 1;
        let (opened, used) = self.open.get_mut(&number)?;
        *used = self.clock;
        Some(Arc::clone(opened))
    }

    /// Keeps one more, and at the limit lets go of the one that was not used for longest.
    fn put(&mut self, number: u64, opened: Arc<T>) {
        if self.open.len() >= MAX_OPEN_TABLES {
            let oldest = self.open.iter().min_by_key(|(_, (_, used))| *used);
            if let Some(number) = oldest.map(|(number, _)| *number) {
                self.open.remove(&number);
            }
        }
        self.clock += 1;
        self.open.insert(number, (opened, self.clock));
    }
}

impl Database {
    /// Opens the latest state.
    pub(crate) fn open(dir: &Path, family: &str) -> Result<Self, BadFile> {
        let manifest = PlacedFile::open(&dir.join(current(dir)?))?;
        let family = manifest::read(&manifest, family)?;
        let mut database = Self {
            dir: dir.to_path_buf(),
            family,
            recent: BTreeMap::new(),
            deletions: Tombstones::default(),
            tables: Mutex::new(Opened::new()),
            blobs: Mutex::default(),
        };
        let mut deletions = database.replay()?;
        for meta in database.family.tables.values() {
            deletions.extend(database.table(meta)?.deletions.iter().cloned());
        }
        database.deletions = Tombstones::new(deletions);
        Ok(database)
    }

    /// What is stored under a key.
    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<Bytes>, BadFile> {
        let mut latest = self.recent.get(key).cloned();
        for meta in self.family.tables.values() {
            let may_have = meta.keys.0.as_ref() <= key && key <= meta.keys.1.as_ref();
            if may_have && let Some(version) = self.table(meta)?.get(key)? {
                version.supersede(&mut latest);
            }
        }
        match latest {
            Some(version) => self.value(key, &version),
            None => Ok(None),
        }
    }

    /// All that is stored under the keys of a range, in order.
    pub(crate) fn scan(&self, keys: Range<Bytes>) -> Result<Vec<(Bytes, Bytes)>, BadFile> {
        let mut found: BTreeMap<Bytes, Option<Version>> = BTreeMap::new();
        if keys.start >= keys.end {
            return Ok(Vec::new());
        }
        for (key, version) in self.recent.range(keys.clone()) {
            version
                .clone()
                .supersede(found.entry(key.clone()).or_default());
        }
        for meta in self.family.tables.values() {
            if meta.keys.0 < keys.end && keys.start <= meta.keys.1 {
                self.table(meta)?.scan(&keys, &mut found)?;
            }
        }
        let mut all = Vec::new();
        for (key, version) in found {
            let Some(version) = version else { continue };
            if let Some(value) = self.value(&key, &version)? {
                all.push((key, value));
            }
        }
        Ok(all)
    }

    /// The value of the latest entry of a key; `None` where that says that there is none.
    fn value(&self, key: &[u8], version: &Version) -> Result<Option<Bytes>, BadFile> {
        if self.deletions.of(key) > Some(version.sequence) {
            return Ok(None);
        }
        match version.kind {
            kind::VALUE => Ok(Some(version.value.clone())),
            kind::DELETION | kind::SINGLE_DELETION => Ok(None),
            kind::BLOB_INDEX => {
                let place = BlobPlace::decode(&version.value)
                    .map_err(|fault| BadFile::new(&self.dir, 0, fault))?;
                place.read(&*self.blob_file(place.number)?, key).map(Some)
            }
            _ => {
                let what = "a kind of entry that the reference does not use";
                Err(BadFile::new(&self.dir, 0, FileFault::Unsupported { what }))
            }
        }
    }

    fn table(&self, meta: &TableMeta) -> Result<Arc<Table>, BadFile> {
        let mut opened = lock(&self.tables);
        if let Some(table) = opened.get(meta.number) {
            return Ok(table);
        }
        let path = self.dir.join(format!("{:06}.sst", meta.number));
        let table = Arc::new(Table::open(&path, meta.len)?);
        opened.put(meta.number, Arc::clone(&table));
        Ok(table)
    }

    fn blob_file(&self, number: u64) -> Result<Arc<PlacedFile>, BadFile> {
        let mut last = lock(&self.blobs);
        if let Some((_, file)) = last.as_ref().filter(|(other, _)| *other == number) {
            return Ok(Arc::clone(file));
        }
        let path = self.dir.join(format!("{number:06}.blob"));
        let file = Arc::new(PlacedFile::open(&path)?);
        *last = Some((number, Arc::clone(&file)));
        Ok(file)
    }

    /// Reads the logs that the tables do not have yet; gives the deletions of ranges in them.
    fn replay(&mut self) -> Result<Vec<RangeDeletion>, BadFile> {
        let mut deletions = Vec::new();
        let mut left = MAX_WAL_BYTES;
        for (number, path) in self.logs()? {
            let file = PlacedFile::open(&path)?;
            let bytes = file.read_all("the logs of a database", left)?;
            left -= file.len();
            for record in records(&file, &bytes, number, LastRecord::MayBeTorn)? {
                let recent = &mut self.recent;
                let visit = |sequence, write| match write {
                    Write::Point { key, kind, value } => {
                        let version = Version {
                            sequence,
                            kind,
                            value,
                        };
                        recent.insert(key, version); // in order: the later replaces the earlier
                    }
                    Write::Range { start, end } => deletions.push((start, end, sequence)),
                };
                writes(&record.bytes, self.family.id, visit)
                    .map_err(|fault| file.bad(record.offset, fault))?;
            }
        }
        Ok(deletions)
    }

    /// The logs that count, in order.
    fn logs(&self) -> Result<Vec<(u64, PathBuf)>, BadFile> {
        let bad = |error: io::Error| BadFile::new(&self.dir, 0, error.into());
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.dir).map_err(bad)? {
            let path = entry.map_err(bad)?.path();
            let is_log = path.extension().is_some_and(|ext| ext == "log");
            let stem = path.file_stem().and_then(|stem| stem.to_str());
            let number = stem.and_then(|stem| stem.parse::<u64>().ok());
            if let Some(number) =
                number.filter(|number| is_log && *number >= self.family.log_number)
            {
                found.push((number, path));
            }
        }
        found.sort();
        Ok(found)
    }
}

/// The name of the manifest that counts.
fn current(dir: &Path) -> Result<String, BadFile> {
    const LONGEST: u64 = 64;
    let file = PlacedFile::open(&dir.join("CURRENT"))?;
    let bytes = file.read_all("the name of a manifest", LONGEST)?;
    let name = std::str::from_utf8(&bytes).ok().map(str::trim_end);
    let number = name.and_then(|name| name.strip_prefix("MANIFEST-"));
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    match (name, number.is_some_and(is_number)) {
        (Some(name), true) => Ok(name.to_owned()),
        _ => Err(file.malformed(0, "the name of a manifest")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_stay_open_than_the_limit() {
        let mut opened = Opened::new();
        let most = MAX_OPEN_TABLES as u64;
        for number in 0..most {
            opened.put(number, Arc::new(number));
        }
        assert!((0..most).all(|number| opened.get(number).is_some()));
        opened.get(0);
        opened.put(most, Arc::new(most));
        assert_eq!(opened.open.len(), MAX_OPEN_TABLES);
        assert!(opened.get(1).is_none(), "not used for longest");
        assert!(opened.get(0).is_some() && opened.get(most).is_some());
    }
}
