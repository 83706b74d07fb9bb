//! The encrypted stream: libsodium's `crypto_secretstream_xchacha20poly1305`, and the stream header that
//! each end sends first.
//!
//! Owns the cipher of one direction. Knows nothing of frames and of what is encrypted.
//!
//! A message is one pass over its buffer. The first four blocks of key stream are made at once (the
//! key of the authenticator, the tag, and what covers the first 128 bytes), as the ciphers compute
//! four blocks in the time of one.

mod mac;

use core::fmt;

use chacha20::cipher::consts::{U10, U64};
use chacha20::cipher::generic_array::GenericArray;
use chacha20::cipher::inout::InOutBuf;
use chacha20::cipher::{KeyIvInit, StreamCipherCore};
use chacha20::{ChaChaCore, hchacha};
use hc_merkle::digest::keyed_hash;
use poly1305::Poly1305;
use poly1305::universal_hash::{KeyInit, UniversalHash};
use subtle::ConstantTimeEq;
use thiserror::Error;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::namespace;
use crate::{Fault, HandshakeHash, Side, StreamKey};
use mac::ShortMac;

/// Bytes that encryption adds to a message: one before it (the tag) and sixteen after it.
pub const OVERHEAD: usize = TAG_LEN + MAC_LEN;

/// Bytes of the first message of each end: [`StreamId`], then [`StreamHeader`].
pub const HEADER_MESSAGE_LEN: usize = 32 + 24;

const TAG_LEN: usize = 1;
const MAC_LEN: usize = 16;
const BLOCK_LEN: usize = 64;

/// Bytes of key stream that the cipher makes at once.
const BATCH_LEN: usize = 4 * BLOCK_LEN;

/// Bytes of the first batch that cover the message.
const HEAD_LEN: usize = BATCH_LEN - 2 * BLOCK_LEN;

/// From this many bytes on, the authenticator that is faster per byte is faster.
const LONG_MESSAGE: usize = 2048;

/// 24 random bytes that set a stream apart from all others under the same key; sent in the clear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamHeader(pub [u8; 24]);

/// What one end of a connection says first, to show that both ends mean the same handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamId(pub [u8; 32]);

impl StreamId {
    /// The id that `side` says on the connection with this handshake hash: BLAKE2b-256 of the side's
    /// namespace, keyed with the hash.
    #[must_use]
    pub fn new(side: Side, hash: &HandshakeHash) -> Self {
        Self(keyed_hash(hash.as_bytes(), &[namespace::of(side)]))
    }
}

/// The first message of one end, which tells the other how to decrypt what follows.
#[must_use]
pub fn header_message(id: &StreamId, header: &StreamHeader) -> [u8; HEADER_MESSAGE_LEN] {
    let mut message = [0; HEADER_MESSAGE_LEN];
    let (to_id, to_header) = message.split_at_mut(id.0.len());
    to_id.copy_from_slice(&id.0);
    to_header.copy_from_slice(&header.0);
    message
}

/// Reads the first message of the other end, which must say `expected`.
///
/// # Errors
/// [`SecretStreamError::HeaderLength`] or [`SecretStreamError::WrongStream`].
pub fn read_header_message(
    message: &[u8],
    expected: &StreamId,
) -> Result<StreamHeader, SecretStreamError> {
    let wrong_length = SecretStreamError::HeaderLength { len: message.len() };
    let (id, header) = message
        .split_at_checked(expected.0.len())
        .ok_or(wrong_length)?;
    let header = StreamHeader(header.try_into().map_err(|_| wrong_length)?);
    if bool::from(id.ct_eq(&expected.0)) {
        Ok(header)
    } else {
        Err(SecretStreamError::WrongStream)
    }
}

/// What a message is to the stream. The reference sends [`Tag::MESSAGE`] and ignores what it gets;
/// only the rekey bit has an effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tag(pub u8);

impl Tag {
    /// One more message.
    pub const MESSAGE: Self = Self(0);
    /// The last of a set of messages.
    pub const PUSH: Self = Self(1);
    /// The last message under this key.
    pub const REKEY: Self = Self(2);
    /// The last message.
    pub const FINAL: Self = Self(3);
}

/// Encrypts one direction of a connection.
pub struct Push(State);

impl Push {
    /// The start of a stream under `key`. A header must never be used twice with one key.
    #[must_use]
    pub fn new(key: &StreamKey, header: &StreamHeader) -> Self {
        Self(State::new(key, header))
    }

