//! Bytes that come over a connection: frames, handshakes, channels, messages.

use bytes::Bytes;
use hc_encoding::encode_to_vec;
use hc_merkle::PublicKey;
use hc_protocol::frame::FrameDecoder;
use hc_protocol::limits::MAX_FRAME_LEN;
use hc_protocol::link::{self, LinkOptions};
use hc_protocol::message::{Message, MessageKind};
use hc_protocol::mux::{Event, MessageType, Mux, Raw};
use hc_protocol::noise::{Handshake, KeyPair, Keys, Seed, Turn};
use hc_protocol::secret_stream::StreamHeader;
use hc_protocol::secure::{ROOM, SecureStream};
use hc_protocol::{Established, HandshakeHash, Link, Side, StreamKey, Time};

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

/// Both ends of a connection, with keys that are no secret.
fn ends() -> (Established, Established) {
    let end = |side, tx: u8, rx: u8| Established {
        side,
        tx: StreamKey::new([tx; 32]),
        rx: StreamKey::new([rx; 32]),
        hash: HandshakeHash([9; 64]),
        local: PublicKey([tx; 32]),
        remote: PublicKey([rx; 32]),
    };
    (end(Side::Initiator, 1, 2), end(Side::Responder, 2, 1))
}

/// A remote that has the keys of a connection and seals any frames: two bytes of length before each.
/// The link answers every request for a channel and echoes every message.
pub(super) fn link(bytes: &[u8]) {
    let (theirs, ours) = ends();
    let mut remote = SecureStream::from_keys(&theirs, StreamHeader([3; 24]));
    let mut link = Link::from_keys(
        &ours,
        StreamHeader([4; 24]),
        LinkOptions::default(),
        Time::ZERO,
    );
    let mut rest = bytes;
    while let Some((len, after)) = rest.split_first_chunk::<2>() {
        let (plain, after) = after.split_at(usize::from(u16::from_le_bytes(*len)).min(after.len()));
        rest = after;
        let mut frame = vec![0; ROOM.before];
        frame.extend_from_slice(plain);
        if remote.seal(&mut frame).is_err() {
            return;
        }
        link.receive(Time::ZERO, &remote.take_outgoing());
        link.receive(Time::ZERO, &frame);
        loop {
            match link.poll_event() {
                Ok(None) => break,
                Err(_) => return,
                Ok(Some(link::Event::Channel(Event::Requested { request, name }))) => {
                    if link.open(&name, &[], &Raw(b"")).is_err() {
                        link.reject(request);
                    }
                }
                Ok(Some(link::Event::Channel(Event::Message {
                    channel,
                    kind,
                    payload,
                }))) => {
                    let _ = link.send(channel, kind, &Raw(&payload));
                }
                Ok(Some(_)) => {}
            }
        }
        while link.poll_transmit(Time::ZERO).is_some() {}
    }
}

/// Any bytes to an end that waits for a handshake.
pub(super) fn stranger(bytes: &[u8]) {
    let Some((choice, bytes)) = bytes.split_first() else {
        return;
    };
    let keys = Keys {
        local: KeyPair::from_seed(&Seed::new([5; 32])),
        ephemeral: Seed::new([6; 32]),
    };
    let header = StreamHeader([7; 24]);
    let mut link = match choice % 2 {
        0 => Link::initiator(keys, header, LinkOptions::default(), Time::ZERO),
        _ => Link::responder(keys, header, LinkOptions::default(), Time::ZERO),
    };
    for piece in bytes.chunks(97) {
        link.receive(Time::ZERO, piece);
        while let Ok(Some(event)) = link.poll_event() {
            assert!(
                !matches!(event, link::Event::Channel(_)),
                "told before the handshake"
            );
        }
        while link.poll_transmit(Time::ZERO).is_some() {}
    }
}
