//! One record of the file of secret keys: its bytes and their checksum, and what one was whose bytes were
//! altered since. Knows nothing of the file around it.

use std::collections::HashMap;
use std::fmt;

use foldhash::fast::RandomState;
use hc_merkle::{DiscoveryKey, KeyPair, SecretKey};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// Bytes in a record: checksum, discovery key, secret key.
pub(super) const RECORD_LEN: usize = CRC_LEN + 32 + 64;
const CRC_LEN: usize = 4;

/// Where the secret of the store itself is among those of its logs: in the first half of what would be a
/// key. No log has this discovery key, for nobody knows what hashes to it.
pub(super) const OF_STORE: DiscoveryKey = DiscoveryKey([0; 32]);

/// A record as it is in the file. Wiped from memory when dropped, and never printed.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub(super) struct Record([u8; RECORD_LEN]);

impl Record {
    pub(super) fn new(of: &DiscoveryKey, secret: &SecretKey) -> Self {
        let mut record = Self([0; RECORD_LEN]);
        let (crc, content) = record.0.split_at_mut(CRC_LEN);
        let (name, key) = content.split_at_mut(32);
        name.copy_from_slice(of.as_bytes());
        key.copy_from_slice(secret.as_bytes());
        crc.copy_from_slice(&crc32c::crc32c(content).to_le_bytes());
        record
    }

    /// What is in the file, with zeros behind it where it ends early.
    pub(super) fn found(bytes: &[u8]) -> Self {
        let mut record = Self([0; RECORD_LEN]);
        for (place, byte) in record.0.iter_mut().zip(bytes) {
            *place = *byte;
        }
        record
    }

    pub(super) const fn as_bytes(&self) -> &[u8; RECORD_LEN] {
        &self.0
    }

    /// The log that it is of, and the key, as far as they can be believed.
    pub(super) fn content(&self) -> (DiscoveryKey, SecretKey) {
        let (mut name, mut key) = ([0; 32], Zeroizing::new([0; 64]));
        let (_, content) = self.0.split_at(CRC_LEN);
        let (front, back) = content.split_at(32);
        name.copy_from_slice(front);
        key.copy_from_slice(back);
        (DiscoveryKey(name), SecretKey::from_bytes(*key))
    }

    pub(super) fn is_whole(&self) -> bool {
        self.remainder() == 0
    }

    /// Whether no byte of a seed is in it: then it holds no key, whatever else there is.
    pub(super) fn is_blank(&self) -> bool {
        let seed = self.0.iter().skip(CRC_LEN + 32).take(32);
        seed.copied().all(|byte| byte == 0)
    }

    /// In which bits the checksum differs from that of the content. It depends on what was altered, and on
    /// nothing else that is in the record.
    fn remainder(&self) -> u32 {
        let (crc, content) = self.0.split_at(CRC_LEN);
        let crc = crc.try_into().map_or(0, u32::from_le_bytes);
        crc ^ crc32c::crc32c(content)
    }

    fn alter(&mut self, at: usize, bits: u8) {
        if let Some(byte) = self.0.get_mut(at) {
            *byte ^= bits;
        }
    }

    /// Whether what it says is what somebody would have written: two halves of one key, or the secret of a
    /// store.
    fn makes_sense(&self) -> bool {
        match self.content() {
            (OF_STORE, secret) => secret.as_bytes().iter().skip(32).all(|byte| *byte == 0),
            (_, secret) => KeyPair::from_secret_key(&secret).is_ok(),
        }
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Record(…)")
    }
}

/// Which byte was altered, and in which bits, by what that does to the checksum. In a record of this length,
/// no two ways of altering one byte do the same.
#[derive(Debug)]
pub(super) struct Corrections(HashMap<u32, (usize, u8), RandomState>);

impl Corrections {
    pub(super) fn new() -> Self {
        let mut found = HashMap::with_capacity_and_hasher(RECORD_LEN * 255, RandomState::default());
        let mut record = Record([0; RECORD_LEN]);
        let nothing = record.remainder();
        for at in 0..RECORD_LEN {
            // of several bits the checksum is the sum of theirs
            let mut sums = vec![0];
            for bit in 0..8 {
                record.alter(at, 1 << bit);
                let sum = record.remainder() ^ nothing;
                record.alter(at, 1 << bit);
                sums.extend_from_within(..);
                let (_, with) = sums.split_at_mut(1 << bit);
                with.iter_mut().for_each(|with| *with ^= sum);
            }
            let altered = (0..=u8::MAX).zip(sums).skip(1);
            found.extend(altered.map(|(bits, sum)| (sum, (at, bits))));
        }
        Self(found)
    }

    /// What a record was before one byte of it was altered; `None` where more was.
    pub(super) fn correct(&self, record: &Record) -> Option<Record> {
        let (at, bits) = *self.0.get(&record.remainder())?;
        let mut corrected = record.clone();
        corrected.alter(at, bits);
        (corrected.is_whole() && corrected.makes_sense()).then_some(corrected)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records() -> [Record; 2] {
        let key = KeyPair::from_seed(&[7; 32]).secret_key();
        let mut of_store = [9; 64];
        of_store[32..].fill(0);
        [
            Record::new(&DiscoveryKey([3; 32]), &key),
            Record::new(&OF_STORE, &SecretKey::from_bytes(of_store)),
        ]
    }

    #[test]
    fn no_two_ways_of_altering_one_byte_look_the_same() {
        assert_eq!(Corrections::new().0.len(), RECORD_LEN * 255);
    }

    #[test]
    fn one_byte_that_was_altered_is_known() {
        let corrections = Corrections::new();
        for record in records() {
            assert!(record.is_whole());
            for at in 0..RECORD_LEN {
                for bits in [1, 0x80, 0x18, 0xff] {
                    let mut altered = record.clone();
                    altered.alter(at, bits);
                    assert!(!altered.is_whole(), "{at}");
                    assert_eq!(corrections.correct(&altered), Some(record.clone()), "{at}");
                }
            }
        }
    }

    #[test]
    fn of_more_than_that_nothing_is_made_up() {
        let corrections = Corrections::new();
        for record in records() {
            for at in 1..RECORD_LEN {
                let mut altered = record.clone();
                altered.alter(at, 0x21);
                altered.alter(at - 1, 0x44);
                assert_eq!(corrections.correct(&altered), None, "{at}");
            }
        }
        // with the checksum of something that no key is
        let wrong = Record::new(&DiscoveryKey([3; 32]), &SecretKey::from_bytes([8; 64]));
        let mut altered = wrong.clone();
        altered.alter(50, 1);
        assert_eq!(corrections.correct(&altered), None);
    }
}
