//! Secret keys of a store, sealed under a passphrase.
//!
//! Owns the format, what of it is refused before a passphrase is even tried, and when a key may go back
//! into a store. Secrets are wiped from memory when dropped, and never printed.
//!
//! | offset | bytes | file |
//! | --- | --- | --- |
//! | 0 | 8 | `89 68 63 62 63 6b 75 70` (`hcbckup` after a byte that is not text) |
//! | 8 | 1 | version, 1 |
//! | 9 | 12 | Argon2id, version 19: memory in KiB, passes, lanes (4 each, little-endian) |
//! | 21 | 16 | salt |
//! | 37 | 24 | nonce |
//! | 61 | – | XSalsa20-Poly1305, tag first, under the 32 bytes that come of passphrase and salt |
//!
//! Sealed is a row of LEB128 integers and bytes: the number of keys, then for each the key of its log (32),
//! its secret key (64), fork and length that the log had, 0 or 1 and one more than its encryption, and 0, 1
//! (compat mode) or 2 and its manifest after its length.
//!
//! ```
//! use hc_storage::MemoryStore;
//! use hc_transfer::backup::{KeyBackup, Sealing};
//!
//! let backup = KeyBackup::of(&MemoryStore::new())?;
//! let quick = Sealing { memory_kib: 64, passes: 1, ..Sealing::default() };
//! let sealed = backup.seal(b"correct horse", &quick)?;
//! assert!(KeyBackup::open(&sealed, b"battery staple").is_err());
//! assert_eq!(KeyBackup::open(&sealed, b"correct horse")?.len(), 0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;

use argon2::{Algorithm, Argon2, Params};
use hc_encoding::{decode_exact, encode_to_vec};
use hc_merkle::{Authority, CoreKey, Fork, Head, KeyPair, Length, SecretKey};
use hc_protocol::secretbox;
use hc_storage::{
    Alias, Auth, CoreRecord, EncryptionScheme, StorageError, Store, StoreSecret, varint,
};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::cursor::Cursor;
use crate::limits::{
    MAX_BACKUP_BYTES, MAX_BACKUP_KEYS, MAX_BACKUP_LANES, MAX_BACKUP_MEMORY, MAX_BACKUP_PASSES,
};

const MAGIC: [u8; 8] = *b"\x89hcbckup";
const VERSION: u8 = 1;
const SALT: usize = 16;

/// How much work it takes to try a passphrase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sealing {
    /// Memory, in KiB.
    pub memory_kib: u32,
    /// Passes over it.
    pub passes: u32,
    /// Lanes that it is cut into.
    pub lanes: u32,
}

impl Default for Sealing {
    /// 64 MiB and three passes: what RFC 9106 recommends where memory is scarce, on one lane.
    fn default() -> Self {
        Self {
            memory_kib: 64 << 10,
            passes: 3,
            lanes: 1,
        }
    }
}

/// Why keys were not sealed, opened or put back.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BackupError {
    /// The operating system refused.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The store refused.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// There is no randomness to be had.
    #[error("no randomness: {0}")]
    Randomness(#[source] getrandom::Error),
    /// A passphrase of no letters.
    #[error("the passphrase is empty")]
    EmptyPassphrase,
    /// It is no backup.
    #[error("this is no backup of keys")]
    Magic,
    /// It is of a version that is not known here.
    #[error("the backup has format version {found}, this program reads version {VERSION}")]
    Version {
        /// Its version.
        found: u8,
    },
    /// It asks for more work than is done for anybody, or for none.
    #[error(
        "the backup asks for {memory_kib} KiB, {passes} passes and {lanes} lanes to try a passphrase"
    )]
    Work {
        /// Memory that it asks for, in KiB.
        memory_kib: u32,
        /// Passes over it.
        passes: u32,
        /// Lanes that it is cut into.
        lanes: u32,
    },
    /// It is larger than a backup can be.
    #[error("the backup has more than {MAX_BACKUP_BYTES} bytes")]
    TooLong,
    /// There are more keys than a backup takes.
    #[error("a backup takes at most {MAX_BACKUP_KEYS} keys")]
    TooManyKeys,
    /// It ends too early.
    #[error("the backup ends too early")]
    Truncated,
    /// It does not open.
    #[error("the passphrase is wrong, or the backup was altered")]
    Sealed,
    /// It opens, and what is in it makes no sense.
    #[error("the backup has no meaning")]
    Content,
}

