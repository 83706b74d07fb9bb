//! Every scenario of `protomux.json`, replayed from both sides; every odd frame.

use std::collections::BTreeMap;

use bytes::Bytes;
use hc_encoding::{Encode, Writer, encode_to_vec};
use hc_protocol::mux::{
    ChannelId, Closed, Event, MessageType, Mux, MuxError, Name, OpenError, Raw,
};
use serde_json::Value;

use crate::golden::{bytes, list, load, position, text, uint};

fn scenario(name: &str) -> Value {
    let vectors = load("protomux.json");
    let found = list(&vectors["scenarios"])
        .iter()
        .find(|scenario| scenario["name"] == name);
    found
        .unwrap_or_else(|| panic!("there is no scenario {name:?}"))
        .clone()
}

/// Bytes with their length before them.
struct Text<'a>(&'a str);

impl Encode for Text<'_> {
    fn encoded_len(&self) -> usize {
        (self.0.len() as u64).encoded_len() + self.0.len()
    }

    fn encode(&self, writer: &mut Writer<'_>) {
        writer.buffer(self.0.as_bytes());
    }
}

fn payload(kind: u64, message: &Value) -> Vec<u8> {
    match (kind, message) {
        (_, Value::Number(_)) => encode_to_vec(&uint(message)),
        (0, _) => bytes(message).to_vec(),
        _ => encode_to_vec(&Text(text(message))),
    }
}

fn handshake(value: &Value) -> Vec<u8> {
    if value.is_null() {
        return Vec::new();
    }
    let mut out = encode_to_vec(&uint(&value["n"]));
    out.extend(encode_to_vec(&Text(text(&value["s"]))));
    out
}

fn name_of(args: &Value) -> Name {
    let id = if args["id"].is_null() {
        Bytes::new()
    } else {
        bytes(&args["id"])
    };
    Name::new(text(&args["protocol"]), id)
}

/// One side of a scenario. It knows from the log which requests it will answer, and rejects others.
struct Side {
    mux: Mux,
    to_open: Vec<Name>,
    channels: BTreeMap<String, ChannelId>,
    seen: Vec<Value>,
}

impl Side {
    fn new(log: &[Value], side: &str) -> Self {
        let opens = log.iter().filter(|entry| entry[side] == "open");
        Self {
            mux: Mux::default(),
            to_open: opens.map(|entry| name_of(&entry["args"])).collect(),
            channels: BTreeMap::new(),
            seen: Vec::new(),
        }
    }

    fn act(&mut self, what: &str, args: &Value) {
        let channel = args["channel"]
            .as_str()
            .and_then(|name| self.channels.get(name))
            .copied();
        match what {
            "open" => {
                let name = name_of(args);
                self.to_open
                    .remove(self.to_open.iter().position(|next| *next == name).unwrap());
                let opened = self
                    .mux
                    .open(&name, &[], &Raw(&handshake(&args["handshake"])));
                self.channels
                    .insert(name.protocol().to_owned(), opened.unwrap());
                self.poll();
            }
            "send" => {
                let kind = uint(&args["type"]);
                let payload = payload(kind, &args["message"]);
                self.mux
                    .send(channel.unwrap(), MessageType(kind), &Raw(&payload))
                    .unwrap();
            }
            "close" => {
                assert!(self.mux.close(channel.unwrap()));
                let args = serde_json::json!({ "channel": args["channel"], "byRemote": false });
                self.seen
                    .push(serde_json::json!({ "sees": "close", "args": args }));
            }
            "cork" => self.mux.cork(),
            "uncork" => self.mux.uncork(),
            other => panic!("no such command: {other}"),
        }
    }

    fn poll(&mut self) {
        while let Some(event) = self.mux.poll().expect("scenarios keep the rules") {
            let (what, args) = match event {
                Event::Requested { request, name } => {
                    if !self.to_open.contains(&name) {
                        self.mux.reject(request);
                    }
                    continue;
                }
                Event::Opened { channel, handshake } => {
                    let handshake = hex::encode(&handshake);
                    (
                        "open",
                        serde_json::json!({ "channel": self.called(channel), "handshake": handshake }),
                    )
                }
                Event::Message {
                    channel,
                    kind,
                    payload,
                } => {
                    let message = hex::encode(&payload);
                    let channel = self.called(channel);
                    (
                        "message",
                        serde_json::json!({ "channel": channel, "type": kind.0, "message": message }),
                    )
                }
                Event::Closed { channel, .. } => (
                    "close",
                    serde_json::json!({ "channel": self.called(channel), "byRemote": true }),
                ),
            };
            self.seen
                .push(serde_json::json!({ "sees": what, "args": args }));
        }
    }

