//! Many channels over one stream of frames, as one machine without I/O.
//!
//! Owns the numbering of channels, their opening and closing, and batches. Knows nothing of what is
//! said on a channel, nor of how frames are encrypted and carried: a [`Mux`] can be used over any
//! stream of frames that somebody else keeps confidential and whole.
//!
//! The contract: give a frame to [`Mux::handle`], call [`Mux::poll`] until it returns `None`, and
//! send what [`Mux::poll_frame`] returns until it returns `None` as well. Commands ([`Mux::open`],
//! [`Mux::send`], …) may be given at any time, and between two polls too.

mod channel;
mod control;
mod inbox;
pub mod limits;
mod name;
mod outbox;

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use bytes::Bytes;
use hc_encoding::{DecodeError, Encode};
use thiserror::Error;

use crate::Fault;
use channel::{Accepted, Channels, Delivery, RemoteClose};
use control::{CLOSE, Control, OPEN, Open, REJECT};
pub use hc_encoding::Raw;
use inbox::{Inbox, Item};
use limits::{MAX_BUFFERED, MAX_HANDSHAKE_LEN, MAX_ID_LEN, MAX_PROTOCOL_LEN};
pub use name::Name;
use outbox::Outbox;
pub use outbox::Room;

/// A channel that was opened here. Never used again, unlike its number on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChannelId {
    /// Our number for it, from 1.
    number: u32,
    serial: u64,
}

/// A channel that the remote has opened and that waits to be opened or rejected here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RemoteOpen {
    /// The remote's number for it, from 1.
    number: u32,
    serial: u64,
}

/// What a message on a channel is: its place in the list of messages of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageType(pub u64);

/// What a frame said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The remote has opened a channel that is not open here. Answer with [`Mux::open`] under this
    /// name (or with it as an alias), or with [`Mux::reject`]; at most
    /// [`MAX_PENDING_OPENS`](limits::MAX_PENDING_OPENS) may be waiting for an answer.
    Requested {
        /// What to reject it by.
        request: RemoteOpen,
        /// The name that the remote opened it under.
        name: Name,
    },
    /// Both sides have opened the channel.
    Opened {
        /// Which.
        channel: ChannelId,
        /// What the remote sent along.
        handshake: Bytes,
    },
    /// A message on a channel that is open on both sides.
    Message {
        /// Which channel.
        channel: ChannelId,
        /// What it is. Types that the protocol does not have are to be ignored.
        kind: MessageType,
        /// Its bytes; shares the memory of the frame.
        payload: Bytes,
    },
    /// The remote has closed the channel, or does not want it.
    Closed {
        /// Which.
        channel: ChannelId,
        /// Which of the two.
        reason: Closed,
    },
}

/// Why a channel is closed without our doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closed {
    /// The remote had opened it and has closed it.
    ByRemote,
    /// The remote does not want it.
    Rejected,
}

/// What a remote did that no peer does: the connection is to be destroyed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum MuxError {
    /// A frame that ends too early.
    #[error("frame is malformed: {0}")]
    Malformed(#[from] DecodeError),
    /// A frame longer than any that a stream carries.
    #[error("frame of {len} bytes is too long")]
    FrameTooLong {
        /// Its bytes.
        len: usize,
    },
    /// A number that is in use, or that skips some.
    #[error("remote opened channel {number}, which is not next")]
    InvalidOpen {
        /// The number.
        number: u64,
    },
    /// A rejection of what was not being opened.
    #[error("remote rejected channel {number}, which was not being opened")]
    InvalidReject {
        /// The number.
        number: u64,
    },
    /// A name longer than [`MAX_PROTOCOL_LEN`] and [`MAX_ID_LEN`] allow.
    #[error("channel name is too long: {protocol} bytes of protocol, {id} bytes of id")]
    NameTooLong {
        /// Bytes in the protocol.
        protocol: usize,
        /// Bytes in the id.
        id: usize,
    },
    /// More than [`MAX_HANDSHAKE_LEN`] bytes of handshake.
    #[error("channel handshake of {len} bytes is too long")]
    HandshakeTooLong {
        /// Its bytes.
        len: usize,
    },
    /// Batches nested deeper than [`MAX_BATCH_DEPTH`](limits::MAX_BATCH_DEPTH).
    #[error("batches are nested too deep")]
    BatchTooDeep,
    /// More than [`MAX_CHANNELS`](limits::MAX_CHANNELS).
    #[error("remote opened too many channels")]
    TooManyChannels,
    /// More than [`MAX_PENDING_OPENS`](limits::MAX_PENDING_OPENS).
    #[error("remote opened too many channels that were not answered yet")]
    TooManyPending,
    /// More than [`MAX_HELD`](limits::MAX_HELD) bytes for channels that are not open here.
    #[error("remote sent too much before its channels were answered")]
    TooMuchHeld,
}

