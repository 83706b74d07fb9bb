//! The attacks: what a remote does that means harm. Each goes on until it is told to stop, and begins
//! again where it was hung up on; none waits for anything but a moment between two blows.

use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use hc_encoding::Raw;
use hc_merkle::proof::{BlockProof, BlockRequest, Proof, Request as Parts, UpgradeProof};
use hc_merkle::{BlockIndex, ByteLength, CoreKey, Fork, Hash, Length, Node, NodeIndex};
use hc_protocol::Side;
use hc_protocol::message::{
    Bitfield, Data, Message, NoData, NoDataReason, Range, Request, RequestId, Want,
};
use hc_protocol::mux::Name;

use super::party::{Party, heard, sync};

/// What an attacker knows, and when it has to stop.
pub(super) struct Target {
    pub(super) address: SocketAddr,
    pub(super) key: CoreKey,
    pub(super) length: u64,
    pub(super) over: AtomicBool,
    /// How often it was hung up on, or never got in.
    pub(super) dropped: AtomicU64,
}

impl Target {
    fn goes_on(&self) -> bool {
        !self.over.load(Ordering::Relaxed)
    }

    /// Again and again until it is over.
    fn repeat(&self, blow: impl Fn() -> anyhow::Result<()>) {
        while self.goes_on() {
            if blow().is_err() {
                self.dropped.fetch_add(1, Ordering::Relaxed);
                thread::sleep(Duration::from_millis(5));
            }
        }
    }

    fn random(&self) -> u64 {
        fastrand::u64(..self.length.max(1))
    }
}

/// Somebody who connects to a server.
pub(super) type Attack = fn(&Target);

/// All attacks on a server, by what they do.
pub(super) const ON_SERVERS: [(&str, Attack); 10] = [
    ("asks for blocks without end", floods),
    ("asks for blocks, and never reads", never_reads),
    ("asks for what cannot be", asks_nonsense),
    ("wants and unwants everything", wants),
    ("says that it has blocks past any log", boasts),
    ("opens channels without end", opens),
    ("shows the capability of another key", forges_capability),
    ("sends noise after the handshake", sends_noise),
    ("connects 100 times and says nothing", says_nothing),
    ("sends blocks that nobody asked for", intrudes),
];

/// The moment between two blows.
fn rest() {
    thread::sleep(Duration::from_millis(1));
}

fn request(id: u64, index: u64, nodes: u64) -> Message {
    Message::Request(Request {
        id: RequestId(id),
        fork: Fork::ZERO,
        want: Parts {
            block: Some(BlockRequest {
                index: BlockIndex::new(index),
                nodes,
            }),
            ..Parts::default()
        },
        priority: 1,
    })
}

fn met(target: &Target) -> anyhow::Result<Party> {
    let mut party = Party::dial(target.address, target.key)?.meet()?;
    party.say(&sync(0, true))?;
    Ok(party)
}

/// Meets the target, and strikes again and again; each blow is told how many messages came before.
fn storm(target: &Target, blow: impl Fn(&mut Party, &mut u64) -> anyhow::Result<()>) {
    target.repeat(|| {
        let mut party = met(target)?;
        let mut said = 0;
        while target.goes_on() {
            blow(&mut party, &mut said)?;
            rest();
        }
        Ok(())
    });
}

/// Asks for 64 random blocks.
fn ask(target: &Target, party: &mut Party, said: &mut u64) -> anyhow::Result<()> {
    for _ in 0..64 {
        *said += 1;
        party.say(&request(*said, target.random(), 0))?;
    }
    Ok(())
}

fn floods(target: &Target) {
    storm(target, |party, said| {
        ask(target, party, said)?;
        party.turn().map(drop)
    });
}

fn never_reads(target: &Target) {
    storm(target, |party, said| {
        ask(target, party, said)?;
        party.flush()
    });
}

fn asks_nonsense(target: &Target) {
    storm(target, |party, said| {
        *said += 1;
        party.say(&request(*said, target.length + 1 + target.random(), 60))?;
        party.turn().map(drop)
    });
}

fn wants(target: &Target) {
    storm(target, |party, _| {
        for _ in 0..32 {
            let want = Want {
                start: 0,
                length: 2_097_152,
                any: false,
            };
            party.say(&Message::Want(want))?;
            party.say(&Message::Unwant(want))?;
        }
        party.turn().map(drop)
    });
}

fn boasts(target: &Target) {
    storm(target, |party, _| {
        for _ in 0..16 {
            party.say(&Message::Bitfield(Bitfield {
                start: 32 * fastrand::u64(..1 << 40),
                words: vec![0x5555_5555; 1024],
            }))?;
            party.say(&Message::Range(Range {
                drop: false,
                start: fastrand::u64(..1 << 50),
                length: 1,
            }))?;
        }
        party.turn().map(drop)
    });
}

fn opens(target: &Target) {
    storm(target, |party, _| {
        for _ in 0..64 {
            let mut id = [0; 32];
            fastrand::fill(&mut id);
            let name = Name::new("hypercore/alpha", id.to_vec());
            party.link.open(&name, &[], &Raw(&[0; 33]))?;
        }
        party.turn().map(drop)
    });
}

fn intrudes(target: &Target) {
    storm(target, |party, _| {
        for id in 0..32 {
            party.say(&wrong(RequestId(id), target.random()))?;
        }
        party.turn().map(drop)
    });
}

