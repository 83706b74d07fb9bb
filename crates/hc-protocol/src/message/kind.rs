//! The kinds of messages, their numbers on the wire, and the way from one to the other.

use bytes::Bytes;
use hc_encoding::{Decode, DecodeError, Encode, Reader, Writer};

use super::{Bitfield, Cancel, Data, Extension, Message, NoData, Range, Request, Sync, Want};
use crate::mux::MessageType;

/// What a message of a replication channel is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)] // each is described at its `Message`
pub enum MessageKind {
    Sync,
    Request,
    Cancel,
    Data,
    NoData,
    Want,
    Unwant,
    Bitfield,
    Range,
    Extension,
}

impl MessageKind {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 10] = [
        Self::Sync,
        Self::Request,
        Self::Cancel,
        Self::Data,
        Self::NoData,
        Self::Want,
        Self::Unwant,
        Self::Bitfield,
        Self::Range,
        Self::Extension,
    ];

    /// The kind with this number; `None` for what is to be ignored.
    #[must_use]
    pub fn from_type(kind: MessageType) -> Option<Self> {
        Self::ALL.get(usize::try_from(kind.0).ok()?).copied()
    }

    /// Its number on the wire.
    #[must_use]
    pub const fn message_type(self) -> MessageType {
        MessageType(self as u64)
    }
}

impl Message {
    /// What it is.
    #[must_use]
    pub const fn kind(&self) -> MessageKind {
        match self {
            Self::Sync(_) => MessageKind::Sync,
            Self::Request(_) => MessageKind::Request,
            Self::Cancel(_) => MessageKind::Cancel,
            Self::Data(_) => MessageKind::Data,
            Self::NoData(_) => MessageKind::NoData,
            Self::Want(_) => MessageKind::Want,
            Self::Unwant(_) => MessageKind::Unwant,
            Self::Bitfield(_) => MessageKind::Bitfield,
            Self::Range(_) => MessageKind::Range,
            Self::Extension(_) => MessageKind::Extension,
        }
    }

    /// Reads a message of this kind. Values in it share the memory of `payload`; bytes after it are
    /// skipped, as the reference does.
    ///
    /// # Errors
    /// [`DecodeError`] where it is cut, or over a limit of [`limits`](super::limits).
    pub fn decode(kind: MessageKind, payload: &Bytes) -> Result<Self, DecodeError> {
        let reader = &mut Reader::over(payload);
        Ok(match kind {
            MessageKind::Sync => Self::Sync(Sync::decode(reader)?),
            MessageKind::Request => Self::Request(Request::decode(reader)?),
            MessageKind::Cancel => Self::Cancel(Cancel::decode(reader)?),
            MessageKind::Data => Self::Data(Data::decode(reader)?),
            MessageKind::NoData => Self::NoData(NoData::decode(reader)?),
            MessageKind::Want => Self::Want(Want::decode(reader)?),
            MessageKind::Unwant => Self::Unwant(Want::decode(reader)?),
            MessageKind::Bitfield => Self::Bitfield(Bitfield::decode(reader)?),
            MessageKind::Range => Self::Range(Range::decode(reader)?),
            MessageKind::Extension => Self::Extension(Extension::decode(reader)?),
        })
    }

    fn body(&self) -> &dyn Encode {
        match self {
            Self::Sync(message) => message,
            Self::Request(message) => message,
            Self::Cancel(message) => message,
            Self::Data(message) => message,
            Self::NoData(message) => message,
            Self::Want(message) | Self::Unwant(message) => message,
            Self::Bitfield(message) => message,
            Self::Range(message) => message,
            Self::Extension(message) => message,
        }
    }
}

/// The payload alone; the number of the kind is written by the channel.
impl Encode for Message {
    fn encoded_len(&self) -> usize {
        self.body().encoded_len()
    }

    fn encode(&self, writer: &mut Writer<'_>) {
        self.body().encode(writer);
    }
}
