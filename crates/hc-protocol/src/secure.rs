//! An encrypted connection without channels, as a machine without I/O: bytes in, plain frames out, and
//! the other way round.
//!
//! Owns the handshake, the two ciphers and the frames, and the order in which they come into play. Knows
//! nothing of what is in a frame, of time, and of sockets. Most want a [`Link`](crate::Link), which is
//! one of these with channels in it.

use alloc::boxed::Box;
use alloc::vec::Vec;

use bytes::{Buf, Bytes, BytesMut};
use hc_merkle::PublicKey;
use thiserror::Error;

use crate::frame::{FrameDecoder, FrameTooLong, PREFIX_LEN, prefix};
use crate::limits::{MAX_FRAME_LEN, MAX_UNPROVEN_FRAME_LEN};
use crate::mux::Room;
use crate::noise::{Handshake, HandshakeError, Keys, Turn};
use crate::secret_stream::{
    OVERHEAD, Pull, Push, SecretStreamError, StreamHeader, StreamId, Tag, header_message,
    read_header_message,
};
use crate::{Established, Fault, HandshakeHash, Side, StreamKey};

/// What [`SecureStream::seal`] needs around the plain bytes: the length and the tag in front, the
/// authenticator behind.
pub const ROOM: Room = Room {
    before: PREFIX_LEN + 1,
    after: OVERHEAD - 1,
};

/// What came over an encrypted connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecureEvent {
    /// The handshake is done and the remote is who it says. Comes once, before all others.
    Handshaken {
        /// What the remote is known by.
        remote: PublicKey,
        /// Names the connection.
        hash: HandshakeHash,
    },
    /// The plain bytes of a frame; never empty, as empty frames only keep a connection alive. They
    /// share the memory that they were received in.
    Frame(Bytes),
    /// The remote will send no more. Comes once, after all that it has sent.
    Ended,
}

