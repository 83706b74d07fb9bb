//! Opening a log's folder for a command, and what the library's errors mean for the exit code.

use std::path::Path;
use std::{fs, io};

use hypercore::encryption::EncryptionKey;
use hypercore::{
    AppendError, Builder, ClearError, CloseError, Corestore, Damage, DamageKind, DiscoveryKey,
    DownloadError, GetError, Hypercore, IfMissing, InfoError, ListedCore, OpenError, PurgeError,
    RefreshError, SeekError, Storage, StorageError, Store, StoreError, StoreOptions, TreeHashError,
    TruncateError, UpdateError, VerifyError,
};

use crate::args::Encryption;
use crate::failure::{Failure, Kind, chain};
use crate::output;
use crate::place::{Place, Which};
use crate::secret;

/// Opens what is there, only to read it; another process may be writing.
pub(crate) async fn read(
    dir: &Path,
    encryption: Option<&Encryption>,
) -> Result<Hypercore, Failure> {
    let builder = existing(dir, |dir| Storage::read_only(dir));
    open(builder, dir, encryption).await
}

/// The same, and looks at all of the log rather than at a copy of its index.
pub(crate) async fn read_whole(dir: &Path) -> Result<Hypercore, Failure> {
    let whole = StoreOptions::default().read_only().rebuild_index(true);
    let builder = existing(dir, |dir| Storage::directory(dir, whole));
    open(builder, dir, None).await
}

/// Opens what is there, to write to it or to serve it.
pub(crate) async fn write(
    dir: &Path,
    encryption: Option<&Encryption>,
) -> Result<Hypercore, Failure> {
    let builder = existing(dir, |dir| Storage::existing(dir));
    open(builder, dir, encryption).await
}

/// Opens the log of a place, to write to it; `None` where there is none yet.
pub(crate) async fn find(
    place: &Place,
    encryption: Option<&Encryption>,
) -> Result<Option<Hypercore>, Failure> {
    let builder = place.builder(|dir| Storage::existing(dir));
    let builder = with_key(builder.if_missing(IfMissing::Fail), encryption)?;
    match builder.open().await {
        Ok(log) => Ok(Some(log)),
        Err(
            OpenError::Missing { .. }
            | OpenError::Unnamed { .. }
            | OpenError::Store(StoreError::Missing { .. }),
        ) => Ok(None),
        Err(error) => Err(opening(error, &place.store)),
    }
}

/// Opens with a builder that says the rest.
pub(crate) async fn open(
    builder: Builder,
    dir: &Path,
    encryption: Option<&Encryption>,
) -> Result<Hypercore, Failure> {
    let builder = with_key(builder, encryption)?;
    builder.open().await.map_err(|error| opening(error, dir))
}

/// Refuses what is a file, or a log in a store: the whole store is meant.
pub(crate) fn check_folder(dir: &Path) -> Result<(), Failure> {
    if dir.is_file() {
        let message = "is a file; a folder with a store in it is meant";
        return Err(Failure::new(Kind::NotAvailable, message).at(dir.display()));
    }
    let place = Place::of(dir);
    if place.which != Which::Default {
        let store = place.store.display();
        let message = format!("is a log in a store; the whole store is meant, {store}");
        return Err(Failure::new(Kind::Usage, message).at(dir.display()));
    }
    Ok(())
}

/// Opens a folder with all its logs, to look after it.
pub(crate) fn folder(dir: &Path, options: StoreOptions) -> Result<impl Store + use<>, Failure> {
    check_folder(dir)?;
    // what is done here is done at once, and nothing beside it
    let store = options.collect(false).open(dir);
    store.map_err(|error| opening(OpenError::Store(error), dir))
}

/// Bytes that a folder takes on the disk, with all that is in it.
pub(crate) fn taken(dir: &Path) -> Result<u64, Failure> {
    let sum = taken_by(dir);
    sum.map_err(|error| Failure::new(Kind::Other, error).at(dir.display()))
}

fn taken_by(dir: &Path) -> io::Result<u64> {
    let mut sum = 0u64;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        sum = sum.saturating_add(if entry.file_type()?.is_dir() {
            taken_by(&entry.path())?
        } else {
            allocated(&entry.metadata()?)
        });
    }
    Ok(sum)
}

/// Without holes.
#[cfg(unix)]
fn allocated(file: &fs::Metadata) -> u64 {
    use std::os::unix::fs::MetadataExt;
    // in units of 512 bytes, whatever the file system's own are
    file.len().min(file.blocks().saturating_mul(512))
}

#[cfg(not(unix))]
fn allocated(file: &fs::Metadata) -> u64 {
    file.len()
}

