//! Every bound of a mux, at the bound and one past it.

use bytes::Bytes;
use hc_encoding::Writer;
use hc_protocol::Fault;
use hc_protocol::mux::limits::{
    HELD_OVERHEAD, MAX_BATCH_DEPTH, MAX_BUFFERED, MAX_CHANNELS, MAX_FRAME, MAX_HANDSHAKE_LEN,
    MAX_HELD, MAX_ID_LEN, MAX_MESSAGE, MAX_PENDING_OPENS, MAX_PROTOCOL_LEN,
};
use hc_protocol::mux::{
    ChannelId, Event, MessageType, Mux, MuxError, Name, OpenError, Raw, SendError,
};

/// The frame that opens a channel.
fn open_frame(number: u64, protocol: &[u8], id: &[u8], handshake: &[u8]) -> Bytes {
    let mut frame = vec![0; 32 + protocol.len() + id.len() + handshake.len()];
    let mut writer = Writer::new(&mut frame);
    writer.raw(&[0, 1]);
    writer.uint(number);
    writer.buffer(protocol);
    writer.buffer(id);
    writer.raw(handshake);
    let len = writer.position();
    frame.truncate(len);
    frame.into()
}

/// What a mux that has seen nothing else says to this frame.
fn answer(frame: Bytes) -> Result<Option<Event>, MuxError> {
    let mut mux = Mux::default();
    mux.handle(frame);
    mux.poll()
}

fn opened() -> (Mux, ChannelId) {
    let mut mux = Mux::default();
    let channel = mux
        .open(&Name::new("p", Bytes::new()), &[], &Raw(&[]))
        .unwrap();
    mux.poll_frame().unwrap();
    (mux, channel)
}

#[test]
fn frames() {
    assert_eq!(answer(vec![9; MAX_FRAME].into()), Ok(None));
    let error = MuxError::FrameTooLong { len: MAX_FRAME + 1 };
    assert_eq!(answer(vec![9; MAX_FRAME + 1].into()), Err(error));
    assert_eq!(error.fault(), Fault::OverLimit);
}

#[test]
fn messages() {
    for corked in [false, true] {
        let (mut mux, channel) = opened();
        if corked {
            mux.cork();
        }
        let bytes = vec![1; MAX_MESSAGE];
        let full = mux.send(channel, MessageType(0), &Raw(&bytes[1..]));
        assert_eq!(full, Ok(()));
        let over = mux.send(channel, MessageType(0), &Raw(&bytes));
        assert_eq!(
            over,
            Err(SendError::TooLong {
                len: MAX_MESSAGE + 1
            })
        );
        mux.uncork();
        assert!(mux.poll_frame().unwrap().len() <= MAX_FRAME);
        assert_eq!(mux.poll_frame(), None);
    }
}

#[test]
fn a_batch_never_grows_over_a_frame() {
    let (mut mux, channel) = opened();
    mux.cork();
    for _ in 0..2 {
        mux.send(channel, MessageType(0), &Raw(&[1; 64])).unwrap();
        mux.send(channel, MessageType(0), &Raw(&vec![1; MAX_MESSAGE - 1]))
            .unwrap();
    }
    mux.uncork();
    let frames: Vec<Vec<u8>> = std::iter::from_fn(|| mux.poll_frame()).collect();
    assert_eq!(frames.len(), 4);
    assert!(frames.iter().all(|frame| frame.len() <= MAX_FRAME));
}

#[test]
fn nested_batches() {
    let nested = |depth: usize| {
        let mut frame = vec![1, 2, 0, 7]; // one message of channel 1
        for _ in 1..depth {
            let item = [&[0], &frame[..]].concat();
            frame = [&[0, u8::try_from(item.len()).unwrap()], &item[..]].concat();
        }
        Bytes::from([&[0, 0], &frame[..]].concat())
    };
    for depth in 1..=MAX_BATCH_DEPTH {
        let (mut mux, channel) = opened();
        mux.handle(open_frame(1, b"p", b"", b""));
        mux.handle(nested(depth));
        assert!(matches!(mux.poll(), Ok(Some(Event::Opened { .. }))));
        let Ok(Some(Event::Message {
            channel: of,
            payload,
            ..
        })) = mux.poll()
        else {
            panic!("depth {depth}");
        };
        assert_eq!((of, payload.as_ref()), (channel, &[7][..]));
    }
    assert_eq!(
        answer(nested(MAX_BATCH_DEPTH + 1)),
        Err(MuxError::BatchTooDeep)
    );
}

#[test]
fn names_and_handshakes_of_the_remote() {
    let long = [b'n'; 5000];
    let open = |protocol: usize, id: usize, handshake: usize| {
        answer(open_frame(
            1,
            &long[..protocol],
            &long[..id],
            &long[..handshake],
        ))
    };
    let full = open(MAX_PROTOCOL_LEN, MAX_ID_LEN, MAX_HANDSHAKE_LEN);
    assert!(matches!(full, Ok(Some(Event::Requested { .. }))));
    let too_long = |protocol, id| Err(MuxError::NameTooLong { protocol, id });
    assert_eq!(
        open(MAX_PROTOCOL_LEN + 1, 0, 0),
        too_long(MAX_PROTOCOL_LEN + 1, 0)
    );
    assert_eq!(open(1, MAX_ID_LEN + 1, 0), too_long(1, MAX_ID_LEN + 1));
    let error = MuxError::HandshakeTooLong {
        len: MAX_HANDSHAKE_LEN + 1,
    };
    assert_eq!(open(1, 0, MAX_HANDSHAKE_LEN + 1), Err(error));
}

