//! LEB128 integers in our own records and files: the one place that calls `varintrs`.
//!
//! That crate has faults that are kept out here: its `leb128` pair writes nothing for zero, its reader
//! answers `(0, 0)` to truncated input and takes forms longer than needed, and its writer panics in a
//! buffer that is too short. So: only the `vu64` pair, a scratch buffer that fits every value, and
//! every answer checked.

use varintrs::{Binary, MAX_VARINT_LEN64, ReadBinary, WriteBinary};

/// Bytes that `value` takes: one for each seven bits, at least one.
#[must_use]
pub const fn len(value: u64) -> usize {
    let bits = u64::BITS - (value | 1).leading_zeros();
    bits.div_ceil(7) as usize
}

/// Appends `value` to `out`.
pub fn put(out: &mut Vec<u8>, value: u64) {
    // most are: of one byte nothing is to be computed
    if let Some(byte) = u8::try_from(value).ok().filter(|byte| *byte < 0x80) {
        out.push(byte);
        return;
    }
    let mut scratch = [0; MAX_VARINT_LEN64];
    let written = Binary::put_vu64(&mut scratch, value);
    debug_assert_eq!(written, len(value), "written length of {value}");
    out.extend_from_slice(scratch.get(..written).unwrap_or_default());
}

/// Reads an integer from the front of `input`, with the number of bytes that it took; `None` where it is
/// truncated, over 64 bits, or longer than it need be.
#[must_use]
pub fn take(input: &[u8]) -> Option<(u64, usize)> {
    let window = input.get(..MAX_VARINT_LEN64).unwrap_or(input);
    let (value, read) = Binary::vu64(window);
    let read = usize::try_from(read).ok().filter(|read| *read > 0)?;
    (read == len(value)).then_some((value, read))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// An independent decoder, after the definition.
    fn reference(input: &[u8]) -> Option<(u64, usize)> {
        let mut value = 0u128;
        for (at, byte) in input.iter().enumerate().take(10) {
            value |= u128::from(byte & 0x7f) << (7 * at);
            if byte & 0x80 == 0 {
                let minimal = at == 0 || *byte != 0;
                let value = u64::try_from(value).ok()?;
                return minimal.then_some((value, at + 1));
            }
        }
        None
    }

    #[test]
    fn zero_takes_one_byte() {
        let mut out = Vec::new();
        put(&mut out, 0);
        assert_eq!(out, [0]);
        assert_eq!(take(&out), Some((0, 1)));
    }

    #[test]
    fn faulty_forms_are_refused() {
        assert_eq!(take(&[]), None);
        assert_eq!(take(&[0x80]), None);
        assert_eq!(take(&[0x80, 0x00]), None, "longer than needed");
        assert_eq!(take(&[0xff; 10]), None);
        assert_eq!(take(&[0xff; 20]), None);
        assert_eq!(
            take(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02]),
            None
        );
        let max = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
        assert_eq!(take(&max), Some((u64::MAX, 10)));
    }

    proptest! {
        #[test]
        fn what_is_put_is_taken(value: u64, shift in 0u32..64, tail: Vec<u8>) {
            let value = value >> shift;
            let mut out = Vec::new();
            put(&mut out, value);
            let written = out.len();
            prop_assert_eq!(written, len(value));
            out.extend_from_slice(&tail);
            prop_assert_eq!(take(&out), Some((value, written)));
            prop_assert_eq!(reference(&out), Some((value, written)));
        }

        #[test]
        fn any_bytes_read_as_the_definition_says(input in proptest::collection::vec(any::<u8>(), 0..12)) {
            prop_assert_eq!(take(&input), reference(&input));
        }

        #[test]
        fn long_runs_read_as_the_definition_says(run in 0usize..12, last: u8) {
            let mut input = vec![0x80; run];
            input.push(last);
            prop_assert_eq!(take(&input), reference(&input));
        }
    }
}
