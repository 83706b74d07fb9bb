//! Keys that come from outside: hex on the command line, in a file or in the environment.
//!
//! Owns how they are read. They are never printed, not even in an error.

use std::fs;

use crate::args::Encryption;
use crate::failure::{Failure, Kind};

/// Reads 32 bytes as 64 hex digits.
pub(crate) fn hex32(what: &str, text: &str) -> Result<[u8; 32], Failure> {
    let mut key = [0; 32];
    hex::decode_to_slice(text.trim(), &mut key)
        .map_err(|_| Failure::new(Kind::Usage, format!("{what} is 64 hex digits")))?;
    Ok(key)
}

/// Reads 32 bytes as 64 hex digits, or as `@FILE` with them in it.
pub(crate) fn word32(what: &str, word: &str) -> Result<[u8; 32], Failure> {
    match word.strip_prefix('@') {
        Some(path) => {
            let text = fs::read_to_string(path);
            let text = text.map_err(|error| Failure::new(Kind::Other, error).at(path))?;
            hex32(what, &text)
        }
        None => hex32(what, word),
    }
}

/// The encryption key, if one was given: hex, or `@FILE` with hex in it.
pub(crate) fn encryption_key(args: &Encryption) -> Result<Option<[u8; 32]>, Failure> {
    let word = args.encryption_key.as_deref();
    word.map(|word| word32("the encryption key", word))
        .transpose()
}

/// 32 random bytes from the operating system.
pub(crate) fn random() -> Result<[u8; 32], Failure> {
    let mut bytes = [0; 32];
    getrandom::getrandom(&mut bytes)
        .map_err(|error| Failure::new(Kind::Other, format!("no randomness: {error}")))?;
    Ok(bytes)
}
