//! Internet addresses.

use core::net::{Ipv4Addr, SocketAddrV4};

use crate::{Decode, DecodeError, Encode, Reader, Writer};

/// `ipv4` of the reference: four bytes.
impl Encode for Ipv4Addr {
    fn encoded_len(&self) -> usize {
        4
    }

    fn encode(&self, writer: &mut Writer<'_>) {
        writer.raw(&self.octets());
    }
}

impl<'a> Decode<'a> for Ipv4Addr {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.array::<4>().map(Self::from)
    }
}

/// `ipv4Address` of the reference: the address, then the port, low byte first.
impl Encode for SocketAddrV4 {
    fn encoded_len(&self) -> usize {
        6
    }

    fn encode(&self, writer: &mut Writer<'_>) {
        self.ip().encode(writer);
        writer.raw(&self.port().to_le_bytes());
    }
}

impl<'a> Decode<'a> for SocketAddrV4 {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let ip = Ipv4Addr::decode(reader)?;
        Ok(Self::new(ip, u16::from_le_bytes(reader.array()?)))
    }
}
