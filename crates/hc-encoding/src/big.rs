//! Integers without a largest one, as limbs of 64 bits. Does no arithmetic beyond sign and zigzag.

use alloc::vec::Vec;

use crate::uint::uint_len;
use crate::{Decode, DecodeError, Encode, Reader, Writer};

/// An unsigned integer of any size (`biguint`): the number of its limbs, then each in 8 bytes, the
/// least significant first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct BigUint {
    limbs: Vec<u64>,
}

/// A signed integer of any size (`bigint`): the zigzag form of it as [`BigUint`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct BigInt {
    negative: bool,
    magnitude: BigUint,
}

impl BigUint {
    /// The integer with these limbs, the least significant first. Zeros at the end are dropped.
    #[must_use]
    pub fn from_limbs(mut limbs: Vec<u64>) -> Self {
        while limbs.last() == Some(&0) {
            limbs.pop();
        }
        Self { limbs }
    }

    /// Its limbs, the least significant first; the last is not 0.
    #[must_use]
    pub fn limbs(&self) -> &[u64] {
        &self.limbs
    }

    /// Twice the integer, plus `bit`.
    fn push_bit(&self, bit: bool) -> Self {
        let mut carry = u64::from(bit);
        let mut limbs = Vec::with_capacity(self.limbs.len() + 1);
        for limb in &self.limbs {
            limbs.push(limb << 1 | carry);
            carry = limb >> 63;
        }
        limbs.push(carry);
        Self::from_limbs(limbs)
    }

    /// Half of the integer, and the bit that was left over.
    fn pop_bit(&self) -> (Self, bool) {
        let mut carry = 0;
        let mut limbs: Vec<u64> = Vec::with_capacity(self.limbs.len());
        for limb in self.limbs.iter().rev() {
            limbs.push(limb >> 1 | carry << 63);
            carry = limb & 1;
        }
        limbs.reverse();
        (Self::from_limbs(limbs), carry == 1)
    }

    fn step(&self, up: bool) -> Self {
        let mut limbs = self.limbs.clone();
        for limb in &mut limbs {
            let (next, carry) = if up {
                limb.overflowing_add(1)
            } else {
                limb.overflowing_sub(1)
            };
            *limb = next;
            if !carry {
                return Self::from_limbs(limbs);
            }
        }
        limbs.extend(up.then_some(1));
        Self::from_limbs(limbs)
    }
}

impl BigInt {
    /// The integer with this sign and magnitude; 0 has no sign.
    #[must_use]
    pub fn new(negative: bool, magnitude: BigUint) -> Self {
        Self {
            negative: negative && !magnitude.limbs.is_empty(),
            magnitude,
        }
    }

    /// Whether it is below 0.
    #[must_use]
    pub fn is_negative(&self) -> bool {
        self.negative
    }

    /// Its distance from 0.
    #[must_use]
    pub fn magnitude(&self) -> &BigUint {
        &self.magnitude
    }

    fn zigzag(&self) -> BigUint {
        if self.negative {
            self.magnitude.step(false).push_bit(true)
        } else {
            self.magnitude.push_bit(false)
        }
    }
}

impl Encode for BigUint {
    fn encoded_len(&self) -> usize {
        uint_len(self.limbs.len() as u64) + 8 * self.limbs.len()
    }

    fn encode(&self, writer: &mut Writer<'_>) {
        writer.uint(self.limbs.len() as u64);
        self.limbs
            .iter()
            .for_each(|limb| writer.raw(&limb.to_le_bytes()));
    }
}

impl<'a> Decode<'a> for BigUint {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let len = reader.array_len(8)?;
        let (limbs, _) = reader.raw(len * 8)?.as_chunks();
        Ok(Self::from_limbs(
            limbs.iter().map(|limb| u64::from_le_bytes(*limb)).collect(),
        ))
    }
}

impl Encode for BigInt {
    fn encoded_len(&self) -> usize {
        self.zigzag().encoded_len()
    }

    fn encode(&self, writer: &mut Writer<'_>) {
        self.zigzag().encode(writer);
    }
}

impl<'a> Decode<'a> for BigInt {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let (half, negative) = BigUint::decode(reader)?.pop_bit();
        Ok(Self {
            negative,
            magnitude: if negative { half.step(true) } else { half },
        })
    }
}
