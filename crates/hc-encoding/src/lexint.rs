//! Integers whose encodings sort as they do.

use crate::{Decode, DecodeError, DecodeErrorKind, Encode, Reader, Writer};

/// An unsigned integer whose encodings compare, byte by byte, as the integers do (`lexint`).
///
/// Below 2^32 the form is exact, and that is what it is for. From there up the reference keeps the
/// leading 44 bits only; so does this, and larger integers are rounded down. (What the reference writes
/// for the first 251 integers from 2^32 up, nobody can read; these are sound here.)
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lexint(pub u64);

/// The first byte that is not the integer itself.
const BIAS: u64 = 251;
/// First byte of the form with an exponent.
const SCALED: u8 = 255;
/// Bits that the form with an exponent keeps.
const KEPT_BITS: u32 = 44;
/// Bits that an integer of exponent 0 has.
const LEAST_BITS: u32 = 33;

impl Encode for Lexint {
    fn encoded_len(&self) -> usize {
        match self.0 {
            0..BIAS => 1,
            BIAS..0x100 => 2,
            0x100..0x1_0000 => 3,
            0x1_0000..0x100_0000 => 4,
            0x100_0000..0x1_0000_0000 => 5,
            _ => 8,
        }
    }

    fn encode(&self, writer: &mut Writer<'_>) {
        let rest = self.0.saturating_sub(BIAS).to_be_bytes();
        match self.encoded_len() {
            1 => writer.raw(&self.0.to_be_bytes()[7..]),
            2 => {
                writer.u8(251);
                writer.raw(&rest[7..]);
            }
            3 => {
                writer.u8(252);
                writer.raw(&rest[6..]);
            }
            4 => {
                writer.u8(253);
                writer.raw(&rest[5..]);
            }
            5 => {
                writer.u8(254);
                writer.raw(&rest[4..]);
            }
            _ => encode_scaled(self.0 - BIAS, writer),
        }
    }
}

impl<'a> Decode<'a> for Lexint {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let start = reader.clone();
        let first = reader.u8()?;
        let len = match first {
            251..SCALED => usize::from(first) - 250,
            SCALED => return decode_scaled(reader, &start).map(Self),
            small => return Ok(Self(small.into())),
        };
        let bytes = reader.raw(len)?;
        Ok(Self(
            bytes
                .iter()
                .fold(0, |value, byte| value << 8 | u64::from(*byte))
                + BIAS,
        ))
    }
}

/// The exponent in one byte, then the leading bits in six.
fn encode_scaled(rest: u64, writer: &mut Writer<'_>) {
    // Just above 2^32 less than 33 bits can be left after the bias was taken off.
    let bits = rest
        .checked_ilog2()
        .map_or(0, |log| log + 1)
        .max(LEAST_BITS);
    let kept = if bits > KEPT_BITS {
        rest >> (bits - KEPT_BITS)
    } else {
        rest << (KEPT_BITS - bits)
    };
    writer.u8(SCALED);
    writer.raw(&(bits - LEAST_BITS).to_be_bytes()[3..]);
    writer.raw(&kept.to_be_bytes()[2..]);
}

fn decode_scaled(reader: &mut Reader<'_>, start: &Reader<'_>) -> Result<u64, DecodeError> {
    let exponent = u32::from(reader.u8()?);
    let [a, b, c, d, e, f] = reader.array()?;
    let kept = u64::from_be_bytes([0, 0, a, b, c, d, e, f]);
    let bits = exponent + LEAST_BITS;
    let rest = if bits <= KEPT_BITS {
        Some(kept >> (KEPT_BITS - bits))
    } else {
        1u64.checked_shl(bits - KEPT_BITS)
            .and_then(|scale| kept.checked_mul(scale))
    };
    rest.and_then(|rest| rest.checked_add(BIAS))
        .ok_or(start.error(DecodeErrorKind::Invalid))
}

#[cfg(test)]
mod tests {
    use super::Lexint;
    use crate::{decode_exact, encode_to_vec};

    /// Written and read by the reference.
    #[test]
    fn the_rounded_form_is_that_of_the_reference() {
        for (value, bytes, read) in [
            (4294967547_u64, "ff00080000000000", 4294967547_u64),
            (4294967548_u64, "ff00080000000800", 4294967548_u64),
            (8589934843_u64, "ff01080000000000", 8589934843_u64),
            (1099511640121_u64, "ff080800000179f0", 1099511640121_u64),
            (8796093022285_u64, "ff0a0ffffffffea4", 8796093022285_u64),
            (17592186044666_u64, "ff0b0fffffffffff", 17592186044666_u64),
            (17592186044672_u64, "ff0c080000000002", 17592186044671_u64),
            (35184372088835_u64, "ff0c0fffffffff84", 35184372088835_u64),
            (
                4503599627370497_u64,
                "ff130fffffffffff",
                4503599627370491_u64,
            ),
            (
                9007199254740991_u64,
                "ff140fffffffffff",
                9007199254740731_u64,
            ),
        ] {
            let encoded = encode_to_vec(&Lexint(value));
            assert_eq!(hex::encode(&encoded), bytes, "{value}");
            assert_eq!(decode_exact(&encoded), Ok(Lexint(read)), "{value}");
        }
    }

    /// The reference writes these with an exponent of -1, and cannot read them.
    #[test]
    fn what_the_reference_cannot_write_is_exact_and_in_order() {
        let encode = |value| encode_to_vec(&Lexint(value));
        for value in 0xffff_fffe..0x1_0000_0200 {
            assert!(encode(value) < encode(value + 1));
            assert_eq!(decode_exact(&encode(value)), Ok(Lexint(value)));
        }
    }
}