impl BackupError {
    /// Whether the file is not what was written. That a passphrase is wrong looks the same.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        matches!(
            self,
            Self::Magic | Self::Truncated | Self::Sealed | Self::Content | Self::TooLong
        )
    }
}

/// The secret keys of a store.
pub struct KeyBackup(Vec<LogKey>);

/// The secret key of one log.
struct LogKey {
    auth: Auth,
    /// What the log was when its key was taken.
    fork: Fork,
    length: Length,
}

/// What became of a key that was to be put back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Restored {
    /// Of which log.
    pub key: CoreKey,
    /// What became of it.
    pub outcome: Outcome,
}

/// What became of a key that was to be put back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is in the store now.
    Restored,
    /// It was there.
    Present,
    /// The store's log is behind what it was when the key was taken. It was left alone: what would be
    /// appended to it would fork the log for good. Bring the log up to date first.
    Behind {
        /// Blocks that the store has; 0 where it does not have the log.
        ours: Length,
        /// Blocks that the log had.
        backed_up: Length,
    },
}

impl KeyBackup {
    /// Takes the secret keys that a store keeps for its logs.
    ///
    /// # Errors
    /// What reading may return, and [`BackupError::TooManyKeys`].
    pub fn of(store: &dyn Store) -> Result<Self, BackupError> {
        Self::with_named(store, |_, _| None)
    }

    /// As [`of`](Self::of), with those of named logs, which are not kept but follow from the secret of the
    /// store and the name, as `derive` says. Of these only keys are taken that may sign.
    ///
    /// # Errors
    /// What reading may return, and [`BackupError::TooManyKeys`].
    pub fn with_named(
        store: &dyn Store,
        derive: impl Fn(&StoreSecret, &Alias) -> Option<KeyPair>,
    ) -> Result<Self, BackupError> {
        let secret = store.secret()?;
        let mut keys = Vec::new();
        for entry in store.cores()? {
            let Some(log) = store.open_core(&entry.discovery_key)? else {
                continue;
            };
            let mut auth = log.auth()?;
            if let (None, Some(secret), Some(alias)) = (&auth.secret_key, &secret, log.alias()?) {
                let pair = derive(secret, &alias).filter(|pair| may_sign(&auth, pair));
                auth.secret_key = pair.map(|pair| pair.secret_key());
            }
            if auth.secret_key.is_some() {
                let head = log.head()?;
                keys.push(LogKey {
                    auth,
                    fork: head.fork(),
                    length: head.length(),
                });
            }
        }
        if keys.len() > MAX_BACKUP_KEYS {
            return Err(BackupError::TooManyKeys);
        }
        Ok(Self(keys))
    }