impl MuxError {
    /// What the remote can be blamed for.
    #[must_use]
    pub const fn fault(&self) -> Fault {
        match self {
            Self::Malformed(_) | Self::InvalidOpen { .. } | Self::InvalidReject { .. } => {
                Fault::Malformed
            }
            Self::FrameTooLong { .. }
            | Self::NameTooLong { .. }
            | Self::HandshakeTooLong { .. }
            | Self::BatchTooDeep
            | Self::TooManyChannels
            | Self::TooManyPending
            | Self::TooMuchHeld => Fault::OverLimit,
        }
    }
}

/// Why a channel was not opened. Nothing has been sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// One of this name is open.
    #[error("channel is already open")]
    AlreadyOpen,
    /// More than [`MAX_CHANNELS`](limits::MAX_CHANNELS).
    #[error("too many channels are open")]
    TooManyChannels,
    /// Longer than [`MAX_PROTOCOL_LEN`], [`MAX_ID_LEN`] or [`MAX_HANDSHAKE_LEN`].
    #[error("channel name or handshake is too long")]
    TooLong,
}

/// Why a message was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SendError {
    /// The channel has been closed, by either side.
    #[error("channel is closed")]
    Closed,
    /// More than [`MAX_MESSAGE`](limits::MAX_MESSAGE) bytes.
    #[error("message of {len} bytes is too long")]
    TooLong {
        /// Its bytes, with its type.
        len: usize,
    },
}

/// Many channels over one stream of frames.
#[derive(Debug)]
pub struct Mux {
    channels: Channels,
    inbox: Inbox,
    outbox: Outbox,
    /// Events that follow from a command, before all that lies in the inbox.
    ready: VecDeque<Event>,
    fault: Option<MuxError>,
}

impl Default for Mux {
    fn default() -> Self {
        Self::new(Room::default())
    }
}

impl Mux {
    /// A mux without channels whose frames leave this room around them.
    #[must_use]
    pub fn new(room: Room) -> Self {
        Self {
            channels: Channels::default(),
            inbox: Inbox::default(),
            outbox: Outbox::new(room),
            ready: VecDeque::new(),
            fault: None,
        }
    }

    /// Takes in one frame. What it says is then to be had from [`poll`](Self::poll).
    ///
    /// The frame is read while it is polled, and messages share its memory. While
    /// [`is_paused`](Self::is_paused), frames are kept as they are: read no more of them from the
    /// connection.
    pub fn handle(&mut self, frame: Bytes) {
        if let Err(fault) = self.inbox.push(frame) {
            self.fault.get_or_insert(fault);
        }
    }

    /// The next thing that was said; `None` where a further frame is needed, or while paused and
    /// nothing can be told.
    ///
    /// # Errors
    /// [`MuxError`] where the remote broke the rules; so does every later poll.
    pub fn poll(&mut self) -> Result<Option<Event>, MuxError> {
        loop {
            if let Some(fault) = self.fault {
                return Err(fault);
            }
            while let Some(event) = self.ready.pop_front() {
                // The channel may have been closed since.
                if event
                    .channel()
                    .is_none_or(|channel| self.channels.is_alive(channel))
                {
                    return Ok(Some(event));
                }
            }
            let event = match self.inbox.next(!self.is_paused()) {
                Ok(None) => return Ok(None),
                Ok(Some(item)) => self.take_in(item),
                Err(fault) => Err(fault),
            };
            match event {
                Ok(None) => {}
                Ok(Some(event)) => return Ok(Some(event)),
                Err(fault) => self.fault = Some(fault),
            }
        }
    }

    /// The next frame to be sent, with the [`Room`] that was asked for.
    pub fn poll_frame(&mut self) -> Option<Vec<u8>> {
        self.outbox.pop()
    }

