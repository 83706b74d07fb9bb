//! Two honest sides that do anything, in any order, with frames under way; and one that sends anything.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use hc_protocol::message::{Message, MessageKind};
use hc_protocol::mux::{ChannelId, Event, MessageType, Mux, Name, Raw, RemoteOpen};
use proptest::collection::vec;
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Step {
    Open { side: usize, name: u8 },
    Close { side: usize, nth: usize },
    Send { side: usize, nth: usize },
    Reject { side: usize, nth: usize },
    Cork { side: usize },
    Uncork { side: usize },
    Deliver { to: usize },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let side = 0..2usize;
    let nth = 0..4usize;
    let step = prop_oneof![
        3 => (side.clone(), 0..3u8).prop_map(|(side, name)| Step::Open { side, name }),
        2 => (side.clone(), nth.clone()).prop_map(|(side, nth)| Step::Close { side, nth }),
        4 => (side.clone(), nth.clone()).prop_map(|(side, nth)| Step::Send { side, nth }),
        1 => (side.clone(), nth).prop_map(|(side, nth)| Step::Reject { side, nth }),
        1 => side.clone().prop_map(|side| Step::Cork { side }),
        1 => side.clone().prop_map(|side| Step::Uncork { side }),
        5 => side.prop_map(|to| Step::Deliver { to }),
    ];
    vec(step, 0..60)
}

/// A channel as its owner sees it: what it has sent, and what it was told.
#[derive(Debug, Default)]
struct Ends {
    opened: bool,
    sent: u64,
    /// The other end, learnt from its messages, and how many came.
    peer: Option<u64>,
    received: u64,
}

#[derive(Debug, Default)]
struct Party {
    mux: Mux,
    tag: u64,
    open: BTreeMap<ChannelId, (u64, Ends)>,
    requests: Vec<RemoteOpen>,
    corked: u32,
}

impl Party {
    fn open(&mut self, name: u8) {
        let name = Name::new("p", vec![name; 1]);
        let channel = self.mux.open_another(&name, &[], &Raw(&[])).unwrap();
        self.tag += 1;
        self.open.insert(channel, (self.tag, Ends::default()));
        self.poll();
    }

    fn nth(&self, nth: usize) -> Option<ChannelId> {
        self.open.keys().nth(nth).copied()
    }

    fn send(&mut self, channel: ChannelId) {
        let (tag, ends) = self.open.get_mut(&channel).unwrap();
        ends.sent += 1;
        let payload = [tag.to_le_bytes(), ends.sent.to_le_bytes()].concat();
        self.mux
            .send(channel, MessageType(0), &Raw(&payload))
            .unwrap();
    }

    fn poll(&mut self) {
        while let Some(event) = self.mux.poll().expect("both sides are honest") {
            match event {
                Event::Requested { request, .. } => self.requests.push(request),
                Event::Opened { channel, .. } => {
                    let (_, ends) = self.open.get_mut(&channel).expect("ours");
                    assert!(!std::mem::replace(&mut ends.opened, true), "opened once");
                }
                Event::Message {
                    channel, payload, ..
                } => {
                    let (_, ends) = self.open.get_mut(&channel).expect("ours");
                    assert!(ends.opened, "opened first");
                    let word =
                        |at: usize| u64::from_le_bytes(payload[at..at + 8].try_into().unwrap());
                    assert_eq!(*ends.peer.get_or_insert(word(0)), word(0), "one other end");
                    ends.received += 1;
                    assert_eq!(word(8), ends.received, "in order, none lost");
                }
                Event::Closed { channel, .. } => {
                    self.open.remove(&channel).expect("closed once");
                }
            }
        }
    }
}

/// Takes all that `from` has written, delivers one frame if there is one.
fn deliver(from: &mut Party, wire: &mut VecDeque<Vec<u8>>, to: &mut Party) -> bool {
    wire.extend(std::iter::from_fn(|| from.mux.poll_frame()));
    let Some(frame) = wire.pop_front() else {
        return false;
    };
    to.mux.handle(frame.into());
    to.poll();
    true
}

