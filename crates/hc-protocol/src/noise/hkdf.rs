//! HMAC (RFC 2104) and HKDF (RFC 5869) over BLAKE2b-512, as the Noise Protocol Framework uses them.
//! Knows nothing of handshakes.

use blake2::{Blake2b512, Digest};
use zeroize::Zeroizing;

/// Bytes of a BLAKE2b-512 digest.
pub(super) const HASH_LEN: usize = 64;

/// Bytes of a block of BLAKE2b, which is what HMAC pads its key to.
const BLOCK_LEN: usize = 128;

/// A digest, wiped when dropped.
pub(super) type Digest64 = Zeroizing<[u8; HASH_LEN]>;

/// HMAC over the concatenation of `parts`.
pub(super) fn hmac(key: &[u8], parts: &[&[u8]]) -> Digest64 {
    let mut padded = Zeroizing::new([0; BLOCK_LEN]);
    match padded.get_mut(..key.len()) {
        Some(place) => place.copy_from_slice(key),
        None => padded
            .split_at_mut(HASH_LEN)
            .0
            .copy_from_slice(hash(&[key]).as_slice()),
    }
    let inner_key = Zeroizing::new(padded.map(|byte| byte ^ 0x36));
    let outer_key = Zeroizing::new(padded.map(|byte| byte ^ 0x5c));

    let mut inner = Blake2b512::new_with_prefix(inner_key.as_slice());
    for part in parts {
        inner.update(part);
    }
    let inner = digest(inner);
    hash(&[outer_key.as_slice(), inner.as_slice()])
}

/// Two outputs of HKDF, without info.
pub(super) fn hkdf(salt: &[u8], input: &[u8]) -> (Digest64, Digest64) {
    let key = hmac(salt, &[input]);
    let first = hmac(key.as_slice(), &[&[1]]);
    let second = hmac(key.as_slice(), &[first.as_slice(), &[2]]);
    (first, second)
}

/// BLAKE2b-512 over the concatenation of `parts`.
pub(super) fn hash(parts: &[&[u8]]) -> Digest64 {
    let mut state = Blake2b512::new();
    for part in parts {
        state.update(part);
    }
    digest(state)
}

fn digest(state: Blake2b512) -> Digest64 {
    let mut out = Zeroizing::new([0; HASH_LEN]);
    out.copy_from_slice(state.finalize().as_slice());
    out
}
