//! Key pairs of many logs from one secret, by name.
//!
//! Owns the derivation of the reference's corestore: the same primary key, namespaces and name give
//! the same log on both sides. Knows nothing of where logs are kept.

use std::fmt;

use hc_merkle::digest::{hash, keyed_hash};
use hc_merkle::{KeyPair, Namespace};
use hc_storage::{Alias, NamespaceId, StoreSecret};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::rt::Runtime;

/// The one secret that the key pairs of many logs follow from. Wiped from memory when dropped, and
/// never printed.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct PrimaryKey([u8; 32]);

/// A place for names, so that two parts of an application can use the same ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NamePath([u8; 32]);

impl PrimaryKey {
    /// Takes 32 bytes that a cryptographic generator drew. The caller wipes its own copy.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The key pair of the log with this name.
    ///
    /// ```
    /// use hypercore::{Manifest, NamePath, PrimaryKey};
    ///
    /// let primary = PrimaryKey::from_bytes([1; 32]);
    /// let pair = primary.key_pair(&NamePath::ROOT.join("app"), "posts");
    /// let key = Manifest::single(pair.public_key()).key();
    /// # assert_eq!(key.to_z32().len(), 52);
    /// ```
    #[must_use]
    pub fn key_pair(&self, path: &NamePath, name: &str) -> KeyPair {
        let domain = Namespace::derive(b"corestore", 0);
        let parts: [&[u8]; 3] = [domain.as_bytes(), &path.0, name.as_bytes()];
        KeyPair::from_seed(&Zeroizing::new(keyed_hash(&self.0, &parts)))
    }
}

impl PrimaryKey {
    /// A new one.
    pub(crate) fn random(runtime: &dyn Runtime) -> Result<Self, getrandom::Error> {
        let mut bytes = Zeroizing::new([0; 32]);
        runtime.fill_random(&mut *bytes)?;
        Ok(Self(*bytes))
    }

    /// As stores keep it.
    pub(crate) fn secret(&self) -> StoreSecret {
        StoreSecret::from_bytes(self.0)
    }

    /// The key pair of the log that was first opened by a name.
    pub(crate) fn key_pair_of(&self, alias: &Alias) -> KeyPair {
        self.key_pair(&NamePath(alias.namespace.0), &alias.name)
    }
}

impl From<&StoreSecret> for PrimaryKey {
    fn from(secret: &StoreSecret) -> Self {
        Self(*secret.as_bytes())
    }
}

impl NamePath {
    /// Where names are that are in no other place.
    pub const ROOT: Self = Self([0; 32]);

    /// The place with this name in this one.
    #[must_use]
    pub fn join(&self, name: &str) -> Self {
        Self(hash(&[&self.0, name.as_bytes()]))
    }

    /// A name in this place, as stores record it.
    pub(crate) fn alias(&self, name: &str) -> Alias {
        Alias {
            namespace: NamespaceId(self.0),
            name: name.to_owned(),
        }
    }

    /// What it is known by: 32 zero bytes, hashed with each name in turn.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for PrimaryKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrimaryKey(…)")
    }
}
