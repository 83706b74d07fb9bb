//! Parts of requests and proofs as they go over the wire, each beside nothing but its own fields:
//! which parts a message has, and its identifiers, are said by the message around them.
//!
//! Owns the layout of the parts. Values and signatures share the memory they are read from.

use alloc::vec::Vec;

use hc_encoding::{Decode, DecodeError, DecodeErrorKind, Encode, Reader, Writer, uint_len};

use super::{
    BlockProof, BlockRequest, HashProof, HashRequest, SeekProof, SeekRequest, UpgradeProof,
    UpgradeRequest,
};
use crate::limits::MAX_PART_NODES;
use crate::{BlockIndex, ByteOffset, Length, Node, NodeIndex};

/// A node takes at least this many bytes: two integers and a hash.
const MIN_NODE_LEN: usize = 34;

/// Codec of a part that is two integers.
macro_rules! pair_codec {
    ($part:ident, $first:ident, $second:ident) => {
        impl Encode for $part {
            fn encoded_len(&self) -> usize {
                self.$first.encoded_len() + self.$second.encoded_len()
            }

            fn encode(&self, writer: &mut Writer<'_>) {
                self.$first.encode(writer);
                self.$second.encode(writer);
            }
        }

        impl<'a> Decode<'a> for $part {
            fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
                Ok(Self {
                    $first: Decode::decode(reader)?,
                    $second: Decode::decode(reader)?,
                })
            }
        }
    };
}

pair_codec!(BlockRequest, index, nodes);
pair_codec!(HashRequest, index, nodes);
pair_codec!(SeekRequest, bytes, padding);
pair_codec!(UpgradeRequest, start, length);

impl Encode for BlockProof {
    fn encoded_len(&self) -> usize {
        self.index.encoded_len() + buffer_len(&self.value) + nodes_len(&self.nodes)
    }

    fn encode(&self, writer: &mut Writer<'_>) {
        self.index.encode(writer);
        writer.buffer(&self.value);
        encode_nodes(&self.nodes, writer);
    }
}

impl<'a> Decode<'a> for BlockProof {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self {
            index: BlockIndex::decode(reader)?,
            value: reader.shared()?,
            nodes: decode_nodes(reader)?,
        })
    }
}

impl Encode for HashProof {
    fn encoded_len(&self) -> usize {
        self.index.encoded_len() + nodes_len(&self.nodes)
    }

    fn encode(&self, writer: &mut Writer<'_>) {
        self.index.encode(writer);
        encode_nodes(&self.nodes, writer);
    }
}

impl<'a> Decode<'a> for HashProof {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self {
            index: NodeIndex::decode(reader)?,
            nodes: decode_nodes(reader)?,
        })
    }
}

impl Encode for SeekProof {
    fn encoded_len(&self) -> usize {
        self.bytes.encoded_len() + nodes_len(&self.nodes)
    }

    fn encode(&self, writer: &mut Writer<'_>) {
        self.bytes.encode(writer);
        encode_nodes(&self.nodes, writer);
    }
}

impl<'a> Decode<'a> for SeekProof {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self {
            bytes: ByteOffset::decode(reader)?,
            nodes: decode_nodes(reader)?,
        })
    }
}

impl Encode for UpgradeProof {
    fn encoded_len(&self) -> usize {
        self.start.encoded_len()
            + self.length.encoded_len()
            + nodes_len(&self.nodes)
            + nodes_len(&self.additional_nodes)
            + buffer_len(&self.signature)
    }

    fn encode(&self, writer: &mut Writer<'_>) {
        self.start.encode(writer);
        self.length.encode(writer);
        encode_nodes(&self.nodes, writer);
        encode_nodes(&self.additional_nodes, writer);
        writer.buffer(&self.signature);
    }
}

impl<'a> Decode<'a> for UpgradeProof {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self {
            start: Length::decode(reader)?,
            length: Length::decode(reader)?,
            nodes: decode_nodes(reader)?,
            additional_nodes: decode_nodes(reader)?,
            signature: reader.shared()?,
        })
    }
}

fn buffer_len(bytes: &[u8]) -> usize {
    uint_len(bytes.len() as u64) + bytes.len()
}

fn nodes_len(nodes: &[Node]) -> usize {
    uint_len(nodes.len() as u64) + nodes.iter().map(Encode::encoded_len).sum::<usize>()
}

fn encode_nodes(nodes: &[Node], writer: &mut Writer<'_>) {
    writer.uint(nodes.len() as u64);
    for node in nodes {
        node.encode(writer);
    }
}

fn decode_nodes(reader: &mut Reader<'_>) -> Result<Vec<Node>, DecodeError> {
    let too_long = reader.error(DecodeErrorKind::TooLong);
    let len = reader.array_len(MIN_NODE_LEN)?;
    if len > MAX_PART_NODES {
        return Err(too_long);
    }
    let mut nodes = Vec::with_capacity(len);
    for _ in 0..len {
        nodes.push(Node::decode(reader)?);
    }
    Ok(nodes)
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use bytes::Bytes;
    use hc_encoding::{decode_exact, encode_to_vec};

    use super::*;
    use crate::{ByteLength, Hash};

    fn nodes(count: usize) -> Vec<Node> {
        let node = Node {
            index: NodeIndex::new(5),
            size: ByteLength::new(300),
            hash: Hash([7; 32]),
        };
        vec![node; count]
    }

    #[test]
    fn parts_carry_the_most_nodes_and_not_one_more() {
        let full = HashProof {
            index: NodeIndex::new(1),
            nodes: nodes(MAX_PART_NODES),
        };
        assert_eq!(decode_exact(&encode_to_vec(&full)), Ok(full));

        let over = HashProof {
            index: NodeIndex::new(1),
            nodes: nodes(MAX_PART_NODES + 1),
        };
        let error = DecodeError {
            at: 1,
            kind: DecodeErrorKind::TooLong,
        };
        assert_eq!(decode_exact::<HashProof>(&encode_to_vec(&over)), Err(error));
    }

    #[test]
    fn a_declared_count_without_nodes_is_refused_before_allocation() {
        let error = DecodeError {
            at: 1,
            kind: DecodeErrorKind::Truncated,
        };
        assert_eq!(decode_exact::<HashProof>(&[1, 100, 0, 0]), Err(error));
    }

    #[test]
    fn values_and_signatures_share_the_memory_of_the_message() {
        let block = BlockProof {
            index: BlockIndex::new(3),
            value: Bytes::from_static(b"value"),
            nodes: nodes(2),
        };
        let upgrade = UpgradeProof {
            start: Length::ZERO,
            length: Length::new(9),
            nodes: nodes(1),
            additional_nodes: nodes(3),
            signature: Bytes::from_static(&[5; 64]),
        };
        let mut message = encode_to_vec(&block);
        message.extend(encode_to_vec(&upgrade));
        let message = Bytes::from(message);
        let mut reader = Reader::over(&message);
        let read = (
            BlockProof::decode(&mut reader),
            UpgradeProof::decode(&mut reader),
        );
        let within = |part: &Bytes| message.as_ptr_range().contains(&part.as_ptr());
        assert!(within(&read.0.as_ref().unwrap().value));
        assert!(within(&read.1.as_ref().unwrap().signature));
        assert_eq!(read, (Ok(block), Ok(upgrade)));
    }
}
