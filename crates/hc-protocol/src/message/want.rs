//! The layout of want and unwant: a window, then flags if there are any.

use hc_encoding::{Decode, DecodeError, Encode, Reader, Writer, uint_len};

use super::Want;

/// One block in the window is enough.
const ANY: u64 = 1;

impl Encode for Want {
    fn encoded_len(&self) -> usize {
        uint_len(self.start) + uint_len(self.length) + usize::from(self.any)
    }

    fn encode(&self, writer: &mut Writer<'_>) {
        writer.uint(self.start);
        writer.uint(self.length);
        if self.any {
            writer.uint(ANY);
        }
    }
}

impl<'a> Decode<'a> for Want {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let start = reader.uint()?;
        let length = reader.uint()?;
        let flags = if reader.is_empty() { 0 } else { reader.uint()? };
        Ok(Self {
            start,
            length,
            any: flags & ANY != 0,
        })
    }
}
