//! Who may sign a log, and what its key is the hash of: the manifest, its four versions on the wire,
//! and what makes one valid. Knows nothing of signatures.

use alloc::vec::Vec;

use hc_encoding::{
    Decode, DecodeError, DecodeErrorKind, Encode, Reader, Writer, encode_to_vec, uint_len,
};
use thiserror::Error;

use crate::digest::hash;
use crate::limits::{MAX_LINKED, MAX_SIGNERS, MAX_USER_DATA};
use crate::{CoreKey, Length, Namespace, PublicKey, TreeHash};

const PATCH: u64 = 1;
const PROLOGUE: u64 = 2;
const LINKED: u64 = 4;
const USER_DATA: u64 = 8;

/// The one hash (BLAKE2b-256) and the one kind of signature (Ed25519) there is.
const BLAKE2B: u64 = 0;
const ED25519: u64 = 0;

/// A signer as it is encoded: kind, namespace, public key.
const SIGNER_LEN: usize = 65;

/// Layout of a manifest on the wire, and what its signatures are made over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum ManifestVersion {
    /// The first layout; signatures are over the namespace of each signer.
    V0,
    /// The default; signatures are over the hash of the manifest.
    #[default]
    V1,
    /// Adds linked keys and user data.
    V2,
    /// Laid out like version 2.
    V3,
}

/// One of those who may sign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signer {
    /// What keeps signatures for one purpose from being valid for another.
    pub namespace: Namespace,
    /// The Ed25519 key that verifies.
    pub public_key: PublicKey,
}

/// A fixed start of the log: up to this length a tree with this hash needs no signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prologue {
    /// Tree hash at `length`.
    pub hash: TreeHash,
    /// Number of blocks that are fixed.
    pub length: Length,
}

/// Who may sign a log: its key is the hash of this.
///
/// Made from the signers, then adjusted; the fields are open, and [`validate`](Self::validate) says
/// whether they go together.
///
/// ```
/// use hc_merkle::KeyPair;
/// use hc_merkle::manifest::{Manifest, Signer};
///
/// let [a, b, c] = [1, 2, 3].map(|seed| KeyPair::from_seed(&[seed; 32]).public_key());
/// let manifest = Manifest::new([a, b, c].map(Signer::new)).with_patches();
/// assert_eq!(manifest.quorum, 2);
/// assert_eq!(manifest.key().to_z32().len(), 52);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// Layout, and what is signed.
    pub version: ManifestVersion,
    /// Whether a signer may have signed a longer tree than the one that is proven.
    pub allow_patch: bool,
    /// How many of the signers must have signed.
    pub quorum: u64,
    /// Who may sign. Empty for a static log, which is its prologue.
    pub signers: Vec<Signer>,
    /// The fixed start, if there is one.
    pub prologue: Option<Prologue>,
    /// Keys of other logs that belong to this one (version 2 and later).
    pub linked: Option<Vec<CoreKey>>,
    /// Bytes that the application put here (version 2 and later).
    pub user_data: Option<Vec<u8>>,
}

/// A manifest whose fields do not go together, or that is not of the key it came with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// More signatures are needed than there are signers.
    #[error("a quorum of {quorum} cannot be met by {signers} signers")]
    Quorum {
        /// How many must sign.
        quorum: u64,
        /// How many may sign.
        signers: usize,
    },
    /// Linked keys before version 2.
    #[error("linked keys need a manifest of version 2")]
    Linked,
    /// User data before version 2.
    #[error("user data needs a manifest of version 2")]
    UserData,
    /// A list or the user data over its bound.
    #[error("manifest is over the limit of {limit} signers, linked keys or bytes of user data")]
    OverLimit {
        /// The bound, one of [`limits`](crate::limits).
        limit: usize,
    },
    /// The bytes are no manifest.
    #[error(transparent)]
    Malformed(#[from] DecodeError),
    /// The key is neither the hash of the manifest nor, in compat mode, its one public key.
    #[error("manifest does not belong to the key of the log")]
    OtherKey,
}

impl Signer {
    /// A signer with the default namespace.
    #[must_use]
    pub const fn new(public_key: PublicKey) -> Self {
        Self {
            namespace: Namespace::DEFAULT_SIGNER,
            public_key,
        }
    }
}