    /// Number of keys.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The logs whose secret keys these are.
    pub fn logs(&self) -> impl Iterator<Item = CoreKey> + '_ {
        self.0.iter().map(|key| key.auth.key)
    }

    /// Seals the keys under a passphrase.
    ///
    /// # Errors
    /// [`BackupError::EmptyPassphrase`], [`BackupError::Work`] where the sealing is out of bounds, and
    /// [`BackupError::Randomness`].
    pub fn seal(&self, passphrase: &[u8], sealing: &Sealing) -> Result<Vec<u8>, BackupError> {
        let (mut salt, mut nonce) = ([0; SALT], [0; secretbox::NONCE_LEN]);
        getrandom::getrandom(&mut salt).map_err(BackupError::Randomness)?;
        getrandom::getrandom(&mut nonce).map_err(BackupError::Randomness)?;
        self.seal_with(passphrase, sealing, salt, nonce)
    }

    fn seal_with(
        &self,
        passphrase: &[u8],
        sealing: &Sealing,
        salt: [u8; SALT],
        nonce: [u8; secretbox::NONCE_LEN],
    ) -> Result<Vec<u8>, BackupError> {
        let key = stretch(passphrase, &salt, sealing)?;
        let mut out = MAGIC.to_vec();
        out.push(VERSION);
        for number in [sealing.memory_kib, sealing.passes, sealing.lanes] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&salt);
        out.extend_from_slice(&nonce);
        let plain = self.encode();
        secretbox::seal(&key, &nonce, &plain, &mut out).map_err(|_| BackupError::TooLong)?;
        Ok(out)
    }

    /// Opens what was sealed. Before a passphrase is tried, what the file asks for is held against the
    /// limits.
    ///
    /// # Errors
    /// [`BackupError`] says what is wrong: [`Sealed`](BackupError::Sealed) where the passphrase is
    /// another one or the file was altered, which cannot be told apart.
    pub fn open(sealed: &[u8], passphrase: &[u8]) -> Result<Self, BackupError> {
        let mut cursor = Cursor::new(sealed);
        if cursor.array() != Some(MAGIC) {
            return Err(BackupError::Magic);
        }
        match cursor.u8() {
            Some(VERSION) => {}
            Some(found) => return Err(BackupError::Version { found }),
            None => return Err(BackupError::Truncated),
        }
        let work = (cursor.u32(), cursor.u32(), cursor.u32());
        let rest = (
            cursor.array::<SALT>(),
            cursor.array::<{ secretbox::NONCE_LEN }>(),
        );
        let ((Some(memory_kib), Some(passes), Some(lanes)), (Some(salt), Some(nonce))) =
            (work, rest)
        else {
            return Err(BackupError::Truncated);
        };
        let sealing = Sealing {
            memory_kib,
            passes,
            lanes,
        };
        let key = stretch(passphrase, &salt, &sealing)?;
        let plain = secretbox::open(&key, &nonce, cursor.rest());
        let plain = Zeroizing::new(plain.map_err(|_| BackupError::Sealed)?);
        Self::decode(&plain).ok_or(BackupError::Content)
    }

    /// Puts the keys back into a store that has their logs. A log that is shorter than it was, or is not
    /// there, is left alone, unless `even_behind`: then it is made, and whoever appends to it before it
    /// is up to date forks it.
    ///
    /// # Errors
    /// What writing may return; keys before it are then in the store.
    pub fn restore(
        &self,
        store: &dyn Store,
        even_behind: bool,
    ) -> Result<Vec<Restored>, BackupError> {
        let mut all = Vec::with_capacity(self.0.len());
        for key in &self.0 {
            let outcome = restore(key, store, even_behind)?;
            all.push(Restored {
                key: key.auth.key,
                outcome,
            });
        }
        Ok(all)
    }

    fn encode(&self) -> Zeroizing<Vec<u8>> {
        let rough = 16 + self.0.len() * 512;
        let mut out = Zeroizing::new(Vec::with_capacity(rough));
        varint::put(&mut out, self.0.len() as u64);
        for LogKey { auth, fork, length } in &self.0 {
            let Some(secret) = &auth.secret_key else {
                continue;
            };
            let manifest = auth.manifest.as_deref().map(encode_to_vec);
            // Room for all of it, so that no copy of what is before is left behind when it grows.
            let needed = 256 + manifest.as_ref().map_or(0, Vec::len);
            grow(&mut out, needed);
            out.extend_from_slice(auth.key.as_bytes());
            out.extend_from_slice(secret.as_bytes());
            varint::put(&mut out, fork.get());
            varint::put(&mut out, length.get());
            let encryption = auth.encryption.map_or(0, |scheme| u64::from(scheme.0) + 1);
            varint::put(&mut out, encryption);
            match manifest {
                Some(manifest) => {
                    varint::put(&mut out, 2);
                    varint::put(&mut out, manifest.len() as u64);
                    out.extend_from_slice(&manifest);
                }
                None => varint::put(&mut out, u64::from(auth.compat)),
            }
        }
        out
    }

    fn decode(plain: &[u8]) -> Option<Self> {
        let mut cursor = Cursor::new(plain);
        let count = usize::try_from(cursor.varint()?).ok()?;
        if count > MAX_BACKUP_KEYS {
            return None;
        }
        let mut keys = Vec::new();
        for _ in 0..count {
            let key = CoreKey(cursor.array()?);
            let secret = SecretKey::from_bytes(cursor.array()?);
            KeyPair::from_secret_key(&secret).ok()?;
            let (fork, length) = (cursor.varint()?, cursor.varint()?);
            let encryption = match cursor.varint()?.checked_sub(1) {
                Some(scheme) => Some(EncryptionScheme(scheme.try_into().ok()?)),
                None => None,
            };
            let (manifest, compat) = match cursor.varint()? {
                2 => (Some(Arc::new(decode_exact(cursor.slice()?).ok()?)), false),
                1 => (None, true),
                0 => (None, false),
                _ => return None,
            };
            let auth = Auth {
                key,
                manifest,
                secret_key: Some(secret),
                encryption,
                compat,
            };
            crate::proofs::authority(&auth).ok()?;
            keys.push(LogKey {
                auth,
                fork: Fork::new(fork),
                length: Length::new(length),
            });
        }
        cursor.is_empty().then_some(Self(keys))
    }
}

