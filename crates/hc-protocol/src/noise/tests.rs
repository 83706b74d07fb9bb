//! The parts of a handshake against the reference's vectors, step by step.

use std::string::String;
use std::vec::Vec;

use serde_json::Value;

use super::dh::{BadPoint, KeyPair, Seed};
use super::hkdf::{hkdf, hmac};
use super::*;

fn vectors() -> Value {
    serde_json::from_str(include_str!("../../tests/vectors/secret-stream.json")).unwrap()
}

fn bytes(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap()).unwrap()
}

fn bytes32(value: &Value) -> [u8; 32] {
    bytes(value).try_into().unwrap()
}

fn list(value: &Value) -> &Vec<Value> {
    value.as_array().unwrap()
}

fn pair(seed: &Value) -> KeyPair {
    KeyPair::from_seed(&Seed::new(bytes32(seed)))
}

#[test]
fn dh_agrees_with_the_reference() {
    let vectors = vectors();
    for case in list(&vectors["dh"]) {
        let pair = pair(&case["seed"]);
        assert_eq!(pair.public_key().0, bytes32(&case["publicKey"]));
        let shared = pair
            .agree(&PublicKey(bytes32(&case["remotePublicKey"])))
            .unwrap();
        assert_eq!(*shared, bytes32(&case["output"]));
    }
}

#[test]
fn dh_refuses_what_the_reference_refuses() {
    let vectors = vectors();
    let cases = list(&vectors["dhReject"]);
    assert!(!cases.is_empty());
    for case in cases {
        let remote = PublicKey(bytes32(&case["remotePublicKey"]));
        assert_eq!(
            pair(&case["seed"]).agree(&remote).err(),
            Some(BadPoint),
            "{}",
            case["note"]
        );
    }
}

#[test]
fn hmac_agrees_with_the_reference() {
    let vectors = vectors();
    for case in list(&vectors["hmac"]) {
        let out = hmac(&bytes(&case["key"]), &[&bytes(&case["data"])]);
        assert_eq!(out.as_slice(), bytes(&case["output"]));
    }
}

#[test]
fn hkdf_agrees_with_the_reference() {
    let vectors = vectors();
    for case in list(&vectors["hkdf"]) {
        let (first, second) = hkdf(&bytes(&case["salt"]), &bytes(&case["input"]));
        assert_eq!(first.as_slice(), bytes(&case["outputs"][0]));
        assert_eq!(second.as_slice(), bytes(&case["outputs"][1]));
    }
}

fn keys(case: &Value, side: &str) -> Keys {
    let keys = &case["keys"][side];
    let local = pair(&keys["staticSeed"]);
    assert_eq!(local.public_key().0, bytes32(&keys["staticPublicKey"]));
    Keys {
        local,
        ephemeral: Seed::new(bytes32(&keys["ephemeralSeed"])),
    }
}

fn handshakes(case: &Value) -> (Handshake, Handshake) {
    let prologue = bytes(&case["prologue"]);
    let (initiator, responder) = (keys(case, "initiator"), keys(case, "responder"));
    match case["pattern"].as_str().unwrap() {
        "XX" => (
            Handshake::xx(Side::Initiator, initiator, &prologue),
            Handshake::xx(Side::Responder, responder, &prologue),
        ),
        "IK" => (
            Handshake::ik_initiator(initiator, responder.local.public_key(), &prologue),
            Handshake::ik_responder(responder, &prologue),
        ),
        other => unreachable!("pattern {other}"),
    }
}

fn assert_state(handshake: &Handshake, expected: &Value, at: &str) {
    assert_eq!(
        handshake.symmetric.hash.as_slice(),
        bytes(&expected["h"]),
        "{at}"
    );
    assert_eq!(
        handshake.symmetric.chaining_key.as_slice(),
        bytes(&expected["ck"]),
        "{at}"
    );
}

/// Exchanges the first `count` messages and checks each of them.
fn exchange(case: &Value, count: usize) -> (Handshake, Handshake) {
    let (mut initiator, mut responder) = handshakes(case);
    assert_state(&initiator, &case["start"], "start");
    assert_state(&responder, &case["start"], "start");
    for (i, step) in list(&case["messages"]).iter().enumerate().take(count) {
        let (from, to) = match step["from"].as_str().unwrap() {
            "initiator" => (&mut initiator, &mut responder),
            _ => (&mut responder, &mut initiator),
        };
        let at = std::format!("{} message {i}", case["note"]);
        let payload = bytes(&step["payload"]);
        let mut message = Vec::new();
        from.write(&payload, &mut message).unwrap();
        assert_eq!(
            hex::encode(&message),
            step["message"].as_str().unwrap(),
            "{at}"
        );
        assert_eq!(to.read(&message).unwrap(), payload, "{at}");
        assert_state(from, &step["after"], &at);
        assert_state(to, &step["after"], &at);
    }
    (initiator, responder)
}

