//! The encrypted connection against the reference's: transcripts both ways, and broken input.

use hc_protocol::limits::MAX_UNPROVEN_FRAME_LEN;
use hc_protocol::noise::{Handshake, HandshakeError};
use hc_protocol::secret_stream::{SecretStreamError, StreamHeader};
use hc_protocol::secure::{ROOM, SealError, SecureError, SecureEvent, SecureStream};
use hc_protocol::{Fault, Side};
use proptest::prelude::*;
use serde_json::Value;

use crate::transcripts::{
    array, bytes, established, header, keys, list, plain, secret_stream, side, text,
};

fn end(transcript: &Value, side: Side) -> SecureStream {
    let header = StreamHeader(array(&header(transcript, side)["header"]));
    let ours = keys(&transcript["keys"], side);
    match (text(&transcript["pattern"]), side) {
        ("XX", side) => SecureStream::xx(side, ours, header),
        (_, Side::Initiator) => {
            let responder = keys(&transcript["keys"], Side::Responder)
                .local
                .public_key();
            SecureStream::new(Handshake::ik_initiator(ours, responder, &[]), header)
        }
        (_, Side::Responder) => SecureStream::new(Handshake::ik_responder(ours, &[]), header),
    }
}

fn sealed(stream: &mut SecureStream, plain: &[u8]) -> Vec<u8> {
    let mut frame = vec![0; ROOM.before];
    frame.extend_from_slice(plain);
    stream.seal(&mut frame).unwrap();
    frame
}

/// All plain frames up to where more bytes are needed, or the connection fails.
fn drain(stream: &mut SecureStream, frames: &mut Vec<Vec<u8>>) -> Result<(), SecureError> {
    while let Some(event) = stream.poll()? {
        if let SecureEvent::Frame(frame) = event {
            frames.push(frame.to_vec());
        }
    }
    Ok(())
}

/// What one side of a transcript sends before its first frame.
fn opening(transcript: &Value, side_name: &str) -> Vec<u8> {
    let handshake = list(&transcript["handshake"]).iter();
    let headers = list(&transcript["headers"]).iter();
    let from = |entry: &&Value| text(&entry["from"]) == side_name;
    handshake
        .chain(headers)
        .filter(from)
        .flat_map(|entry| bytes(&entry["raw"]))
        .collect()
}

#[test]
fn whole_transcripts_are_reproduced_from_both_ends() {
    let vectors = secret_stream();
    for transcript in list(&vectors["transcripts"]) {
        let mut initiator = end(transcript, Side::Initiator);
        let mut responder = end(transcript, Side::Responder);
        let (mut from_initiator, mut from_responder) = (Vec::new(), Vec::new());
        for _ in 0..3 {
            let out = initiator.take_outgoing();
            responder.receive(&out);
            from_initiator.extend(out);
            let out = responder.take_outgoing();
            initiator.receive(&out);
            from_responder.extend(out);
        }
        assert_eq!(from_initiator, opening(transcript, "initiator"));
        assert_eq!(from_responder, opening(transcript, "responder"));
        for end in [&initiator, &responder] {
            assert_eq!(
                end.handshake_hash().unwrap().0,
                array(&transcript["handshakeHash"])
            );
            let other = keys(&transcript["keys"], end.side().unwrap().other());
            assert_eq!(end.remote(), Some(other.local.public_key()));
        }

        let mut expected = Vec::new();
        let mut got = Vec::new();
        for frame in list(&transcript["frames"]) {
            let (from, to) = match side(&frame["from"]) {
                Side::Initiator => (&mut initiator, &mut responder),
                Side::Responder => (&mut responder, &mut initiator),
            };
            let plain = plain(frame);
            let raw = sealed(from, &plain);
            assert!(raw[..] == bytes(&frame["raw"])[..], "{} bytes", plain.len());
            to.receive(&raw);
            drain(to, &mut got).unwrap();
            expected.extend(Some(plain).filter(|plain| !plain.is_empty()));
        }
        assert!(got == expected);
    }
}

