//! Keys, signatures and tree hashes as types, key pairs, and Ed25519 itself. Knows nothing of who may
//! sign a log.

use core::fmt;

use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};
use thiserror::Error;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// Defines 32 bytes with a meaning of their own.
macro_rules! bytes32 {
    ($(#[$meta:meta])* $name:ident) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; 32]);

        impl $name {
            /// The bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }

            /// The bytes as z-base-32: the 52 letters that people pass around.
            #[must_use]
            pub fn to_z32(&self) -> alloc::string::String {
                crate::id::z32_encode(&self.0)
            }
        }

        impl From<[u8; 32]> for $name {
            fn from(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }
        }

        impl core::str::FromStr for $name {
            type Err = crate::id::ParseKeyError;

            /// Reads 52 letters of z-base-32 or 64 hex digits, alone or in a `pear://` link.
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                crate::id::parse32(text).map(Self)
            }
        }

        impl core::fmt::Debug for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                write!(f, "{}(", stringify!($name))?;
                for byte in self.0.iter().take(4) {
                    write!(f, "{byte:02x}")?;
                }
                f.write_str("…)")
            }
        }

        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                for byte in &self.0 {
                    write!(f, "{byte:02x}")?;
                }
                Ok(())
            }
        }
    };
}
pub(crate) use bytes32;

bytes32!(
    /// What names a log and lets anyone verify it: the hash of its manifest, or in compat mode the
    /// Ed25519 public key itself. Whoever knows it may read the log.
    CoreKey
);
bytes32!(
    /// What a log may be announced under without giving its key away.
    DiscoveryKey
);
bytes32!(
    /// An Ed25519 public key. Not necessarily a valid point until it has been used.
    PublicKey
);
bytes32!(
    /// The hash over the roots of a tree: what is signed, with length and fork.
    TreeHash
);

/// An Ed25519 signature.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Signature(pub [u8; 64]);

impl Signature {
    /// The bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 64] {
        &self.0
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signature(…)")
    }
}

impl PublicKey {
    /// Whether `signature` over `message` is by the holder of this key.
    ///
    /// Strict, because the reference is: its libsodium refuses keys and nonce points of small order and
    /// scalars that are not reduced, and does not multiply by the cofactor. Plain RFC 8032 verification
    /// would take some of those, and a log must not be valid for one peer and invalid for another.
    #[must_use]
    pub fn verify(&self, message: &[u8], signature: &Signature) -> bool {
        self.to_point()
            .is_some_and(|point| point_verifies(&point, message, signature))
    }

    /// The point, decompressed once for those who verify often; `None` where it is not on the curve.
    pub(crate) fn to_point(self) -> Option<VerifyingKey> {
        VerifyingKey::from_bytes(&self.0).ok()
    }
}

/// Strict verification; see [`PublicKey::verify`].
pub(crate) fn point_verifies(point: &VerifyingKey, message: &[u8], signature: &Signature) -> bool {
    let signature = ed25519_dalek::Signature::from_bytes(&signature.0);
    point.verify_strict(message, &signature).is_ok()
}

/// A secret key as libsodium lays it out: the 32-byte seed, then the 32-byte public key.
///
/// Wiped from memory when dropped, and never printed.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct SecretKey([u8; 64]);

impl SecretKey {
    /// Takes the bytes as they are; whether the halves belong together is checked by
    /// [`KeyPair::from_secret_key`].
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 64]) -> Self {
        Self(bytes)
    }

    /// The bytes. Whoever copies them has to wipe the copy.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 64] {
        &self.0
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(…)")
    }
}

/// A secret key whose two halves do not belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the public half of the secret key is not of its seed")]
pub struct MismatchedSecretKey;

/// An Ed25519 key pair. Its secret half is wiped when dropped, and never printed.
#[derive(Clone)]
pub struct KeyPair(SigningKey);

impl KeyPair {
    /// The key pair of a 32-byte seed. The caller wipes its own copy of the seed.
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// The key pair of a secret key.
    ///
    /// # Errors
    /// [`MismatchedSecretKey`] where the public half is not of the seed: signing with such a key would
    /// give the seed away.
    pub fn from_secret_key(secret_key: &SecretKey) -> Result<Self, MismatchedSecretKey> {
        SigningKey::from_keypair_bytes(secret_key.as_bytes())
            .map(Self)
            .map_err(|_| MismatchedSecretKey)
    }

    /// The public half.
    #[must_use]
    pub fn public_key(&self) -> PublicKey {
        PublicKey(self.0.verifying_key().to_bytes())
    }

    /// The secret half, seed and public key.
    #[must_use]
    pub fn secret_key(&self) -> SecretKey {
        let bytes = Zeroizing::new(self.0.to_keypair_bytes());
        SecretKey(*bytes)
    }

    /// Signs a message, the same way each time.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> Signature {
        Signature(self.0.sign(message).to_bytes())
    }
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("KeyPair").field(&self.public_key()).finish()
    }
}