#[test]
fn handshakes_agree_with_the_reference_at_every_step() {
    let vectors = vectors();
    for case in list(&vectors["handshakes"]) {
        let (initiator, responder) = exchange(case, usize::MAX);
        let initiator = initiator.finish().unwrap();
        let responder = responder.finish().unwrap();
        for (end, tx, rx) in [
            (&initiator, "initiatorToResponder", "responderToInitiator"),
            (&responder, "responderToInitiator", "initiatorToResponder"),
        ] {
            assert_eq!(end.hash.0.as_slice(), bytes(&case["handshakeHash"]));
            assert_eq!(*end.tx.as_bytes(), bytes32(&case[tx]));
            assert_eq!(*end.rx.as_bytes(), bytes32(&case[rx]));
        }
        assert_eq!(initiator.remote, responder.local);
        assert_eq!(responder.remote, initiator.local);
    }
}

#[test]
fn tampered_handshakes_fail() {
    let vectors = vectors();
    let cases = list(&vectors["tampered"]);
    assert!(!cases.is_empty());
    for case in cases {
        let number = |name: &str| usize::try_from(case[name].as_u64().unwrap()).unwrap();
        let note = case["note"].as_str().unwrap();
        let message = number("message");
        let handshake = &vectors["handshakes"][number("handshake")];
        let (mut initiator, mut responder) = exchange(handshake, message);
        let reader = if message.is_multiple_of(2) {
            &mut responder
        } else {
            &mut initiator
        };
        // What is wrong with a first key is noticed when it is used: in the answer.
        let outcome = reader.read(&bytes(&case["bytes"])).and_then(|_| {
            let mut answer = Vec::new();
            reader.write(&[], &mut answer)
        });
        let says = |words: &str| note.contains(words);
        let error = outcome.unwrap_err();
        let expected: &[HandshakeError] = if says("cut") && message == 0 || says("empty") {
            &[HandshakeError::Truncated]
        } else if says("neutral") || says("no point") {
            &[HandshakeError::BadKey]
        } else if says("ephemeral key") {
            // Half of all altered keys are still points.
            &[HandshakeError::BadKey, HandshakeError::Unauthentic]
        } else {
            &[HandshakeError::Unauthentic]
        };
        assert!(expected.contains(&error), "{note}: {error}");
        assert!(error.fault().is_some(), "{note}");
        let again = reader.read(&bytes(&case["bytes"]));
        assert_eq!(
            again,
            Err(HandshakeError::OutOfTurn),
            "{note}: over after an error"
        );
    }
}

#[test]
fn messages_are_bounded() {
    let vectors = vectors();
    let case = &vectors["handshakes"][0];
    let (mut initiator, mut responder) = handshakes(case);
    let mut out = Vec::new();
    let longest = alloc::vec![7; MAX_HANDSHAKE_MESSAGE_LEN - KEY_LEN];
    initiator.write(&longest, &mut out).unwrap();
    assert_eq!(out.len(), MAX_HANDSHAKE_MESSAGE_LEN);
    assert_eq!(responder.read(&out).unwrap(), longest);

    let (mut initiator, mut responder) = handshakes(case);
    let longer = alloc::vec![7; MAX_HANDSHAKE_MESSAGE_LEN - KEY_LEN + 1];
    let too_long = HandshakeError::TooLong {
        len: MAX_HANDSHAKE_MESSAGE_LEN + 1,
    };
    assert_eq!(initiator.write(&longer, &mut out), Err(too_long));
    out.push(0);
    assert_eq!(responder.read(&out), Err(too_long));
    assert_eq!(too_long.fault(), Some(Fault::OverLimit));
}

#[test]
fn steps_out_of_turn_are_refused() {
    let vectors = vectors();
    let (mut initiator, responder) = handshakes(&vectors["handshakes"][0]);
    assert_eq!(initiator.turn(), Turn::Write);
    assert_eq!(responder.turn(), Turn::Read);
    assert_eq!(initiator.read(&[0; 32]), Err(HandshakeError::OutOfTurn));
    assert_eq!(responder.finish().err(), Some(HandshakeError::OutOfTurn));
}

#[test]
fn secrets_are_not_printed() {
    let seed = Seed::new([0xab; 32]);
    let pair = KeyPair::from_seed(&seed);
    let printed: String = std::format!("{seed:?} {pair:?}");
    assert!(
        !printed.contains("ab, ab") && !printed.contains("171"),
        "{printed}"
    );
}
