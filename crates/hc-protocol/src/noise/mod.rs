//! The Noise handshake (the Noise Protocol Framework, revision 34) over Ed25519, with
//! ChaCha20-Poly1305 and BLAKE2b-512, in the patterns XX and IK.
//!
//! Owns key pairs and the state of a handshake. Knows nothing of framing, nor of what is done with the
//! keys. The Diffie-Hellman function is not the one of the Noise specification but that of the
//! reference's `noise-curve-ed`: scalar multiplication on the Edwards curve itself.

use alloc::vec::Vec;
use core::fmt;

use hc_merkle::PublicKey;
use thiserror::Error;

use crate::established::{Established, HandshakeHash, StreamKey};
use crate::limits::MAX_HANDSHAKE_MESSAGE_LEN;
use crate::{Fault, Side};

mod dh;
mod hkdf;
mod symmetric;
#[cfg(test)]
mod tests;

pub use dh::{KeyPair, Seed};
use symmetric::{Symmetric, TAG_LEN};

/// One end of a handshake. [`write`](Self::write) and [`read`](Self::read) in turn, as
/// [`turn`](Self::turn) says, until it is [`Turn::Done`]; then [`finish`](Self::finish).
///
/// After an error the handshake is over: every further call fails.
pub struct Handshake {
    side: Side,
    symmetric: Symmetric,
    local: KeyPair,
    local_ephemeral: KeyPair,
    remote: Option<PublicKey>,
    remote_ephemeral: Option<PublicKey>,
    messages: &'static [&'static [Token]],
    done: usize,
    failed: bool,
}

/// Whose turn it is in a handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// This end writes the next message.
    Write,
    /// The other end writes the next message.
    Read,
    /// Nobody: all messages have been exchanged.
    Done,
}

/// The secrets that one end brings to a handshake.
#[derive(Debug, Clone)]
pub struct Keys {
    /// What this end is known by.
    pub local: KeyPair,
    /// Fresh random bytes, never used for another handshake.
    pub ephemeral: Seed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    E,
    S,
    Ee,
    Es,
    Se,
    Ss,
}

const XX: &[&[Token]] = &[
    &[Token::E],
    &[Token::E, Token::Ee, Token::S, Token::Es],
    &[Token::S, Token::Se],
];
const IK: &[&[Token]] = &[
    &[Token::E, Token::Es, Token::S, Token::Ss],
    &[Token::E, Token::Ee, Token::Se],
];

const XX_NAME: &str = "Noise_XX_Ed25519_ChaChaPoly_BLAKE2b";
const IK_NAME: &str = "Noise_IK_Ed25519_ChaChaPoly_BLAKE2b";

/// Bytes of a public key.
const KEY_LEN: usize = 32;

impl Handshake {
    /// A handshake of pattern XX: neither end knows the other. Three messages.
    #[must_use]
    pub fn xx(side: Side, keys: Keys, prologue: &[u8]) -> Self {
        Self::new(side, keys, XX, Symmetric::new(XX_NAME, prologue))
    }

    /// The initiator of a handshake of pattern IK, who knows the responder. Two messages.
    #[must_use]
    pub fn ik_initiator(keys: Keys, responder: PublicKey, prologue: &[u8]) -> Self {
        let mut symmetric = Symmetric::new(IK_NAME, prologue);
        symmetric.mix_hash(responder.as_bytes());
        let mut handshake = Self::new(Side::Initiator, keys, IK, symmetric);
        handshake.remote = Some(responder);
        handshake
    }

    /// The responder of a handshake of pattern IK, whom the initiator knows. Two messages.
    #[must_use]
    pub fn ik_responder(keys: Keys, prologue: &[u8]) -> Self {
        let mut symmetric = Symmetric::new(IK_NAME, prologue);
        symmetric.mix_hash(keys.local.public_key().as_bytes());
        Self::new(Side::Responder, keys, IK, symmetric)
    }

