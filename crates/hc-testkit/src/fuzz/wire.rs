//! Bytes that come over a connection: frames, handshakes, channels, messages.

use bytes::Bytes;
use hc_encoding::encode_to_vec;
use hc_protocol::Side;
use hc_protocol::frame::FrameDecoder;
use hc_protocol::limits::MAX_FRAME_LEN;
use hc_protocol::message::{Message, MessageKind};
use hc_protocol::mux::{Event, MessageType, Mux, Raw};
use hc_protocol::noise::{Handshake, KeyPair, Keys, Seed, Turn};

/// Frames cut at any place are the same frames.
pub(super) fn frames(bytes: &[u8]) {
    let Some((cut, bytes)) = bytes.split_first() else {
        return;
    };
    let take = |pieces: &mut dyn Iterator<Item = &[u8]>| {
        let mut decoder = FrameDecoder::new();
        let mut found = Vec::new();
        for piece in pieces {
            decoder.receive(piece);
            while let Ok(Some(frame)) = decoder.next_frame(MAX_FRAME_LEN) {
                found.push(frame);
            }
        }
        found
    };
    let size = usize::from(*cut).max(1);
    assert_eq!(
        take(&mut bytes.chunks(size)),
        take(&mut std::iter::once(bytes))
    );
}

/// Either side of either pattern, given what somebody else wrote, two bytes of length before each.
pub(super) fn handshake(bytes: &[u8]) {
    let Some((choice, mut rest)) = bytes.split_first() else {
        return;
    };
    let keys = Keys {
        local: KeyPair::from_seed(&Seed::new([1; 32])),
        ephemeral: Seed::new([2; 32]),
    };
    let mut handshake = match choice % 3 {
        0 => Handshake::xx(Side::Initiator, keys, b""),
        1 => Handshake::xx(Side::Responder, keys, b""),
        _ => Handshake::ik_responder(keys, b""),
    };
    let mut out = Vec::new();
    loop {
        let step = match handshake.turn() {
            Turn::Done => break,
            Turn::Write => handshake.write(b"", &mut out),
            Turn::Read => {
                let Some((len, after)) = rest.split_first_chunk::<2>() else {
                    return;
                };
                let len = usize::from(u16::from_le_bytes(*len)).min(after.len());
                let (message, after) = after.split_at(len);
                rest = after;
                handshake.read(message).map(drop)
            }
        };
        if step.is_err() {
            return;
        }
    }
    let _ = handshake.finish();
}

/// A message of any kind: what decodes encodes to something that decodes to the same.
pub(super) fn message(bytes: &[u8]) {
    let Some((kind, payload)) = bytes.split_first() else {
        return;
    };
    let Some(kind) = MessageKind::from_type(MessageType(u64::from(*kind))) else {
        return;
    };
    let payload = Bytes::copy_from_slice(payload);
    let Ok(message) = Message::decode(kind, &payload) else {
        return;
    };
    let again = Bytes::from(encode_to_vec(&message));
    assert_eq!(Message::decode(kind, &again), Ok(message));
}

/// Frames for a mux that opens every other channel it is asked for and echoes every message.
pub(super) fn mux(bytes: &[u8]) {
    let mut mux = Mux::default();
    let mut decoder = FrameDecoder::new();
    decoder.receive(bytes);
    let mut turn = false;
    while let Ok(Some(frame)) = decoder.next_frame(MAX_FRAME_LEN) {
        mux.handle(frame.freeze());
        loop {
            match mux.poll() {
                Ok(None) => break,
                Err(_) => return,
                Ok(Some(Event::Requested { request, name })) => {
                    turn = !turn;
                    if !turn || mux.open(&name, &[], &Raw(b"")).is_err() {
                        mux.reject(request);
                    }
                }
                Ok(Some(Event::Message {
                    channel,
                    kind,
                    payload,
                })) => {
                    let _ = mux.send(channel, kind, &Raw(&payload));
                }
                Ok(Some(_)) => {}
            }
        }
        while mux.poll_frame().is_some() {}
    }
}
