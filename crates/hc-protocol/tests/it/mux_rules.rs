//! How channels are opened, matched, closed and gathered, beyond what the vectors show.

use bytes::Bytes;
use hc_protocol::mux::limits::MAX_BATCH;
use hc_protocol::mux::{
    ChannelId, Closed, Event, MessageType, Mux, Name, Raw, RemoteOpen, Room, SendError,
};

fn name(protocol: &str) -> Name {
    Name::new(protocol, Bytes::new())
}

fn open(mux: &mut Mux, protocol: &str) -> ChannelId {
    mux.open(&name(protocol), &[], &Raw(&[])).unwrap()
}

fn send(mux: &mut Mux, channel: ChannelId, byte: u8) {
    mux.send(channel, MessageType(0), &Raw(&[byte])).unwrap();
}

/// Carries all that has been written from one side to the other, and returns what it is told.
fn carry(from: &mut Mux, to: &mut Mux) -> Vec<Event> {
    let mut told = Vec::new();
    while let Some(frame) = from.poll_frame() {
        to.handle(frame.into());
        told.extend(std::iter::from_fn(|| to.poll().unwrap()));
    }
    told
}

fn request(told: &[Event]) -> RemoteOpen {
    match told {
        [Event::Requested { request, .. }] => *request,
        other => panic!("{other:?}"),
    }
}

fn opened(channel: ChannelId) -> Event {
    Event::Opened {
        channel,
        handshake: Bytes::new(),
    }
}

fn message(channel: ChannelId, byte: u8) -> Event {
    let payload = Bytes::copy_from_slice(&[byte]);
    Event::Message {
        channel,
        kind: MessageType(0),
        payload,
    }
}

fn closed(channel: ChannelId, reason: Closed) -> Event {
    Event::Closed { channel, reason }
}

/// Two sides with one channel open between them.
fn pair() -> (Mux, ChannelId, Mux, ChannelId) {
    let (mut a, mut b) = (Mux::default(), Mux::default());
    let (ours, theirs) = (open(&mut a, "p"), open(&mut b, "p"));
    assert_eq!(carry(&mut a, &mut b), [opened(theirs)]);
    assert_eq!(carry(&mut b, &mut a), [opened(ours)]);
    (a, ours, b, theirs)
}

#[test]
fn a_channel_opened_late_gets_what_was_sent_meanwhile() {
    let (mut a, ours, mut b, theirs) = pair();
    let late = open(&mut a, "late");
    send(&mut a, late, 1);
    send(&mut a, ours, 2);
    send(&mut a, late, 3);
    let told = carry(&mut a, &mut b);
    assert!(matches!(&told[0], Event::Requested { name: asked, .. } if *asked == name("late")));
    assert_eq!(told[1..], [message(theirs, 2)]);

    let answer = open(&mut b, "late");
    send(&mut a, late, 4);
    let mut told: Vec<Event> = std::iter::from_fn(|| b.poll().unwrap()).collect();
    told.extend(carry(&mut a, &mut b));
    let expected = [
        opened(answer),
        message(answer, 1),
        message(answer, 3),
        message(answer, 4),
    ];
    assert_eq!(told, expected);
    assert_eq!(carry(&mut b, &mut a), [opened(late)]);
}

#[test]
fn the_remote_may_use_an_alias() {
    let (mut a, mut b) = (Mux::default(), Mux::default());
    let ours = a.open(&name("new"), &["old"], &Raw(&[])).unwrap();
    assert!(a.is_open(&name("new")) && a.is_open(&name("old")));
    open(&mut b, "old");
    assert_eq!(carry(&mut b, &mut a), [opened(ours)]);
    assert_eq!(a.name(ours), Some(&name("new")));
}