    fn new(
        side: Side,
        keys: Keys,
        messages: &'static [&'static [Token]],
        symmetric: Symmetric,
    ) -> Self {
        let Keys { local, ephemeral } = keys;
        Self {
            side,
            symmetric,
            local,
            local_ephemeral: KeyPair::from_seed(&ephemeral),
            remote: None,
            remote_ephemeral: None,
            messages,
            done: 0,
            failed: false,
        }
    }

    /// Whose turn it is.
    #[must_use]
    pub const fn turn(&self) -> Turn {
        if self.done >= self.messages.len() {
            return Turn::Done;
        }
        let initiators_turn = self.done.is_multiple_of(2);
        match (self.side, initiators_turn) {
            (Side::Initiator, true) | (Side::Responder, false) => Turn::Write,
            (Side::Initiator, false) | (Side::Responder, true) => Turn::Read,
        }
    }

    /// The other end's public key, once it is known. It is proven only when the handshake is done.
    #[must_use]
    pub const fn remote(&self) -> Option<PublicKey> {
        self.remote
    }

    /// Appends the next message, carrying `payload`, to `out`.
    ///
    /// # Errors
    /// [`HandshakeError::OutOfTurn`]; [`HandshakeError::TooLong`] where the payload does not fit a
    /// message; [`HandshakeError::BadKey`] where the other end sent a key that is none.
    pub fn write(&mut self, payload: &[u8], out: &mut Vec<u8>) -> Result<(), HandshakeError> {
        let tokens = self.next(Turn::Write)?;
        self.failed = true;
        let len = self.written_len(tokens).saturating_add(payload.len());
        if len > MAX_HANDSHAKE_MESSAGE_LEN {
            return Err(HandshakeError::TooLong { len });
        }
        out.reserve(len);
        for token in tokens {
            match token {
                Token::E => {
                    let key = self.local_ephemeral.public_key();
                    self.symmetric.mix_hash(key.as_bytes());
                    out.extend_from_slice(key.as_bytes());
                }
                Token::S => {
                    let key = self.local.public_key();
                    self.symmetric.encrypt(key.as_bytes(), out);
                }
                agreement => self.agree(*agreement)?,
            }
        }
        self.symmetric.encrypt(payload, out);
        self.done += 1;
        self.failed = false;
        Ok(())
    }

    /// Takes the next message of the other end and returns its payload. Payloads of a first message of
    /// XX are neither secret nor authentic.
    ///
    /// # Errors
    /// [`HandshakeError::OutOfTurn`]; else what is wrong with the message.
    pub fn read(&mut self, message: &[u8]) -> Result<Vec<u8>, HandshakeError> {
        let tokens = self.next(Turn::Read)?;
        self.failed = true;
        if message.len() > MAX_HANDSHAKE_MESSAGE_LEN {
            return Err(HandshakeError::TooLong { len: message.len() });
        }
        let mut rest = message;
        for token in tokens {
            match token {
                Token::E => {
                    let key = public_key(take(&mut rest, KEY_LEN)?)?;
                    self.symmetric.mix_hash(key.as_bytes());
                    self.remote_ephemeral = Some(key);
                }
                Token::S => {
                    let sealed = take(&mut rest, KEY_LEN + self.tag_len())?;
                    self.remote = Some(public_key(&self.decrypt(sealed)?)?);
                }
                agreement => self.agree(*agreement)?,
            }
        }
        let payload = self.decrypt(rest)?;
        self.done += 1;
        self.failed = false;
        Ok(payload)
    }

    /// The keys that both ends now share.
    ///
    /// # Errors
    /// [`HandshakeError::OutOfTurn`] before all messages have been exchanged.
    pub fn finish(self) -> Result<Established, HandshakeError> {
        let (Turn::Done, false, Some(remote)) = (self.turn(), self.failed, self.remote) else {
            return Err(HandshakeError::OutOfTurn);
        };
        let (initiators, responders) = self.symmetric.split();
        let (tx, rx) = match self.side {
            Side::Initiator => (initiators, responders),
            Side::Responder => (responders, initiators),
        };
        Ok(Established {
            side: self.side,
            tx: StreamKey::new(*tx),
            rx: StreamKey::new(*rx),
            hash: HandshakeHash(*self.symmetric.hash),
            local: self.local.public_key(),
            remote,
        })
    }

    fn next(&self, turn: Turn) -> Result<&'static [Token], HandshakeError> {
        match self.messages.get(self.done) {
            Some(tokens) if self.turn() == turn && !self.failed => Ok(tokens),
            _ => Err(HandshakeError::OutOfTurn),
        }
    }

    /// Length of the next message without its payload, were there a key from its first
    /// agreement on.
    fn written_len(&self, tokens: &[Token]) -> usize {
        let mut keyed = self.symmetric.has_key();
        let mut len = 0;
        for token in tokens {
            len += match token {
                Token::E => KEY_LEN,
                Token::S if keyed => KEY_LEN + TAG_LEN,
                Token::S => KEY_LEN,
                Token::Ee | Token::Es | Token::Se | Token::Ss => {
                    keyed = true;
                    0
                }
            };
        }
        if keyed { len + TAG_LEN } else { len }
    }

    const fn tag_len(&self) -> usize {
        if self.symmetric.has_key() { TAG_LEN } else { 0 }
    }

    fn decrypt(&mut self, bytes: &[u8]) -> Result<Vec<u8>, HandshakeError> {
        self.symmetric
            .decrypt(bytes)
            .map_err(|_| HandshakeError::Unauthentic)
    }

    fn agree(&mut self, token: Token) -> Result<(), HandshakeError> {
        let (local, remote) = match (token, self.side) {
            (Token::Es, Side::Initiator) | (Token::Se, Side::Responder) => {
                (&self.local_ephemeral, self.remote)
            }
            (Token::Es, Side::Responder) | (Token::Se, Side::Initiator) => {
                (&self.local, self.remote_ephemeral)
            }
            (Token::Ss, _) => (&self.local, self.remote),
            (Token::Ee | Token::E | Token::S, _) => (&self.local_ephemeral, self.remote_ephemeral),
        };
        let shared = remote
            .and_then(|remote| local.agree(&remote).ok())
            .ok_or(HandshakeError::BadKey)?;
        self.symmetric.mix_key(shared.as_slice());
        Ok(())
    }
}