    /// Encrypts a message in place. `buffer` is one byte that is free, the plain bytes, and sixteen
    /// bytes that are free; all of it is then to be sent.
    ///
    /// # Errors
    /// [`SecretStreamError::TooShort`] where `buffer` is shorter than [`OVERHEAD`].
    pub fn push(&mut self, tag: Tag, buffer: &mut [u8]) -> Result<(), SecretStreamError> {
        let (tag_byte, message, mac) = parts(buffer)?;
        let (mut cipher, head) = self.0.start();
        let mut tag_block = head.tag_block();
        *tag_byte = tag.0 ^ tag_block[0];
        tag_block[0] = *tag_byte;

        apply(&mut cipher, &head, message);
        mac.copy_from_slice(&authenticate(&head, &tag_block, message));
        self.0.advance(tag, mac);
        Ok(())
    }
}

impl fmt::Debug for Push {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Push(…)")
    }
}

/// Decrypts one direction of a connection.
pub struct Pull(State);

impl Pull {
    /// The start of a stream under `key`.
    #[must_use]
    pub fn new(key: &StreamKey, header: &StreamHeader) -> Self {
        Self(State::new(key, header))
    }

    /// Decrypts a message in place. The plain bytes are then all of `buffer` but the first byte and the
    /// last sixteen.
    ///
    /// # Errors
    /// [`SecretStreamError::TooShort`], or [`SecretStreamError::Unauthentic`]; `buffer` and the stream
    /// are then as they were.
    pub fn pull(&mut self, buffer: &mut [u8]) -> Result<Tag, SecretStreamError> {
        let (tag_byte, message, mac) = parts(buffer)?;
        let (mut cipher, head) = self.0.start();
        let mut tag_block = head.tag_block();
        let tag = Tag(*tag_byte ^ tag_block[0]);
        tag_block[0] = *tag_byte;

        let expected = authenticate(&head, &tag_block, message);
        if !bool::from(expected.ct_eq(mac)) {
            return Err(SecretStreamError::Unauthentic);
        }
        apply(&mut cipher, &head, message);
        self.0.advance(tag, mac);
        Ok(tag)
    }
}

impl fmt::Debug for Pull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pull(…)")
    }
}

/// Why a message of the stream is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SecretStreamError {
    /// The stream header message has another length than [`HEADER_MESSAGE_LEN`].
    #[error("stream header of {len} bytes")]
    HeaderLength {
        /// Bytes that it has.
        len: usize,
    },
    /// The stream id is not the one of this connection.
    #[error("stream id is of another connection")]
    WrongStream,
    /// A message is shorter than what encryption adds to it.
    #[error("encrypted message of {len} bytes is too short")]
    TooShort {
        /// Bytes that it has.
        len: usize,
    },
    /// A message was altered, lost, repeated or reordered, or is of another stream.
    #[error("encrypted message does not authenticate")]
    Unauthentic,
}

impl SecretStreamError {
    /// What the other end can be blamed for.
    #[must_use]
    pub const fn fault(&self) -> Fault {
        match self {
            Self::HeaderLength { .. } | Self::TooShort { .. } => Fault::Malformed,
            Self::WrongStream | Self::Unauthentic => Fault::Unauthentic,
        }
    }
}

type Cipher = ChaChaCore<U10>;

/// Key and nonce of the next message.
#[derive(Zeroize, ZeroizeOnDrop)]
struct State {
    key: [u8; 32],
    counter: u32,
    nonce: [u8; 8],
}

/// The first batch of key stream of a message.
struct Head(Zeroizing<[u8; BATCH_LEN]>);

impl State {
    fn new(key: &StreamKey, header: &StreamHeader) -> Self {
        let (for_key, for_nonce) = header.0.split_at(16);
        let mut nonce = [0; 8];
        nonce.copy_from_slice(for_nonce);
        let key = hchacha::<U10>(key.as_bytes().into(), GenericArray::from_slice(for_key));
        Self {
            key: key.into(),
            counter: 1,
            nonce,
        }
    }

    fn cipher(&self) -> Cipher {
        let mut nonce = [0; 12];
        let (counter, rest) = nonce.split_at_mut(4);
        counter.copy_from_slice(&self.counter.to_le_bytes());
        rest.copy_from_slice(&self.nonce);
        Cipher::new((&self.key).into(), (&nonce).into())
    }

