//! The file of secret keys: apart from the log, so that neither a copied log nor a cleared record of it
//! gives one away. Always on the device before it is used.
//!
//! A key that is lost is a log that is lost, so nothing that may be one is destroyed: of a record of which one
//! byte was altered it is known what it was; one that can not be read is named, stays where it is, and is set
//! aside in a file of its own by a repair. Knows nothing of which logs there are.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use hc_merkle::{DiscoveryKey, SecretKey};
use zeroize::Zeroizing;

use super::key_record::{Corrections, OF_STORE, RECORD_LEN, Record};
use crate::disk::{Disk, DiskFile, fault};
use crate::error::{Action, Damage, DamageKind, IoFault, OpenError};
use crate::lock::lock;
use crate::record::StoreSecret;
use crate::record::cursor::Cursor;
use crate::store::Access;

pub(crate) const FILE: &str = "SECRETS";
/// Takes the place of one of the others.
pub(crate) const NEW_FILE: &str = "SECRETS.new";
/// Records that can not be read, as they were found.
pub(crate) const SET_ASIDE: &str = "SECRETS.damaged";

const MAGIC: [u8; 8] = *b"HCRS-KEY";
const VERSION: u32 = 1;
const HEADER_LEN: usize = 16;

/// The secret keys of a store.
#[derive(Debug)]
pub(crate) struct Secrets {
    disk: Arc<dyn Disk>,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    keys: BTreeMap<DiscoveryKey, SecretKey>,
    /// The file, once there is one, and where the next record goes.
    file: Option<(Arc<dyn DiskFile>, u64)>,
    /// What in it is not what was written, in order.
    flaws: Vec<Flaw>,
}

/// A part of the file that is not what was written.
#[derive(Debug)]
struct Flaw {
    offset: u64,
    content: Flawed,
}

#[derive(Debug)]
enum Flawed {
    Header,
    /// The key of this log is known all the same.
    Corrected(DiscoveryKey),
    Unreadable(Record),
}

impl Flaw {
    fn kind(&self) -> DamageKind {
        match self.content {
            Flawed::Corrected(_) => DamageKind::SecretCorrected,
            Flawed::Header | Flawed::Unreadable(_) => DamageKind::Secret,
        }
    }

    fn unreadable(&self) -> Option<&Record> {
        match &self.content {
            Flawed::Unreadable(record) => Some(record),
            Flawed::Header | Flawed::Corrected(_) => None,
        }
    }
}

/// What a repair did about keys; each by the discovery key in its record.
#[derive(Debug, Default)]
pub(crate) struct RepairedKeys {
    pub(crate) corrected: Vec<DiscoveryKey>,
    pub(crate) set_aside: Vec<DiscoveryKey>,
}

impl Secrets {
    pub(crate) fn open(disk: &Arc<dyn Disk>, access: Access) -> Result<Self, OpenError> {
        let mut held = Held::default();
        let writes = access == Access::ReadWrite;
        match disk.open(FILE, writes) {
            Ok(Some(file)) => held = read(&**disk, file, writes)?,
            Ok(None) => {}
            // whoever may read the log need not be allowed to write it
            Err(error) if !writes && error.kind() == std::io::ErrorKind::PermissionDenied => {}
            Err(error) => return Err(fault(&**disk, Action::Open, FILE)(error).into()),
        }
        Ok(Self {
            disk: Arc::clone(disk),
            held: Mutex::new(held),
        })
    }

    pub(crate) fn key(&self, of: &DiscoveryKey) -> Option<SecretKey> {
        lock(&self.held).keys.get(of).cloned()
    }

    pub(crate) fn set(&self, of: DiscoveryKey, secret: SecretKey) -> Result<(), IoFault> {
        let mut held = lock(&self.held);
        let (file, end) = match held.file.take() {
            Some(open) => open,
            None => self.create()?,
        };
        let record = Record::new(&of, &secret);
        let written = file.write_at(&[record.as_bytes()], end);
        let written = written.and_then(|()| file.sync());
        if written.is_err() {
            // what is there of it is no key that anybody has; this only tidies up
            let _ = file.set_len(end);
        }
        let more = if written.is_ok() {
            RECORD_LEN as u64
        } else {
            0
        };
        held.file = Some((file, end + more));
        written.map_err(fault(&*self.disk, Action::Write, FILE))?;
        held.keys.insert(of, secret);
        Ok(())
    }

    /// The secret of the store itself.
    pub(crate) fn of_store(&self) -> Option<StoreSecret> {
        let secret = self.key(&OF_STORE)?;
        let bytes = secret.as_bytes().first_chunk()?;
        Some(StoreSecret::from_bytes(*bytes))
    }

    pub(crate) fn set_of_store(&self, secret: &StoreSecret) -> Result<(), IoFault> {
        let mut bytes = Zeroizing::new([0; 64]);
        let (front, _) = bytes.split_at_mut(32);
        front.copy_from_slice(secret.as_bytes());
        self.set(OF_STORE, SecretKey::from_bytes(*bytes))
    }