fn run(steps: &[Step]) {
    let (mut a, mut b) = (Party::default(), Party::default());
    let mut wires = [VecDeque::new(), VecDeque::new()];
    for step in steps {
        let parties = [&mut a, &mut b];
        match step {
            Step::Open { side, name } => parties.into_iter().nth(*side).unwrap().open(*name),
            Step::Close { side, nth } => {
                let party = parties.into_iter().nth(*side).unwrap();
                if let Some(channel) = party.nth(*nth) {
                    party.open.remove(&channel);
                    assert!(party.mux.close(channel));
                }
            }
            Step::Send { side, nth } => {
                let party = parties.into_iter().nth(*side).unwrap();
                if let Some(channel) = party.nth(*nth) {
                    party.send(channel);
                }
            }
            Step::Reject { side, nth } => {
                let party = parties.into_iter().nth(*side).unwrap();
                if *nth < party.requests.len() {
                    let request = party.requests.remove(*nth);
                    party.mux.reject(request);
                }
            }
            Step::Cork { side } => {
                let party = parties.into_iter().nth(*side).unwrap();
                party.mux.cork();
                party.corked += 1;
            }
            Step::Uncork { side } => {
                let party = parties.into_iter().nth(*side).unwrap();
                party.mux.uncork();
                party.corked = party.corked.saturating_sub(1);
            }
            Step::Deliver { to: 0 } => {
                deliver(&mut b, &mut wires[1], &mut a);
            }
            Step::Deliver { .. } => {
                deliver(&mut a, &mut wires[0], &mut b);
            }
        }
    }
    settle(&mut a, &mut b, &mut wires);
    check(&a, &b);
    check(&b, &a);
}

/// Rejects what is asked for and delivers until nothing moves.
fn settle(a: &mut Party, b: &mut Party, wires: &mut [VecDeque<Vec<u8>>; 2]) {
    let mut moved = true;
    while moved {
        for party in [&mut *a, &mut *b] {
            (0..std::mem::take(&mut party.corked)).for_each(|_| party.mux.uncork());
            for request in std::mem::take(&mut party.requests) {
                party.mux.reject(request);
            }
        }
        moved = deliver(a, &mut wires[0], b) | deliver(b, &mut wires[1], a);
    }
}

/// Every channel that is open here is open there, and has got all that was sent on it.
fn check(ours: &Party, theirs: &Party) {
    assert_eq!(ours.mux.channels().count(), ours.open.len());
    assert_eq!(ours.open.len(), theirs.open.len());
    for (_, ends) in ours.open.values() {
        assert!(ends.opened);
        if let Some(peer) = ends.peer {
            let (_, other) = theirs.open.values().find(|(tag, _)| *tag == peer).unwrap();
            assert_eq!(ends.received, other.sent);
        }
    }
    let sent: u64 = theirs.open.values().map(|(_, ends)| ends.sent).sum();
    let received: u64 = ours.open.values().map(|(_, ends)| ends.received).sum();
    assert_eq!(received, sent);
}

/// Frames near enough to real ones to get past the first byte.
fn frame() -> impl Strategy<Value = Vec<u8>> {
    let small = prop_oneof![8 => 0..5u8, 1 => any::<u8>()];
    let open = (1..6u8, 0..3u8).prop_map(|(number, id)| vec![0, 1, number, 1, b'p', 1, id]);
    prop_oneof![
        2 => vec(small, 0..40),
        2 => open,
        1 => (0..4u8, 1..6u8).prop_map(|(kind, number)| vec![0, kind, number]),
        1 => vec(any::<u8>(), 0..200),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn honest_sides_agree(steps in steps()) {
        run(&steps);
    }

    #[test]
    fn no_frames_break_a_mux(frames in vec(frame(), 0..40)) {
        let mut mux = Mux::default();
        for id in 0..2 {
            mux.open(&Name::new("p", vec![id]), &[], &Raw(&[])).unwrap();
        }
        let bytes: usize = frames.iter().map(Vec::len).sum();
        for frame in frames {
            mux.handle(frame.into());
            while let Ok(Some(event)) = mux.poll() {
                if let Event::Message { kind, payload, .. } = event
                    && let Some(kind) = MessageKind::from_type(kind)
                {
                    let _ = Message::decode(kind, &payload);
                }
            }
            prop_assert!(mux.queued() <= 64 + 8 * bytes);
        }
    }

    #[test]
    fn no_bytes_break_a_decoder(bytes in vec(any::<u8>(), 0..300), small in vec(0..40u8, 0..60)) {
        for payload in [Bytes::from(bytes), Bytes::from(small)] {
            for kind in MessageKind::ALL {
                if let Ok(message) = Message::decode(kind, &payload) {
                    // What was read can be written, and then reads the same.
                    let written = Bytes::from(hc_encoding::encode_to_vec(&message));
                    prop_assert_eq!(Message::decode(kind, &written), Ok(message));
                }
            }
        }
    }
}
