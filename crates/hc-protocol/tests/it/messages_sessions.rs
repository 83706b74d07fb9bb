//! Every recorded session, frame by frame: each side reads all that the other wrote, and writes its
//! own frames again byte for byte.

use std::collections::{BTreeMap, VecDeque};

use hc_encoding::encode_to_vec;
use hc_merkle::{CoreKey, DiscoveryKey};
use hc_protocol::capability::{ALIAS, ReplicationHandshake, requested_log};
use hc_protocol::message::{Message, MessageKind};
use hc_protocol::mux::{ChannelId, Event, Mux, Name, RemoteOpen};
use hc_protocol::{HandshakeHash, Side};
use serde_json::Value;

use crate::golden::{array, bytes, list, load, text, uint};
use crate::messages::{handshake, kind, message};

struct Peer {
    side: Side,
    hash: HandshakeHash,
    logs: BTreeMap<DiscoveryKey, CoreKey>,
    mux: Mux,
    /// By the number that this side writes.
    channels: BTreeMap<u64, ChannelId>,
    /// By the number that the remote writes.
    requests: BTreeMap<u64, RemoteOpen>,
    received: VecDeque<Message>,
    opened: usize,
}

impl Peer {
    fn new(session: &Value, side: Side) -> Self {
        let cores = if session["core"].is_null() {
            &session["cores"]
        } else {
            &session["core"]
        };
        let cores = cores
            .as_array()
            .cloned()
            .unwrap_or_else(|| vec![cores.clone()]);
        let logs = cores
            .iter()
            .chain([&session["unknown"]])
            .filter(|core| !core.is_null());
        let entry = |log: &Value| {
            (
                DiscoveryKey(array(&log["discoveryKey"])),
                CoreKey(array(&log["key"])),
            )
        };
        Self {
            side,
            hash: HandshakeHash(array(&session["connection"]["handshakeHash"])),
            logs: logs.map(entry).collect(),
            mux: Mux::default(),
            channels: BTreeMap::new(),
            requests: BTreeMap::new(),
            received: VecDeque::new(),
            opened: 0,
        }
    }

    /// Writes a frame again from what it says.
    fn write(&mut self, entry: &Value) {
        let batch = text(&entry["plain"]).starts_with("0000");
        if batch {
            self.mux.cork();
        }
        for item in list(&entry["decoded"]) {
            let number = uint(&item["channel"]);
            match text(&item["kind"]) {
                "open" => self.open(number, item),
                "reject" => self.mux.reject(self.requests[&number]),
                // Both may close at once; the log then has a frame that here is no longer due.
                "close" if !self.mux.close(self.channels[&number]) => return,
                "close" => {}
                _ => {
                    let kind = kind(text(&item["type"])).unwrap();
                    let message = message(kind, &item["value"]);
                    let channel = self.channels[&number];
                    self.mux
                        .send(channel, kind.message_type(), &message)
                        .unwrap();
                }
            }
        }
        if batch {
            self.mux.uncork();
        }
        let written = self.mux.poll_frame().unwrap();
        assert_eq!(hex::encode(written), text(&entry["plain"]));
        self.poll(&mut VecDeque::new());
    }

    fn open(&mut self, number: u64, item: &Value) {
        let name = Name::new(text(&item["protocol"]), bytes(&item["id"]));
        let log = requested_log(&name).unwrap();
        let shown = ReplicationHandshake::new(self.side, &self.logs[&log], &self.hash);
        assert_eq!(shown, handshake(&item["handshake"]));
        let channel = self.mux.open(&name, &[ALIAS], &shown).unwrap();
        self.channels.insert(number, channel);
    }

    /// Reads a frame of the other side.
    fn read(&mut self, entry: &Value) {
        let items = list(&entry["decoded"]).iter();
        let opens = items.filter(|item| item["kind"] == "open");
        let mut opens = opens.map(|item| uint(&item["channel"])).collect();
        self.mux.handle(bytes(&entry["plain"]));
        self.poll(&mut opens);
    }

    fn poll(&mut self, opens: &mut VecDeque<u64>) {
        while let Some(event) = self.mux.poll().expect("sessions keep the rules") {
            match event {
                Event::Requested { request, .. } => {
                    self.requests.insert(opens.pop_front().unwrap(), request);
                }
                Event::Opened { channel, handshake } => {
                    let log = requested_log(self.mux.name(channel).unwrap()).unwrap();
                    let key = &self.logs[&log];
                    ReplicationHandshake::verify(&handshake, self.side, key, &self.hash).unwrap();
                    self.opened += 1;
                }
                Event::Message { kind, payload, .. } => {
                    let kind = MessageKind::from_type(kind).unwrap();
                    let message = Message::decode(kind, &payload).unwrap();
                    assert_eq!(encode_to_vec(&message), payload);
                    self.received.push_back(message);
                }
                Event::Closed { .. } => {}
            }
        }
    }
}

fn replay(file: &str) {
    let session = load(&format!("sessions/{file}.json"));
    let log = list(&session["log"]);
    for (me, side) in [
        ("initiator", Side::Initiator),
        ("responder", Side::Responder),
    ] {
        let mut peer = Peer::new(&session, side);
        let mut expected = VecDeque::new();
        for entry in log.iter().filter(|entry| !entry["plain"].is_null()) {
            if entry["from"] == me {
                peer.write(entry);
                continue;
            }
            peer.read(entry);
            for item in list(&entry["decoded"])
                .iter()
                .filter(|item| item["kind"] == "message")
            {
                expected.push_back(message(kind(text(&item["type"])).unwrap(), &item["value"]));
            }
        }
        assert!(peer.opened > 0);
        assert!(!expected.is_empty());
        assert_eq!(peer.received, expected, "{file}, {me}");
        assert_eq!(peer.mux.poll_frame(), None, "{file}, {me}");
    }
}

macro_rules! sessions {
    ($($test:ident: $file:literal,)*) => {
        $(
            #[test]
            fn $test() {
                replay($file);
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