/// Why an encrypted connection failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SecureError {
    /// The handshake came to nothing.
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    /// A frame is longer than it may be.
    #[error(transparent)]
    Frame(#[from] FrameTooLong),
    /// The encrypted stream is broken.
    #[error(transparent)]
    Stream(#[from] SecretStreamError),
}

impl SecureError {
    /// What the remote can be blamed for, if it is its doing.
    #[must_use]
    pub const fn fault(&self) -> Option<Fault> {
        match self {
            Self::Handshake(error) => error.fault(),
            Self::Frame(error) => Some(error.fault()),
            Self::Stream(error) => Some(error.fault()),
        }
    }
}

/// One end of an encrypted connection.
#[derive(Debug)]
pub struct SecureStream {
    incoming: FrameDecoder,
    handshake: Option<Box<Opening>>,
    secured: Option<Box<Secured>>,
    /// Frames of the handshake, and the stream header, that have not been taken yet.
    outgoing: Vec<u8>,
    told: bool,
    end: End,
    error: Option<SecureError>,
}

/// A handshake under way, and what follows it.
#[derive(Debug)]
struct Opening {
    handshake: Handshake,
    header: StreamHeader,
}

/// What there is once both ends have keys.
#[derive(Debug)]
struct Secured {
    side: Side,
    remote: PublicKey,
    hash: HandshakeHash,
    push: Push,
    next: Next,
}

/// What the next frame of the remote is.
#[derive(Debug)]
enum Next {
    Header { key: StreamKey, expected: StreamId },
    Message(Pull),
}

/// Whether the remote will send more.
#[derive(Debug, PartialEq, Eq)]
enum End {
    Open,
    Untold,
    Told,
}

impl SecureStream {
    /// An end of a connection that begins with this handshake. Payloads are sent empty; those of the
    /// remote are ignored. `header` is fresh random bytes, never used again.
    #[must_use]
    pub fn new(handshake: Handshake, header: StreamHeader) -> Self {
        let mut stream = Self::idle();
        stream.handshake = Some(Box::new(Opening { handshake, header }));
        stream.error = stream.step_handshake(None).err();
        stream
    }

    /// An end of a connection between peers that do not know each other (Noise XX, no prologue), as
    /// the reference replicates.
    #[must_use]
    pub fn xx(side: Side, keys: Keys, header: StreamHeader) -> Self {
        Self::new(Handshake::xx(side, keys, &[]), header)
    }

    /// An end of a connection whose keys were agreed on elsewhere. There is no handshake.
    #[must_use]
    pub fn from_keys(established: &Established, header: StreamHeader) -> Self {
        let mut stream = Self::idle();
        stream.error = stream.secure(established, &header).err();
        stream
    }

    fn idle() -> Self {
        Self {
            incoming: FrameDecoder::new(),
            handshake: None,
            secured: None,
            outgoing: Vec::new(),
            told: false,
            end: End::Open,
            error: None,
        }
    }

    /// Takes in bytes as they come. They are copied once, into memory that frames then share.
    ///
    /// Beyond one frame that has not come whole, nothing is kept once [`poll`](Self::poll) has returned
    /// `None`; do not receive more before.
    pub fn receive(&mut self, bytes: &[u8]) {
        if self.error.is_some() || self.end != End::Open {
            return;
        }
        self.incoming.receive(bytes);
        // So that an answer is there to be sent, whether or not this is polled first.
        while self.secured.is_none() && self.error.is_none() {
            match self.next_frame() {
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(error) => self.error = Some(error),
            }
        }
    }

    /// Takes in that the remote will send no more.
    pub fn receive_end(&mut self) {
        if self.end == End::Open {
            self.end = End::Untold;
        }
    }

    /// What came next; `None` where more bytes are needed.
    ///
    /// # Errors
    /// [`SecureError`] where the connection has failed; so does every later poll.
    pub fn poll(&mut self) -> Result<Option<SecureEvent>, SecureError> {
        if let Some(error) = self.error {
            return Err(error);
        }
        let event = self.next_event();
        self.error = event.as_ref().err().copied();
        event
    }

    /// Takes the bytes that the handshake and the start of the stream have to send, which go before
    /// all sealed frames. There are new ones only after [`receive`](Self::receive).
    #[must_use]
    pub fn take_outgoing(&mut self) -> Vec<u8> {
        core::mem::take(&mut self.outgoing)
    }

    /// Bytes that [`take_outgoing`](Self::take_outgoing) would return.
    #[must_use]
    pub fn outgoing(&self) -> usize {
        self.outgoing.len()
    }

    /// Encrypts a frame in place. It has [`ROOM`] in front of its plain bytes, which begin at
    /// `ROOM.before`; the room behind is appended. All of it is then to be sent, in the order in which
    /// frames were sealed.
    ///
    /// # Errors
    /// [`SealError`]; the connection goes on.
    pub fn seal(&mut self, frame: &mut Vec<u8>) -> Result<(), SealError> {
        let secured = self.secured.as_mut().ok_or(SealError::NotReady)?;
        let sealed = frame.len().saturating_add(ROOM.after);
        let length = prefix(sealed.saturating_sub(PREFIX_LEN)).map_err(SealError::TooLong)?;
        frame.resize(sealed, 0);
        let (place, message) = frame.split_at_mut(PREFIX_LEN);
        place.copy_from_slice(&length);
        secured
            .push
            .push(Tag::MESSAGE, message)
            .map_err(|_| SealError::NoRoom)
    }

    /// Whether the handshake is done, so that frames can be sealed.
    #[must_use]
    pub const fn is_handshaken(&self) -> bool {
        self.secured.is_some()
    }

    /// Which end this is; `None` before the handshake is done.
    #[must_use]
    pub fn side(&self) -> Option<Side> {
        self.secured.as_ref().map(|secured| secured.side)
    }

    /// What the remote is known by; `None` before the handshake is done.
    #[must_use]
    pub fn remote(&self) -> Option<PublicKey> {
        self.secured.as_ref().map(|secured| secured.remote)
    }

    /// The hash that names the connection; `None` before the handshake is done.
    #[must_use]
    pub fn handshake_hash(&self) -> Option<HandshakeHash> {
        self.secured.as_ref().map(|secured| secured.hash)
    }

    /// Whether the remote may still send.
    pub(crate) fn is_listening(&self) -> bool {
        self.end == End::Open && self.error.is_none()
    }

    fn next_event(&mut self) -> Result<Option<SecureEvent>, SecureError> {
        loop {
            if let Some(secured) = self.secured.as_ref().filter(|_| !self.told) {
                self.told = true;
                let Secured { remote, hash, .. } = **secured;
                return Ok(Some(SecureEvent::Handshaken { remote, hash }));
            }
            match self.next_frame()? {
                None => break,
                Some(plain) if plain.is_empty() => {}
                Some(plain) => return Ok(Some(SecureEvent::Frame(plain))),
            }
        }
        if self.end == End::Untold {
            self.end = End::Told;
            return Ok(Some(SecureEvent::Ended));
        }
        Ok(None)
    }

    /// Takes the next frame, if it is there. What the handshake and the stream header say is not told.
    fn next_frame(&mut self) -> Result<Option<Bytes>, SecureError> {
        let limit = match self.secured.as_ref().map(|secured| &secured.next) {
            Some(Next::Message(_)) => MAX_FRAME_LEN,
            Some(Next::Header { .. }) | None => MAX_UNPROVEN_FRAME_LEN,
        };
        let Some(frame) = self.incoming.next_frame(limit)? else {
            return Ok(None);
        };
        match &mut self.secured {
            Some(secured) => Ok(Some(secured.take_in(frame)?)),
            None => self
                .step_handshake(Some(&frame))
                .map(|()| Some(Bytes::new())),
        }
    }

    /// Reads a message of the handshake, if there is one, then writes the next if it is our turn.
    fn step_handshake(&mut self, message: Option<&[u8]>) -> Result<(), SecureError> {
        let Some(opening) = &mut self.handshake else {
            return Err(HandshakeError::OutOfTurn.into());
        };
        if let Some(message) = message {
            opening.handshake.read(message)?;
        }
        if opening.handshake.turn() == Turn::Write {
            let mut message = Vec::new();
            opening.handshake.write(&[], &mut message)?;
            self.write_frame(&message)?;
        }
        let done = |opening: &mut Box<Opening>| opening.handshake.turn() == Turn::Done;
        if let Some(opening) = self.handshake.take_if(done) {
            let Opening { handshake, header } = *opening;
            self.secure(&handshake.finish()?, &header)?;
        }
        Ok(())
    }

    /// Begins the encrypted stream: what comes first is the stream header of each end.
    fn secure(
        &mut self,
        established: &Established,
        header: &StreamHeader,
    ) -> Result<(), SecureError> {
        let Established {
            side,
            tx,
            rx,
            hash,
            remote,
            ..
        } = established;
        self.write_frame(&header_message(&StreamId::new(*side, hash), header))?;
        self.secured = Some(Box::new(Secured {
            side: *side,
            remote: *remote,
            hash: *hash,
            push: Push::new(tx, header),
            next: Next::Header {
                key: rx.clone(),
                expected: StreamId::new(side.other(), hash),
            },
        }));
        Ok(())
    }

    fn write_frame(&mut self, message: &[u8]) -> Result<(), FrameTooLong> {
        self.outgoing.extend_from_slice(&prefix(message.len())?);
        self.outgoing.extend_from_slice(message);
        Ok(())
    }
}

/// Why a frame was not sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SealError {
    /// The handshake is not done.
    #[error("there are no keys before the handshake is done")]
    NotReady,
    /// The frame is longer than three bytes can say.
    #[error(transparent)]
    TooLong(FrameTooLong),
    /// The frame is shorter than [`ROOM`].
    #[error("frame has no room for its length and tag")]
    NoRoom,
}

impl Secured {
    /// Decrypts a frame in place. A stream header comes out empty.
    fn take_in(&mut self, mut frame: BytesMut) -> Result<Bytes, SecretStreamError> {
        match &mut self.next {
            Next::Header { key, expected } => {
                let header = read_header_message(&frame, expected)?;
                self.next = Next::Message(Pull::new(key, &header));
                Ok(Bytes::new())
            }
            Next::Message(pull) => {
                pull.pull(&mut frame)?;
                frame.advance(1);
                frame.truncate(frame.len().saturating_sub(ROOM.after));
                Ok(frame.freeze())
            }
        }
    }
}
