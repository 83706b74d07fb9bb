//! Every recorded session, byte by byte: two links with the recorded keys write all that went over the
//! wire again, and understand each other.

use std::collections::BTreeMap;

use bytes::Bytes;
use hc_encoding::{Reader, encode_to_vec};
use hc_protocol::link::{Event, Link, LinkOptions};
use hc_protocol::message::{Message, MessageKind};
use hc_protocol::mux::{self, ChannelId, MessageType, Name, Raw, RemoteOpen};
use hc_protocol::secret_stream::StreamHeader;
use hc_protocol::{Side, Time};
use serde_json::Value;

use crate::transcripts::{array, bytes, keys, list, side, text};

const NOW: Time = Time::ZERO;

/// One thing that a frame says, read without the help of what is tested.
enum Item {
    Open {
        number: u64,
        name: Name,
        handshake: Bytes,
    },
    Reject(u64),
    Close(u64),
    Message {
        number: u64,
        kind: u64,
        payload: Bytes,
    },
}

fn item(number: u64, bytes: &[u8]) -> Item {
    let mut reader = Reader::new(bytes);
    let kind = reader.uint().unwrap();
    if number > 0 {
        let payload = Bytes::copy_from_slice(reader.rest());
        return Item::Message {
            number,
            kind,
            payload,
        };
    }
    let number = reader.uint().unwrap();
    match kind {
        1 => {
            let protocol = std::str::from_utf8(reader.buffer().unwrap()).unwrap();
            let id = reader.buffer().unwrap().to_vec();
            let handshake = Bytes::copy_from_slice(reader.rest());
            Item::Open {
                number,
                name: Name::new(protocol, id),
                handshake,
            }
        }
        2 => Item::Reject(number),
        3 => Item::Close(number),
        other => panic!("control message {other}"),
    }
}

/// What a frame says, and whether it is a batch.
fn items(frame: &[u8]) -> (Vec<Item>, bool) {
    let mut reader = Reader::new(frame);
    let number = reader.uint().unwrap();
    if number > 0 || frame[1] != 0 {
        return (vec![item(number, reader.rest())], false);
    }
    let mut items = Vec::new();
    reader.uint().unwrap();
    let mut number = reader.uint().unwrap();
    while !reader.is_empty() {
        let bytes = reader.buffer().unwrap();
        if bytes.is_empty() {
            number = reader.uint().unwrap();
        } else {
            items.push(item(number, bytes));
        }
    }
    (items, true)
}

struct Peer {
    link: Link,
    /// By the number that this end writes.
    channels: BTreeMap<u64, ChannelId>,
    names: BTreeMap<u64, Name>,
    requests: BTreeMap<String, RemoteOpen>,
    /// What the other end has written and this one has not received.
    unread: Vec<u8>,
    /// How much of that came before a close.
    before_close: Option<usize>,
    said: Vec<(u64, Bytes)>,
    heard: Vec<(u64, Bytes)>,
    handshakes_said: Vec<Bytes>,
    handshakes_heard: Vec<Bytes>,
    events: Vec<Event>,
}

impl Peer {
    fn new(session: &Value, at: Side) -> Self {
        let keys = keys(&session["connection"]["keys"], at);
        let mut headers = list(&session["log"])
            .iter()
            .filter(|entry| entry["kind"] == "header");
        let header = headers.find(|entry| side(&entry["from"]) == at).unwrap();
        let raw = bytes(&header["raw"]);
        let header = StreamHeader(*raw.last_chunk().unwrap());
        let options = LinkOptions {
            keep_alive: None,
            ..LinkOptions::default()
        };
        let link = match at {
            Side::Initiator => Link::initiator(keys, header, options, NOW),
            Side::Responder => Link::responder(keys, header, options, NOW),
        };
        Self {
            link,
            channels: BTreeMap::new(),
            names: BTreeMap::new(),
            requests: BTreeMap::new(),
            unread: Vec::new(),
            before_close: None,
            said: Vec::new(),
            heard: Vec::new(),
            handshakes_said: Vec::new(),
            handshakes_heard: Vec::new(),
            events: Vec::new(),
        }
    }

    fn key(name: &Name) -> String {
        format!("{} {}", name.protocol(), hex::encode(name.id()))
    }

    /// Gives the commands that lead to this frame.
    fn say(&mut self, plain: &[u8], remote_names: &BTreeMap<u64, Name>) {
        let (items, batch) = items(plain);
        if batch {
            self.link.cork();
        }
        for item in items {
            match item {
                Item::Open {
                    number,
                    name,
                    handshake,
                } => {
                    let opened = self
                        .link
                        .open(&name, &["hypercore"], &Raw(&handshake))
                        .unwrap();
                    self.channels.insert(number, opened);
                    self.requests.remove(&Self::key(&name));
                    self.names.insert(number, name);
                    self.handshakes_said.push(handshake);
                }
                Item::Reject(number) => {
                    let request = self.requests.remove(&Self::key(&remote_names[&number]));
                    self.link.reject(request.unwrap());
                }
                Item::Close(number) => assert!(self.link.close(self.channels[&number])),
                Item::Message {
                    number,
                    kind,
                    payload,
                } => {
                    let channel = self.channels[&number];
                    self.link
                        .send(channel, MessageType(kind), &Raw(&payload))
                        .unwrap();
                    self.said.push((kind, payload));
                }
            }
        }
        if batch {
            self.link.uncork();
        }
    }

