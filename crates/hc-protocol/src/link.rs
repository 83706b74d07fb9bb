//! One whole connection as a machine without I/O: bytes in, events out; commands in, bytes out.
//!
//! Owns the handshake, the cipher, the frames, the [`Mux`] and keep-alive, and the order in which they
//! come into play. Knows nothing of sockets and clocks, nor of what is said on a channel.
//!
//! The contract: call one of [`receive`](Link::receive), [`receive_end`](Link::receive_end),
//! [`handle_timeout`](Link::handle_timeout) or a command, then [`poll_event`](Link::poll_event) until it
//! returns `None` and write what [`poll_transmit`](Link::poll_transmit) returns, both until neither has
//! anything; then wait for bytes, or for the time that [`poll_timeout`](Link::poll_timeout) says.
//!
//! Nothing is decrypted before it is polled for, and nothing encrypted: a driver that stops polling
//! events stops the remote once it also stops reading, and what waits to be written is known by
//! [`pending`](Link::pending).

use alloc::vec::Vec;
use core::time::Duration;

use bytes::Bytes;
use hc_encoding::Encode;
use hc_merkle::PublicKey;
use thiserror::Error;

use crate::mux::{
    self, ChannelId, MessageType, Mux, MuxError, Name, OpenError, RemoteOpen, SendError,
};
use crate::noise::{Handshake, Keys};
use crate::secret_stream::StreamHeader;
use crate::secure::{ROOM, SealError, SecureError, SecureEvent, SecureStream};
use crate::{Established, Fault, HandshakeHash, Side, Time};

/// Bytes that [`Link::poll_transmit`] gathers from small frames before it returns them.
pub const TRANSMIT_TARGET: usize = 64 * 1024;

/// A batch of at least this many bytes is sent although the link is corked: more in one frame saves
/// nothing, and the remote cannot read a frame before it has all of it.
pub const BATCH_TARGET: usize = 32 * 1024;

/// What a link does by itself as time passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkOptions {
    /// An empty frame is sent where nothing else was for this long. Five seconds by default, as in the
    /// reference.
    pub keep_alive: Option<Duration>,
    /// The link fails where nothing has come for this long. Never by default: a remote need not send
    /// keep-alive frames.
    pub idle_timeout: Option<Duration>,
}

impl Default for LinkOptions {
    fn default() -> Self {
        Self {
            keep_alive: Some(Duration::from_secs(5)),
            idle_timeout: None,
        }
    }
}

/// What a connection came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The handshake is done and the remote is who it says. Comes once, before all others; also on a
    /// link that started from established keys.
    Handshaken {
        /// What the remote is known by.
        remote: PublicKey,
        /// Names the connection.
        hash: HandshakeHash,
    },
    /// Something happened on a channel, or a channel was asked for.
    Channel(mux::Event),
    /// The remote will send no more. Comes once, after all that it has sent.
    Ended,
}