impl Manifest {
    /// A manifest of version 1 for these signers, of whom more than half must sign.
    #[must_use]
    pub fn new(signers: impl Into<Vec<Signer>>) -> Self {
        let signers = signers.into();
        let quorum = if signers.is_empty() {
            0
        } else {
            signers.len() as u64 / 2 + 1
        };
        Self {
            version: ManifestVersion::default(),
            allow_patch: false,
            quorum,
            signers,
            prologue: None,
            linked: None,
            user_data: None,
        }
    }

    /// The manifest of most logs: version 1, one signer in the default namespace.
    #[must_use]
    pub fn single(public_key: PublicKey) -> Self {
        Self::new([Signer::new(public_key)])
    }

    /// In another version.
    #[must_use]
    pub fn with_version(mut self, version: ManifestVersion) -> Self {
        self.version = version;
        self
    }

    /// Signed by at least this many of the signers.
    #[must_use]
    pub fn with_quorum(mut self, quorum: u64) -> Self {
        self.quorum = quorum;
        self
    }

    /// With signers who may have signed a longer tree than the one that is proven.
    #[must_use]
    pub fn with_patches(mut self) -> Self {
        self.allow_patch = true;
        self
    }

    /// With a fixed start.
    #[must_use]
    pub fn with_prologue(mut self, prologue: Prologue) -> Self {
        self.prologue = Some(prologue);
        self
    }

    /// With keys of other logs, none of which is the same as not saying so; at least of version 2.
    #[must_use]
    pub fn with_linked(mut self, linked: impl Into<Vec<CoreKey>>) -> Self {
        let linked = linked.into();
        if !linked.is_empty() {
            self.version = self.version.max(ManifestVersion::V2);
            self.linked = Some(linked);
        }
        self
    }

    /// With bytes of the application's; at least of version 2.
    #[must_use]
    pub fn with_user_data(mut self, user_data: impl Into<Vec<u8>>) -> Self {
        self.version = self.version.max(ManifestVersion::V2);
        self.user_data = Some(user_data.into());
        self
    }

    /// Reads the encoding that the key of a log is the hash of, and [validates](Self::validate) it.
    ///
    /// # Errors
    /// Any of [`ManifestError`] but `OtherKey`.
    ///
    /// ```
    /// use hc_merkle::{CoreKey, KeyPair, Manifest};
    ///
    /// let manifest = Manifest::single(KeyPair::from_seed(&[1; 32]).public_key());
    /// let bytes = hc_encoding::encode_to_vec(&manifest);
    /// let read = Manifest::from_bytes(&bytes)?;
    /// assert_eq!(read, manifest);
    /// assert!(read.check_key(&manifest.key()).is_ok());
    /// assert!(read.check_key(&CoreKey([0; 32])).is_err());
    /// # Ok::<(), hc_merkle::ManifestError>(())
    /// ```
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ManifestError> {
        let manifest: Self = hc_encoding::decode_exact(bytes)?;
        manifest.validate()?;
        Ok(manifest)
    }

    /// Whether this is the manifest of the log with this key, by its hash or in compat mode.
    ///
    /// # Errors
    /// [`ManifestError::OtherKey`] where it is another's.
    pub fn check_key(&self, key: &CoreKey) -> Result<(), ManifestError> {
        if self.is_compat(key) || self.key() == *key {
            Ok(())
        } else {
            Err(ManifestError::OtherKey)
        }
    }

    /// The key of the log: BLAKE2b-256 of the manifest namespace and the encoding.
    ///
    /// In compat mode the key is the public key instead; see
    /// [`Verifier::compat`](crate::Verifier::compat).
    #[must_use]
    pub fn key(&self) -> CoreKey {
        CoreKey(hash(&[
            Namespace::MANIFEST.as_bytes(),
            &encode_to_vec(self),
        ]))
    }

    /// Whether, under this key, it describes a log of compat mode: one signer, whose public key is the
    /// key of the log.
    #[must_use]
    pub fn is_compat(&self, key: &CoreKey) -> bool {
        matches!(self.signers.as_slice(), [only] if only.public_key.as_bytes() == key.as_bytes())
    }