    /// Parts of the file that are not what was written; those of one kind that follow each other as one.
    pub(crate) fn damage(&self) -> Vec<Damage> {
        let held = lock(&self.held);
        let mut found: Vec<Damage> = Vec::new();
        let mut end = None;
        for flaw in &held.flaws {
            let kind = flaw.kind();
            let goes_on = end == Some(flaw.offset);
            if !goes_on || found.last().is_none_or(|last| last.kind != kind) {
                found.push(self.damage_at(flaw.offset, kind));
            }
            end = Some(flaw.offset + RECORD_LEN as u64);
        }
        found
    }

    fn damage_at(&self, offset: u64, kind: DamageKind) -> Damage {
        Damage {
            path: self.disk.root().join(FILE),
            offset,
            kind,
        }
    }

    /// The first record that can not be read and may be of this log, as far as `is_other` does not say that
    /// the one it names is another.
    pub(crate) fn unreadable(
        &self,
        mut is_other: impl FnMut(&DiscoveryKey) -> bool,
    ) -> Option<Damage> {
        let held = lock(&self.held);
        let mut flaws = held.flaws.iter();
        let doubtful = flaws.find(|flaw| {
            let record = flaw.unreadable();
            record.is_some_and(|record| !is_other(&record.content().0))
        })?;
        Some(self.damage_at(doubtful.offset, doubtful.kind()))
    }

    /// Writes files without this key in place of those with it.
    pub(crate) fn forget(&self, of: &DiscoveryKey) -> Result<(), IoFault> {
        let mut held = lock(&self.held);
        let is_of = |record: &Record| record.content().0 == *of;
        let mut aside = self.set_aside()?;
        if aside.iter().any(is_of) {
            aside.retain(|record| !is_of(record));
            self.replace(SET_ASIDE, &aside)?;
            self.sync_names()?;
        }
        let kept: Vec<Record> = held.unreadable().filter(|record| !is_of(record)).collect();
        if !held.keys.contains_key(of) && kept.len() == held.unreadable().count() {
            return Ok(());
        }
        let mut records = kept.clone();
        let keys = held.keys.iter().filter(|(key, _)| *key != of);
        records.extend(keys.map(|(key, secret)| Record::new(key, secret)));
        held.file = Some(self.replace(FILE, &records)?);
        held.keys.remove(of);
        let offsets = (HEADER_LEN as u64..).step_by(RECORD_LEN);
        let flaw = |(offset, record)| Flaw {
            offset,
            content: Flawed::Unreadable(record),
        };
        held.flaws = offsets.zip(kept).map(flaw).collect();
        self.sync_names()
    }

    /// Writes what was altered as it was, and moves what can not be read to a file of its own.
    pub(crate) fn repair(&self) -> Result<RepairedKeys, IoFault> {
        let mut held = lock(&self.held);
        let mut done = RepairedKeys::default();
        if held.flaws.is_empty() {
            return Ok(done);
        }
        let mut aside = self.set_aside()?;
        for flaw in &held.flaws {
            match &flaw.content {
                Flawed::Header => {}
                Flawed::Corrected(of) => done.corrected.push(*of),
                Flawed::Unreadable(record) => {
                    done.set_aside.push(record.content().0);
                    // it is there where this was cut short before
                    if !aside.contains(record) {
                        aside.push(record.clone());
                    }
                }
            }
        }
        if !done.set_aside.is_empty() {
            self.replace(SET_ASIDE, &aside)?;
            self.sync_names()?;
        }
        let keys = held.keys.iter();
        let records: Vec<Record> = keys.map(|(key, secret)| Record::new(key, secret)).collect();
        held.file = Some(self.replace(FILE, &records)?);
        held.flaws.clear();
        self.sync_names()?;
        Ok(done)
    }

    /// What was set aside before.
    fn set_aside(&self) -> Result<Vec<Record>, IoFault> {
        let disk = &*self.disk;
        let opened = disk.open(SET_ASIDE, false);
        let Some(file) = opened.map_err(fault(disk, Action::Open, SET_ASIDE))? else {
            return Ok(Vec::new());
        };
        let bytes = content(disk, &file, SET_ASIDE)?;
        let records = bytes.get(HEADER_LEN..).unwrap_or_default();
        Ok(records.chunks(RECORD_LEN).map(Record::found).collect())
    }

    /// Makes the file, with nothing in it.
    fn create(&self) -> Result<(Arc<dyn DiskFile>, u64), IoFault> {
        let file = self.create_with(FILE, &header())?;
        self.sync_names()?;
        Ok((file, HEADER_LEN as u64))
    }

