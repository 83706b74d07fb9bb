//! A whole connection: two links, and what a driver sees of them.

use std::time::Duration;

use bytes::Bytes;
use hc_protocol::limits::MAX_PLAIN_LEN;
use hc_protocol::link::{BATCH_TARGET, Event, Link, LinkError, LinkOptions, TRANSMIT_TARGET};
use hc_protocol::mux::{self, ChannelId, MessageType, Name, Raw};
use hc_protocol::noise::{Handshake, KeyPair, Keys, Seed};
use hc_protocol::secret_stream::StreamHeader;
use hc_protocol::secure::{ROOM, SecureStream};
use hc_protocol::{Established, Fault, HandshakeHash, Side, StreamKey, Time};
use proptest::prelude::*;

fn keys(seed: u8) -> Keys {
    Keys {
        local: KeyPair::from_seed(&Seed::new([seed; 32])),
        ephemeral: Seed::new([seed + 1; 32]),
    }
}

fn at(millis: u64) -> Time {
    Time::from_millis(millis)
}

fn links(options: LinkOptions) -> (Link, Link) {
    (
        Link::initiator(keys(10), StreamHeader([1; 24]), options, at(0)),
        Link::responder(keys(20), StreamHeader([2; 24]), options, at(0)),
    )
}

fn transmitted(link: &mut Link, now: Time) -> Vec<u8> {
    std::iter::from_fn(|| link.poll_transmit(now))
        .flatten()
        .collect()
}

fn events(link: &mut Link) -> Vec<Event> {
    std::iter::from_fn(|| link.poll_event().unwrap()).collect()
}

/// Moves bytes until there are none, and returns what both were told.
fn settle(one: &mut Link, other: &mut Link, now: Time) -> (Vec<Event>, Vec<Event>) {
    let (mut told_one, mut told_other) = (Vec::new(), Vec::new());
    loop {
        let there = transmitted(one, now);
        other.receive(now, &there);
        told_other.extend(events(other));
        let back = transmitted(other, now);
        one.receive(now, &back);
        told_one.extend(events(one));
        if there.is_empty() && back.is_empty() {
            return (told_one, told_other);
        }
    }
}

fn name() -> Name {
    Name::new("test/alpha", vec![7; 32])
}

/// Two links with one channel open on both.
fn open(options: LinkOptions) -> (Link, Link, ChannelId, ChannelId) {
    let (mut one, mut other) = links(options);
    let here = one.open(&name(), &[], &Raw(b"hello")).unwrap();
    let there = other.open(&name(), &[], &Raw(b"hi")).unwrap();
    let (told_one, told_other) = settle(&mut one, &mut other, at(0));
    let opened = |channel, handshake: &'static [u8]| {
        Event::Channel(mux::Event::Opened {
            channel,
            handshake: Bytes::from_static(handshake),
        })
    };
    assert_eq!(told_one[1..], [opened(here, b"hi")]);
    assert_eq!(told_other[1..], [opened(there, b"hello")]);
    (one, other, here, there)
}

fn messages(told: &[Event]) -> Vec<(u64, &[u8])> {
    told.iter()
        .map(|event| match event {
            Event::Channel(mux::Event::Message { kind, payload, .. }) => (kind.0, &payload[..]),
            other => panic!("{other:?}"),
        })
        .collect()
}

/// How many frames these bytes are.
fn frames(mut bytes: &[u8]) -> usize {
    let mut count = 0;
    while let [a, b, c, rest @ ..] = bytes {
        bytes = &rest[usize::from(*a) | usize::from(*b) << 8 | usize::from(*c) << 16..];
        count += 1;
    }
    count
}

#[test]
fn both_ends_learn_who_the_other_is() {
    let (mut one, mut other) = links(LinkOptions::default());
    assert_eq!(
        (one.remote(), one.side(), one.handshake_hash()),
        (None, None, None)
    );
    let (told_one, told_other) = settle(&mut one, &mut other, at(0));
    let hash = one.handshake_hash().unwrap();
    let shaken = |seed| Event::Handshaken {
        remote: keys(seed).local.public_key(),
        hash,
    };
    assert_eq!(told_one, [shaken(20)]);
    assert_eq!(told_other, [shaken(10)]);
    assert_eq!(
        (one.side(), other.side()),
        (Some(Side::Initiator), Some(Side::Responder))
    );
    assert_eq!(other.handshake_hash(), Some(hash));
}