/// Why a connection failed. It is to be closed; nothing more is sent or told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum LinkError {
    /// The handshake or the encrypted stream is broken.
    #[error(transparent)]
    Secure(#[from] SecureError),
    /// The remote broke the rules of channels.
    #[error(transparent)]
    Mux(#[from] MuxError),
    /// Nothing has come for as long as [`LinkOptions::idle_timeout`] allows.
    #[error("nothing was received for too long")]
    IdleTimeout,
}

impl LinkError {
    /// What the remote can be blamed for, if it is its doing.
    #[must_use]
    pub const fn fault(&self) -> Option<Fault> {
        match self {
            Self::Secure(error) => error.fault(),
            Self::Mux(error) => Some(error.fault()),
            Self::IdleTimeout => None,
        }
    }
}

/// Frames over this size are returned by [`Link::poll_transmit`] as they are, not copied together with
/// others.
const LARGE_FRAME: usize = 16 * 1024;

/// One connection.
#[derive(Debug)]
pub struct Link {
    stream: SecureStream,
    mux: Mux,
    corked: u32,
    /// Bytes in the batch that is being gathered.
    batched: usize,
    options: LinkOptions,
    last_sent: Time,
    last_received: Time,
    keep_alive_due: bool,
    error: Option<LinkError>,
}

/// Making a link.
impl Link {
    /// The end that opened a connection with a peer that it does not know (Noise XX), as two logs
    /// replicate. `header` is fresh random bytes, never used again.
    #[must_use]
    pub fn initiator(keys: Keys, header: StreamHeader, options: LinkOptions, now: Time) -> Self {
        Self::over(
            SecureStream::xx(Side::Initiator, keys, header),
            options,
            now,
        )
    }

    /// The end that accepted a connection with a peer that it does not know (Noise XX).
    #[must_use]
    pub fn responder(keys: Keys, header: StreamHeader, options: LinkOptions, now: Time) -> Self {
        Self::over(
            SecureStream::xx(Side::Responder, keys, header),
            options,
            now,
        )
    }

    /// A link that begins with this handshake, of any pattern.
    #[must_use]
    pub fn with_handshake(
        handshake: Handshake,
        header: StreamHeader,
        options: LinkOptions,
        now: Time,
    ) -> Self {
        Self::over(SecureStream::new(handshake, header), options, now)
    }

    /// A link whose keys were agreed on elsewhere. There is no handshake.
    #[must_use]
    pub fn from_keys(
        established: &Established,
        header: StreamHeader,
        options: LinkOptions,
        now: Time,
    ) -> Self {
        Self::over(SecureStream::from_keys(established, header), options, now)
    }

    fn over(stream: SecureStream, options: LinkOptions, now: Time) -> Self {
        Self {
            stream,
            mux: Mux::new(ROOM),
            corked: 0,
            batched: 0,
            options,
            last_sent: now,
            last_received: now,
            keep_alive_due: false,
            error: None,
        }
    }
}

/// The transport's side: bytes in, bytes out, time.
impl Link {
    /// Takes in bytes as they come. They are copied once, into memory that messages then share, so that
    /// `bytes` can be one buffer that the driver reads into again and again.
    ///
    /// Beyond one frame that has not come whole, nothing is kept once
    /// [`poll_event`](Self::poll_event) has returned `None` and the link is not
    /// [paused](Self::is_paused); do not read further before.
    pub fn receive(&mut self, now: Time, bytes: &[u8]) {
        self.last_received = now;
        if self.error.is_none() {
            self.stream.receive(bytes);
        }
    }

    /// Takes in that the remote will send no more.
    pub fn receive_end(&mut self) {
        self.stream.receive_end();
    }

    /// The next thing that happened; `None` where more bytes are needed, or while
    /// [paused](Self::is_paused).
    ///
    /// # Errors
    /// [`LinkError`] where the connection has failed; so does every later poll.
    pub fn poll_event(&mut self) -> Result<Option<Event>, LinkError> {
        if let Some(error) = self.error {
            return Err(error);
        }
        let event = self.next_event();
        self.error = event.as_ref().err().copied();
        event
    }

    /// The next bytes to write, in order; `None` where there are none. Small frames are gathered up to
    /// [`TRANSMIT_TARGET`], so that one write takes many.
    ///
    /// Commands before the handshake is done are kept until it is.
    pub fn poll_transmit(&mut self, now: Time) -> Option<Bytes> {
        if self.error.is_some() {
            return None;
        }
        let mut gathered = self.stream.take_outgoing();
        let complete = self.gather(&mut gathered).is_ok();
        debug_assert!(complete, "the mux makes frames that can be sealed");
        if gathered.is_empty() {
            return None;
        }
        self.keep_alive_due = false;
        self.last_sent = now;
        Some(gathered.into())
    }

    /// Bytes that wait to be transmitted, before encryption adds its own: to stop answering by, while
    /// the remote does not read.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.stream.outgoing().saturating_add(self.mux.queued())
    }

    /// Whether so much waits for channels that were asked for and not answered that nothing more is
    /// read: open or reject them before reading on.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.mux.is_paused()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout), unless something happens before.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        if self.error.is_some() {
            return None;
        }
        [self.keep_alive_at(), self.idle_at()]
            .into_iter()
            .flatten()
            .min()
    }

    /// Does what is due: sends an empty frame, or fails for hearing nothing.
    pub fn handle_timeout(&mut self, now: Time) {
        if self.keep_alive_at().is_some_and(|at| at <= now) {
            self.keep_alive_due = true;
        }
        if self.error.is_none() && self.idle_at().is_some_and(|at| at <= now) {
            self.error = Some(LinkError::IdleTimeout);
        }
    }

    fn keep_alive_at(&self) -> Option<Time> {
        let keeps = self.stream.is_handshaken() && !self.keep_alive_due;
        let wait = self.options.keep_alive.filter(|_| keeps)?;
        Some(self.last_sent.after(wait))
    }

    fn idle_at(&self) -> Option<Time> {
        let wait = self
            .options
            .idle_timeout
            .filter(|_| self.stream.is_listening())?;
        Some(self.last_received.after(wait))
    }
}

/// What the link knows.
impl Link {
    /// Which end this is; `None` before the handshake is done.
    #[must_use]
    pub fn side(&self) -> Option<Side> {
        self.stream.side()
    }

