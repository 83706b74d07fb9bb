//! The layout of sync: flags, then three integers.

use hc_encoding::{Decode, DecodeError, Encode, Reader, Writer};
use hc_merkle::{Fork, Length};

use super::Sync;

const CAN_UPGRADE: u64 = 1;
const UPLOADING: u64 = 2;
const DOWNLOADING: u64 = 4;
const HAS_MANIFEST: u64 = 8;
const ALLOW_PUSH: u64 = 16;

impl Encode for Sync {
    fn encoded_len(&self) -> usize {
        1 + self.fork.encoded_len() + self.length.encoded_len() + self.remote_length.encoded_len()
    }

    fn encode(&self, writer: &mut Writer<'_>) {
        let flag = |set: bool, bit: u64| if set { bit } else { 0 };
        writer.uint(
            flag(self.can_upgrade, CAN_UPGRADE)
                | flag(self.uploading, UPLOADING)
                | flag(self.downloading, DOWNLOADING)
                | flag(self.has_manifest, HAS_MANIFEST)
                | flag(self.allow_push, ALLOW_PUSH),
        );
        self.fork.encode(writer);
        self.length.encode(writer);
        self.remote_length.encode(writer);
    }
}

impl<'a> Decode<'a> for Sync {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let flags = reader.uint()?;
        Ok(Self {
            fork: Fork::decode(reader)?,
            length: Length::decode(reader)?,
            remote_length: Length::decode(reader)?,
            can_upgrade: flags & CAN_UPGRADE != 0,
            uploading: flags & UPLOADING != 0,
            downloading: flags & DOWNLOADING != 0,
            has_manifest: flags & HAS_MANIFEST != 0,
            allow_push: flags & ALLOW_PUSH != 0,
        })
    }
}
