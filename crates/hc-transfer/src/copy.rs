//! From a source into a store: the whole log with all that belongs to it, verified on the way.

use std::ops::Range;

use hc_bitfield::Bitfield;
use hc_merkle::{ByteLength, CoreKey, Head, Length};
use hc_storage::{Durability, EncryptionScheme, StorageError, Store};
use thiserror::Error;

use crate::error::SourceError;
use crate::intake::{Intake, IntakeError, with_encryption};
use crate::proofs::{Proofs, ProveError};
use crate::source::{Progress, Source, TELL_EVERY};

/// What a copy has beside blocks and tree: by default all that the source has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CopyOptions {
    /// The copy only reads.
    without_secret_key: bool,
    /// How the blocks are encrypted, where the source does not say so. Nothing is decrypted.
    encryption: Option<EncryptionScheme>,
}

impl CopyOptions {
    /// Leaves the secret key behind.
    #[must_use]
    pub fn without_secret_key(mut self) -> Self {
        self.without_secret_key = true;
        self
    }

    /// Notes that the blocks are encrypted as the reference does it, where the source does not say so, as
    /// version 10 never does. Nothing is decrypted.
    #[must_use]
    pub fn encrypted(mut self) -> Self {
        self.encryption = Some(EncryptionScheme::REFERENCE);
        self
    }
}

/// What was copied.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Copied {
    /// What names the log.
    pub key: CoreKey,
    /// Its length now.
    pub length: Length,
    /// Its bytes now, as stored.
    pub byte_length: ByteLength,
    /// Blocks that were stored.
    pub blocks: u64,
    /// Bytes in them.
    pub bytes: u64,
    /// Blocks that the source has and the store had already.
    pub present: u64,
    /// Blocks that were left out: the source has them, and not the nodes that tie them to the tree, so
    /// that nobody can verify them. Version 11 of the reference loses nodes when blocks to the right of
    /// others are cleared.
    pub untied: Vec<Range<u64>>,
    /// Pieces of user data that were stored.
    pub user_data: u64,
    /// Whether the secret key is in the store now.
    pub has_secret_key: bool,
}

/// Why a log was not copied. What was copied before is kept, and the next attempt goes on from there.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CopyError {
    /// The source is not what it says.
    #[error(transparent)]
    Source(#[from] ProveError),
    /// The store did not take it.
    #[error(transparent)]
    Intake(#[from] IntakeError),
}

impl CopyError {
    /// Whether bytes are not what was written and signed, as opposed to a refusal of the system.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Source(error) => error.is_damage(),
            Self::Intake(error) => error.is_damage(),
        }
    }
}

impl From<SourceError> for CopyError {
    fn from(error: SourceError) -> Self {
        Self::Source(error.into())
    }
}

impl From<StorageError> for CopyError {
    fn from(error: StorageError) -> Self {
        Self::Intake(error.into())
    }
}

/// Copies a log into a store, which may have a part of it already: then only the rest is copied. Calls
/// `progress` now and then. All of it is on the device when this returns.
///
/// # Errors
/// [`CopyError`]; the fault of source or store.
///
/// ```
/// use hc_merkle::{CoreKey, KeyPair};
/// use hc_storage::{Auth, CoreRecord, MemoryStore, Store};
/// use hc_transfer::{CopyOptions, StoredLog, copy};
///
/// let (from, to) = (MemoryStore::new(), MemoryStore::new());
/// let key = CoreKey([7; 32]);
/// let log = from.create_core(CoreRecord {
///     discovery_key: key.discovery_key(),
///     auth: Auth::reader(key),
///     alias: None,
/// })?;
/// let copied = copy(
///     &StoredLog::new(log.snapshot()?),
///     &to,
///     &CopyOptions::default(),
///     &mut |_| {},
/// )?;
/// assert_eq!(copied.key, key);
/// assert!(to.open_core(&key.discovery_key())?.is_some());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn copy(
    source: &dyn Source,
    store: &dyn Store,
    options: &CopyOptions,
    progress: &mut dyn FnMut(Progress),
) -> Result<Copied, CopyError> {
    let mut auth = with_encryption(source.auth()?, options.encryption);
    if options.without_secret_key {
        auth.secret_key = None;
    }
    let found = Intake::existing(store, &auth)?;
    let given = found.as_ref().map(|intake| intake.have().clone());
    let mut proofs = Proofs::new(source, given.unwrap_or_default(), 0..u64::MAX)?;
    proofs.check_head(&auth)?;
    let mut intake = match found {
        Some(mut intake) => {
            intake.check_fork(proofs.head())?;
            if let Some(upgrade) = proofs.upgrade(intake.head().length())? {
                intake.push(0, upgrade)?;
                intake.flush()?;
            }
            intake
        }
        None => Intake::create(store, auth.clone(), 0, proofs.upgrade(Length::ZERO)?)?,
    };
    let done = blocks(&mut proofs, &mut intake, progress);
    // What waits holds, also where what comes after it does not.
    intake.flush()?;
    let done = done?;
    intake.add_auth(&auth)?;
    if let Some(alias) = source.alias()? {
        intake.add_name(store, &auth.key.discovery_key(), alias)?;
    }
    let user_data = intake.add_user_data(source.user_data()?)?;
    store.sync(Durability::Disk)?;
    let head: Head = intake.head().clone();
    Ok(Copied {
        key: auth.key,
        length: head.length(),
        byte_length: head.byte_length(),
        blocks: done.blocks,
        bytes: done.bytes,
        present: done.present,
        untied: done.untied.ranges(0..u64::MAX).collect(),
        user_data,
        has_secret_key: intake.log().auth()?.secret_key.is_some(),
    })
}

/// What was copied of the blocks.
#[derive(Default)]
struct Done {
    blocks: u64,
    bytes: u64,
    present: u64,
    untied: Bitfield,
}

/// Copies the blocks that are not there, but for the last few, which wait.
fn blocks(
    proofs: &mut Proofs<'_>,
    intake: &mut Intake,
    progress: &mut dyn FnMut(Progress),
) -> Result<Done, CopyError> {
    let (total, fork) = (proofs.total(), proofs.head().fork());
    let before = proofs.given();
    let mut done = Done::default();
    loop {
        match proofs.next() {
            Ok(Some(proof)) => {
                done.blocks += 1;
                done.bytes += proof.value.len() as u64;
                intake.push_block(proof.index.get(), fork, proof)?;
            }
            Ok(None) => break,
            Err(ProveError::Untied { block, .. }) => drop(done.untied.set(block.get())),
            Err(error) => return Err(error.into()),
        }
        if done.blocks.is_multiple_of(TELL_EVERY) {
            progress(Progress {
                blocks: before + done.blocks,
                total,
                bytes: done.bytes,
            });
        }
    }
    done.present = before;
    progress(Progress {
        blocks: total,
        total,
        bytes: done.bytes,
    });
    Ok(done)
}
