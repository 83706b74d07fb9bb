//! Reading the golden vectors.

use std::path::Path;

use hc_merkle::{ByteLength, Draft, Fork, Hash, Head, Length, Node, NodeIndex};
use serde_json::Value;

/// A file of vectors.
pub(crate) fn load(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/vectors")
        .join(name);
    let text = std::fs::read_to_string(path).expect("vectors are part of the crate");
    serde_json::from_str(&text).expect("vectors are JSON")
}

pub(crate) fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// A number, or a decimal string above 2^53.
pub(crate) fn uint(value: &Value) -> u64 {
    match value {
        Value::String(text) => text.parse().expect("a number"),
        other => other.as_u64().expect("a number"),
    }
}

pub(crate) fn bytes(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().expect("hex")).expect("hex")
}

pub(crate) fn array<const N: usize>(value: &Value) -> [u8; N] {
    bytes(value).try_into().expect("the right length")
}

pub(crate) fn node(value: &Value) -> Node {
    Node {
        index: NodeIndex::new(uint(&value["index"])),
        size: ByteLength::new(uint(&value["size"])),
        hash: Hash(array(&value["hash"])),
    }
}

/// The blocks that a formula stands for: block i has lenBase + ((i * lenStep) mod lenMod) bytes, and
/// its byte j is (i * a + j * b + salt) mod 256.
pub(crate) fn block(formula: &Value, index: u64) -> Vec<u8> {
    let of = |name: &str| uint(&formula[name]);
    let len = of("lenBase") + (index * of("lenStep")) % of("lenMod");
    (0..len)
        .map(|j| (index * of("a") + j * of("b") + of("salt")).to_le_bytes()[0])
        .collect()
}

/// The head over the first blocks of such a data set, unsigned.
pub(crate) fn head(formula: &Value, length: u64, fork: u64) -> Head {
    let mut draft = Draft::new(&Head::empty());
    draft
        .append((0..length).map(|index| block(formula, index).into()))
        .expect("a small log");
    let roots = draft.head().roots().to_vec();
    Head::new(Fork::new(fork), Length::new(length), roots).expect("roots of a tree")
}
