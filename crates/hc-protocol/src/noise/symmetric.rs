//! The symmetric state of a handshake: handshake hash, chaining key and cipher (the Noise Protocol
//! Framework, section 5.2). Knows nothing of patterns and public keys.

use alloc::vec::Vec;

use chacha20poly1305::aead::AeadInPlace;
use chacha20poly1305::{ChaCha20Poly1305, KeyInit};
use zeroize::Zeroizing;

use super::hkdf::{Digest64, HASH_LEN, hash, hkdf};

/// Bytes of an authentication tag.
pub(super) const TAG_LEN: usize = 16;

/// What both sides have agreed on so far.
pub(super) struct Symmetric {
    pub(super) hash: Digest64,
    pub(super) chaining_key: Digest64,
    cipher: Option<Cipher>,
}

struct Cipher {
    key: Zeroizing<[u8; 32]>,
    nonce: u64,
}

/// Bytes that do not authenticate.
pub(super) struct Unauthentic;

impl Symmetric {
    /// The state that the name of a protocol and a prologue lead to. Names are at most 64 bytes.
    pub(super) fn new(protocol: &str, prologue: &[u8]) -> Self {
        let mut name = Zeroizing::new([0; HASH_LEN]);
        for (to, from) in name.iter_mut().zip(protocol.bytes()) {
            *to = from;
        }
        let mut state = Self {
            hash: name.clone(),
            chaining_key: name,
            cipher: None,
        };
        state.mix_hash(prologue);
        state
    }

    pub(super) fn mix_hash(&mut self, data: &[u8]) {
        self.hash = hash(&[self.hash.as_slice(), data]);
    }

    pub(super) fn mix_key(&mut self, input: &[u8]) {
        let (chaining_key, key) = hkdf(self.chaining_key.as_slice(), input);
        self.chaining_key = chaining_key;
        self.cipher = Some(Cipher {
            key: first_half(&key),
            nonce: 0,
        });
    }

    /// Whether what follows is encrypted.
    pub(super) const fn has_key(&self) -> bool {
        self.cipher.is_some()
    }

    /// Appends `plain` to `out`: encrypted once there is a key, as it is before.
    pub(super) fn encrypt(&mut self, plain: &[u8], out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(plain);
        let (_, sealed) = out.split_at_mut(start);
        if let Some(cipher) = &mut self.cipher {
            let tag = cipher.seal(self.hash.as_slice(), sealed);
            out.extend_from_slice(&tag);
        }
        let (_, written) = out.split_at(start);
        self.hash = hash(&[self.hash.as_slice(), written]);
    }

    /// Undoes [`encrypt`](Self::encrypt).
    pub(super) fn decrypt(&mut self, bytes: &[u8]) -> Result<Vec<u8>, Unauthentic> {
        let plain = match &mut self.cipher {
            Some(cipher) => cipher.open(self.hash.as_slice(), bytes)?,
            None => bytes.to_vec(),
        };
        self.mix_hash(bytes);
        Ok(plain)
    }

    /// The two keys that come out: the initiator's to send with, then the responder's.
    pub(super) fn split(&self) -> (Zeroizing<[u8; 32]>, Zeroizing<[u8; 32]>) {
        let (first, second) = hkdf(self.chaining_key.as_slice(), &[]);
        (first_half(&first), first_half(&second))
    }
}

impl Cipher {
    fn aead(&mut self) -> (ChaCha20Poly1305, [u8; 12]) {
        let mut nonce = [0; 12];
        nonce
            .split_at_mut(4)
            .1
            .copy_from_slice(&self.nonce.to_le_bytes());
        // At most four messages are encrypted under one key, so this does not wrap.
        self.nonce = self.nonce.wrapping_add(1);
        (ChaCha20Poly1305::new((&*self.key).into()), nonce)
    }

    fn seal(&mut self, additional: &[u8], data: &mut [u8]) -> [u8; TAG_LEN] {
        let (aead, nonce) = self.aead();
        match aead.encrypt_in_place_detached((&nonce).into(), additional, data) {
            Ok(tag) => tag.into(),
            // Only data of 256 GiB and up is refused; a handshake message has at most 64 KiB.
            Err(_) => unreachable!("handshake messages are short"),
        }
    }

    fn open(&mut self, additional: &[u8], bytes: &[u8]) -> Result<Vec<u8>, Unauthentic> {
        let at = bytes.len().checked_sub(TAG_LEN).ok_or(Unauthentic)?;
        let (sealed, tag) = bytes.split_at(at);
        let tag: &[u8; TAG_LEN] = tag.try_into().map_err(|_| Unauthentic)?;
        let mut plain = sealed.to_vec();
        let (aead, nonce) = self.aead();
        aead.decrypt_in_place_detached((&nonce).into(), additional, &mut plain, tag.into())
            .map_err(|_| Unauthentic)?;
        Ok(plain)
    }
}

fn first_half(digest: &Digest64) -> Zeroizing<[u8; 32]> {
    let mut half = Zeroizing::new([0; 32]);
    half.copy_from_slice(digest.split_at(32).0);
    half
}