#[test]
fn a_connection_from_established_keys_goes_on_as_after_a_handshake() {
    let vectors = secret_stream();
    let transcript = &vectors["transcripts"][0];
    for side_name in ["initiator", "responder"] {
        let side = side(&Value::from(side_name));
        let start = StreamHeader(array(&header(transcript, side)["header"]));
        let mut stream = SecureStream::from_keys(&established(transcript, side), start);
        assert_eq!(
            stream.take_outgoing(),
            bytes(&header(transcript, side)["raw"])
        );
        for frame in list(&transcript["frames"]) {
            if text(&frame["from"]) == side_name {
                assert!(sealed(&mut stream, &plain(frame))[..] == bytes(&frame["raw"])[..]);
            }
        }
        stream.receive(&bytes(&header(transcript, side.other())["raw"]));
        let told = stream.poll().unwrap();
        assert!(
            matches!(told, Some(SecureEvent::Handshaken { .. })),
            "{told:?}"
        );
        assert_eq!(stream.poll(), Ok(None));
    }
}

/// The pieces of a case of `broken` as they were sent. The reference decrypts in place and wipes
/// ephemeral keys, and what was recorded is what it left; such pieces are put back.
fn sent(transcript: &Value, case: &Value) -> Vec<Vec<u8>> {
    let entries = ["handshake", "headers", "frames"].map(|part| list(&transcript[part]).iter());
    let initiators = entries
        .into_iter()
        .flatten()
        .filter(|e| text(&e["from"]) == "initiator");
    let pieces: Vec<(Vec<u8>, Vec<u8>)> = initiators
        .enumerate()
        .map(|(i, entry)| {
            let raw = bytes(&entry["raw"]).to_vec();
            let mut left = raw.clone();
            if i == 0 {
                left[3..].fill(0);
            } else if i >= 3 {
                let end = left.len() - ROOM.after;
                left[ROOM.before..end].copy_from_slice(&plain(entry));
            }
            (raw, left)
        })
        .collect();
    let restore = |piece: Vec<u8>| {
        for end in 1..=pieces.len() {
            for part in [&pieces[end - 1..end], &pieces[..end]] {
                if part.iter().flat_map(|(_, left)| left).eq(&piece) {
                    return part.iter().flat_map(|(raw, _)| raw).copied().collect();
                }
            }
        }
        piece
    };
    list(&case["bytes"])
        .iter()
        .map(|piece| restore(bytes(piece).to_vec()))
        .collect()
}

#[test]
fn broken_input_is_refused_where_and_as_the_reference_refuses_it() {
    let vectors = secret_stream();
    let cases = list(&vectors["broken"]);
    let mut refused = 0;
    for case in cases {
        let note = text(&case["note"]);
        let transcript = &vectors["transcripts"][crate::golden::position(&case["transcript"])];
        let mut stream = end(transcript, Side::Responder);
        let mut got = Vec::new();
        let mut outcome = Ok(());
        for piece in sent(transcript, case) {
            stream.receive(&piece);
            outcome = outcome.and_then(|()| drain(&mut stream, &mut got));
        }
        let received = list(&case["received"])
            .iter()
            .map(|plain| bytes(plain).to_vec());
        let expected: Vec<_> = received.filter(|plain| !plain.is_empty()).collect();
        assert_eq!(got, expected, "{note}");

        let error = outcome.err();
        assert_eq!(
            error.is_some(),
            case["result"] == "the stream is destroyed",
            "{note}"
        );
        match (case["error"].as_str(), error) {
            (None, None) => {}
            (Some(told), Some(SecureError::Stream(error))) => {
                let same = match error {
                    SecretStreamError::WrongStream => "Invalid header received",
                    SecretStreamError::HeaderLength { .. } => "Invalid header message received",
                    SecretStreamError::TooShort { .. } => "Invalid message received",
                    _ => "pull failed",
                };
                assert_eq!(same, told, "{note}");
                assert!(
                    [Fault::Malformed, Fault::Unauthentic].contains(&error.fault()),
                    "{note}"
                );
                refused += 1;
            }
            (told, error) => panic!("{note}: {told:?}, {error:?}"),
        }
        if let Some(error) = error {
            stream.receive(&[0; 100]);
            assert_eq!(stream.poll(), Err(error), "{note}: it stays failed");
        }
    }
    assert_eq!((cases.len(), refused), (12, 9));
}

