//! A remote that knows the key, stands between two peers, and passes on what it likes.
//!
//! Owns the lies: what of the messages that pass is changed, kept back, said twice or made up. It has
//! no signing key, so nothing that it makes up can verify.

use bytes::Bytes;
use futures_lite::{AsyncReadExt, AsyncWriteExt, future};
use hc_merkle::{BlockIndex, CoreKey, Fork, Hash, Length};
use hc_protocol::capability::{ALIAS, ReplicationHandshake, channel_name};
use hc_protocol::link::{Event, Link, LinkOptions};
use hc_protocol::message::{
    Bitfield, Data, Message, MessageKind, NoData, NoDataReason, Range, RequestId, Want,
};
use hc_protocol::mux::{self, ChannelId, Raw};
use hc_protocol::noise::{KeyPair, Keys, Seed};
use hc_protocol::secret_stream::StreamHeader;
use hc_protocol::{Side, Time};

use super::{End, Sim};

/// How often, in a hundred messages, it does each of its tricks.
#[derive(Debug, Clone, Copy, Default)]
pub struct Vices {
    /// Changes the bytes, a node, the index or the signature of an answer.
    pub corrupt: u64,
    /// Passes nothing on.
    pub withhold: u64,
    /// Refuses in the place of an answer.
    pub refuse: u64,
    /// Says that it has blocks, or a length, that nobody has.
    pub boast: u64,
    /// Says a message twice, or an old one again.
    pub replay: u64,
    /// Sends an answer to nothing.
    pub intrude: u64,
    /// Asks for a window of blocks again and again.
    pub pester: u64,
}

/// The liar between two peers.
pub struct Relay {
    sim: Sim,
    vices: Vices,
    source: Party,
    victim: Party,
    old: Option<Message>,
}

struct Party {
    stream: End,
    link: Link,
    side: Side,
    key: CoreKey,
    channel: Option<ChannelId>,
    open: bool,
    /// What is to be said once the channel is open.
    waiting: Vec<Message>,
}

/// Why a party is done with.
struct Gone;

impl Relay {
    /// Between the end of a connection whose other end accepts, and one whose other end has begun it.
    #[must_use]
    pub fn new(sim: &Sim, key: CoreKey, source: End, victim: End, vices: Vices) -> Self {
        Self {
            sim: sim.clone(),
            vices,
            source: Party::new(sim, key, source, Side::Initiator),
            victim: Party::new(sim, key, victim, Side::Responder),
            old: None,
        }
    }

    /// Relays until one of the two hangs up.
    pub async fn run(mut self) {
        while self.step().await.is_ok() {}
    }

    async fn step(&mut self) -> Result<(), Gone> {
        for message in self.source.messages()? {
            for message in self.bend(message) {
                self.victim.say(message)?;
            }
        }
        for message in self.victim.messages()? {
            self.source.say(message)?;
        }
        self.source.flush().await?;
        self.victim.flush().await?;
        let mut buffer = [0; 4096];
        let mut other = [0; 4096];
        let heard = future::or(
            async { (true, self.source.stream.read(&mut buffer).await) },
            async { (false, self.victim.stream.read(&mut other).await) },
        );
        let (from_source, count) = heard.await;
        let count = count.map_err(|_| Gone)?;
        if count == 0 {
            return Err(Gone);
        }
        let (party, bytes) = if from_source {
            (&mut self.source, &buffer)
        } else {
            (&mut self.victim, &other)
        };
        party.link.receive(Time::ZERO, &bytes[..count]);
        Ok(())
    }

    /// What the victim is told instead.
    fn bend(&mut self, message: Message) -> Vec<Message> {
        let (sim, vices) = (self.sim.clone(), self.vices);
        let answer = matches!(message, Message::Data(_));
        if answer && sim.chance(vices.withhold) {
            return Vec::new();
        }
        let mut said = Vec::new();
        match message {
            Message::Data(Data { id, .. }) if sim.chance(vices.refuse) => {
                let reason = NoDataReason::NotAvailable;
                said.push(Message::NoData(NoData { id, reason }));
            }
            Message::Data(data) if sim.chance(vices.corrupt) => {
                said.push(Message::Data(corrupt(&sim, data)));
            }
            Message::Sync(mut sync) if sim.chance(vices.boast) => {
                sync.length = Length::new(sync.length.get() + 1 + sim.below(1000));
                sync.fork = Fork::new(sync.fork.get() + sim.below(2));
                sync.can_upgrade = true;
                said.push(Message::Sync(sync));
            }
            message => {
                if answer {
                    self.old = Some(message.clone());
                }
                said.push(message);
            }
        }
        if sim.chance(vices.boast) {
            said.push(boast(&sim));
        }
        if sim.chance(vices.replay) {
            said.extend(self.old.clone());
        }
        if sim.chance(vices.intrude)
            && let Some(Message::Data(old)) = &self.old
        {
            let id = RequestId(sim.below(200));
            let proof = old.proof.clone();
            said.push(Message::Data(Data { id, proof }));
        }
        if sim.chance(vices.pester) {
            let want = Want {
                start: 0,
                length: 4096,
                any: false,
            };
            said.extend(
                [Message::Want(want), Message::Unwant(want)]
                    .into_iter()
                    .cycle()
                    .take(40),
            );
        }
        said
    }
}

