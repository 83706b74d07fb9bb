//! Poly1305 (RFC 8439, section 2.5) for short messages. Knows nothing of what it authenticates.
//!
//! The `poly1305` crate is several times faster per byte, but takes 1.4 µs before the first of them to
//! prepare its vector registers, which is more than a whole message of 1 KiB takes here. So short messages
//! come here, and long ones go there; both are held against each other by test.
//!
//! The arithmetic is modulo 2^130 - 5 in limbs of 44, 44 and 42 bits, which leaves the products of a block
//! room to be summed before they are carried. Nothing branches on, or indexes by, a secret.

use zeroize::{Zeroize, ZeroizeOnDrop};

const MASK44: u64 = (1 << 44) - 1;
const MASK42: u64 = (1 << 42) - 1;

/// The bit above a whole block of 16 bytes.
const ABOVE_BLOCK: u64 = 1 << 40;

/// A one-time authenticator under way.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(super) struct ShortMac {
    r: [u64; 3],
    h: [u64; 3],
    pad: [u64; 2],
}

impl ShortMac {
    /// Starts with a key that is used for this one message only.
    pub(super) fn new(key: &[u8; 32]) -> Self {
        let (r, pad) = key.split_at(16);
        let [t0, t1] = words(r);
        // The clamp of the specification, cut into limbs.
        let r = [
            t0 & 0xffc_0fff_ffff,
            (t0 >> 44 | t1 << 20) & 0xfff_ffc0_ffff,
            t1 >> 24 & 0x00f_ffff_fc0f,
        ];
        Self {
            r,
            h: [0; 3],
            pad: words(pad),
        }
    }

    /// Takes in whole blocks of 16 bytes; what is left over is not taken in.
    pub(super) fn blocks(&mut self, bytes: &[u8]) {
        let (blocks, _) = bytes.as_chunks::<16>();
        let mut h = self.h;
        for block in blocks {
            h = self.absorb(h, block, ABOVE_BLOCK);
        }
        self.h = h;
    }

    /// Takes in the last bytes, which may end inside a block, and gives the tag.
    pub(super) fn finish(mut self, bytes: &[u8]) -> [u8; 16] {
        self.blocks(bytes);
        let (_, rest) = bytes.as_chunks::<16>();
        if !rest.is_empty() {
            let mut last = [0; 16];
            let ended = rest.iter().chain(&[1]);
            for (to, from) in last.iter_mut().zip(ended) {
                *to = *from;
            }
            self.h = self.absorb(self.h, &last, 0);
        }
        self.tag()
    }

    /// `(h + block) * r`, partly reduced.
    ///
    /// Nothing overflows. `h` comes in below 2^44, 2^44 + 2^9 and 2^42, and with a block is below 2^45,
    /// 2^46 and 2^43. `r` is clamped to less than 2^44, 2^44 and 2^36, so `s1` is below 2^49 and `s2`
    /// below 2^41. Then `d0` is below 2^93, as its largest product is `h2 * s1`; `d1` and `d2` are below
    /// 2^91, for `h1 * r0` and `h1 * r1`. Five times what is above 42 bits of `d2` is below 2^52, `low`
    /// below 2^53, and `h` goes out with limbs as it came in.
    #[inline]
    fn absorb(&self, h: [u64; 3], block: &[u8; 16], above: u64) -> [u64; 3] {
        let [t0, t1] = words(block);
        let h0 = u128::from(h[0] + (t0 & MASK44));
        let h1 = u128::from(h[1] + ((t0 >> 44 | t1 << 20) & MASK44));
        let h2 = u128::from(h[2] + (t1 >> 24 & MASK42 | above));
        let [r0, r1, r2] = self.r.map(u128::from);
        // A limb that passes 2^130 comes back five times; two more bits, as the limbs have 132.
        let (s1, s2) = (r1 * 20, r2 * 20);

        let d0 = h0 * r0 + h1 * s2 + h2 * s1;
        let d1 = h0 * r1 + h1 * r0 + h2 * s2 + (d0 >> 44);
        let d2 = h0 * r2 + h1 * r1 + h2 * r0 + (d1 >> 44);
        let low = limb(d0, MASK44) + limb(d2 >> 42, u64::MAX) * 5;
        [
            low & MASK44,
            limb(d1, MASK44) + (low >> 44),
            limb(d2, MASK42),
        ]
    }

    fn tag(&self) -> [u8; 16] {
        let [mut h0, mut h1, mut h2] = self.h;
        // Once around is enough: only what carries out of the top can carry out of `h0` again, and then
        // `h1` is what had carried into the top, less 2^44: small.
        h2 += h1 >> 44;
        h1 &= MASK44;
        h0 += (h2 >> 42) * 5;
        h2 &= MASK42;
        h1 += h0 >> 44;
        h0 &= MASK44;

        // h - (2^130 - 5), and the choice of the one that is not negative.
        let g0 = h0 + 5;
        let g1 = h1 + (g0 >> 44);
        let g2 = (h2 + (g1 >> 44)).wrapping_sub(1 << 42);
        let keep = (g2 >> 63).wrapping_neg();
        let choose = |h: u64, g: u64| h & keep | g & !keep;
        let (h0, h1, h2) = (
            choose(h0, g0 & MASK44),
            choose(h1, g1 & MASK44),
            choose(h2, g2 & MASK42),
        );

        let [low, high] = [h0 | h1 << 44, h1 >> 20 | h2 << 24];
        let whole = u128::from(high) << 64 | u128::from(low);
        let pad = u128::from(self.pad[1]) << 64 | u128::from(self.pad[0]);
        whole.wrapping_add(pad).to_le_bytes()
    }
}