#[test]
fn a_known_responder_answers_in_one_round_trip() {
    let responder = keys(20).local.public_key();
    let options = LinkOptions::default();
    let initiator = Handshake::ik_initiator(keys(10), responder, b"prologue");
    let mut one = Link::with_handshake(initiator, StreamHeader([1; 24]), options, at(0));
    let handshake = Handshake::ik_responder(keys(20), b"prologue");
    let mut other = Link::with_handshake(handshake, StreamHeader([2; 24]), options, at(0));
    other.receive(at(0), &transmitted(&mut one, at(0)));
    one.receive(at(0), &transmitted(&mut other, at(0)));
    assert_eq!(one.remote(), Some(responder));
    assert_eq!(other.remote(), Some(keys(10).local.public_key()));
}

#[test]
fn links_from_established_keys_need_no_handshake() {
    let end = |side, tx, rx| Established {
        side,
        tx: StreamKey::new([tx; 32]),
        rx: StreamKey::new([rx; 32]),
        hash: HandshakeHash([3; 64]),
        local: keys(10).local.public_key(),
        remote: keys(20).local.public_key(),
    };
    let options = LinkOptions::default();
    let link = |end: &Established| Link::from_keys(end, StreamHeader([5; 24]), options, at(0));
    let mut one = link(&end(Side::Initiator, 1, 2));
    let mut other = link(&end(Side::Responder, 2, 1));
    let (told_one, told_other) = settle(&mut one, &mut other, at(0));
    assert_eq!(told_one, told_other);
    assert!(matches!(told_one[..], [Event::Handshaken { .. }]));

    let mut wrong = link(&end(Side::Responder, 2, 9));
    let mut one = link(&end(Side::Initiator, 1, 2));
    let channel = one.open(&name(), &[], &Raw(b"")).unwrap();
    one.send(channel, MessageType(0), &Raw(b"to another key"))
        .unwrap();
    wrong.receive(at(0), &transmitted(&mut one, at(0)));
    assert!(wrong.poll_event().unwrap().is_some(), "handshaken");
    let error = wrong.poll_event().unwrap_err();
    assert_eq!(error.fault(), Some(Fault::Unauthentic));
}

#[test]
fn messages_arrive_in_order_and_many_fit_one_write() {
    let (mut one, mut other, here, _) = open(LinkOptions::default());
    for i in 0..10u8 {
        one.send(here, MessageType(i.into()), &Raw(&[i; 20]))
            .unwrap();
    }
    assert!(one.pending() > 200);
    let bytes = one.poll_transmit(at(0)).unwrap();
    assert_eq!(frames(&bytes), 10);
    assert_eq!((one.poll_transmit(at(0)), one.pending()), (None, 0));
    other.receive(at(0), &bytes);
    let told = events(&mut other);
    let expected: Vec<_> = (0..10u8).map(|i| (i.into(), vec![i; 20])).collect();
    assert_eq!(
        messages(&told),
        expected
            .iter()
            .map(|(k, m)| (*k, &m[..]))
            .collect::<Vec<_>>()
    );
}

#[test]
fn corked_messages_share_a_frame() {
    let (mut one, mut other, here, _) = open(LinkOptions::default());
    one.cork();
    one.cork();
    for i in 0..10u8 {
        one.send(here, MessageType(i.into()), &Raw(&[i; 20]))
            .unwrap();
    }
    one.uncork();
    assert_eq!(one.poll_transmit(at(0)), None, "still corked once");
    one.uncork();
    let bytes = one.poll_transmit(at(0)).unwrap();
    assert_eq!(frames(&bytes), 1);
    other.receive(at(0), &bytes);
    assert_eq!(events(&mut other).len(), 10);
}

#[test]
fn a_corked_link_does_not_gather_without_end() {
    let (mut one, mut other, here, _) = open(LinkOptions::default());
    one.cork();
    for _ in 0..8 {
        one.send(here, MessageType(0), &Raw(&vec![1; BATCH_TARGET / 2]))
            .unwrap();
    }
    let bytes = transmitted(&mut one, at(0));
    assert_eq!(frames(&bytes), 4);
    one.uncork();
    assert_eq!(one.poll_transmit(at(0)), None);
    other.receive(at(0), &bytes);
    assert_eq!(events(&mut other).len(), 8);
}

#[test]
fn one_write_is_bounded_and_large_frames_go_alone() {
    let (mut one, mut other, here, _) = open(LinkOptions::default());
    let sizes = [100_000, 10, 10, 50_000, 30_000, 300_000, 1];
    for size in sizes {
        one.send(here, MessageType(0), &Raw(&vec![3; size]))
            .unwrap();
    }
    let mut writes = Vec::new();
    while let Some(bytes) = one.poll_transmit(at(0)) {
        other.receive(at(0), &bytes);
        writes.push(bytes.len());
    }
    assert!(writes.len() < sizes.len());
    assert!(
        writes.iter().all(|len| *len < TRANSMIT_TARGET + 300_100),
        "{writes:?}"
    );
    let got: Vec<_> = messages(&events(&mut other))
        .iter()
        .map(|(_, m)| m.len())
        .collect();
    assert_eq!(got, sizes);
}