    /// Whether the fields go together and keep to the limits.
    ///
    /// # Errors
    /// Any of [`ManifestError`] but `OtherKey`.
    pub fn validate(&self) -> Result<(), ManifestError> {
        if self.quorum > self.signers.len() as u64 {
            return Err(ManifestError::Quorum {
                quorum: self.quorum,
                signers: self.signers.len(),
            });
        }
        if self.version < ManifestVersion::V2 {
            if self
                .linked
                .as_ref()
                .is_some_and(|linked| !linked.is_empty())
            {
                return Err(ManifestError::Linked);
            }
            if self.user_data.is_some() {
                return Err(ManifestError::UserData);
            }
        }
        let sizes = [
            (self.signers.len(), MAX_SIGNERS),
            (self.linked.as_ref().map_or(0, Vec::len), MAX_LINKED),
            (self.user_data.as_ref().map_or(0, Vec::len), MAX_USER_DATA),
        ];
        match sizes.into_iter().find(|(size, limit)| size > limit) {
            Some((_, limit)) => Err(ManifestError::OverLimit { limit }),
            None => Ok(()),
        }
    }

    fn flags(&self) -> u64 {
        let flag = |set: bool, flag: u64| if set { flag } else { 0 };
        flag(self.allow_patch, PATCH)
            | flag(self.prologue.is_some(), PROLOGUE)
            | flag(self.linked.is_some(), LINKED)
            | flag(self.user_data.is_some(), USER_DATA)
    }

    /// The form in version 0.
    fn v0(&self) -> V0<'_> {
        match (self.prologue.as_ref(), self.signers.as_slice()) {
            (Some(prologue), []) => V0::Static(prologue),
            (_, [only]) if self.quorum == 1 && !self.allow_patch => V0::Single(only),
            _ => V0::Multi,
        }
    }
}

/// The three forms of a manifest of version 0.
enum V0<'a> {
    Static(&'a Prologue),
    Single(&'a Signer),
    Multi,
}

impl V0<'_> {
    const STATIC: u64 = 0;
    const SINGLE: u64 = 1;
    const MULTI: u64 = 2;
}

impl ManifestVersion {
    const fn number(self) -> u64 {
        match self {
            Self::V0 => 0,
            Self::V1 => 1,
            Self::V2 => 2,
            Self::V3 => 3,
        }
    }
}

impl Encode for Manifest {
    fn encoded_len(&self) -> usize {
        let signers = uint_len(self.signers.len() as u64) + self.signers.len() * SIGNER_LEN;
        if self.version == ManifestVersion::V0 {
            return 3 + match self.v0() {
                V0::Static(_) => 32,
                V0::Single(_) => SIGNER_LEN,
                V0::Multi => 1 + self.quorum.encoded_len() + signers,
            };
        }
        let prologue = self.prologue.as_ref().map_or(0, Encode::encoded_len);
        let linked = self.linked.as_ref().map_or(0, |linked| {
            uint_len(linked.len() as u64) + linked.len() * 32
        });
        let user_data = self
            .user_data
            .as_ref()
            .map_or(0, |data| uint_len(data.len() as u64) + data.len());
        3 + self.quorum.encoded_len() + signers + prologue + linked + user_data
    }

    fn encode(&self, writer: &mut Writer<'_>) {
        writer.uint(self.version.number());
        if self.version == ManifestVersion::V0 {
            return self.encode_v0(writer);
        }
        writer.uint(self.flags());
        writer.uint(BLAKE2B);
        writer.uint(self.quorum);
        encode_signers(&self.signers, writer);
        if let Some(prologue) = &self.prologue {
            prologue.encode(writer);
        }
        if let Some(linked) = &self.linked {
            writer.uint(linked.len() as u64);
            linked.iter().for_each(|key| writer.raw(key.as_bytes()));
        }
        if let Some(user_data) = &self.user_data {
            writer.buffer(user_data);
        }
    }
}

impl Manifest {
    fn encode_v0(&self, writer: &mut Writer<'_>) {
        writer.uint(BLAKE2B);
        match self.v0() {
            V0::Static(prologue) => {
                writer.uint(V0::STATIC);
                writer.raw(prologue.hash.as_bytes());
            }
            V0::Single(signer) => {
                writer.uint(V0::SINGLE);
                signer.encode(writer);
            }
            V0::Multi => {
                writer.uint(V0::MULTI);
                writer.uint(self.flags() & PATCH);
                writer.uint(self.quorum);
                encode_signers(&self.signers, writer);
            }
        }
    }

    fn decode_v0(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        decode_only(reader, BLAKE2B)?;
        let manifest = Self::new([]).with_version(ManifestVersion::V0);
        let at = reader.clone();
        Ok(match reader.uint()? {
            V0::STATIC => {
                let hash = TreeHash(reader.array()?);
                manifest.with_prologue(Prologue {
                    hash,
                    length: Length::ZERO,
                })
            }
            V0::SINGLE => Self {
                quorum: 1,
                signers: [Signer::decode(reader)?].into(),
                ..manifest
            },
            V0::MULTI => {
                let flags = reader.uint()?;
                let quorum = reader.uint()?;
                let signers = decode_signers(reader)?;
                Self {
                    allow_patch: flags & PATCH != 0,
                    quorum,
                    signers,
                    ..manifest
                }
            }
            _ => return Err(at.error(DecodeErrorKind::Invalid)),
        })
    }
}

