//! One connection of an attacker: TCP and the protocol, without a log behind it.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, bail};
use hc_merkle::{CoreKey, Head, Length};
use hc_protocol::capability::{ALIAS, ReplicationHandshake, channel_name};
use hc_protocol::link::{Event, Link, LinkOptions};
use hc_protocol::message::{Message, MessageKind, Sync};
use hc_protocol::mux::{self, ChannelId};
use hc_protocol::noise::{KeyPair, Keys, Seed};
use hc_protocol::secret_stream::StreamHeader;
use hc_protocol::{Side, Time};

/// An attacker's end of a connection.
pub(super) struct Party {
    pub(super) stream: TcpStream,
    pub(super) link: Link,
    side: Side,
    key: CoreKey,
    channel: Option<ChannelId>,
    open: bool,
}

impl Party {
    /// Connects, and does no more.
    pub(super) fn dial(address: SocketAddr, key: CoreKey) -> anyhow::Result<Self> {
        Self::over(TcpStream::connect(address)?, key, Side::Initiator)
    }

    /// On a stream that somebody else has opened.
    pub(super) fn over(stream: TcpStream, key: CoreKey, side: Side) -> anyhow::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_millis(1)))?;
        stream.set_write_timeout(Some(Duration::from_millis(20)))?;
        let random = || {
            let mut bytes = [0; 32];
            fastrand::fill(&mut bytes);
            bytes
        };
        let keys = Keys {
            local: KeyPair::from_seed(&Seed::new(random())),
            ephemeral: Seed::new(random()),
        };
        let mut header = [0; 24];
        fastrand::fill(&mut header);
        let (header, options) = (StreamHeader(header), LinkOptions::default());
        let link = match side {
            Side::Initiator => Link::initiator(keys, header, options, Time::ZERO),
            Side::Responder => Link::responder(keys, header, options, Time::ZERO),
        };
        Ok(Self {
            stream,
            link,
            side,
            key,
            channel: None,
            open: false,
        })
    }

    /// Goes on until the channel of the log is open on both sides.
    pub(super) fn meet(mut self) -> anyhow::Result<Self> {
        for _ in 0..5_000 {
            self.turn()?;
            if self.open {
                return Ok(self);
            }
        }
        bail!("the other side does not open the channel")
    }

    /// Goes on until the handshake is done.
    pub(super) fn shake(mut self) -> anyhow::Result<Self> {
        for _ in 0..5_000 {
            self.turn()?;
            if self.link.handshake_hash().is_some() {
                return Ok(self);
            }
        }
        bail!("the other side does not shake hands")
    }

    /// Writes what there is, reads what has come, and gives what was said.
    pub(super) fn turn(&mut self) -> anyhow::Result<Vec<Message>> {
        self.flush()?;
        let mut buffer = [0; 64 * 1024];
        match self.stream.read(&mut buffer) {
            Ok(0) => bail!("hung up on"),
            Ok(count) => self.link.receive(Time::ZERO, &buffer[..count]),
            Err(error) if waits(&error) => {}
            Err(error) => return Err(error.into()),
        }
        let said = self.events()?;
        self.flush()?;
        Ok(said)
    }

    fn events(&mut self) -> anyhow::Result<Vec<Message>> {
        let mut said = Vec::new();
        while let Some(event) = self.link.poll_event()? {
            match event {
                Event::Handshaken { hash, .. } => {
                    let handshake = ReplicationHandshake::new(self.side, &self.key, &hash);
                    let name = channel_name(&self.key.discovery_key());
                    self.channel = Some(self.link.open(&name, &[ALIAS], &handshake)?);
                }
                Event::Channel(mux::Event::Opened { .. }) => self.open = true,
                Event::Channel(mux::Event::Message { kind, payload, .. }) => {
                    let kind = MessageKind::from_type(kind);
                    said.extend(kind.and_then(|kind| Message::decode(kind, &payload).ok()));
                }
                Event::Ended => bail!("hung up on"),
                Event::Channel(_) => {}
            }
        }
        Ok(said)
    }

    /// Puts a message into the outbox.
    pub(super) fn say(&mut self, message: &Message) -> anyhow::Result<()> {
        let channel = self.channel.context("no channel yet")?;
        self.link
            .send(channel, message.kind().message_type(), message)?;
        Ok(())
    }

    /// Writes what is in the outbox, for as long as the other side takes it.
    pub(super) fn flush(&mut self) -> anyhow::Result<()> {
        while let Some(bytes) = self.link.poll_transmit(Time::ZERO) {
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                match self.stream.write(rest) {
                    Ok(0) => bail!("hung up on"),
                    Ok(count) => rest = &rest[count..],
                    Err(error) if waits(&error) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(())
    }
}

fn waits(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

/// What a peer says of itself that has a log of this length, or wants one.
pub(super) fn sync(length: u64, downloading: bool) -> Message {
    Message::Sync(Sync {
        fork: Head::empty().fork(),
        length: Length::new(length),
        remote_length: Length::ZERO,
        can_upgrade: length > 0,
        uploading: true,
        downloading,
        has_manifest: length > 0,
        allow_push: false,
    })
}

/// The same, of a peer that has heard how long the log of the other is.
pub(super) fn heard(length: u64, remote_length: Length) -> Message {
    let mut message = sync(length, false);
    if let Message::Sync(sync) = &mut message {
        sync.remote_length = remote_length;
    }
    message
}