#[test]
fn names_and_handshakes_of_ours() {
    let open = |protocol: usize, id: usize, handshake: usize| {
        let name = Name::new("n".repeat(protocol), vec![1; id]);
        Mux::default()
            .open(&name, &[], &Raw(&vec![1; handshake]))
            .err()
    };
    assert_eq!(open(MAX_PROTOCOL_LEN, MAX_ID_LEN, MAX_HANDSHAKE_LEN), None);
    assert_eq!(open(MAX_PROTOCOL_LEN + 1, 0, 0), Some(OpenError::TooLong));
    assert_eq!(open(1, MAX_ID_LEN + 1, 0), Some(OpenError::TooLong));
    assert_eq!(open(1, 0, MAX_HANDSHAKE_LEN + 1), Some(OpenError::TooLong));
}

#[test]
fn channels_of_ours() {
    let mut mux = Mux::default();
    let name = Name::new("p", Bytes::new());
    for _ in 0..MAX_CHANNELS {
        mux.open_another(&name, &[], &Raw(&[])).unwrap();
    }
    assert_eq!(
        mux.open_another(&name, &[], &Raw(&[])),
        Err(OpenError::TooManyChannels)
    );
}

#[test]
fn channels_of_the_remote() {
    let mut mux = Mux::default();
    for number in 1..=MAX_CHANNELS as u64 {
        mux.handle(open_frame(number, b"p", b"", b""));
        let Ok(Some(Event::Requested { request, .. })) = mux.poll() else {
            panic!("channel {number}");
        };
        mux.reject(request);
        mux.poll_frame().unwrap();
    }
    mux.handle(open_frame(MAX_CHANNELS as u64 + 1, b"p", b"", b""));
    assert_eq!(mux.poll(), Err(MuxError::TooManyChannels));
}

#[test]
fn requests_that_wait() {
    let mut mux = Mux::default();
    for number in 1..=MAX_PENDING_OPENS as u64 {
        mux.handle(open_frame(number, b"p", b"", b""));
        assert!(matches!(mux.poll(), Ok(Some(Event::Requested { .. }))));
    }
    mux.handle(open_frame(MAX_PENDING_OPENS as u64 + 1, b"p", b"", b""));
    assert_eq!(mux.poll(), Err(MuxError::TooManyPending));
    assert_eq!(mux.poll(), Err(MuxError::TooManyPending), "for good");
}

/// A message on the remote's channel 1 of as many bytes.
fn message(len: usize) -> Bytes {
    [&[1, 0], &vec![5; len][..]].concat().into()
}

#[test]
fn no_frame_is_begun_while_too_much_waits() {
    let mut mux = Mux::default();
    mux.handle(open_frame(1, b"p", b"", b""));
    let Ok(Some(Event::Requested { request, .. })) = mux.poll() else {
        panic!("a request")
    };
    mux.handle(message(MAX_BUFFERED - 2 * HELD_OVERHEAD));
    mux.handle(message(0));
    assert_eq!(mux.poll(), Ok(None));
    assert!(!mux.is_paused() && mux.is_drained());
    mux.handle(message(0));
    mux.handle(open_frame(2, b"q", b"", b""));
    assert_eq!(mux.poll(), Ok(None));
    assert!(mux.is_paused() && !mux.is_drained());

    mux.reject(request);
    assert!(!mux.is_paused());
    assert!(matches!(mux.poll(), Ok(Some(Event::Requested { .. }))));
}

#[test]
fn opening_ends_the_pause_and_tells_all_that_waited() {
    let mut mux = Mux::default();
    mux.handle(open_frame(1, b"p", b"", b"hello"));
    mux.poll().unwrap();
    let mut sent = 0;
    while !mux.is_paused() {
        mux.handle(message(1000));
        mux.poll().unwrap();
        sent += 1;
    }
    let channel = mux
        .open(&Name::new("p", Bytes::new()), &[], &Raw(&[]))
        .unwrap();
    assert!(!mux.is_paused());
    let handshake = Bytes::from_static(b"hello");
    assert_eq!(mux.poll(), Ok(Some(Event::Opened { channel, handshake })));
    let told = std::iter::from_fn(|| mux.poll().unwrap()).count();
    assert_eq!(told, sent);
}

/// One frame may hold more than makes a mux pause; there is an end to that too.
#[test]
fn one_frame_cannot_make_a_mux_hold_more() {
    let held = |items: usize| {
        let mut frame = vec![0, 0, 1];
        frame.extend([1, 0].repeat(items)); // messages of type 0 without bytes
        let mut mux = Mux::default();
        mux.handle(open_frame(1, b"p", b"", b""));
        mux.poll().unwrap();
        mux.handle(frame.into());
        mux.poll()
    };
    let room = MAX_HELD - HELD_OVERHEAD - 1;
    assert_eq!(held(room / HELD_OVERHEAD), Ok(None));
    assert_eq!(held(room / HELD_OVERHEAD + 1), Err(MuxError::TooMuchHeld));
}

#[test]
fn channel_zero_cannot_be_opened() {
    let error = MuxError::InvalidOpen { number: 0 };
    assert_eq!(answer(open_frame(0, b"p", b"", b"")), Err(error));
    assert_eq!(error.fault(), Fault::Malformed);
}