    /// What the remote is known by; `None` before the handshake is done. A driver gives up where that
    /// takes too long (ten seconds are usual).
    #[must_use]
    pub fn remote(&self) -> Option<PublicKey> {
        self.stream.remote()
    }

    /// The hash that names the connection; `None` before the handshake is done.
    #[must_use]
    pub fn handshake_hash(&self) -> Option<HandshakeHash> {
        self.stream.handshake_hash()
    }

    /// The channels, to ask about.
    #[must_use]
    pub const fn mux(&self) -> &Mux {
        &self.mux
    }
}

/// Commands. None of them does anything on a link that has failed.
impl Link {
    /// Opens a channel, or answers the remote's request for one: [`Mux::open`].
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open<H: Encode + ?Sized>(
        &mut self,
        name: &Name,
        aliases: &[&str],
        handshake: &H,
    ) -> Result<ChannelId, OpenError> {
        self.mux.open(name, aliases, handshake)
    }

    /// Opens one more channel of a name: [`Mux::open_another`].
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open_another<H: Encode + ?Sized>(
        &mut self,
        name: &Name,
        aliases: &[&str],
        handshake: &H,
    ) -> Result<ChannelId, OpenError> {
        self.mux.open_another(name, aliases, handshake)
    }

    /// Refuses a channel that the remote asked for: [`Mux::reject`].
    pub fn reject(&mut self, request: RemoteOpen) {
        self.mux.reject(request);
    }

    /// Closes a channel: [`Mux::close`].
    pub fn close(&mut self, channel: ChannelId) -> bool {
        self.mux.close(channel)
    }

    /// Sends a message: [`Mux::send`].
    ///
    /// # Errors
    /// [`SendError`].
    pub fn send<M: Encode + ?Sized>(
        &mut self,
        channel: ChannelId,
        kind: MessageType,
        message: &M,
    ) -> Result<(), SendError> {
        self.mux.send(channel, kind, message)?;
        if self.corked > 0 {
            self.batched = self.batched.saturating_add(message.encoded_len());
            if self.batched >= BATCH_TARGET {
                self.batched = 0;
                self.mux.uncork();
                self.mux.cork();
            }
        }
        Ok(())
    }

    /// Gathers what is sent from here on, of all channels, into one encrypted frame, until
    /// [`uncork`](Self::uncork) has been called as often. A frame is sent whenever it has
    /// [`BATCH_TARGET`] bytes.
    ///
    /// Most of what a small message costs is the cipher's cost per frame, so a driver does well to cork
    /// while it drains a machine that makes many.
    pub fn cork(&mut self) {
        if self.corked == 0 {
            self.batched = 0;
            self.mux.cork();
        }
        self.corked = self.corked.saturating_add(1);
    }

    /// Takes back one [`cork`](Self::cork).
    pub fn uncork(&mut self) {
        if self.corked == 1 {
            self.mux.uncork();
        }
        self.corked = self.corked.saturating_sub(1);
    }
}

/// What follows.
impl Link {
    fn next_event(&mut self) -> Result<Option<Event>, LinkError> {
        loop {
            if let Some(event) = self.mux.poll()? {
                return Ok(Some(Event::Channel(event)));
            }
            if self.mux.is_paused() {
                return Ok(None);
            }
            match self.stream.poll()? {
                None => return Ok(None),
                Some(SecureEvent::Frame(frame)) => self.mux.handle(frame),
                Some(SecureEvent::Handshaken { remote, hash }) => {
                    return Ok(Some(Event::Handshaken { remote, hash }));
                }
                Some(SecureEvent::Ended) => return Ok(Some(Event::Ended)),
            }
        }
    }

    /// Encrypts frames of the mux and adds them to `gathered`, until that has enough.
    fn gather(&mut self, gathered: &mut Vec<u8>) -> Result<(), SealError> {
        if !self.stream.is_handshaken() {
            return Ok(());
        }
        while gathered.len() < TRANSMIT_TARGET {
            let Some(mut frame) = self.mux.poll_frame() else {
                break;
            };
            self.stream.seal(&mut frame)?;
            let waiting = self.mux.queued();
            if !gathered.is_empty() {
                gathered.extend_from_slice(&frame);
            } else if waiting == 0 || frame.len() > LARGE_FRAME {
                *gathered = frame;
            } else {
                gathered.reserve(frame.len().saturating_add(waiting.min(TRANSMIT_TARGET)));
                gathered.extend_from_slice(&frame);
            }
        }
        if self.keep_alive_due && gathered.is_empty() {
            gathered.resize(ROOM.before, 0);
            self.stream.seal(gathered)?;
        }
        Ok(())
    }
}