impl Decode<'_> for Manifest {
    /// Reads a manifest of any version; flags that have no meaning are ignored, as in the reference.
    /// What was read still has to be [validated](Manifest::validate).
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let at = reader.clone();
        let version = match reader.uint()? {
            0 => return Self::decode_v0(reader),
            1 => ManifestVersion::V1,
            2 => ManifestVersion::V2,
            3 => ManifestVersion::V3,
            _ => return Err(at.error(DecodeErrorKind::Invalid)),
        };
        let flags = reader.uint()?;
        decode_only(reader, BLAKE2B)?;
        let quorum = reader.uint()?;
        let signers = decode_signers(reader)?;
        let has = |flag: u64| flags & flag != 0;
        Ok(Self {
            version,
            allow_patch: has(PATCH),
            quorum,
            signers,
            prologue: has(PROLOGUE)
                .then(|| Prologue::decode(reader))
                .transpose()?,
            linked: has(LINKED).then(|| decode_linked(reader)).transpose()?,
            user_data: has(USER_DATA)
                .then(|| decode_user_data(reader))
                .transpose()?,
        })
    }
}

impl Encode for Signer {
    fn encoded_len(&self) -> usize {
        SIGNER_LEN
    }

    fn encode(&self, writer: &mut Writer<'_>) {
        writer.uint(ED25519);
        writer.raw(self.namespace.as_bytes());
        writer.raw(self.public_key.as_bytes());
    }
}

impl Decode<'_> for Signer {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        decode_only(reader, ED25519)?;
        Ok(Self {
            namespace: Namespace(reader.array()?),
            public_key: PublicKey(reader.array()?),
        })
    }
}

impl Encode for Prologue {
    fn encoded_len(&self) -> usize {
        32 + self.length.encoded_len()
    }

    fn encode(&self, writer: &mut Writer<'_>) {
        writer.raw(self.hash.as_bytes());
        self.length.encode(writer);
    }
}

impl Decode<'_> for Prologue {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            hash: TreeHash(reader.array()?),
            length: Length::decode(reader)?,
        })
    }
}

fn encode_signers(signers: &[Signer], writer: &mut Writer<'_>) {
    writer.uint(signers.len() as u64);
    signers.iter().for_each(|signer| signer.encode(writer));
}

fn decode_signers(reader: &mut Reader<'_>) -> Result<Vec<Signer>, DecodeError> {
    let len = bounded(reader, SIGNER_LEN, MAX_SIGNERS)?;
    let signers: Result<Vec<_>, _> = (0..len).map(|_| Signer::decode(reader)).collect();
    let mut signers = signers?;
    // One of them is the rule, and manifests are kept.
    signers.shrink_to_fit();
    Ok(signers)
}

fn decode_linked(reader: &mut Reader<'_>) -> Result<Vec<CoreKey>, DecodeError> {
    let len = bounded(reader, 32, MAX_LINKED)?;
    (0..len).map(|_| reader.array().map(CoreKey)).collect()
}

fn decode_user_data(reader: &mut Reader<'_>) -> Result<Vec<u8>, DecodeError> {
    let at = reader.clone();
    let data = reader.buffer()?;
    if data.len() > MAX_USER_DATA {
        return Err(at.error(DecodeErrorKind::TooLong));
    }
    Ok(data.into())
}

/// The number of entries of an array, refused over `max`.
pub(crate) fn bounded(
    reader: &mut Reader<'_>,
    min_entry_len: usize,
    max: usize,
) -> Result<usize, DecodeError> {
    let at = reader.clone();
    let len = reader.array_len(min_entry_len)?;
    if len > max {
        Err(at.error(DecodeErrorKind::TooLong))
    } else {
        Ok(len)
    }
}

/// Reads an integer that has only one value with a meaning.
fn decode_only(reader: &mut Reader<'_>, only: u64) -> Result<(), DecodeError> {
    let at = reader.clone();
    if reader.uint()? == only {
        Ok(())
    } else {
        Err(at.error(DecodeErrorKind::Invalid))
    }
}
