//! What the JavaScript reference reads and writes (`tests/vectors/compact-encoding.json`).

use hc_encoding::{DecodeErrorKind, Reader};
use serde_json::Value;

use crate::dispatch::{decode, encode, shown};

fn vectors(key: &str) -> Vec<Value> {
    let file: Value =
        serde_json::from_str(include_str!("../vectors/compact-encoding.json")).unwrap();
    let list = file[key].as_array().unwrap().clone();
    assert!(!list.is_empty());
    list
}

fn text<'a>(vector: &'a Value, key: &str) -> &'a str {
    vector[key].as_str().unwrap()
}

#[test]
fn values_encode_to_these_bytes_and_decode_from_them() {
    for vector in vectors("encode") {
        let (name, value) = (text(&vector, "type"), &vector["value"]);
        assert_eq!(
            hex::encode(encode(name, value)),
            text(&vector, "hex"),
            "{name} {value}"
        );
        let bytes = hex::decode(text(&vector, "hex")).unwrap();
        let mut reader = Reader::new(&bytes);
        let read = decode(name, &mut reader).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(read, shown(name, value), "{name}");
        assert!(reader.is_empty(), "{name} {value}");
    }
}

#[test]
fn odd_encodings_decode() {
    for vector in vectors("decodeOnly") {
        let (name, value) = (text(&vector, "type"), &vector["value"]);
        let bytes = hex::decode(text(&vector, "hex")).unwrap();
        let mut reader = Reader::new(&bytes);
        assert_eq!(
            decode(name, &mut reader),
            Ok(shown(name, value)),
            "{vector}"
        );
        assert_eq!(
            Some(reader.position() as u64),
            vector["consumed"].as_u64(),
            "{vector}"
        );
    }
}

#[test]
fn bad_encodings_are_refused_for_their_reason() {
    for vector in vectors("reject") {
        let name = text(&vector, "type");
        let bytes = hex::decode(text(&vector, "hex")).unwrap();
        let read = decode(name, &mut Reader::new(&bytes));
        let expected = match text(&vector, "reason") {
            "truncated" => DecodeErrorKind::Truncated,
            "too-long" => DecodeErrorKind::TooLong,
            "invalid" => DecodeErrorKind::Invalid,
            // Integers have 64 bits here; a length that large still finds no bytes.
            "safe-integer" if name == "buffer" => DecodeErrorKind::Truncated,
            "safe-integer" => {
                assert!(read.is_ok(), "{vector}");
                continue;
            }
            other => panic!("unknown reason {other}"),
        };
        assert_eq!(read.map_err(|error| error.kind), Err(expected), "{vector}");
    }
}

#[test]
fn values_follow_each_other() {
    for vector in vectors("sequences") {
        let parts = vector["parts"].as_array().unwrap();
        let named = |part: &Value| (text(part, "type").to_owned(), part["value"].clone());
        let bytes: Vec<u8> = parts
            .iter()
            .map(named)
            .flat_map(|(name, value)| encode(&name, &value))
            .collect();
        assert_eq!(hex::encode(&bytes), text(&vector, "hex"));
        let mut reader = Reader::new(&bytes);
        for (name, value) in parts.iter().map(named) {
            assert_eq!(decode(&name, &mut reader), Ok(shown(&name, &value)));
        }
        assert!(reader.is_empty());
    }
}