/// Claims of blocks that may not be there.
fn boast(sim: &Sim) -> Message {
    if sim.chance(50) {
        Message::Range(Range {
            drop: false,
            start: 0,
            length: 1 + sim.below(2000),
        })
    } else {
        let start = 32 * sim.below(16);
        Message::Bitfield(Bitfield {
            start,
            words: vec![u32::MAX; 4],
        })
    }
}

/// An answer with one thing wrong.
fn corrupt(sim: &Sim, mut data: Data) -> Data {
    let flip = |bytes: &Bytes| {
        let mut bytes = bytes.to_vec();
        if bytes.is_empty() {
            bytes.push(1);
        } else {
            let length = u64::try_from(bytes.len()).unwrap_or(1);
            let at = usize::try_from(sim.below(length)).unwrap_or(0);
            bytes[at] ^= 1 << sim.below(8);
        }
        Bytes::from(bytes)
    };
    let proof = &mut data.proof;
    if let Some(upgrade) = proof.upgrade.as_mut().filter(|_| sim.chance(50)) {
        match sim.below(3) {
            0 => upgrade.signature = flip(&upgrade.signature),
            1 => upgrade.length = Length::new(upgrade.length.get() + 1),
            _ => upgrade.nodes.reverse(),
        }
        return data;
    }
    if let Some(block) = proof.block.as_mut() {
        match sim.below(4) {
            0 => block.index = BlockIndex::new(block.index.get() + 1),
            1 if !block.nodes.is_empty() => block.nodes[0].hash = Hash([9; 32]),
            2 if !block.nodes.is_empty() => {
                block.nodes.pop();
            }
            _ => block.value = flip(&block.value),
        }
    } else {
        proof.fork = Fork::new(proof.fork.get() + 1);
    }
    data
}

impl Party {
    fn new(sim: &Sim, key: CoreKey, stream: End, side: Side) -> Self {
        let (mut local, mut ephemeral, mut header) = ([0; 32], [0; 32], [0; 24]);
        sim.fill(&mut local);
        sim.fill(&mut ephemeral);
        sim.fill(&mut header);
        let keys = Keys {
            local: KeyPair::from_seed(&Seed::new(local)),
            ephemeral: Seed::new(ephemeral),
        };
        let header = StreamHeader(header);
        let options = LinkOptions::default();
        let link = match side {
            Side::Initiator => Link::initiator(keys, header, options, Time::ZERO),
            Side::Responder => Link::responder(keys, header, options, Time::ZERO),
        };
        Self {
            stream,
            link,
            side,
            key,
            channel: None,
            open: false,
            waiting: Vec::new(),
        }
    }

    /// What it has said on the channel of the log.
    fn messages(&mut self) -> Result<Vec<Message>, Gone> {
        let mut said = Vec::new();
        while let Some(event) = self.link.poll_event().map_err(|_| Gone)? {
            match event {
                Event::Handshaken { hash, .. } => {
                    let handshake = ReplicationHandshake::new(self.side, &self.key, &hash);
                    let name = channel_name(&self.key.discovery_key());
                    let channel = self.link.open(&name, &[ALIAS], &handshake);
                    self.channel = Some(channel.map_err(|_| Gone)?);
                }
                Event::Channel(mux::Event::Opened { .. }) => {
                    self.open = true;
                    for message in std::mem::take(&mut self.waiting) {
                        self.say(message)?;
                    }
                }
                Event::Channel(mux::Event::Message { kind, payload, .. }) => {
                    let kind = MessageKind::from_type(kind);
                    said.extend(kind.and_then(|kind| Message::decode(kind, &payload).ok()));
                }
                Event::Channel(mux::Event::Requested { request, name }) => {
                    if name.id() != channel_name(&self.key.discovery_key()).id() {
                        self.link.reject(request);
                    }
                }
                Event::Channel(mux::Event::Closed { .. }) | Event::Ended => return Err(Gone),
            }
        }
        Ok(said)
    }

    fn say(&mut self, message: Message) -> Result<(), Gone> {
        let Some(channel) = self.channel.filter(|_| self.open) else {
            self.waiting.push(message);
            return Ok(());
        };
        let kind = message.kind().message_type();
        let sent = match &message {
            // Nonsense in the place of what nobody registered.
            Message::Extension(_) => self.link.send(channel, kind, &Raw(&[0, 0])),
            message => self.link.send(channel, kind, message),
        };
        sent.map_err(|_| Gone)
    }

    async fn flush(&mut self) -> Result<(), Gone> {
        while let Some(bytes) = self.link.poll_transmit(Time::ZERO) {
            self.stream.write_all(&bytes).await.map_err(|_| Gone)?;
        }
        Ok(())
    }
}
