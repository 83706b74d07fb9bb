//! The layouts of request, and of what takes it back or refuses it.

use hc_encoding::{Decode, DecodeError, Encode, Reader, Writer, uint_len};
use hc_merkle::Fork;
use hc_merkle::proof::{BlockRequest, HashRequest, Request as Parts, SeekRequest, UpgradeRequest};

use super::{Cancel, NoData, NoDataReason, Request, RequestId};

/// Which parts a request or an answer has.
pub(super) const BLOCK: u64 = 1;
pub(super) const HASH: u64 = 2;
pub(super) const SEEK: u64 = 4;
pub(super) const UPGRADE: u64 = 8;
pub(super) const MANIFEST: u64 = 16;
/// A request has a priority other than 0.
const PRIORITY: u64 = 32;
/// A refusal gives a reason.
const REASON: u64 = 1;

impl Encode for RequestId {
    fn encoded_len(&self) -> usize {
        uint_len(self.0)
    }

    fn encode(&self, writer: &mut Writer<'_>) {
        writer.uint(self.0);
    }
}

impl<'a> Decode<'a> for RequestId {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.uint().map(Self)
    }
}

impl Encode for Request {
    fn encoded_len(&self) -> usize {
        let Parts {
            block,
            hash,
            seek,
            upgrade,
            manifest: _,
        } = &self.want;
        let priority = if self.priority == 0 {
            0
        } else {
            uint_len(self.priority)
        };
        1 + self.id.encoded_len()
            + self.fork.encoded_len()
            + part_len(block)
            + part_len(hash)
            + part_len(seek)
            + part_len(upgrade)
            + priority
    }

    fn encode(&self, writer: &mut Writer<'_>) {
        let Parts {
            block,
            hash,
            seek,
            upgrade,
            manifest,
        } = &self.want;
        writer.uint(
            flag(block.is_some(), BLOCK)
                | flag(hash.is_some(), HASH)
                | flag(seek.is_some(), SEEK)
                | flag(upgrade.is_some(), UPGRADE)
                | flag(*manifest, MANIFEST)
                | flag(self.priority != 0, PRIORITY),
        );
        self.id.encode(writer);
        self.fork.encode(writer);
        encode_part(block, writer);
        encode_part(hash, writer);
        encode_part(seek, writer);
        encode_part(upgrade, writer);
        if self.priority != 0 {
            writer.uint(self.priority);
        }
    }
}

impl<'a> Decode<'a> for Request {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let flags = reader.uint()?;
        Ok(Self {
            id: RequestId::decode(reader)?,
            fork: Fork::decode(reader)?,
            want: Parts {
                block: decode_part::<BlockRequest>(flags & BLOCK, reader)?,
                hash: decode_part::<HashRequest>(flags & HASH, reader)?,
                seek: decode_part::<SeekRequest>(flags & SEEK, reader)?,
                upgrade: decode_part::<UpgradeRequest>(flags & UPGRADE, reader)?,
                manifest: flags & MANIFEST != 0,
            },
            priority: if flags & PRIORITY == 0 {
                0
            } else {
                reader.uint()?
            },
        })
    }
}

impl Encode for Cancel {
    fn encoded_len(&self) -> usize {
        self.id.encoded_len()
    }

    fn encode(&self, writer: &mut Writer<'_>) {
        self.id.encode(writer);
    }
}

impl<'a> Decode<'a> for Cancel {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self {
            id: RequestId::decode(reader)?,
        })
    }
}

impl Encode for NoData {
    fn encoded_len(&self) -> usize {
        let reason = u64::from(self.reason);
        self.id.encoded_len() + 1 + if reason == 0 { 0 } else { uint_len(reason) }
    }

    fn encode(&self, writer: &mut Writer<'_>) {
        let reason = u64::from(self.reason);
        self.id.encode(writer);
        writer.uint(flag(reason != 0, REASON));
        if reason != 0 {
            writer.uint(reason);
        }
    }
}

/// Version 10 of the reference writes the number of the request alone.
impl<'a> Decode<'a> for NoData {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let id = RequestId::decode(reader)?;
        let flags = if reader.is_empty() { 0 } else { reader.uint()? };
        let reason = if flags & REASON == 0 {
            0
        } else {
            reader.uint()?
        };
        Ok(Self {
            id,
            reason: reason.into(),
        })
    }
}

impl From<NoDataReason> for u64 {
    fn from(reason: NoDataReason) -> Self {
        match reason {
            NoDataReason::Unspecified => 0,
            NoDataReason::NotAvailable => 1,
            NoDataReason::Invalid => 2,
            NoDataReason::Other(other) => other,
        }
    }
}

impl From<u64> for NoDataReason {
    fn from(reason: u64) -> Self {
        match reason {
            0 => Self::Unspecified,
            1 => Self::NotAvailable,
            2 => Self::Invalid,
            other => Self::Other(other),
        }
    }
}

pub(super) fn flag(set: bool, bit: u64) -> u64 {
    if set { bit } else { 0 }
}

pub(super) fn part_len<T: Encode>(part: &Option<T>) -> usize {
    part.as_ref().map_or(0, Encode::encoded_len)
}

pub(super) fn encode_part<T: Encode>(part: &Option<T>, writer: &mut Writer<'_>) {
    if let Some(part) = part {
        part.encode(writer);
    }
}

pub(super) fn decode_part<'a, T: Decode<'a>>(
    present: u64,
    reader: &mut Reader<'a>,
) -> Result<Option<T>, DecodeError> {
    if present == 0 {
        Ok(None)
    } else {
        T::decode(reader).map(Some)
    }
}
