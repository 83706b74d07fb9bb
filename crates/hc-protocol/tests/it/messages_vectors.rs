//! Every message of `messages.json`, in both directions, and every cut one refused; capabilities.

use bytes::Bytes;
use hc_encoding::{DecodeErrorKind, Encode, decode_exact, decode_prefix, encode_to_vec};
use hc_merkle::CoreKey;
use hc_protocol::capability::{
    ALIAS, CapabilityError, PROTOCOL, ReplicationHandshake, channel_name, requested_log,
};
use hc_protocol::message::limits::{MAX_BITFIELD_WORDS, MAX_EXTENSION_NAME_LEN};
use hc_protocol::message::{Bitfield, Extension, Message, MessageKind};
use hc_protocol::mux::{MessageType, Name};
use hc_protocol::{HandshakeHash, Side};
use serde_json::Value;

use crate::golden::{array, bytes, flag, list, load, text, uint};
use crate::messages::{handshake, kind, message};

#[test]
fn numbers_of_the_kinds() {
    let vectors = load("messages.json");
    let protocol = &vectors["protocol"];
    assert_eq!(
        (text(&protocol["name"]), text(&protocol["alias"])),
        (PROTOCOL, ALIAS)
    );
    assert_eq!(list(&protocol["types"]).len(), MessageKind::ALL.len());
    for entry in list(&protocol["types"]) {
        let named = kind(text(&entry["message"])).unwrap();
        let number = MessageType(uint(&entry["type"]));
        assert_eq!(MessageKind::from_type(number), Some(named));
        assert_eq!(named.message_type(), number);
    }
    assert_eq!(MessageKind::from_type(MessageType(10)), None);
    assert_eq!(MessageKind::from_type(MessageType(u64::MAX)), None);
}

#[test]
fn messages_encode_and_decode() {
    let vectors = load("messages.json");
    for (name, cases) in vectors["wire"].as_object().unwrap() {
        for case in list(cases) {
            let encoded = bytes(&case["hex"]);
            if name == "handshake" {
                let value = handshake(&case["value"]);
                assert_eq!(encode_to_vec(&value), encoded);
                assert_eq!(decode_exact(&encoded), Ok(value));
            } else if let Some(kind) = kind(name) {
                let value = message(kind, &case["value"]);
                assert_eq!(
                    hex::encode(encode_to_vec(&value)),
                    text(&case["hex"]),
                    "{name}"
                );
                assert_eq!(
                    Message::decode(kind, &encoded).as_ref(),
                    Ok(&value),
                    "{name}"
                );
                assert_eq!(value.kind(), kind);
            } else {
                assert_eq!(
                    name, "reorgHint",
                    "a layout that has no number and is never sent"
                );
            }
        }
    }
}

#[test]
fn other_encodings_decode() {
    let vectors = load("messages.json");
    for case in list(&vectors["decodeOnly"]) {
        let encoded = bytes(&case["hex"]);
        let note = &case["note"];
        if case["message"] == "handshake" {
            let (value, _) = decode_prefix(&encoded).unwrap();
            assert_eq!(handshake(&case["value"]), value, "{note}");
        } else {
            let kind = kind(text(&case["message"])).unwrap();
            let value = message(kind, &case["value"]);
            assert_eq!(
                Message::decode(kind, &encoded).as_ref(),
                Ok(&value),
                "{note}"
            );
        }
    }
}

#[test]
fn cut_messages_are_refused() {
    let vectors = load("messages.json");
    let mut refused = 0;
    for case in list(&vectors["truncated"]) {
        let encoded = bytes(&case["hex"]);
        let error = if case["message"] == "handshake" {
            decode_prefix::<ReplicationHandshake>(&encoded).err()
        } else if let Some(kind) = kind(text(&case["message"])) {
            Message::decode(kind, &encoded).err()
        } else {
            assert_eq!(case["message"], "reorgHint");
            continue;
        };
        let error = error.unwrap_or_else(|| panic!("{case} was read"));
        assert_eq!(error.kind, DecodeErrorKind::Truncated, "{case}");
        refused += 1;
    }
    assert_eq!(refused, 385);
}

#[test]
fn values_share_the_memory_of_the_payload() {
    let vectors = load("messages.json");
    let mut shared = 0;
    for case in list(&vectors["wire"]["data"]) {
        let payload = bytes(&case["hex"]);
        let Ok(Message::Data(data)) = Message::decode(MessageKind::Data, &payload) else {
            panic!("{case}");
        };
        let block = data.proof.block.iter().map(|block| &block.value);
        let upgrade = data.proof.upgrade.iter().map(|upgrade| &upgrade.signature);
        for part in block.chain(upgrade).filter(|part| !part.is_empty()) {
            assert!(payload.as_ptr_range().contains(&part.as_ptr()));
            shared += 1;
        }
    }
    assert!(shared > 5);
}

