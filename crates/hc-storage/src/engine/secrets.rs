//! The file of secret keys: apart from the log, so that neither a copied log nor a cleared record of it
//! gives one away. Always on the device before it is used.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use hc_merkle::{DiscoveryKey, SecretKey};
use zeroize::Zeroizing;

use crate::disk::{Disk, DiskFile, fault};
use crate::error::{Action, Damage, DamageKind, IoFault, OpenError};
use crate::lock::lock;
use crate::record::StoreSecret;
use crate::record::cursor::Cursor;
use crate::store::Access;

pub(crate) const FILE: &str = "SECRETS";
const NEW_FILE: &str = "SECRETS.new";

const MAGIC: [u8; 8] = *b"HCRS-KEY";
const VERSION: u32 = 1;
const HEADER_LEN: usize = 16;
/// Checksum, discovery key, secret key.
const RECORD_LEN: usize = 4 + 32 + 64;

/// Where the secret of the store itself is among those of its logs: in the first half of what would be a
/// key. No log has this discovery key, for nobody knows what hashes to it.
const OF_STORE: DiscoveryKey = DiscoveryKey([0; 32]);

/// The secret keys of a store.
#[derive(Debug)]
pub(crate) struct Secrets {
    disk: Arc<dyn Disk>,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    keys: BTreeMap<DiscoveryKey, SecretKey>,
    /// The file, once there is one, and where its records end.
    file: Option<(Arc<dyn DiskFile>, u64)>,
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
            None => self.create(FILE)?,
        };
        let written = append(&file, end, &of, &secret);
        if written.is_err() {
            // a torn record at the end is cut when the store is opened; this only tidies up
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

    /// Writes a file without this key in place of the one with it.
    pub(crate) fn forget(&self, of: &DiscoveryKey) -> Result<(), IoFault> {
        let mut held = lock(&self.held);
        if !held.keys.contains_key(of) {
            return Ok(());
        }
        let (file, mut end) = self.create(NEW_FILE)?;
        for (key, secret) in held.keys.iter().filter(|(key, _)| *key != of) {
            append(&file, end, key, secret).map_err(fault(&*self.disk, Action::Write, NEW_FILE))?;
            end += RECORD_LEN as u64;
        }
        self.disk
            .rename(NEW_FILE, FILE)
            .map_err(fault(&*self.disk, Action::Rename, NEW_FILE))?;
        self.disk
            .sync_dir("")
            .map_err(fault(&*self.disk, Action::Sync, ""))?;
        held.keys.remove(of);
        held.file = Some((file, end));
        Ok(())
    }

    fn create(&self, name: &str) -> Result<(Arc<dyn DiskFile>, u64), IoFault> {
        let disk = &*self.disk;
        let file = disk
            .create(name)
            .map_err(fault(disk, Action::Create, name))?;
        file.write_at(&[&header()], 0)
            .map_err(fault(disk, Action::Write, name))?;
        file.sync().map_err(fault(disk, Action::Sync, name))?;
        disk.sync_dir("").map_err(fault(disk, Action::Sync, ""))?;
        Ok((file, HEADER_LEN as u64))
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

fn append(
    file: &Arc<dyn DiskFile>,
    end: u64,
    key: &DiscoveryKey,
    secret: &SecretKey,
) -> std::io::Result<()> {
    let crc = crc32c::crc32c_append(crc32c::crc32c(key.as_bytes()), secret.as_bytes());
    file.write_at(
        &[&crc.to_le_bytes(), key.as_bytes(), secret.as_bytes()],
        end,
    )?;
    file.sync()
}

fn read(disk: &dyn Disk, file: Arc<dyn DiskFile>, writes: bool) -> Result<Held, OpenError> {
    let failed = |error| fault(disk, Action::Read, FILE)(error);
    let len = file.len().map_err(failed)?;
    let mut bytes = Zeroizing::new(vec![0; usize::try_from(len).unwrap_or(0)]);
    let read = file.read_at(&mut bytes, 0).map_err(failed)?;
    let bytes = bytes.get(..read).unwrap_or_default();
    let damage = |offset| Damage {
        path: disk.root().join(FILE),
        offset,
        kind: DamageKind::Secret,
    };
    let mut held = Held::default();
    let mut end = HEADER_LEN as u64;
    match bytes.split_at_checked(HEADER_LEN) {
        // made by a process that died before it put anything in
        None if writes => {
            file.set_len(0)
                .map_err(fault(disk, Action::Truncate, FILE))?;
            file.write_at(&[&header()], 0)
                .map_err(fault(disk, Action::Write, FILE))?;
        }
        None => {}
        Some((found, _)) if found != header() => return Err(bad_header(disk, found)),
        Some((_, records)) => {
            let count = records.len().div_ceil(RECORD_LEN);
            for (at, record) in records.chunks(RECORD_LEN).enumerate() {
                let Some((key, secret)) = record_of(record) else {
                    if at + 1 == count {
                        break;
                    }
                    return Err(damage(end).into());
                };
                held.keys.insert(key, secret);
                end += RECORD_LEN as u64;
            }
        }
    }
    if writes && end < len {
        file.set_len(end)
            .map_err(fault(disk, Action::Truncate, FILE))?;
    }
    held.file = Some((file, end));
    Ok(held)
}

fn bad_header(disk: &dyn Disk, found: &[u8]) -> OpenError {
    let path = disk.root().join(FILE);
    let mut cursor = Cursor::new(found);
    match (cursor.array() == Some(MAGIC), cursor.u32()) {
        (true, Some(found)) if found != VERSION => OpenError::Version {
            path,
            found,
            supported: VERSION,
        },
        _ => Damage {
            path,
            offset: 0,
            kind: DamageKind::Secret,
        }
        .into(),
    }
}

fn record_of(record: &[u8]) -> Option<(DiscoveryKey, SecretKey)> {
    let mut cursor = Cursor::new(record);
    let crc = cursor.u32()?;
    let key = DiscoveryKey(cursor.array()?);
    let secret = SecretKey::from_bytes(cursor.array()?);
    let sum = crc32c::crc32c_append(crc32c::crc32c(key.as_bytes()), secret.as_bytes());
    (sum == crc).then_some((key, secret))
}
