//! BLAKE2b-256, plain and keyed: the one place where the primitive is named.
//!
//! Knows nothing of what is hashed; domain separation is up to whoever calls.

use blake2::digest::consts::U32;
use blake2::digest::{FixedOutput, Mac};
use blake2::{Blake2b, Blake2bMac, Digest};

/// BLAKE2b-256 of the parts joined.
#[must_use]
pub fn hash(parts: &[&[u8]]) -> [u8; 32] {
    let mut state = Blake2b::<U32>::new();
    for part in parts {
        Digest::update(&mut state, part);
    }
    state.finalize().into()
}

/// BLAKE2b-256 of the parts joined, keyed with 32 or 64 bytes (any length from 1 to 64).
///
/// A compile-time error keeps out the lengths that BLAKE2b has no keyed mode for.
#[must_use]
pub fn keyed_hash<const N: usize>(key: &[u8; N], parts: &[&[u8]]) -> [u8; 32] {
    const { assert!(N >= 1 && N <= 64, "BLAKE2b takes keys of 1 to 64 bytes") };
    #[allow(
        clippy::expect_used,
        reason = "the length was checked when this was compiled"
    )]
    let mut state =
        <Blake2bMac<U32> as Mac>::new_from_slice(key).expect("keys of 1 to 64 bytes are taken");
    for part in parts {
        Mac::update(&mut state, part);
    }
    state.finalize_fixed().into()
}