    /// Bytes in frames that wait to be sent, and in the batch that is being gathered.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.outbox.queued()
    }

    /// Whether so much waits for channels that are not open here that no further frame is begun:
    /// open or reject them first.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.channels.buffered() > MAX_BUFFERED
    }

    /// Whether [`poll`](Self::poll) has returned all that the frames so far say.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.ready.is_empty() && self.inbox.is_empty()
    }

    /// Opens a channel, unless one of this name is open; or answers the oldest request of the remote
    /// for one, after which [`poll`](Self::poll) returns [`Event::Opened`] and the messages that
    /// came with it.
    ///
    /// The aliases are other protocols that the remote may ask for it by. Messages may be sent at
    /// once.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open<H: Encode + ?Sized>(
        &mut self,
        name: &Name,
        aliases: &[&str],
        handshake: &H,
    ) -> Result<ChannelId, OpenError> {
        if self.channels.is_open(name) {
            return Err(OpenError::AlreadyOpen);
        }
        self.open_another(name, aliases, handshake)
    }

    /// As [`open`](Self::open), also where one of this name is open. Both sides' channels of one name
    /// are matched in the order in which they were opened.
    ///
    /// # Errors
    /// [`OpenError`], never [`OpenError::AlreadyOpen`].
    pub fn open_another<H: Encode + ?Sized>(
        &mut self,
        name: &Name,
        aliases: &[&str],
        handshake: &H,
    ) -> Result<ChannelId, OpenError> {
        let too_long = name.protocol().len() > MAX_PROTOCOL_LEN
            || name.id().len() > MAX_ID_LEN
            || handshake.encoded_len() > MAX_HANDSHAKE_LEN;
        if too_long {
            return Err(OpenError::TooLong);
        }
        let aliases: Vec<Name> = aliases.iter().map(|alias| name.alias(*alias)).collect();
        let opened = self.channels.open(name, &aliases)?;
        let channel = opened.channel;
        let body = Open {
            number: channel.number.into(),
            name,
            handshake,
        };
        self.outbox
            .push(0, OPEN, &body)
            .map_err(|_| OpenError::TooLong)?;
        if let Some(pending) = opened.answered {
            self.ready.push_back(Event::Opened {
                channel,
                handshake: pending.handshake,
            });
            self.ready.extend(
                pending
                    .messages
                    .into_iter()
                    .map(|(kind, payload)| Event::Message {
                        channel,
                        kind,
                        payload,
                    }),
            );
        }
        Ok(channel)
    }

    /// Refuses a channel that the remote has opened; nothing happens where it has been answered, or
    /// closed by the remote.
    pub fn reject(&mut self, request: RemoteOpen) {
        if let Some(number) = self.channels.refuse(request) {
            self.control(REJECT, number);
        }
    }

    /// Closes a channel, whether the remote has opened its side or not. What was sent before still
    /// arrives; nothing that the remote says on it is told any more. `false` where it is closed.
    pub fn close(&mut self, channel: ChannelId) -> bool {
        let closed = self.channels.close(channel);
        if closed {
            self.control(CLOSE, channel.number);
        }
        closed
    }

    /// Sends a message, whether the remote has opened its side or not: it is kept there until then.
    ///
    /// # Errors
    /// [`SendError`].
    pub fn send<M: Encode + ?Sized>(
        &mut self,
        channel: ChannelId,
        kind: MessageType,
        message: &M,
    ) -> Result<(), SendError> {
        if !self.channels.is_alive(channel) {
            return Err(SendError::Closed);
        }
        self.outbox.push(channel.number.into(), kind.0, message)
    }

    /// Gathers all that is sent from here on, of all channels, into one frame (a batch), until
    /// [`uncork`](Self::uncork) has been called as often. A batch that grows over
    /// [`MAX_BATCH`](limits::MAX_BATCH) is sent, and another begun.
    pub fn cork(&mut self) {
        self.outbox.cork();
    }

    /// Takes back one [`cork`](Self::cork), and with the last one sends the batch.
    pub fn uncork(&mut self) {
        self.outbox.uncork();
    }

    /// Whether a channel of this name, or that has it as an alias, is open or being opened here.
    #[must_use]
    pub fn is_open(&self, name: &Name) -> bool {
        self.channels.is_open(name)
    }

    /// The name of a channel that has not been closed.
    #[must_use]
    pub fn name(&self, channel: ChannelId) -> Option<&Name> {
        self.channels.name(channel)
    }

    /// All channels that have not been closed, by their number.
    pub fn channels(&self) -> impl Iterator<Item = ChannelId> {
        self.channels.iter()
    }

    fn take_in(&mut self, item: Item) -> Result<Option<Event>, MuxError> {
        match item {
            Item::Message {
                number,
                kind,
                payload,
            } => {
                let kind = MessageType(kind);
                Ok(match self.channels.deliver(number, kind, payload)? {
                    Delivery::To(channel, payload) => Some(Event::Message {
                        channel,
                        kind,
                        payload,
                    }),
                    Delivery::Held | Delivery::Ignored => None,
                })
            }
            Item::Control(Control::Open {
                number,
                name,
                handshake,
            }) => Ok(
                match self.channels.accept(number, name.clone(), handshake)? {
                    Accepted::Opened { channel, handshake } => {
                        Some(Event::Opened { channel, handshake })
                    }
                    Accepted::TooLate => None,
                    Accepted::Requested(request) => Some(Event::Requested { request, name }),
                },
            ),
            Item::Control(Control::Reject { number }) => {
                let refused = self.channels.refused(number)?;
                Ok(refused.map(|channel| Event::Closed {
                    channel,
                    reason: Closed::Rejected,
                }))
            }
            Item::Control(Control::Close { number }) => Ok(match self.channels.closed(number) {
                RemoteClose::Closed(channel) => Some(Event::Closed {
                    channel,
                    reason: Closed::ByRemote,
                }),
                RemoteClose::Withdrawn(number) => {
                    // The remote keeps the number until its open has been answered.
                    self.control(REJECT, number);
                    None
                }
                RemoteClose::Ignored => None,
            }),
        }
    }

    fn control(&mut self, kind: u64, number: u32) {
        // One small integer is never too long for a frame.
        let sent = self.outbox.push(0, kind, &u64::from(number));
        debug_assert!(sent.is_ok(), "a control message fits in a frame");
    }
}

impl Event {
    fn channel(&self) -> Option<ChannelId> {
        match self {
            Self::Requested { .. } => None,
            Self::Opened { channel, .. }
            | Self::Message { channel, .. }
            | Self::Closed { channel, .. } => Some(*channel),
        }
    }
}
