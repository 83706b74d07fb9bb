//! Keys that come from outside: hex on the command line, in a file or in the environment.
//!
//! Owns how they are read. They are never printed, not even in an error.

use std::fs;
use std::io::IsTerminal;

use zeroize::Zeroizing;

use crate::args::{Encryption, Passphrase};
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

/// The variable that a passphrase may come from.
const PASSPHRASE: &str = "HYPERCORE_PASSPHRASE";

/// A passphrase: from a file, from the environment, or asked for without showing it; twice where it is a
/// new one.
pub(crate) fn passphrase(args: &Passphrase, is_new: bool) -> Result<Zeroizing<String>, Failure> {
    let found = if let Some(path) = &args.passphrase_file {
        let text = fs::read_to_string(path).map(Zeroizing::new);
        let text = text.map_err(|error| Failure::new(Kind::Other, error).at(path.display()))?;
        Zeroizing::new(text.lines().next().unwrap_or_default().to_owned())
    } else if let Ok(text) = std::env::var(PASSPHRASE) {
        Zeroizing::new(text)
    } else if std::io::stdin().is_terminal() {
        asked(is_new)?
    } else {
        let message =
            format!("a passphrase is needed: --passphrase-file, or the variable {PASSPHRASE}");
        return Err(Failure::new(Kind::Usage, message));
    };
    if found.is_empty() {
        return Err(Failure::new(Kind::Usage, "the passphrase is empty"));
    }
    Ok(found)
}

fn asked(is_new: bool) -> Result<Zeroizing<String>, Failure> {
    let ask = |prompt| {
        let answer = rpassword::prompt_password(prompt).map(Zeroizing::new);
        answer.map_err(|error| Failure::new(Kind::Other, error).at("passphrase"))
    };
    let first = ask("Passphrase: ")?;
    if is_new && *ask("Once more: ")? != *first {
        return Err(Failure::new(Kind::Usage, "the passphrases differ"));
    }
    Ok(first)
}
