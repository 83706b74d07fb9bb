//! The golden vectors of the reference, for tests beside the code.

use std::path::Path;

use serde_json::Value;

/// Reads a file of vectors that another crate keeps.
pub(crate) fn load(path: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    let text = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&text).expect("vectors are JSON")
}

pub(crate) fn list(value: &Value) -> &[Value] {
    value.as_array().expect("an array")
}

pub(crate) fn bytes(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().expect("hex")).expect("hex")
}

pub(crate) fn array<const N: usize>(value: &Value) -> [u8; N] {
    bytes(value).try_into().expect("so many bytes")
}

pub(crate) fn uint(value: &Value) -> u64 {
    value.as_u64().expect("a number")
}
