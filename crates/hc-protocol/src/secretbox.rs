//! libsodium's `crypto_secretbox_easy`: XSalsa20-Poly1305, tag first. The one place that names the
//! crate that does it. Knows nothing of keys and nonces.

use alloc::vec::Vec;

use thiserror::Error;
use xsalsa20poly1305::aead::AeadInPlace;
use xsalsa20poly1305::{KeyInit, XSalsa20Poly1305};

/// Bytes that sealing adds to a message, all before it.
pub const OVERHEAD: usize = 16;

/// Bytes of a nonce.
pub const NONCE_LEN: usize = 24;

/// Appends the sealed form of `plain`, [`OVERHEAD`] bytes longer, to `out`. A nonce must never be used
/// twice with one key.
///
/// # Errors
/// [`SecretboxError`] where `plain` is too long for the cipher (256 GiB).
pub fn seal(
    key: &[u8; 32],
    nonce: &[u8; NONCE_LEN],
    plain: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), SecretboxError> {
    let start = out.len();
    out.reserve(plain.len().saturating_add(OVERHEAD));
    out.extend_from_slice(&[0; OVERHEAD]);
    out.extend_from_slice(plain);
    let (_, sealed) = out.split_at_mut(start);
    let (tag_place, message) = sealed.split_at_mut(OVERHEAD);
    let tag = XSalsa20Poly1305::new(key.into())
        .encrypt_in_place_detached(nonce.into(), &[], message)
        .map_err(|_| SecretboxError)?;
    tag_place.copy_from_slice(&tag);
    Ok(())
}

/// The plain form of what was sealed.
///
/// # Errors
/// [`SecretboxError`] where it is too short, was altered, or is under another key or nonce.
pub fn open(
    key: &[u8; 32],
    nonce: &[u8; NONCE_LEN],
    sealed: &[u8],
) -> Result<Vec<u8>, SecretboxError> {
    let (tag, message) = sealed
        .split_first_chunk::<OVERHEAD>()
        .ok_or(SecretboxError)?;
    let mut plain = message.to_vec();
    XSalsa20Poly1305::new(key.into())
        .decrypt_in_place_detached(nonce.into(), &[], &mut plain, tag.into())
        .map_err(|_| SecretboxError)?;
    Ok(plain)
}

/// A sealed message that does not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("sealed message does not authenticate")]
pub struct SecretboxError;