#[test]
fn a_request_under_an_alias_is_answered_by_the_name() {
    let (mut a, mut b) = (Mux::default(), Mux::default());
    open(&mut b, "old");
    request(&carry(&mut b, &mut a));
    let ours = a.open(&name("new"), &["other", "old"], &Raw(&[])).unwrap();
    assert_eq!(a.poll(), Ok(Some(opened(ours))));
    assert!(a.close(ours));
    assert!(!a.is_open(&name("old")), "the alias goes with the channel");
}

#[test]
fn ids_tell_channels_of_one_protocol_apart() {
    let (mut a, mut b) = (Mux::default(), Mux::default());
    let with = |id: &'static [u8]| Name::new("p", Bytes::from_static(id));
    let one = a.open(&with(b"1"), &[], &Raw(&[])).unwrap();
    let two = a.open(&with(b"2"), &[], &Raw(&[])).unwrap();
    b.open(&with(b"2"), &[], &Raw(b"second")).unwrap();
    b.open(&with(b"1"), &[], &Raw(b"first")).unwrap();
    let handshake = |channel, bytes: &'static [u8]| Event::Opened {
        channel,
        handshake: Bytes::from_static(bytes),
    };
    assert_eq!(
        carry(&mut b, &mut a),
        [handshake(two, b"second"), handshake(one, b"first")]
    );
}

#[test]
fn nothing_is_told_after_closing() {
    let (mut a, ours, mut b, theirs) = pair();
    send(&mut b, theirs, 1);
    assert!(a.close(ours));
    assert!(!a.close(ours), "once");
    assert_eq!(carry(&mut b, &mut a), []);
    assert_eq!(
        a.send(ours, MessageType(0), &Raw(&[])),
        Err(SendError::Closed)
    );
}

#[test]
fn closing_inside_a_batch_drops_the_rest_of_it() {
    let (mut a, ours, mut b, theirs) = pair();
    b.cork();
    send(&mut b, theirs, 1);
    send(&mut b, theirs, 2);
    b.uncork();
    a.handle(b.poll_frame().unwrap().into());
    assert_eq!(a.poll(), Ok(Some(message(ours, 1))));
    assert!(!a.is_drained());
    assert!(a.close(ours));
    assert_eq!(a.poll(), Ok(None));
    assert!(a.is_drained());
}

#[test]
fn closing_before_the_held_messages_are_told_drops_them() {
    let (mut a, mut b) = (Mux::default(), Mux::default());
    let theirs = open(&mut b, "p");
    send(&mut b, theirs, 1);
    request(&carry(&mut b, &mut a));
    let ours = open(&mut a, "p");
    assert!(a.close(ours));
    assert_eq!(a.poll(), Ok(None));
    assert_eq!(
        carry(&mut a, &mut b),
        [opened(theirs), closed(theirs, Closed::ByRemote)]
    );
}

#[test]
fn a_number_is_kept_until_the_remote_has_answered() {
    let (mut a, mut b) = (Mux::default(), Mux::default());
    let first = open(&mut a, "p");
    assert!(a.close(first));
    let second = open(&mut a, "q");
    assert_ne!(first, second);
    let frames: Vec<Vec<u8>> = std::iter::from_fn(|| a.poll_frame()).collect();
    assert_eq!(
        hex::encode(&frames[2]),
        "000102017100",
        "number 2 while 1 waits"
    );

    // The answer to the first comes too late; then its number is free.
    open(&mut b, "p");
    assert_eq!(carry(&mut b, &mut a), []);
    open(&mut a, "r");
    assert_eq!(hex::encode(a.poll_frame().unwrap()), "000101017200");
}

#[test]
fn a_request_that_is_withdrawn_is_answered_so_that_its_number_is_free() {
    let (mut a, mut b) = (Mux::default(), Mux::default());
    let theirs = open(&mut b, "p");
    send(&mut b, theirs, 1);
    let told = carry(&mut b, &mut a);
    assert!(b.close(theirs));
    assert_eq!(carry(&mut b, &mut a), []);
    let rejected = a.poll_frame().unwrap();
    assert_eq!(hex::encode(&rejected), "000201");
    a.reject(request(&told[..1]));
    assert_eq!(a.poll_frame(), None, "it is no longer waiting");
    b.handle(rejected.into());
    assert_eq!(b.poll(), Ok(None), "it was closed there");

    // Opening now is a new request, and not an answer to the old one.
    open(&mut a, "p");
    assert_eq!(a.poll(), Ok(None));
    request(&carry(&mut a, &mut b));
}