impl fmt::Debug for KeyBackup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.logs()).finish()
    }
}

/// Makes room without leaving secrets in the memory that is given back.
fn grow(out: &mut Zeroizing<Vec<u8>>, more: usize) {
    if out.capacity() - out.len() < more {
        let mut larger = Zeroizing::new(Vec::with_capacity(2 * out.len() + more));
        larger.extend_from_slice(out);
        *out = larger;
    }
}

fn may_sign(auth: &Auth, pair: &KeyPair) -> bool {
    let authority = crate::proofs::authority(auth).ok();
    let verifier = authority.as_ref().and_then(Authority::verifier);
    let tree = Head::empty().signed_tree();
    verifier.is_some_and(|verifier| verifier.signable(&pair.public_key(), &tree).is_ok())
}

fn restore(key: &LogKey, store: &dyn Store, even_behind: bool) -> Result<Outcome, BackupError> {
    let discovery_key = key.auth.key.discovery_key();
    let found = store.open_core(&discovery_key)?;
    let (state, has_key) = match &found {
        Some(log) => {
            let head = log.head()?;
            let has_key = log.auth()?.secret_key.is_some();
            ((head.fork(), head.length()), has_key)
        }
        None => ((Fork::ZERO, Length::ZERO), false),
    };
    if has_key {
        return Ok(Outcome::Present);
    }
    if state < (key.fork, key.length) && !even_behind {
        return Ok(Outcome::Behind {
            ours: state.1,
            backed_up: key.length,
        });
    }
    match found {
        Some(log) => log.set_secret_key(key.auth.secret_key.clone())?,
        None => {
            store.create_core(CoreRecord {
                discovery_key,
                auth: key.auth.clone(),
                alias: None,
            })?;
            if store.default_core()?.is_none() {
                store.set_default_core(&discovery_key)?;
            }
        }
    }
    Ok(Outcome::Restored)
}

/// The key that comes of a passphrase.
fn stretch(
    passphrase: &[u8],
    salt: &[u8; SALT],
    sealing: &Sealing,
) -> Result<Zeroizing<[u8; 32]>, BackupError> {
    if passphrase.is_empty() {
        return Err(BackupError::EmptyPassphrase);
    }
    let Sealing {
        memory_kib,
        passes,
        lanes,
    } = *sealing;
    let work = BackupError::Work {
        memory_kib,
        passes,
        lanes,
    };
    let within =
        memory_kib <= MAX_BACKUP_MEMORY && passes <= MAX_BACKUP_PASSES && lanes <= MAX_BACKUP_LANES;
    let params = Params::new(memory_kib, passes, lanes, Some(32));
    let (true, Ok(params)) = (within, params) else {
        return Err(work);
    };
    let mut key = Zeroizing::new([0; 32]);
    Argon2::new(Algorithm::Argon2id, argon2::Version::V0x13, params)
        .hash_password_into(passphrase, salt, &mut *key)
        .map_err(|_| work)?;
    Ok(key)
}

/// Writes a sealed backup to a new file, which only its owner can read. It is on the device when this
/// returns.
///
/// # Errors
/// What the operating system says, also where there is such a file.
pub fn write_file(path: impl AsRef<Path>, sealed: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(sealed)?;
    file.sync_all()
}

/// Reads a sealed backup from a file.
///
/// # Errors
/// What the operating system says, and [`BackupError::TooLong`].
pub fn read_file(path: impl AsRef<Path>) -> Result<Vec<u8>, BackupError> {
    let mut bytes = Vec::new();
    File::open(path)?
        .take(MAX_BACKUP_BYTES + 1)
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_BACKUP_BYTES {
        return Err(BackupError::TooLong);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests;