#[test]
fn the_longest_message_passes_and_a_longer_one_is_not_sent() {
    let (mut one, mut other, here, _) = open(LinkOptions::default());
    let longest = mux::limits::MAX_MESSAGE - 1;
    assert!(longest < MAX_PLAIN_LEN);
    one.send(here, MessageType(0), &Raw(&vec![1; longest]))
        .unwrap();
    let longer = one.send(here, MessageType(0), &Raw(&vec![1; longest + 1]));
    assert_eq!(longer, Err(mux::SendError::TooLong { len: longest + 2 }));
    let (_, told) = settle(&mut one, &mut other, at(0));
    assert_eq!(messages(&told)[0].1.len(), longest);
}

#[test]
fn a_silent_link_says_that_it_is_alive() {
    let (mut one, mut other, here, _) = open(LinkOptions::default());
    assert_eq!(one.poll_timeout(), Some(at(5000)));
    one.handle_timeout(at(4999));
    assert_eq!(one.poll_transmit(at(4999)), None);
    one.handle_timeout(at(5000));
    let bytes = one.poll_transmit(at(5000)).unwrap();
    assert_eq!(bytes.len(), 3 + 17, "an empty frame");
    other.receive(at(5000), &bytes);
    assert_eq!(events(&mut other), [], "which is not told");
    assert_eq!(one.poll_timeout(), Some(at(10_000)));

    one.send(here, MessageType(0), &Raw(b"x")).unwrap();
    assert_eq!(frames(&one.poll_transmit(at(7000)).unwrap()), 1);
    assert_eq!(
        one.poll_timeout(),
        Some(at(12_000)),
        "what is sent says so too"
    );
    one.send(here, MessageType(0), &Raw(b"x")).unwrap();
    one.handle_timeout(at(12_000));
    assert_eq!(
        frames(&transmitted(&mut one, at(12_000))),
        1,
        "no empty frame beside others"
    );
}

#[test]
fn a_link_without_keep_alive_has_nothing_to_wait_for() {
    let options = LinkOptions {
        keep_alive: None,
        idle_timeout: None,
    };
    let (one, ..) = open(options);
    assert_eq!(one.poll_timeout(), None);
    let (before, _) = links(LinkOptions::default());
    assert_eq!(before.poll_timeout(), None, "no keys to keep it alive with");
}

#[test]
fn a_link_that_hears_nothing_fails_if_asked_to() {
    let idle_timeout = Some(Duration::from_secs(20));
    let (mut one, mut other, ..) = open(LinkOptions {
        keep_alive: None,
        idle_timeout,
    });
    assert_eq!(one.poll_timeout(), Some(at(20_000)));
    one.handle_timeout(at(19_999));
    one.receive(at(19_999), &transmitted(&mut other, at(19_999)));
    assert_eq!(events(&mut one), []);
    one.handle_timeout(at(39_999));
    assert_eq!(one.poll_event(), Err(LinkError::IdleTimeout));
    assert_eq!(LinkError::IdleTimeout.fault(), None);
    assert_eq!(
        (one.poll_timeout(), one.poll_transmit(at(40_000))),
        (None, None)
    );
}