#[test]
fn rejecting_what_was_answered_does_nothing() {
    let (mut a, mut b) = (Mux::default(), Mux::default());
    open(&mut b, "p");
    let request = request(&carry(&mut b, &mut a));
    let ours = open(&mut a, "p");
    a.reject(request);
    assert_eq!(a.poll(), Ok(Some(opened(ours))));
    assert_eq!(carry(&mut a, &mut b).len(), 1);
    assert!(a.is_open(&name("p")) && b.is_open(&name("p")));
}

#[test]
fn rejected_channels_are_closed() {
    let (mut a, mut b) = (Mux::default(), Mux::default());
    let theirs = open(&mut b, "p");
    let request = request(&carry(&mut b, &mut a));
    a.reject(request);
    assert_eq!(carry(&mut a, &mut b), [closed(theirs, Closed::Rejected)]);
    assert!(!b.is_open(&name("p")));
    assert_eq!(b.channels().count(), 0);
}

#[test]
fn corks_nest() {
    let (mut a, ours, mut b, theirs) = pair();
    a.cork();
    send(&mut a, ours, 1);
    a.cork();
    send(&mut a, ours, 2);
    a.uncork();
    assert_eq!(a.poll_frame(), None);
    assert!(a.queued() > 0);
    a.uncork();
    a.uncork();
    assert_eq!(
        carry(&mut a, &mut b),
        [message(theirs, 1), message(theirs, 2)]
    );
    assert_eq!(a.queued(), 0);
    send(&mut a, ours, 3);
    assert_eq!(
        hex::encode(a.poll_frame().unwrap()),
        "010003",
        "one uncork too many is none"
    );
}

#[test]
fn a_batch_that_is_full_is_sent() {
    let (mut a, ours, mut b, theirs) = pair();
    let large = vec![7; MAX_BATCH];
    a.cork();
    send(&mut a, ours, 1);
    a.send(ours, MessageType(1), &Raw(&large)).unwrap();
    assert_eq!(a.poll_frame(), None, "what makes it full is still in it");
    send(&mut a, ours, 2);
    let full = a.poll_frame().unwrap();
    assert!(full.len() > MAX_BATCH);
    a.uncork();
    b.handle(full.into());
    let told: Vec<Event> = std::iter::from_fn(|| b.poll().unwrap()).collect();
    assert_eq!(told[0], message(theirs, 1));
    assert!(matches!(&told[1], Event::Message { payload, .. } if *payload == large));
    assert_eq!(carry(&mut a, &mut b), [message(theirs, 2)]);
}

#[test]
fn frames_leave_room_around_them() {
    let mut mux = Mux::new(Room {
        before: 4,
        after: 16,
    });
    let channel = open(&mut mux, "p");
    mux.cork();
    send(&mut mux, channel, 5);
    mux.uncork();
    for expected in ["00000000000101017000", "00000000000001020005"] {
        let frame = mux.poll_frame().unwrap();
        assert_eq!(hex::encode(&frame), expected);
        assert!(frame.capacity() >= frame.len() + 16);
    }
}

#[test]
fn payloads_share_the_memory_of_the_frame() {
    let (mut a, ours, mut b, _) = pair();
    a.cork();
    send(&mut a, ours, 1);
    send(&mut a, ours, 2);
    a.uncork();
    let frame = Bytes::from(a.poll_frame().unwrap());
    b.handle(frame.clone());
    for _ in 0..2 {
        let Ok(Some(Event::Message { payload, .. })) = b.poll() else {
            panic!("a message")
        };
        assert!(frame.as_ptr_range().contains(&payload.as_ptr()));
    }
}