fn forges_capability(target: &Target) {
    target.repeat(|| {
        let mut other = *target.key.as_bytes();
        other[0] ^= 1;
        let mut party = Party::dial(target.address, CoreKey(other))?.shake()?;
        let name = hc_protocol::capability::channel_name(&target.key.discovery_key());
        party.link.open(&name, &[], &Raw(&[7; 33]))?;
        while target.goes_on() {
            party.turn()?;
        }
        Ok(())
    });
}

fn sends_noise(target: &Target) {
    target.repeat(|| {
        let mut party = Party::dial(target.address, target.key)?.shake()?;
        while target.goes_on() {
            let mut noise = [0; 1024];
            fastrand::fill(&mut noise);
            party.stream.write_all(&noise)?;
            party.turn()?;
        }
        Ok(())
    });
}

fn says_nothing(target: &Target) {
    target.repeat(|| {
        let streams: Vec<TcpStream> = (0..100)
            .map(|_| TcpStream::connect(target.address))
            .collect::<Result<_, _>>()?;
        while target.goes_on() {
            thread::sleep(Duration::from_millis(20));
        }
        drop(streams);
        Ok(())
    });
}

/// A node of no tree.
fn made_up(index: NodeIndex) -> Node {
    Node {
        index,
        hash: Hash([9; 32]),
        size: ByteLength::new(1024),
    }
}

/// A block with a path that leads nowhere.
fn wrong(id: RequestId, index: u64) -> Message {
    let nodes = vec![made_up(NodeIndex::new(2 * (index ^ 1)))];
    Message::Data(Data {
        id,
        proof: Proof {
            block: Some(BlockProof {
                index: BlockIndex::new(index),
                value: Bytes::from_static(&[7; 1024]),
                nodes,
            }),
            ..Proof::default()
        },
    })
}

/// What a server does to those who fetch from it.
#[derive(Clone, Copy)]
pub(super) enum Deceit {
    /// Answers with blocks that were never in the log.
    Wrong,
    /// Never answers.
    Silent,
    /// Refuses everything.
    Refuses,
    /// Proves a length with a signature that it made up.
    Forges,
    /// Says that it has more, hears what others have, and never answers.
    Boasts,
    /// Takes connections, and says nothing.
    Mute,
}

/// All that servers do, by what it is.
pub(super) const ON_READERS: [(&str, Deceit); 6] = [
    ("answers with blocks that never were", Deceit::Wrong),
    ("says that it has all, and never answers", Deceit::Silent),
    ("says that it has all, and refuses", Deceit::Refuses),
    ("makes up a longer log and its signature", Deceit::Forges),
    ("says that it has more, and never gives it", Deceit::Boasts),
    ("takes connections, and says nothing", Deceit::Mute),
];

/// Serves lies to whoever connects.
pub(super) fn deceive(listener: &TcpListener, target: &Target, deceit: Deceit) {
    listener.set_nonblocking(true).ok();
    thread::scope(|scope| {
        while target.goes_on() {
            match listener.accept() {
                Ok((stream, _)) => {
                    scope.spawn(move || {
                        stream.set_nonblocking(false).ok();
                        if lie(stream, target, deceit).is_err() {
                            target.dropped.fetch_add(1, Ordering::Relaxed);
                        }
                    });
                }
                Err(_) => rest(),
            }
        }
    });
}

fn lie(stream: TcpStream, target: &Target, deceit: Deceit) -> anyhow::Result<()> {
    if matches!(deceit, Deceit::Mute) {
        while target.goes_on() {
            thread::sleep(Duration::from_millis(20));
        }
        return Ok(());
    }
    let mut party = Party::over(stream, target.key, Side::Responder)?.meet()?;
    let length = match deceit {
        Deceit::Forges | Deceit::Boasts => target.length + 1_000,
        _ => target.length,
    };
    party.say(&sync(length, false))?;
    party.say(&Message::Range(Range {
        drop: false,
        start: 0,
        length,
    }))?;
    while target.goes_on() {
        for message in party.turn()? {
            if let (Message::Sync(theirs), Deceit::Boasts) = (&message, deceit) {
                party.say(&heard(length, theirs.length))?;
            }
            let Message::Request(request) = message else {
                continue;
            };
            if let Some(answer) = answer(&request, deceit, length) {
                party.say(&answer)?;
            }
        }
    }
    Ok(())
}

fn answer(request: &Request, deceit: Deceit, length: u64) -> Option<Message> {
    let id = request.id;
    match deceit {
        Deceit::Silent | Deceit::Boasts | Deceit::Mute => None,
        Deceit::Refuses => Some(Message::NoData(NoData {
            id,
            reason: NoDataReason::NotAvailable,
        })),
        Deceit::Wrong if request.want.upgrade.is_none() => {
            Some(wrong(id, request.want.block?.index.get()))
        }
        Deceit::Wrong | Deceit::Forges => Some(Message::Data(Data {
            id,
            proof: Proof {
                upgrade: Some(UpgradeProof {
                    start: request.want.upgrade?.start,
                    length: Length::new(length - request.want.upgrade?.start.get()),
                    nodes: vec![made_up(NodeIndex::new(0))],
                    additional_nodes: Vec::new(),
                    signature: Bytes::from_static(&[5; 68]),
                }),
                ..Proof::default()
            },
        })),
    }
}