#[test]
fn bitfields_have_at_most_a_segment_of_words() {
    let full = Bitfield {
        start: 0,
        words: vec![u32::MAX; MAX_BITFIELD_WORDS],
    };
    let encoded = Bytes::from(encode_to_vec(&full));
    let decoded = Message::decode(MessageKind::Bitfield, &encoded);
    assert_eq!(decoded, Ok(Message::Bitfield(full)));

    let over = Bitfield {
        start: 0,
        words: vec![0; MAX_BITFIELD_WORDS + 1],
    };
    let error = Message::decode(MessageKind::Bitfield, &encode_to_vec(&over).into()).unwrap_err();
    assert_eq!((error.at, error.kind), (1, DecodeErrorKind::TooLong));
}

#[test]
fn extension_names_are_limited() {
    let extension = |len: usize| Extension {
        name: "n".repeat(len),
        message: Bytes::new(),
    };
    let decode =
        |value: &Extension| Message::decode(MessageKind::Extension, &encode_to_vec(value).into());
    let full = extension(MAX_EXTENSION_NAME_LEN);
    assert_eq!(decode(&full), Ok(Message::Extension(full)));
    let error = decode(&extension(MAX_EXTENSION_NAME_LEN + 1)).unwrap_err();
    assert_eq!((error.at, error.kind), (0, DecodeErrorKind::TooLong));
}

#[test]
fn a_name_that_is_not_text_is_read_as_the_reference_reads_it() {
    let payload = Bytes::from_static(b"\x02\xff\xfe!");
    let Ok(Message::Extension(extension)) = Message::decode(MessageKind::Extension, &payload)
    else {
        panic!("it is read");
    };
    assert_eq!(
        (extension.name.as_str(), &extension.message[..]),
        ("\u{fffd}\u{fffd}", &b"!"[..])
    );
}

fn capability_of(case: &Value) -> (Side, CoreKey, HandshakeHash, Bytes) {
    let side = if flag(&case["isInitiator"]) {
        Side::Initiator
    } else {
        Side::Responder
    };
    let shown = [&[1], bytes(&case["capability"]).as_ref()].concat();
    (
        side,
        CoreKey(array(&case["key"])),
        HandshakeHash(array(&case["handshakeHash"])),
        shown.into(),
    )
}

#[test]
fn capabilities_are_made_and_checked() {
    let vectors = load("crypto.json");
    for case in list(&vectors["capability"]) {
        let (side, key, hash, shown) = capability_of(case);
        let made = ReplicationHandshake::new(side, &key, &hash);
        assert_eq!(encode_to_vec(&made), shown);
        assert_eq!(made.encoded_len(), 33);
        let verified = ReplicationHandshake::verify(&shown, side.other(), &key, &hash);
        assert_eq!(verified, Ok(made));
    }
}

#[test]
fn wrong_capabilities_are_refused() {
    let vectors = load("crypto.json");
    for case in list(&vectors["capability"]) {
        let (side, key, hash, shown) = capability_of(case);
        let verify = |shown: &Bytes, side: Side, key: &CoreKey, hash: &HandshakeHash| {
            ReplicationHandshake::verify(shown, side, key, hash).unwrap_err()
        };
        let ours = side.other();
        assert_eq!(
            verify(&shown, side, &key, &hash),
            CapabilityError::Wrong,
            "reflected"
        );
        let mut other = hash;
        other.0[63] ^= 1;
        assert_eq!(
            verify(&shown, ours, &key, &other),
            CapabilityError::Wrong,
            "replayed"
        );
        let mut other = key;
        other.0[0] ^= 1;
        assert_eq!(
            verify(&shown, ours, &other, &hash),
            CapabilityError::Wrong,
            "another log"
        );
        for at in 1..shown.len() {
            let mut tampered = shown.to_vec();
            tampered[at] ^= 0x80;
            let error = verify(&tampered.into(), ours, &key, &hash);
            assert_eq!(error, CapabilityError::Wrong);
        }
        for len in 0..shown.len() {
            let error = verify(&shown.slice(..len), ours, &key, &hash);
            assert!(matches!(error, CapabilityError::Malformed(_)));
        }
    }
}

#[test]
fn a_channel_is_named_by_discovery_key() {
    let log = hc_merkle::DiscoveryKey([7; 32]);
    let name = channel_name(&log);
    assert_eq!(
        (name.protocol(), name.id().as_ref()),
        (PROTOCOL, &[7; 32][..])
    );
    assert_eq!(requested_log(&name), Some(log));
    assert_eq!(requested_log(&name.alias(ALIAS)), Some(log));
    assert_eq!(requested_log(&name.alias("hypercore/beta")), None);
    assert_eq!(
        requested_log(&Name::new(PROTOCOL, Bytes::from_static(&[7; 31]))),
        None
    );
}