/// Refuses a log that lost roots of its tree, which looks as if it were empty.
pub(crate) fn check_roots(log: &Hypercore, dir: &Path) -> Result<(), Failure> {
    let Some(lost) = log.repairing() else {
        return Ok(());
    };
    let message = format!(
        "the log, of {}, has lost roots of its tree; `hypercore fetch` brings them back",
        output::blocks(lost.length.get())
    );
    Err(Failure::new(Kind::Integrity, message).at(dir.display()))
}

/// Brings everything to the disk.
pub(crate) async fn close(log: &Hypercore, dir: &Path) -> Result<(), Failure> {
    log.close_all()
        .await
        .map_err(|error| Failure::from(error).at(dir.display()))
}

/// Says why nothing was appended, and what to do about it.
pub(crate) fn appending(error: AppendError, log: &Hypercore, dir: &Path) -> Failure {
    let advice = match &error {
        AppendError::NotWritable => where_the_key_is(log),
        AppendError::EncryptionKeyMissing => "; give --encryption-key".to_owned(),
        _ => String::new(),
    };
    let mut failure = Failure::from(error);
    failure.message.push_str(&advice);
    failure.at(dir.display())
}

/// Says why nothing was truncated, and what to do about it.
pub(crate) fn truncating(error: TruncateError, log: &Hypercore, dir: &Path) -> Failure {
    let advice = match &error {
        TruncateError::NotWritable => where_the_key_is(log),
        _ => String::new(),
    };
    let mut failure = Failure::from(error);
    failure.message.push_str(&advice);
    failure.at(dir.display())
}

/// What may have become of a secret key that is not at hand.
fn where_the_key_is(log: &Hypercore) -> String {
    let damage = log.damage().unwrap_or_default();
    match damage
        .iter()
        .find(|damage| damage.kind == DamageKind::Secret)
    {
        Some(damage) => format!("; its secret key may be one that can not be read: {damage}{KEYS}"),
        None => "; its secret key is elsewhere".to_owned(),
    }
}

/// What to do about secret keys that can not be read.
pub(crate) const KEYS: &str =
    "; `hypercore repair` sets it aside, and `hypercore restore` puts back one from a backup";

/// Whether it is a secret key that is damaged, and not a part of a log.
pub(crate) fn is_of_key(damage: &Damage) -> bool {
    matches!(
        damage.kind,
        DamageKind::Secret | DamageKind::SecretCorrected
    )
}

/// Tells people that what they get is not the plain text. Scripts know by `info`.
pub(crate) fn note_ciphertext(log: &Hypercore, encryption: &Encryption) {
    if encryption.encryption_key.is_none() && log.info().encrypted {
        eprintln!(
            "hypercore: the log is encrypted; without --encryption-key these are its stored bytes"
        );
    }
}

fn existing(dir: &Path, storage: impl FnOnce(&Path) -> Storage) -> Builder {
    Place::of(dir).builder(storage).if_missing(IfMissing::Fail)
}

/// Opens a store with all its logs.
pub(crate) async fn many(dir: &Path, storage: Storage) -> Result<Corestore, Failure> {
    let store = Corestore::open(storage).await;
    store.map_err(|error| opening(error, dir))
}

/// All logs of a store.
pub(crate) fn listed(store: &Corestore, dir: &Path) -> Result<Vec<ListedCore>, Failure> {
    let listed = store.list();
    listed.map_err(|error| Failure::from(error).at(dir.display()))
}

/// Opens a log of a store without interesting peers in it.
pub(crate) async fn quietly(
    store: &Corestore,
    log: DiscoveryKey,
    dir: &Path,
) -> Result<Hypercore, Failure> {
    let log = store.get(log).inactive().await;
    log.map_err(|error| opening(error, dir))
}

fn with_key(builder: Builder, encryption: Option<&Encryption>) -> Result<Builder, Failure> {
    let key = encryption
        .map(secret::encryption_key)
        .transpose()?
        .flatten();
    Ok(match key {
        Some(key) => builder.encryption_key(EncryptionKey::from_bytes(key)),
        None => builder,
    })
}

/// Says what is in the way of opening a folder, and what to do about it.
pub(crate) fn opening(error: OpenError, dir: &Path) -> Failure {
    let advice = match &error {
        OpenError::Missing { .. } | OpenError::Store(StoreError::Missing { .. }) => {
            "; `hypercore create` makes a log, `hypercore fetch` copies one"
        }
        OpenError::Store(StoreError::Damaged(_)) => {
            "; `hypercore repair --accept-loss` goes on without what is lost"
        }
        OpenError::Store(StoreError::Locked { .. }) => {
            "; one process writes at a time: wait until it ends, or stop it"
        }
        OpenError::Storage(StorageError::Damaged(damage)) if is_of_key(damage) => KEYS,
        OpenError::OtherEncryption { .. } => "; another tool wrote it",
        OpenError::NotEncrypted { .. } => "; leave the encryption key out",
        _ => "",
    };
    let mut failure = Failure::from(error);
    failure.message.push_str(advice);
    let place = dir.display().to_string();
    if failure.message.contains(&place) {
        failure
    } else {
        failure.at(place)
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        let kind = match &error {
            OpenError::Store(StoreError::Locked { .. }) => Kind::Locked,
            OpenError::Store(StoreError::Damaged(_)) | OpenError::SecretKey { .. } => {
                Kind::Integrity
            }
            OpenError::Store(StoreError::Poisoned { cause }) => kind(cause),
            OpenError::Storage(error) => kind(error),
            OpenError::OtherEncryption { .. } | OpenError::NotEncrypted { .. } => Kind::Usage,
            _ => Kind::Other,
        };
        Self::new(kind, chain(&error))
    }
}

