//! The layout of data: flags, the number of the request, and the parts of the proof.

use hc_encoding::{Decode, DecodeError, Encode, Reader, Writer};
use hc_merkle::Fork;
use hc_merkle::manifest::Manifest;
use hc_merkle::proof::{BlockProof, HashProof, Proof, SeekProof, UpgradeProof};

use super::request::{
    BLOCK, HASH, MANIFEST, SEEK, UPGRADE, decode_part, encode_part, flag, part_len,
};
use super::{Data, RequestId};

impl Encode for Data {
    fn encoded_len(&self) -> usize {
        let Proof {
            fork,
            block,
            hash,
            seek,
            upgrade,
            manifest,
        } = &self.proof;
        1 + self.id.encoded_len()
            + fork.encoded_len()
            + part_len(block)
            + part_len(hash)
            + part_len(seek)
            + part_len(upgrade)
            + part_len(manifest)
    }

    fn encode(&self, writer: &mut Writer<'_>) {
        let Proof {
            fork,
            block,
            hash,
            seek,
            upgrade,
            manifest,
        } = &self.proof;
        writer.uint(
            flag(block.is_some(), BLOCK)
                | flag(hash.is_some(), HASH)
                | flag(seek.is_some(), SEEK)
                | flag(upgrade.is_some(), UPGRADE)
                | flag(manifest.is_some(), MANIFEST),
        );
        self.id.encode(writer);
        fork.encode(writer);
        encode_part(block, writer);
        encode_part(hash, writer);
        encode_part(seek, writer);
        encode_part(upgrade, writer);
        encode_part(manifest, writer);
    }
}

impl<'a> Decode<'a> for Data {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let flags = reader.uint()?;
        Ok(Self {
            id: RequestId::decode(reader)?,
            proof: Proof {
                fork: Fork::decode(reader)?,
                block: decode_part::<BlockProof>(flags & BLOCK, reader)?,
                hash: decode_part::<HashProof>(flags & HASH, reader)?,
                seek: decode_part::<SeekProof>(flags & SEEK, reader)?,
                upgrade: decode_part::<UpgradeProof>(flags & UPGRADE, reader)?,
                manifest: decode_part::<Manifest>(flags & MANIFEST, reader)?,
            },
        })
    }
}
