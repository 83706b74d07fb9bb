//! The messages of channel 0, which open, reject and close all others. Knows no state.

use alloc::string::String;

use bytes::{Buf, Bytes};
use hc_encoding::{DecodeError, Encode, Reader, Writer, uint_len};

use super::limits::{MAX_HANDSHAKE_LEN, MAX_ID_LEN, MAX_PROTOCOL_LEN};
use super::{MuxError, Name};

/// Types of the messages of channel 0.
pub(super) const BATCH: u64 = 0;
pub(super) const OPEN: u64 = 1;
pub(super) const REJECT: u64 = 2;
pub(super) const CLOSE: u64 = 3;

/// A message of channel 0, but for batches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Control {
    /// The remote opens its channel `number`.
    Open {
        number: u64,
        name: Name,
        handshake: Bytes,
    },
    /// The remote does not want our channel `number`.
    Reject { number: u64 },
    /// The remote closes its channel `number`.
    Close { number: u64 },
}

impl Control {
    /// Reads the body of a control message; `None` for types that have no meaning (yet).
    pub(super) fn decode(kind: u64, mut body: Bytes) -> Result<Option<Self>, MuxError> {
        Ok(match kind {
            OPEN => Some(Self::decode_open(body)?),
            REJECT => Some(Self::Reject {
                number: take_uint(&mut body)?,
            }),
            CLOSE => Some(Self::Close {
                number: take_uint(&mut body)?,
            }),
            _ => None,
        })
    }

    fn decode_open(mut body: Bytes) -> Result<Self, MuxError> {
        let mut reader = Reader::new(&body);
        let number = reader.uint()?;
        let protocol = reader.buffer()?;
        let id = reader.buffer()?;
        if protocol.len() > MAX_PROTOCOL_LEN || id.len() > MAX_ID_LEN {
            return Err(MuxError::NameTooLong {
                protocol: protocol.len(),
                id: id.len(),
            });
        }
        // Text that is not UTF-8 names no protocol; the reference reads it like this as well.
        let name = Name::new(
            String::from_utf8_lossy(protocol),
            Bytes::copy_from_slice(id),
        );
        let read = reader.position();
        body.advance(read);
        if body.len() > MAX_HANDSHAKE_LEN {
            return Err(MuxError::HandshakeTooLong { len: body.len() });
        }
        Ok(Self::Open {
            number,
            name,
            handshake: body,
        })
    }
}

/// Takes a variable-length integer off the front.
pub(super) fn take_uint(bytes: &mut Bytes) -> Result<u64, DecodeError> {
    let mut reader = Reader::new(bytes);
    let value = reader.uint()?;
    let read = reader.position();
    bytes.advance(read);
    Ok(value)
}

/// The body of an open message.
pub(super) struct Open<'a, H: ?Sized> {
    pub(super) number: u64,
    pub(super) name: &'a Name,
    pub(super) handshake: &'a H,
}

impl<H: Encode + ?Sized> Encode for Open<'_, H> {
    fn encoded_len(&self) -> usize {
        let buffer_len = |len: usize| uint_len(len as u64) + len;
        uint_len(self.number)
            + buffer_len(self.name.protocol().len())
            + buffer_len(self.name.id().len())
            + self.handshake.encoded_len()
    }

    fn encode(&self, writer: &mut Writer<'_>) {
        writer.uint(self.number);
        writer.buffer(self.name.protocol().as_bytes());
        writer.buffer(self.name.id());
        self.handshake.encode(writer);
    }
}
