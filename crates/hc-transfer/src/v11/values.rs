//! The values of version 11's database, as far as they matter here.

use bytes::Bytes;
use hc_encoding::{Decode, DecodeError, DecodeErrorKind, Reader};
use hc_merkle::manifest::ManifestVersion;
use hc_merkle::{CoreKey, DiscoveryKey, Fork, Length, Manifest, SecretKey};
use hc_storage::{Alias, NamespaceId};
use zeroize::Zeroizing;

/// What the store says of itself.
pub(super) struct StoreHead {
    /// What the key pairs of its logs follow from.
    pub(super) seed: Option<Zeroizing<[u8; 32]>>,
    /// The log that is meant where none is named.
    pub(super) default: Option<DiscoveryKey>,
}

/// Where a log is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CorePlace {
    pub(super) version: u64,
    /// Number that its identity is stored under.
    pub(super) core: u64,
    /// Number that its blocks and tree are stored under.
    pub(super) data: u64,
    pub(super) alias: Option<Alias>,
}

/// Who a log is.
pub(super) struct CoreAuth {
    pub(super) key: CoreKey,
    pub(super) manifest: Option<Manifest>,
    pub(super) secret_key: Option<SecretKey>,
    /// Whether a key to encrypt it with is stored. It is not read.
    pub(super) encrypted: bool,
}

/// Length, fork and signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CoreHead {
    pub(super) fork: Fork,
    pub(super) length: Length,
    pub(super) signature: Bytes,
}

/// Where the first blocks of a log are, if they are elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Dependency {
    pub(super) data: u64,
    pub(super) length: u64,
}

impl<'a> Decode<'a> for StoreHead {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let unknown = reader.error(DecodeErrorKind::Invalid);
        let (has_seed, has_default) = match reader.uint()? {
            0 | 1 => {
                let flags = reader.uint()?;
                if flags & 1 != 0 {
                    uints::<2>(reader)?; // numbers given out
                }
                (flags & 2 != 0, flags & 4 != 0)
            }
            2 => {
                uints::<3>(reader)?;
                let flags = reader.uint()?;
                (flags & 1 != 0, flags & 2 != 0)
            }
            _ => return Err(unknown),
        };
        let seed = has_seed.then(|| reader.array().map(Zeroizing::new));
        let seed = seed.transpose()?;
        let default = has_default.then(|| reader.array().map(DiscoveryKey));
        let default = default.transpose()?;
        Ok(Self { seed, default })
    }
}

impl<'a> Decode<'a> for CorePlace {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let (version, core, data) = (reader.uint()?, reader.uint()?, reader.uint()?);
        let alias = match reader.uint()? & 1 {
            0 => None,
            _ => Some(Alias {
                name: String::from_utf8_lossy(reader.buffer()?).into_owned(),
                namespace: NamespaceId(reader.array()?),
            }),
        };
        Ok(Self {
            version,
            core,
            data,
            alias,
        })
    }
}

impl<'a> Decode<'a> for CoreAuth {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let key = CoreKey(reader.array()?);
        reader.array::<32>()?; // its discovery key, which follows from the key
        let flags = reader.uint()?;
        let manifest = (flags & 1 != 0)
            .then(|| stored_manifest(reader.buffer()?))
            .transpose()?;
        let secret_key = match flags & 2 {
            0 => None,
            _ => {
                reader.buffer()?; // the public key
                let invalid = reader.error(DecodeErrorKind::Invalid);
                match reader.buffer()? {
                    [] => None,
                    secret => Some(SecretKey::from_bytes(
                        secret.try_into().map_err(|_| invalid)?,
                    )),
                }
            }
        };
        let encrypted = flags & 4 != 0 && !reader.buffer()?.is_empty();
        Ok(Self {
            key,
            manifest,
            secret_key,
            encrypted,
        })
    }
}

fn uints<const N: usize>(reader: &mut Reader<'_>) -> Result<[u64; N], DecodeError> {
    let mut numbers = [0; N];
    for number in &mut numbers {
        *number = reader.uint()?;
    }
    Ok(numbers)
}

/// A manifest in a database has the layout of version 1, whatever its version is.
fn stored_manifest(bytes: &[u8]) -> Result<Manifest, DecodeError> {
    let Some((0, rest)) = bytes.split_first() else {
        return Manifest::decode(&mut Reader::new(bytes));
    };
    let as_version_1 = [&[1], rest].concat();
    let manifest = Manifest::decode(&mut Reader::new(&as_version_1))?;
    Ok(manifest.with_version(ManifestVersion::V0))
}

impl<'a> Decode<'a> for CoreHead {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let (fork, length) = (reader.uint()?, reader.uint()?);
        reader.array::<32>()?; // the tree hash, which follows from the roots
        Ok(Self {
            fork: Fork::new(fork),
            length: Length::new(length),
            signature: Bytes::copy_from_slice(reader.buffer()?),
        })
    }
}

impl<'a> Decode<'a> for Dependency {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self {
            data: reader.uint()?,
            length: reader.uint()?,
        })
    }
}

#[cfg(test)]
mod tests;
