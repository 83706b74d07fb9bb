//! The secrets and bytes of the reference's recorded connections.

use std::sync::LazyLock;

use hc_protocol::noise::{KeyPair, Keys, Seed};
use hc_protocol::{Established, HandshakeHash, Side, StreamKey};
use serde_json::Value;

pub(crate) use crate::golden::{array, bytes, list, text};

pub(crate) fn secret_stream() -> &'static Value {
    static VECTORS: LazyLock<Value> = LazyLock::new(|| crate::golden::load("secret-stream.json"));
    &VECTORS
}

pub(crate) fn side(value: &Value) -> Side {
    match text(value) {
        "initiator" => Side::Initiator,
        "responder" => Side::Responder,
        other => unreachable!("side {other}"),
    }
}

/// The secrets of one end, from the `keys` of a transcript or session.
pub(crate) fn keys(value: &Value, side: Side) -> Keys {
    let keys = match side {
        Side::Initiator => &value["initiator"],
        Side::Responder => &value["responder"],
    };
    Keys {
        local: KeyPair::from_seed(&Seed::new(array(&keys["staticSeed"]))),
        ephemeral: Seed::new(array(&keys["ephemeralSeed"])),
    }
}

/// What one end of a transcript has after the handshake.
pub(crate) fn established(transcript: &Value, side: Side) -> Established {
    let (tx, rx) = match side {
        Side::Initiator => ("initiatorToResponder", "responderToInitiator"),
        Side::Responder => ("responderToInitiator", "initiatorToResponder"),
    };
    Established {
        side,
        tx: StreamKey::new(array(&transcript[tx])),
        rx: StreamKey::new(array(&transcript[rx])),
        hash: HandshakeHash(array(&transcript["handshakeHash"])),
        local: keys(&transcript["keys"], side).local.public_key(),
        remote: keys(&transcript["keys"], side.other()).local.public_key(),
    }
}

/// The plain bytes of a frame, written out or as a formula.
pub(crate) fn plain(frame: &Value) -> Vec<u8> {
    if !frame["plain"].is_null() {
        return bytes(&frame["plain"]).into();
    }
    let formula = |name: &str| frame["formula"][name].as_u64().unwrap();
    let (mul, add) = (formula("mul"), formula("add"));
    (0..formula("length"))
        .map(|i| (i * mul + add).to_le_bytes()[0])
        .collect()
}

/// What one side of a transcript sends first after the handshake.
pub(crate) fn header(transcript: &Value, from: Side) -> &Value {
    let mut headers = list(&transcript["headers"]).iter();
    headers
        .find(|header| side(&header["from"]) == from)
        .unwrap()
}