impl fmt::Debug for Handshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handshake")
            .field("side", &self.side)
            .field("turn", &self.turn())
            .finish_non_exhaustive()
    }
}

/// Why a handshake came to nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// A message ended inside one of its parts.
    #[error("handshake message is cut short")]
    Truncated,
    /// A message is longer than [`MAX_HANDSHAKE_MESSAGE_LEN`].
    #[error("handshake message of {len} bytes is too long")]
    TooLong {
        /// Bytes that it has, or would have.
        len: usize,
    },
    /// A key of the other end is no point of the group, or is not written the one way it should.
    #[error("key in the handshake is not a point of the group")]
    BadKey,
    /// A part of a message does not authenticate: it was altered, or meant for another key.
    #[error("handshake message does not authenticate")]
    Unauthentic,
    /// It is not for this end to do this now, or the handshake has failed before.
    #[error("handshake step is out of turn")]
    OutOfTurn,
}

impl HandshakeError {
    /// What the other end can be blamed for, if it is its doing.
    #[must_use]
    pub const fn fault(&self) -> Option<Fault> {
        match self {
            Self::Truncated | Self::BadKey => Some(Fault::Malformed),
            Self::TooLong { .. } => Some(Fault::OverLimit),
            Self::Unauthentic => Some(Fault::Unauthentic),
            Self::OutOfTurn => None,
        }
    }
}

fn take<'a>(rest: &mut &'a [u8], len: usize) -> Result<&'a [u8], HandshakeError> {
    let (taken, left) = rest
        .split_at_checked(len)
        .ok_or(HandshakeError::Truncated)?;
    *rest = left;
    Ok(taken)
}

fn public_key(bytes: &[u8]) -> Result<PublicKey, HandshakeError> {
    bytes
        .try_into()
        .map(PublicKey)
        .map_err(|_| HandshakeError::Truncated)
}
