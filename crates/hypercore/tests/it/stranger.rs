//! The other end of a connection, without anything behind it: a link driven by hand.

use futures_lite::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use hc_protocol::capability::{ALIAS, ReplicationHandshake, channel_name};
use hc_protocol::link::{Event, Link, LinkOptions};
use hc_protocol::message::{Message, MessageKind};
use hc_protocol::mux::{self, ChannelId};
use hc_protocol::noise::{KeyPair, Keys, Seed};
use hc_protocol::secret_stream::StreamHeader;
use hc_protocol::{HandshakeHash, Side, Time};
use hypercore::CoreKey;

pub(crate) struct Stranger<S> {
    stream: S,
    pub(crate) link: Link,
    ended: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Stranger<S> {
    pub(crate) fn new(stream: S) -> Self {
        let keys = Keys {
            local: KeyPair::from_seed(&Seed::new([1; 32])),
            ephemeral: Seed::new([2; 32]),
        };
        let header = StreamHeader([3; 24]);
        let link = Link::initiator(keys, header, LinkOptions::default(), Time::ZERO);
        Self {
            stream,
            link,
            ended: false,
        }
    }

    pub(crate) async fn flush(&mut self) {
        while let Some(bytes) = self.link.poll_transmit(Time::ZERO) {
            self.stream.write_all(&bytes).await.ok();
        }
    }

    /// What happens next; `None` once the other side has hung up.
    pub(crate) async fn event(&mut self) -> Option<Event> {
        while !self.ended {
            if let Some(event) = self.link.poll_event().unwrap() {
                self.ended = event == Event::Ended;
                return Some(event).filter(|_| !self.ended);
            }
            self.flush().await;
            let mut buffer = [0; 4096];
            match self.stream.read(&mut buffer).await.unwrap_or(0) {
                0 => self.link.receive_end(),
                count => self.link.receive(Time::ZERO, &buffer[..count]),
            }
        }
        None
    }

    /// The next message of replication, whatever else happens; `None` once the other side has hung up.
    pub(crate) async fn message(&mut self) -> Option<Message> {
        loop {
            if let Event::Channel(mux::Event::Message { kind, payload, .. }) = self.event().await? {
                let kind = MessageKind::from_type(kind).unwrap();
                return Some(Message::decode(kind, &payload).unwrap());
            }
        }
    }

    pub(crate) async fn handshake(&mut self) -> HandshakeHash {
        match self.event().await {
            Some(Event::Handshaken { hash, .. }) => hash,
            event => panic!("{event:?} instead of a handshake"),
        }
    }

    /// Opens the channel of a log, with the capability of a key: its own or another.
    pub(crate) async fn open(&mut self, log: CoreKey, key: CoreKey) -> ChannelId {
        let hash = self.handshake().await;
        let handshake = ReplicationHandshake::new(Side::Initiator, &key, &hash);
        let name = channel_name(&log.discovery_key());
        let channel = self.link.open(&name, &[ALIAS], &handshake).unwrap();
        self.flush().await;
        channel
    }

    /// Says something on a channel.
    pub(crate) fn say(&mut self, channel: ChannelId, message: &Message) {
        let kind = message.kind().message_type();
        self.link.send(channel, kind, message).unwrap();
    }
}