    fn called(&self, channel: ChannelId) -> String {
        let found = self.channels.iter().find(|(_, id)| **id == channel);
        found.expect("events are of known channels").0.clone()
    }
}

/// What the log says that a side was told, in the form that [`Side::poll`] gives it.
fn expected(log: &[Value], side: &str) -> Vec<Value> {
    let key = format!("{side} sees");
    let seen = log
        .iter()
        .filter(|entry| !entry[&key].is_null() && entry[&key] != "pair");
    seen.map(|entry| {
        let mut args = entry["args"].clone();
        match text(&entry[&key]) {
            "open" => args["handshake"] = hex::encode(handshake(&args["handshake"])).into(),
            "message" => {
                let message = payload(uint(&args["type"]), &args["message"]);
                args["message"] = hex::encode(message).into();
            }
            _ => {}
        }
        serde_json::json!({ "sees": entry[&key], "args": args })
    })
    .collect()
}

fn replay(scenario_name: &str) {
    let scenario = scenario(scenario_name);
    let log = list(&scenario["log"]);
    for (me, other) in [("a", "b"), ("b", "a")] {
        let mut side = Side::new(log, me);
        for entry in log {
            let frame = &entry["frame"];
            if let Some(what) = entry[me].as_str() {
                side.act(what, &entry["args"]);
            } else if frame["from"] == me {
                let written = side.mux.poll_frame().expect("a frame was written");
                assert_eq!(
                    hex::encode(written),
                    text(&frame["hex"]),
                    "{scenario_name}, {me}"
                );
            } else if frame["from"] == other {
                side.mux.handle(bytes(&frame["hex"]));
                side.poll();
            }
        }
        assert_eq!(side.mux.poll_frame(), None, "{scenario_name}, {me}");
        assert_eq!(side.seen, expected(log, me), "{scenario_name}, {me}");
    }
}

#[test]
fn one_channel() {
    replay("one channel, no id, no handshake");
}

#[test]
fn id_and_handshake() {
    replay("channel with an id and a handshake");
}

#[test]
fn batch_of_one_channel() {
    replay("a batch of one channel");
}

#[test]
fn batch_over_several_channels() {
    replay("a batch over several channels");
}

#[test]
fn reject() {
    replay("reject");
}

#[test]
fn pair() {
    replay("pair");
}

#[test]
fn pair_by_protocol() {
    replay("pair by protocol");
}

#[test]
fn messages_before_the_other_side_has_opened() {
    replay("messages before the other side has opened");
}

#[test]
fn numbers_are_used_again() {
    replay("numbers are used again");
}

/// The log does not say what was done while corked; the frames do.
#[test]
fn more_than_252_channels() {
    let scenario = scenario("more than 252 channels");
    let log = list(&scenario["log"]);
    for (me, other) in [("a", "b"), ("b", "a")] {
        let mut mux = Mux::default();
        let mut channels = Vec::new();
        for frame in log.iter().map(|entry| &entry["frame"]) {
            if frame["from"] == other {
                mux.handle(bytes(&frame["hex"]));
                while mux.poll().unwrap().is_some() {}
            }
            if frame["from"] != me {
                continue;
            }
            let decoded = list(&frame["decoded"]);
            let batch = decoded.first().filter(|item| item["kind"] == "batch");
            if batch.is_some() {
                mux.cork();
            }
            for item in batch.map_or(decoded, |batch| list(&batch["items"])) {
                match text(&item["kind"]) {
                    "open" => {
                        channels.push(mux.open(&name_of(item), &[], &Raw(&[])).unwrap());
                        assert_eq!(channels.len() as u64, uint(&item["channel"]));
                    }
                    "message" => {
                        let channel = channels[position(&item["channel"]) - 1];
                        let kind = MessageType(uint(&item["type"]));
                        mux.send(channel, kind, &Raw(&bytes(&item["payload"])))
                            .unwrap();
                    }
                    _ => assert!(mux.close(channels[position(&item["channel"]) - 1])),
                }
            }
            if batch.is_some() {
                mux.uncork();
            }
            assert_eq!(
                hex::encode(mux.poll_frame().unwrap()),
                text(&frame["hex"]),
                "{me}"
            );
        }
        assert!(channels.len() > 252);
        assert_eq!(
            mux.channels().count(),
            channels.len() - 1,
            "one was closed by a"
        );
    }
}