#[test]
fn frames_before_the_stream_header_are_bounded() {
    let vectors = secret_stream();
    let transcript = &vectors["transcripts"][0];
    for (len, fault) in [
        // A first message may carry a payload, which is ignored.
        (MAX_UNPROVEN_FRAME_LEN, None),
        (MAX_UNPROVEN_FRAME_LEN + 1, Some(Fault::OverLimit)),
    ] {
        let first = bytes(&transcript["handshake"][0]["raw"]);
        let mut frame = (u32::try_from(len).unwrap()).to_le_bytes()[..3].to_vec();
        frame.extend_from_slice(&first[3..]);
        frame.resize(3 + len, 0);
        let mut responder = end(transcript, Side::Responder);
        responder.receive(&frame);
        let error = responder.poll().err();
        assert_eq!(error.and_then(|error| error.fault()), fault, "{len} bytes");
        assert_eq!(responder.take_outgoing().is_empty(), fault.is_some());
    }
}

#[test]
fn the_remote_ends_after_all_that_it_sent() {
    let vectors = secret_stream();
    let transcript = &vectors["transcripts"][0];
    let (mut initiator, mut responder) = connected(transcript);
    responder.receive(&sealed(&mut initiator, b"last"));
    responder.receive_end();
    assert_eq!(
        responder.poll(),
        Ok(Some(SecureEvent::Frame(b"last"[..].into())))
    );
    assert_eq!(responder.poll(), Ok(Some(SecureEvent::Ended)));
    assert_eq!(responder.poll(), Ok(None));
    responder.receive(&sealed(&mut initiator, b"too late"));
    assert_eq!(responder.poll(), Ok(None));
}

#[test]
fn nothing_is_sealed_before_the_handshake_is_done() {
    let vectors = secret_stream();
    let mut initiator = end(&vectors["transcripts"][0], Side::Initiator);
    let mut frame = vec![0; ROOM.before];
    assert_eq!(initiator.seal(&mut frame), Err(SealError::NotReady));
    assert_eq!(frame, [0; ROOM.before]);
}

#[test]
fn a_small_order_key_is_refused_by_whoever_must_use_it() {
    let vectors = secret_stream();
    let mut responder = end(&vectors["transcripts"][0], Side::Responder);
    let mut frame = vec![32, 0, 0, 1];
    frame.resize(3 + 32, 0);
    responder.receive(&frame);
    let refused = SecureError::Handshake(HandshakeError::BadKey);
    assert_eq!(responder.poll(), Err(refused));
    assert_eq!(refused.fault(), Some(Fault::Malformed));
    assert!(responder.take_outgoing().is_empty());
}

/// Two ends after their handshake, with nothing left to tell.
fn connected(transcript: &Value) -> (SecureStream, SecureStream) {
    let mut initiator = end(transcript, Side::Initiator);
    let mut responder = end(transcript, Side::Responder);
    for _ in 0..3 {
        responder.receive(&initiator.take_outgoing());
        initiator.receive(&responder.take_outgoing());
    }
    for end in [&mut initiator, &mut responder] {
        drain(end, &mut Vec::new()).unwrap();
    }
    (initiator, responder)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn no_bytes_before_or_after_the_handshake_cause_a_panic(
        pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..6),
        side in prop_oneof![Just(Side::Initiator), Just(Side::Responder)],
        late in any::<bool>(),
    ) {
        let vectors = secret_stream();
        let transcript = &vectors["transcripts"][0];
        let mut stream = end(transcript, side);
        if late {
            let (initiator, responder) = connected(transcript);
            stream = if side == Side::Initiator { initiator } else { responder };
        }
        let mut frames = Vec::new();
        for piece in pieces {
            stream.receive(&piece);
            let _ = drain(&mut stream, &mut frames);
            let _ = stream.take_outgoing();
        }
        prop_assert!(frames.is_empty(), "nothing that nobody sealed comes out");
    }

    #[test]
    fn nothing_is_told_after_any_altered_byte(
        at in any::<prop::sample::Index>(),
        change in 1u8..,
    ) {
        let vectors = secret_stream();
        let transcript = &vectors["transcripts"][0];
        let mut bytes = opening(transcript, "initiator");
        let first = &list(&transcript["frames"])[0];
        prop_assert_eq!(text(&first["from"]), "initiator");
        bytes.extend(crate::transcripts::bytes(&first["raw"]));
        let at = at.index(bytes.len());
        bytes[at] ^= change;
        let mut responder = end(transcript, Side::Responder);
        responder.receive(&bytes);
        let mut frames = Vec::new();
        let _ = drain(&mut responder, &mut frames);
        prop_assert!(frames.is_empty());
    }
}