#[test]
fn channels_are_asked_for_answered_rejected_and_closed() {
    let (mut one, mut other) = links(LinkOptions::default());
    let wanted = one.open(&name(), &[], &Raw(b"hello")).unwrap();
    let unwanted = one
        .open(&Name::new("other", vec![]), &[], &Raw(b""))
        .unwrap();
    one.send(wanted, MessageType(4), &Raw(b"early")).unwrap();
    let (_, told) = settle(&mut one, &mut other, at(0));
    let requests: Vec<_> = told[1..]
        .iter()
        .map(|event| match event {
            Event::Channel(mux::Event::Requested { request, name }) => (*request, name.clone()),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(requests[0].1, name());
    let answered = other.open(&requests[0].1, &[], &Raw(b"hi")).unwrap();
    other.reject(requests[1].0);
    let told = events(&mut other);
    assert!(
        matches!(told[0], Event::Channel(mux::Event::Opened { channel, .. }) if channel == answered)
    );
    assert_eq!(
        messages(&told[1..]),
        [(4, &b"early"[..])],
        "held until it was answered"
    );

    let (_, told) = settle(&mut other, &mut one, at(0));
    let closed = |channel, reason| Event::Channel(mux::Event::Closed { channel, reason });
    assert!(told.contains(&closed(unwanted, mux::Closed::Rejected)));
    assert!(one.close(wanted));
    let (_, told) = settle(&mut one, &mut other, at(0));
    assert_eq!(told, [closed(answered, mux::Closed::ByRemote)]);
    assert_eq!(
        one.mux().channels().count() + other.mux().channels().count(),
        0
    );
}

#[test]
fn the_end_is_told_last() {
    let (mut one, mut other, here, _) = open(LinkOptions::default());
    one.send(here, MessageType(0), &Raw(b"last")).unwrap();
    other.receive(at(0), &transmitted(&mut one, at(0)));
    other.receive_end();
    let told = events(&mut other);
    assert_eq!(messages(&told[..1]), [(0, &b"last"[..])]);
    assert_eq!(told[1..], [Event::Ended]);
}

#[test]
fn a_link_whose_requests_are_not_answered_reads_no_further() {
    let (mut one, mut other) = links(LinkOptions::default());
    let channel = one.open(&name(), &[], &Raw(b"")).unwrap();
    for _ in 0..8 {
        one.send(channel, MessageType(0), &Raw(&[0; 10_000]))
            .unwrap();
    }
    let (_, told) = settle(&mut one, &mut other, at(0));
    assert!(other.is_paused());
    let Event::Channel(mux::Event::Requested { name, .. }) = &told[1] else {
        panic!("{told:?}")
    };
    other.open(name, &[], &Raw(b"")).unwrap();
    assert_eq!(events(&mut other).len(), 1 + 8);
    assert!(!other.is_paused());
}

/// A peer that has keys but keeps no rules.
fn hostile(side: Side) -> (SecureStream, Link) {
    let (_, victims_keys) = (keys(10), keys(20));
    let mut stream = SecureStream::xx(side, keys(10), StreamHeader([1; 24]));
    let options = LinkOptions::default();
    let header = StreamHeader([2; 24]);
    let mut link = match side {
        Side::Initiator => Link::responder(victims_keys, header, options, at(0)),
        Side::Responder => Link::initiator(victims_keys, header, options, at(0)),
    };
    for _ in 0..3 {
        link.receive(at(0), &stream.take_outgoing());
        stream.receive(&transmitted(&mut link, at(0)));
    }
    while link.poll_event().unwrap().is_some() {}
    (stream, link)
}

#[test]
fn frames_that_break_the_rules_of_channels_fail_the_link() {
    for (plain, fault) in [
        (&[0xfd, 1][..], Fault::Malformed),
        (&[0, 1, 9, 1, b'x', 0], Fault::Malformed),
        (&[0, 0, 0, 2, 0], Fault::Malformed),
    ] {
        let (mut stream, mut link) = hostile(Side::Initiator);
        let mut frame = vec![0; ROOM.before];
        frame.extend_from_slice(plain);
        stream.seal(&mut frame).unwrap();
        link.receive(at(0), &frame);
        let error = link.poll_event().unwrap_err();
        assert_eq!(error.fault(), Some(fault), "{plain:?}");
        assert_eq!(link.poll_event(), Err(error), "it stays failed");
        assert_eq!(link.poll_transmit(at(0)), None);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_bytes_cause_a_panic(
        pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..120), 0..8),
        initiator in any::<bool>(),
    ) {
        let (one, other) = links(LinkOptions::default());
        let mut link = if initiator { one } else { other };
        for piece in pieces {
            link.receive(at(0), &piece);
            while let Ok(Some(_)) = link.poll_event() {}
            let _ = transmitted(&mut link, at(0));
        }
    }

    #[test]
    fn no_frame_of_a_peer_with_keys_causes_a_panic(
        plains in prop::collection::vec(prop_oneof![
            prop::collection::vec(any::<u8>(), 0..60),
            prop::collection::vec(0u8..4, 0..12),
        ], 0..12),
        initiator in any::<bool>(),
    ) {
        let side = if initiator { Side::Initiator } else { Side::Responder };
        let (mut stream, mut link) = hostile(side);
        link.open(&name(), &[], &Raw(b"")).unwrap();
        for plain in plains {
            let mut frame = vec![0; ROOM.before];
            frame.extend(plain);
            stream.seal(&mut frame).unwrap();
            link.receive(at(0), &frame);
            while let Ok(Some(_)) = link.poll_event() {}
            let _ = transmitted(&mut link, at(0));
        }
    }
}