#[test]
fn two_channels_of_one_name() {
    let scenario = scenario("two channels of one name");
    let frames: Vec<&Value> = list(&scenario["log"])
        .iter()
        .map(|entry| &entry["frame"])
        .filter(|frame| !frame.is_null())
        .collect();
    let name = name_of(&frames[0]["decoded"][0]);
    let mut sides = [Mux::default(), Mux::default()];
    let mut channels = Vec::new();
    for mux in &mut sides {
        let first = mux.open_another(&name, &[], &Raw(&[])).unwrap();
        let second = mux.open_another(&name, &[], &Raw(&[])).unwrap();
        assert_eq!(mux.open(&name, &[], &Raw(&[])), Err(OpenError::AlreadyOpen));
        channels.push([first, second]);
    }
    let [a, b] = &mut sides;
    for (i, frame) in frames.iter().enumerate() {
        let (from, to, own, theirs) = match text(&frame["from"]) {
            "a" => (&mut *a, &mut *b, channels[0], channels[1]),
            _ => (&mut *b, &mut *a, channels[1], channels[0]),
        };
        let item = &frame["decoded"][0];
        let at = position(&item["channel"]) - 1;
        let message = item["kind"] == "message";
        if message {
            let kind = MessageType(uint(&item["type"]));
            from.send(own[at], kind, &Raw(&bytes(&item["payload"])))
                .unwrap();
        }
        let written = from.poll_frame().unwrap();
        assert_eq!(hex::encode(&written), text(&frame["hex"]), "frame {i}");
        to.handle(written.into());
        match to.poll().unwrap() {
            Some(Event::Message { channel, .. }) if message => assert_eq!(channel, theirs[at]),
            Some(Event::Opened { channel, .. }) if !message => assert_eq!(channel, theirs[at]),
            other => panic!("frame {i}: {other:?}"),
        }
    }
}

/// What `odd` says of one case, and what came of it here.
fn odd(note: &str) -> Result<(), MuxError> {
    let vectors = load("protomux.json");
    let case = list(&vectors["odd"])
        .iter()
        .find(|case| case["note"] == note);
    let case = case.unwrap_or_else(|| panic!("there is no case {note:?}"));
    let mut mux = Mux::default();
    let ours = mux
        .open(&Name::new("p", Bytes::new()), &[], &Raw(&[]))
        .unwrap();
    let mut told = Vec::new();
    let mut result = Ok(());
    for frame in list(&case["frames"]) {
        mux.handle(bytes(frame));
        result = poll_all(&mut mux, ours, &mut told);
        if result.is_err() {
            break;
        }
    }
    let messages: Vec<u64> = list(&case["messages"]).iter().map(uint).collect();
    assert_eq!(told, messages, "{note}");
    assert_eq!(
        result.is_err(),
        case["result"] == "the stream is destroyed",
        "{note}"
    );
    result
}

fn poll_all(mux: &mut Mux, ours: ChannelId, told: &mut Vec<u64>) -> Result<(), MuxError> {
    while let Some(event) = mux.poll()? {
        match event {
            Event::Message {
                channel,
                kind: MessageType(0),
                payload,
            } => {
                assert_eq!(channel, ours);
                told.push(hc_encoding::Reader::new(&payload).uint()?);
            }
            Event::Closed { channel, reason } => {
                assert_eq!((channel, reason), (ours, Closed::ByRemote));
            }
            Event::Opened { .. } | Event::Message { .. } => {}
            Event::Requested { .. } => panic!("nothing is asked for"),
        }
    }
    Ok(())
}

#[test]
fn odd_frames_that_pass() {
    for note in [
        "a message",
        "empty frames are skipped",
        "a type that has no handler is skipped",
        "a channel that is not open is skipped",
        "an unknown control type is skipped",
        "closing a channel that is not there",
        "closing channel 0",
        "messages after a close are skipped",
        "a batch",
        "a batch that opens and sends",
        "a batch item longer than the frame is cut",
    ] {
        assert_eq!(odd(note), Ok(()), "{note}");
    }
}

#[test]
fn odd_frames_that_end_the_connection() {
    let in_use = odd("opening a number that is in use");
    assert_eq!(in_use, Err(MuxError::InvalidOpen { number: 1 }));
    let skips = odd("opening a number that skips one");
    assert_eq!(skips, Err(MuxError::InvalidOpen { number: 2 }));
    let reject = odd("rejecting what was not opened");
    assert_eq!(reject, Err(MuxError::InvalidReject { number: 5 }));
    for note in [
        "a cut message",
        "a cut open",
        "a cut batch",
        "a frame of one byte",
    ] {
        assert!(matches!(odd(note), Err(MuxError::Malformed(_))), "{note}");
    }
}

#[test]
fn every_vector_is_replayed() {
    let vectors = load("protomux.json");
    assert_eq!(list(&vectors["scenarios"]).len(), 11);
    assert_eq!(list(&vectors["odd"]).len(), 18);
}
