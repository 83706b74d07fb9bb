//! Messages beside the encrypted stream, each on its own: they may be lost and come in any order.
//!
//! Owns their keys and the counter that is their nonce. Knows nothing of what carries them. A datagram
//! is the eight bytes of the counter, then a secretbox; the nonce is the counter and sixteen zeros.

use alloc::vec::Vec;
use core::fmt;

use hc_merkle::digest::keyed_hash;
use thiserror::Error;
use zeroize::ZeroizeOnDrop;

use crate::namespace::{self, SEND};
use crate::secretbox::{self, NONCE_LEN};
use crate::{HandshakeHash, Side};

/// Bytes that a datagram has more than what it carries.
pub const OVERHEAD: usize = COUNTER_LEN + secretbox::OVERHEAD;

const COUNTER_LEN: usize = 8;

/// Seals and opens the datagrams of one end of a connection.
#[derive(ZeroizeOnDrop)]
pub struct Datagrams {
    tx: [u8; 32],
    rx: [u8; 32],
    counter: u64,
    #[zeroize(skip)]
    left: u64,
}

impl Datagrams {
    /// The datagrams of one side, beside the stream whose handshake ended with this hash. `start` is
    /// eight random bytes: where this end's counter starts.
    #[must_use]
    pub fn new(side: Side, hash: &HandshakeHash, start: u64) -> Self {
        Self {
            tx: key(side, hash),
            rx: key(side.other(), hash),
            counter: start,
            left: u64::MAX,
        }
    }

    /// Seals one message, which becomes [`OVERHEAD`] bytes longer.
    ///
    /// # Errors
    /// [`DatagramError::Exhausted`] once the counter has been all around.
    pub fn seal(&mut self, plain: &[u8]) -> Result<Vec<u8>, DatagramError> {
        self.left = self.left.checked_sub(1).ok_or(DatagramError::Exhausted)?;
        self.counter = self.counter.wrapping_add(1);
        let counter = self.counter.to_le_bytes();
        let mut out = Vec::with_capacity(plain.len().saturating_add(OVERHEAD));
        out.extend_from_slice(&counter);
        secretbox::seal(&self.tx, &nonce(counter), plain, &mut out)
            .map_err(|_| DatagramError::Unauthentic)?;
        Ok(out)
    }

    /// Opens one message. One that does not open is to be ignored: it may be anyone's. Nothing here
    /// notices a datagram that comes twice.
    ///
    /// # Errors
    /// [`DatagramError::Unauthentic`] where it is too short, was altered, or is not the other end's.
    pub fn open(&self, datagram: &[u8]) -> Result<Vec<u8>, DatagramError> {
        let (counter, sealed) = datagram
            .split_first_chunk::<COUNTER_LEN>()
            .ok_or(DatagramError::Unauthentic)?;
        secretbox::open(&self.rx, &nonce(*counter), sealed).map_err(|_| DatagramError::Unauthentic)
    }
}

impl fmt::Debug for Datagrams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Datagrams(…)")
    }
}

/// Why a datagram is not sealed or not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DatagramError {
    /// All 2^64 - 1 datagrams of this end have been sent.
    #[error("counter of datagrams is exhausted")]
    Exhausted,
    /// The datagram is not the other end's, or was altered.
    #[error("datagram does not authenticate")]
    Unauthentic,
}

fn key(side: Side, hash: &HandshakeHash) -> [u8; 32] {
    keyed_hash(hash.as_bytes(), &[namespace::of(side), &SEND])
}

fn nonce(counter: [u8; COUNTER_LEN]) -> [u8; NONCE_LEN] {
    let mut nonce = [0; NONCE_LEN];
    nonce.split_at_mut(COUNTER_LEN).0.copy_from_slice(&counter);
    nonce
}