#[inline]
#[allow(clippy::cast_possible_truncation)] // the low bits are what is wanted
const fn limb(value: u128, mask: u64) -> u64 {
    value as u64 & mask
}

#[inline]
fn words(bytes: &[u8]) -> [u64; 2] {
    let (words, _) = bytes.as_chunks::<8>();
    match words {
        [a, b, ..] => [u64::from_le_bytes(*a), u64::from_le_bytes(*b)],
        _ => [0; 2],
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use poly1305::Poly1305;
    use poly1305::universal_hash::KeyInit;
    use proptest::prelude::*;

    use super::*;

    /// RFC 8439, section 2.5.2.
    #[test]
    fn the_example_of_the_specification() {
        let key = "85d6be7857556d337f4452fe42d506a80103808afb0db2fd4abff6af4149f51b";
        let key: [u8; 32] = hex::decode(key).unwrap().try_into().unwrap();
        let tag = ShortMac::new(&key).finish(b"Cryptographic Forum Research Group");
        assert_eq!(hex::encode(tag), "a8061dc1305136c6c22b8baf0c0127a9");
    }

    fn tag(key: &[u8; 32], message: &[u8]) -> [u8; 16] {
        Poly1305::new(key.into()).compute_unpadded(message).into()
    }

    /// RFC 8439, appendix A.3: sums at and around the modulus, where a carry is easily lost.
    #[test]
    fn sums_around_the_modulus() {
        let key = |r: &[u8], pad: u8| {
            let mut key = [0; 32];
            key[..r.len()].copy_from_slice(r);
            key[16..].fill(pad);
            key
        };
        let mut messages: Vec<Vec<u8>> = Vec::new();
        for len in [16, 32, 48, 64] {
            messages.push(std::vec![0xff; len]);
            for first in [0xfb, 0xfa, 0xfc, 0xf0, 0xfe, 0x00] {
                let mut message = std::vec![0xff; len];
                message[len - 16] = first;
                messages.push(message.clone());
                message[..16].fill(0xfe);
                messages.push(message);
            }
        }
        for r in [
            &[1][..],
            &[2],
            &[4],
            &[0xff; 16],
            &[1, 0, 0, 0, 0, 0, 0, 0, 4],
        ] {
            for pad in [0, 0xff] {
                for message in &messages {
                    let key = key(r, pad);
                    assert_eq!(
                        ShortMac::new(&key).finish(message),
                        tag(&key, message),
                        "{r:x?}"
                    );
                }
            }
        }
    }

    #[test]
    fn every_length_with_the_largest_key() {
        let message = std::vec![0xff; 4200];
        let uneven: Vec<u8> = (0..=250).cycle().take(4200).collect();
        for len in 0..=4200 {
            let key = [0xff; 32];
            let short = ShortMac::new(&key).finish(&message[..len]);
            assert_eq!(short, tag(&key, &message[..len]), "{len}");
            let short = ShortMac::new(&[0x5a; 32]).finish(&uneven[..len]);
            assert_eq!(short, tag(&[0x5a; 32], &uneven[..len]), "{len}");
        }
    }

    /// Sums that end in each of the places around the modulus: `r` is 1, so that `h` is the sum of the
    /// blocks.
    #[test]
    fn sums_in_every_place_around_the_modulus() {
        let mut key = [0; 32];
        key[0] = 1;
        // Two whole blocks sum up to at most 2^130 - 2, which is 3 above the modulus.
        for below in 0..40_u128 {
            for rest in [&[][..], &[0], &[1], &[4], &[0xff; 15]] {
                let mut message = Vec::from([0xff; 16]);
                message.extend((u128::MAX - below).to_le_bytes());
                message.extend(rest);
                let short = ShortMac::new(&key).finish(&message);
                assert_eq!(short, tag(&key, &message), "{below} {rest:?}");
            }
        }
    }

    proptest! {
        #[test]
        fn tags_are_those_of_the_other_implementation(
            key in any::<[u8; 32]>(),
            message in prop::collection::vec(
                prop_oneof![any::<u8>(), Just(0xff), Just(0)], 0..400,
            ),
            split in 0usize..25,
        ) {
            let at = (16 * split).min(message.len() / 16 * 16);
            let mut mac = ShortMac::new(&key);
            mac.blocks(&message[..at]);
            prop_assert_eq!(mac.finish(&message[at..]), tag(&key, &message));
        }
    }
}
