//! Keys as text: z-base-32 (52 letters) and hex (64 digits).
//!
//! Owns the alphabet and the parsing of both. Knows nothing of links and their schemes beyond
//! `pear://`, which the reference accepts wherever it accepts a key.

use alloc::string::String;
use alloc::vec::Vec;

use thiserror::Error;

const ALPHABET: &[u8; 32] = b"ybndrfg8ejkmcpqxot1uwisza345h769";

/// Text that is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ParseKeyError {
    /// Neither 52 letters of z-base-32 nor 64 hex digits.
    #[error("a key has 52 letters or 64 hex digits, not {len} bytes of text")]
    Length {
        /// Bytes of text, without a leading `pear://` and what follows the key there.
        len: usize,
    },
    /// A letter that is not of the alphabet.
    #[error("no digit at byte {at}")]
    Character {
        /// Which byte of the text of the key.
        at: usize,
    },
}

/// Bytes as z-base-32: five bits a letter, the last one filled up with zeros.
#[must_use]
pub fn z32_encode(bytes: &[u8]) -> String {
    let letters = bytes.len().saturating_mul(8).div_ceil(5);
    let letter = |at: usize| {
        let first = at * 5 / 8;
        let high = bytes.get(first).copied().unwrap_or(0);
        let low = bytes.get(first + 1).copied().unwrap_or(0);
        let pair = u16::from_be_bytes([high, low]);
        let quintet = usize::from(pair >> (11 - at * 5 % 8)) & 31;
        char::from(ALPHABET.get(quintet).copied().unwrap_or(b'y'))
    };
    (0..letters).map(letter).collect()
}

/// Reads z-base-32. Bits that do not fill a byte are dropped, whatever they are, as the reference does.
///
/// # Errors
/// [`ParseKeyError::Character`] at the first letter that is not of the alphabet; upper case is not.
pub fn z32_decode(text: &str) -> Result<Vec<u8>, ParseKeyError> {
    let mut bytes = Vec::with_capacity(text.len() * 5 / 8);
    let (mut bits, mut count) = (0u16, 0u32);
    for (at, letter) in text.bytes().enumerate() {
        let quintet = ALPHABET
            .iter()
            .position(|&known| known == letter)
            .and_then(|position| u16::try_from(position).ok())
            .ok_or(ParseKeyError::Character { at })?;
        bits = (bits << 5) | quintet;
        count += 5;
        if count >= 8 {
            count -= 8;
            let [_, byte] = (bits >> count).to_be_bytes();
            bytes.push(byte);
        }
    }
    Ok(bytes)
}

/// Reads 32 bytes from z-base-32 or hex, alone or in a `pear://` link.
pub(crate) fn parse32(text: &str) -> Result<[u8; 32], ParseKeyError> {
    let text = match text.strip_prefix("pear://") {
        Some(link) => link.split('/').next().unwrap_or_default(),
        None => text,
    };
    let bytes = match text.len() {
        52 => z32_decode(text)?,
        64 => hex_decode(text)?,
        len => return Err(ParseKeyError::Length { len }),
    };
    bytes
        .try_into()
        .map_err(|_| ParseKeyError::Length { len: text.len() })
}

fn hex_decode(text: &str) -> Result<Vec<u8>, ParseKeyError> {
    let digit = |(at, letter): (usize, u8)| {
        char::from(letter)
            .to_digit(16)
            .and_then(|digit| u8::try_from(digit).ok())
            .ok_or(ParseKeyError::Character { at })
    };
    let digits = text
        .bytes()
        .enumerate()
        .map(digit)
        .collect::<Result<Vec<_>, _>>()?;
    Ok(digits
        .chunks_exact(2)
        .map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit))
        .collect())
}
