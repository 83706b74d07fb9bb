//! Ed25519 keys and the Diffie-Hellman function over them, which refuses what libsodium's
//! `crypto_scalarmult_ed25519` refuses. Knows nothing of handshakes.

use core::fmt;

use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsPoint};
use curve25519_dalek::scalar::clamp_integer;
use hc_merkle::PublicKey;
use sha2::{Digest, Sha512};
use thiserror::Error;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// 32 secret random bytes that a key pair is made from.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Seed([u8; 32]);

impl Seed {
    /// Takes bytes that a cryptographic generator drew.
    #[must_use]
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl From<[u8; 32]> for Seed {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seed(…)")
    }
}

/// The Ed25519 key pair that one end of a connection is known by.
#[derive(Clone)]
pub struct KeyPair {
    scalar: Zeroizing<[u8; 32]>,
    public: PublicKey,
}

impl KeyPair {
    /// The pair of a seed: RFC 8032, as `crypto_sign_seed_keypair`.
    #[must_use]
    pub fn from_seed(seed: &Seed) -> Self {
        let mut hash = Zeroizing::new([0; 64]);
        hash.copy_from_slice(Sha512::digest(seed.0).as_slice());
        let mut scalar = Zeroizing::new([0; 32]);
        scalar.copy_from_slice(hash.split_at(32).0);
        *scalar = clamp_integer(*scalar);
        let public = EdwardsPoint::mul_base_clamped(*scalar).compress();
        Self {
            scalar,
            public: PublicKey(public.to_bytes()),
        }
    }

    /// The public half.
    #[must_use]
    pub const fn public_key(&self) -> PublicKey {
        self.public
    }

    /// The point that this end and the holder of `remote` can both compute, and nobody else.
    pub(super) fn agree(&self, remote: &PublicKey) -> Result<Zeroizing<[u8; 32]>, BadPoint> {
        let compressed = CompressedEdwardsY(*remote.as_bytes());
        let point = compressed.decompress().ok_or(BadPoint)?;
        let canonical = point.compress() == compressed;
        if !canonical || point.is_small_order() || !point.is_torsion_free() {
            return Err(BadPoint);
        }
        Ok(Zeroizing::new(
            point.mul_clamped(*self.scalar).compress().to_bytes(),
        ))
    }
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyPair")
            .field("public", &self.public)
            .finish_non_exhaustive()
    }
}

/// A public key that is no point of the prime-order group, or is not written the one way it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("public key is not a point of the group")]
pub(super) struct BadPoint;