    fn start(&self) -> (Cipher, Head) {
        let mut cipher = self.cipher();
        let head = Head(key_stream(&mut cipher));
        (cipher, head)
    }

    /// Makes the state that of the next message.
    fn advance(&mut self, tag: Tag, mac: &[u8]) {
        for (byte, mac) in self.nonce.iter_mut().zip(mac) {
            *byte ^= mac;
        }
        self.counter = self.counter.wrapping_add(1);
        if tag.0 & Tag::REKEY.0 != 0 || self.counter == 0 {
            self.rekey();
        }
    }

    fn rekey(&mut self) {
        let stream = key_stream(&mut self.cipher());
        for (byte, key) in self
            .key
            .iter_mut()
            .chain(&mut self.nonce)
            .zip(stream.iter())
        {
            *byte ^= key;
        }
        self.counter = 1;
    }
}

impl Head {
    fn mac_key(&self) -> &[u8; 32] {
        let (blocks, _) = self.0.as_chunks();
        &blocks[0]
    }

    fn tag_block(&self) -> [u8; BLOCK_LEN] {
        let mut block = [0; BLOCK_LEN];
        block.copy_from_slice(self.0.split_at(BLOCK_LEN).1.split_at(BLOCK_LEN).0);
        block
    }

    fn for_message(&self) -> &[u8] {
        self.0.split_at(BATCH_LEN - HEAD_LEN).1
    }
}

fn parts(buffer: &mut [u8]) -> Result<(&mut u8, &mut [u8], &mut [u8]), SecretStreamError> {
    let len = buffer.len();
    let too_short = SecretStreamError::TooShort { len };
    let at = len.checked_sub(MAC_LEN).ok_or(too_short)?;
    let (rest, mac) = buffer.split_at_mut(at);
    let (tag, message) = rest.split_first_mut().ok_or(too_short)?;
    Ok((tag, message, mac))
}

/// Encrypts or decrypts: the head with what is there, whole batches in place, the rest with one batch
/// more.
fn apply(cipher: &mut Cipher, head: &Head, message: &mut [u8]) {
    let (start, rest) = message.split_at_mut(message.len().min(HEAD_LEN));
    xor(start, head.for_message());

    let (whole, tail) = rest.split_at_mut(rest.len() - rest.len() % BATCH_LEN);
    if !whole.is_empty() {
        apply_blocks(cipher, whole);
    }
    if !tail.is_empty() {
        xor(tail, key_stream(cipher).as_slice());
    }
}

/// The next batch of key stream.
fn key_stream(cipher: &mut Cipher) -> Zeroizing<[u8; BATCH_LEN]> {
    let mut stream = Zeroizing::new([0; BATCH_LEN]);
    apply_blocks(cipher, stream.as_mut_slice());
    stream
}

fn apply_blocks(cipher: &mut Cipher, bytes: &mut [u8]) {
    let (blocks, _) = InOutBuf::from(bytes).into_chunks::<U64>();
    cipher.apply_keystream_blocks_inout(blocks);
}

fn xor(bytes: &mut [u8], stream: &[u8]) {
    for (byte, key) in bytes.iter_mut().zip(stream) {
        *byte ^= key;
    }
}

/// The authenticator over the tag block, the encrypted message, its padding, and the two lengths.
///
/// The padding is `len mod 16` bytes, not what is missing to a multiple of 16: so libsodium does it,
/// and the last block is a short one then.
fn authenticate(head: &Head, tag_block: &[u8; BLOCK_LEN], message: &[u8]) -> [u8; MAC_LEN] {
    let partial = message.len() % 16;
    let (whole, rest) = message.split_at(message.len() - partial);
    let mut tail = [0; 3 * 16];
    let end = 2 * partial + 16;
    let mut lengths = [0; 16];
    let authenticated = (message.len() as u64).wrapping_add(BLOCK_LEN as u64);
    lengths[8..].copy_from_slice(&authenticated.to_le_bytes());
    tail[..partial].copy_from_slice(rest);
    tail[2 * partial..end].copy_from_slice(&lengths);

    if message.len() < LONG_MESSAGE {
        let mut mac = ShortMac::new(head.mac_key());
        mac.blocks(tag_block);
        mac.blocks(whole);
        mac.finish(&tail[..end])
    } else {
        let mut mac = Poly1305::new(head.mac_key().into());
        mac.update_padded(tag_block);
        mac.update_padded(whole);
        mac.compute_unpadded(&tail[..end]).into()
    }
}