    /// Puts a file with these records in place of the one of this name. Returns it, and where it ends.
    fn replace(&self, name: &str, records: &[Record]) -> Result<(Arc<dyn DiskFile>, u64), IoFault> {
        let len = HEADER_LEN + records.len() * RECORD_LEN;
        let mut bytes = Zeroizing::new(Vec::with_capacity(len));
        bytes.extend_from_slice(&header());
        for record in records {
            bytes.extend_from_slice(record.as_bytes());
        }
        let file = self.create_with(NEW_FILE, &bytes)?;
        let renamed = self.disk.rename(NEW_FILE, name);
        renamed.map_err(fault(&*self.disk, Action::Rename, NEW_FILE))?;
        Ok((file, len as u64))
    }

    fn create_with(&self, name: &str, bytes: &[u8]) -> Result<Arc<dyn DiskFile>, IoFault> {
        let disk = &*self.disk;
        let file = disk
            .create(name)
            .map_err(fault(disk, Action::Create, name))?;
        file.write_at(&[bytes], 0)
            .map_err(fault(disk, Action::Write, name))?;
        file.sync().map_err(fault(disk, Action::Sync, name))?;
        Ok(file)
    }

    fn sync_names(&self) -> Result<(), IoFault> {
        let synced = self.disk.sync_dir("");
        synced.map_err(fault(&*self.disk, Action::Sync, ""))
    }
}

fn header() -> [u8; HEADER_LEN] {
    let mut out = [0; HEADER_LEN];
    let (magic, rest) = out.split_at_mut(8);
    magic.copy_from_slice(&MAGIC);
    let (version, crc) = rest.split_at_mut(4);
    version.copy_from_slice(&VERSION.to_le_bytes());
    let sum = crc32c::crc32c_append(crc32c::crc32c(magic), version);
    crc.copy_from_slice(&sum.to_le_bytes());
    out
}

fn content(
    disk: &dyn Disk,
    file: &Arc<dyn DiskFile>,
    name: &str,
) -> Result<Zeroizing<Vec<u8>>, IoFault> {
    let len = file.len().map_err(fault(disk, Action::Read, name))?;
    let mut bytes = Zeroizing::new(vec![0; usize::try_from(len).unwrap_or(0)]);
    let read = file.read_at(&mut bytes, 0);
    bytes.truncate(read.map_err(fault(disk, Action::Read, name))?);
    Ok(bytes)
}

fn read(disk: &dyn Disk, file: Arc<dyn DiskFile>, writes: bool) -> Result<Held, OpenError> {
    let bytes = content(disk, &file, FILE)?;
    let mut held = Held::default();
    let mut end = HEADER_LEN as u64;
    match bytes.split_at_checked(HEADER_LEN) {
        // made by a process that died before it put anything in
        None if writes => {
            file.write_at(&[&header()], 0)
                .map_err(fault(disk, Action::Write, FILE))?;
        }
        None => {}
        Some((found, records)) => {
            held.check_header(disk, found)?;
            end += held.read(records);
        }
    }
    held.file = Some((file, end));
    Ok(held)
}

impl Held {
    fn unreadable(&self) -> impl Iterator<Item = Record> {
        self.flaws.iter().filter_map(Flaw::unreadable).cloned()
    }

    fn check_header(&mut self, disk: &dyn Disk, found: &[u8]) -> Result<(), OpenError> {
        if found == header() {
            return Ok(());
        }
        let (said, crc) = found.split_at(found.len().min(12));
        let is_whole = crc == crc32c::crc32c(said).to_le_bytes();
        let mut cursor = Cursor::new(said);
        match (cursor.array() == Some(MAGIC), cursor.u32()) {
            (true, Some(found)) if is_whole => Err(OpenError::Version {
                path: disk.root().join(FILE),
                found,
                supported: VERSION,
            }),
            // nothing but the version is in there
            _ => {
                self.flaws.push(Flaw {
                    offset: 0,
                    content: Flawed::Header,
                });
                Ok(())
            }
        }
    }

    /// Takes in what is behind the header. Returns how far into it the next record goes.
    fn read(&mut self, records: &[u8]) -> u64 {
        let mut corrections = None;
        let mut end = 0;
        let mut left = records.chunks(RECORD_LEN);
        while let Some(found) = left.next() {
            let mut record = Record::found(found);
            if !record.is_whole() {
                if left.len() == 0 && record.is_blank() {
                    // a write that was cut short before there was a key
                    break;
                }
                let corrections = corrections.get_or_insert_with(Corrections::new);
                let corrected = corrections.correct(&record);
                let content = match &corrected {
                    Some(corrected) => Flawed::Corrected(corrected.content().0),
                    None => Flawed::Unreadable(record.clone()),
                };
                let offset = HEADER_LEN as u64 + end;
                self.flaws.push(Flaw { offset, content });
                record = corrected.unwrap_or(record);
            }
            if record.is_whole() {
                let (of, secret) = record.content();
                self.keys.insert(of, secret);
            }
            end += RECORD_LEN as u64;
        }
        end
    }
}
