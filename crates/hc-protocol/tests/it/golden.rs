//! The vectors, and small readers of what is in them.

use std::path::Path;

use bytes::Bytes;
use serde_json::Value;

/// A file of `tests/vectors`.
pub(crate) fn load(file: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/vectors")
        .join(file);
    let text = std::fs::read_to_string(&path).expect("vectors are there");
    serde_json::from_str(&text).expect("vectors are JSON")
}

/// An array.
pub(crate) fn list(value: &Value) -> &[Value] {
    value
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_else(|| panic!("{value} is no array"))
}

/// A text.
pub(crate) fn text(value: &Value) -> &str {
    value
        .as_str()
        .unwrap_or_else(|| panic!("{value} is no text"))
}

/// Bytes in hexadecimal.
pub(crate) fn bytes(value: &Value) -> Bytes {
    hex::decode(text(value))
        .expect("vectors are hexadecimal")
        .into()
}

/// An integer: a number, or a decimal text above 2^53 - 1; absent and null are 0.
pub(crate) fn uint(value: &Value) -> u64 {
    match value {
        Value::Null => 0,
        Value::String(text) => text.parse().expect("vectors have decimal integers"),
        other => other
            .as_u64()
            .unwrap_or_else(|| panic!("{other} is no integer")),
    }
}

/// A small integer, as a position in a list.
pub(crate) fn position(value: &Value) -> usize {
    usize::try_from(uint(value)).expect("vectors have small positions")
}

/// A flag; absent is false.
pub(crate) fn flag(value: &Value) -> bool {
    value.as_bool().unwrap_or(false)
}

/// Bytes in hexadecimal, of a known number.
pub(crate) fn array<const N: usize>(value: &Value) -> [u8; N] {
    bytes(value)
        .as_ref()
        .try_into()
        .expect("vectors have hashes and keys of the right length")
}