    /// Receives what the other end wrote, in pieces of this size; or only what it wrote before it closed
    /// a channel, where this end is about to do the same.
    fn listen(&mut self, piece: usize, closing: bool) {
        let len = self
            .before_close
            .filter(|_| closing)
            .unwrap_or(self.unread.len());
        self.before_close = self.before_close.filter(|_| closing).map(|_| 0);
        let heard: Vec<u8> = self.unread.drain(..len).collect();
        for piece in heard.chunks(piece) {
            self.link.receive(NOW, piece);
            while let Some(event) = self.link.poll_event().expect("sessions keep the rules") {
                self.take_in(event);
            }
        }
    }

    fn take_in(&mut self, event: Event) {
        match &event {
            Event::Channel(mux::Event::Requested { request, name }) => {
                self.requests.insert(Self::key(name), *request);
            }
            Event::Channel(mux::Event::Opened { handshake, .. }) => {
                self.handshakes_heard.push(handshake.clone());
            }
            Event::Channel(mux::Event::Message { kind, payload, .. }) => {
                let known = MessageKind::from_type(*kind).unwrap();
                let message = Message::decode(known, payload).unwrap();
                assert_eq!(encode_to_vec(&message), *payload);
                self.heard.push((kind.0, payload.clone()));
            }
            _ => {}
        }
        self.events.push(event);
    }

    fn written(&mut self) -> Vec<u8> {
        std::iter::from_fn(|| self.link.poll_transmit(NOW))
            .flatten()
            .collect()
    }
}

fn replay(file: &str, piece: usize) {
    let session = crate::golden::load(&format!("sessions/{file}.json"));
    let mut ends = [
        Peer::new(&session, Side::Initiator),
        Peer::new(&session, Side::Responder),
    ];
    // What has been written ahead of the log: an end writes its header as soon as it can.
    let mut ahead = [Vec::new(), Vec::new()];
    for entry in list(&session["log"])
        .iter()
        .filter(|entry| entry["from"].is_string())
    {
        let me = usize::from(side(&entry["from"]) == Side::Responder);
        let closing = !entry["plain"].is_null() && text(&entry["plain"]).starts_with("0003");
        ends[me].listen(piece, closing);
        if entry["kind"] == "message" {
            let names = ends[1 - me].names.clone();
            ends[me].say(&bytes(&entry["plain"]), &names);
        }
        let written = ends[me].written();
        if closing {
            ends[1 - me].before_close = Some(ends[1 - me].unread.len());
        }
        ends[1 - me].unread.extend_from_slice(&written);
        ahead[me].extend(written);
        let raw = bytes(&entry["raw"]);
        assert!(ahead[me].starts_with(&raw), "{file}: {}", entry["plain"]);
        ahead[me].drain(..raw.len());
    }
    let hash = array(&session["connection"]["handshakeHash"]);
    for (me, end) in ends.iter_mut().enumerate() {
        end.listen(piece, false);
        assert!(ahead[me].is_empty() && end.written().is_empty() && end.link.pending() == 0);
        assert_eq!(end.link.handshake_hash().unwrap().0, hash);
        let shaken = |event: &&Event| matches!(event, Event::Handshaken { .. });
        assert_eq!(end.events.iter().filter(shaken).count(), 1);
        assert!(shaken(&&end.events[0]), "first of all");
    }
    let [initiator, responder] = &ends;
    for (from, to) in [(initiator, responder), (responder, initiator)] {
        assert!(!from.said.is_empty());
        assert_eq!(from.said, to.heard, "{file}");
        for heard in &to.handshakes_heard {
            assert!(from.handshakes_said.contains(heard), "{file}");
        }
        assert!(!to.handshakes_heard.is_empty());
    }
}

macro_rules! sessions {
    ($($test:ident: $file:literal,)*) => {
        $(
            #[test]
            fn $test() {
                replay($file, usize::MAX);
                replay($file, 1);
                replay($file, 61);
            }
        )*
    };
}

sessions! {
    both_ways: "both-ways",
    encrypted: "encrypted",
    full_download: "full-download",
    holes: "holes",
    live_append: "live-append",
    seek: "seek",
    sparse_get: "sparse-get",
    truncate_and_fork: "truncate-and-fork",
    two_cores: "two-cores",
    v10_serves_v11: "v10-serves-v11",
    v11_serves_v10: "v11-serves-v10",
    v11_serves_v10_manifest: "v11-serves-v10-manifest",
}