impl From<GetError> for Failure {
    fn from(error: GetError) -> Self {
        let kind = match &error {
            GetError::NotLocal { .. } | GetError::TimedOut { .. } | GetError::Truncated { .. } => {
                Kind::NotAvailable
            }
            GetError::Lost { .. } | GetError::Encryption { .. } => Kind::Integrity,
            GetError::Storage(error) => kind(error),
            GetError::Unstorable { error, .. } => kind(error),
            _ => Kind::Other,
        };
        Self::new(kind, chain(&error))
    }
}

impl From<DownloadError> for Failure {
    fn from(error: DownloadError) -> Self {
        let kind = match &error {
            DownloadError::Storage(error) => kind(error),
            _ => Kind::Other,
        };
        Self::new(kind, chain(&error))
    }
}

impl From<UpdateError> for Failure {
    fn from(error: UpdateError) -> Self {
        let kind = match &error {
            UpdateError::Storage(error) => kind(error),
            _ => Kind::Other,
        };
        Self::new(kind, chain(&error))
    }
}

impl From<SeekError> for Failure {
    fn from(error: SeekError) -> Self {
        let kind = match &error {
            SeekError::Storage(error) => kind(error),
            _ => Kind::NotAvailable,
        };
        Self::new(kind, chain(&error))
    }
}

impl From<AppendError> for Failure {
    fn from(error: AppendError) -> Self {
        let kind = match &error {
            AppendError::Storage(error) => kind(error),
            AppendError::EncryptionKeyMissing => Kind::Usage,
            _ => Kind::Other,
        };
        Self::new(kind, chain(&error))
    }
}

impl From<TruncateError> for Failure {
    fn from(error: TruncateError) -> Self {
        let kind = match &error {
            TruncateError::Storage(error) => kind(error),
            TruncateError::Longer { .. } => Kind::NotAvailable,
            TruncateError::ForkNotHigher { .. } => Kind::Usage,
            TruncateError::Tree(_) => Kind::Integrity,
            _ => Kind::Other,
        };
        Self::new(kind, chain(&error))
    }
}

impl From<ClearError> for Failure {
    fn from(error: ClearError) -> Self {
        let kind = match &error {
            ClearError::Storage(error) => kind(error),
            ClearError::Lost { .. } => Kind::Integrity,
            _ => Kind::Other,
        };
        Self::new(kind, chain(&error))
    }
}

impl From<TreeHashError> for Failure {
    fn from(error: TreeHashError) -> Self {
        match error {
            TreeHashError::Block { source, .. } => source.into(),
            error => Self::new(Kind::Integrity, chain(&error)),
        }
    }
}

impl From<VerifyError> for Failure {
    fn from(error: VerifyError) -> Self {
        let kind = match &error {
            VerifyError::Storage(error) => kind(error),
            _ => Kind::Integrity,
        };
        Self::new(kind, chain(&error))
    }
}

impl From<RefreshError> for Failure {
    fn from(error: RefreshError) -> Self {
        let kind = match &error {
            RefreshError::Storage(error) => kind(error),
            _ => Kind::Other,
        };
        Self::new(kind, chain(&error))
    }
}

impl From<InfoError> for Failure {
    fn from(error: InfoError) -> Self {
        let kind = match &error {
            InfoError::Storage(error) => kind(error),
            _ => Kind::Other,
        };
        Self::new(kind, chain(&error))
    }
}

impl From<PurgeError> for Failure {
    fn from(error: PurgeError) -> Self {
        let kind = match &error {
            PurgeError::Storage(error) => kind(error),
            _ => Kind::Other,
        };
        Self::new(kind, chain(&error))
    }
}

impl From<CloseError> for Failure {
    fn from(error: CloseError) -> Self {
        Self::new(Kind::Other, chain(&error))
    }
}

/// What an error of a store is to scripts.
pub(crate) fn kind(error: &StorageError) -> Kind {
    match error {
        StorageError::BlockDamaged { .. }
        | StorageError::Damaged(_)
        | StorageError::AppendsLost { .. } => Kind::Integrity,
        StorageError::Poisoned { cause } => kind(cause),
        _ => Kind::Other,
    }
}
