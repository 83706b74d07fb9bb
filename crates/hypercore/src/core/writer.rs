//! The key pair that signs a log. Knows nothing of what is signed.

use std::sync::OnceLock;

use hc_merkle::KeyPair;
use zeroize::Zeroizing;

/// A key pair that is made of its seed when it first signs: ready to, it is seven times as large, and of
/// many logs that are open most never do.
pub(crate) struct Writer {
    seed: Zeroizing<[u8; 32]>,
    pair: OnceLock<Box<KeyPair>>,
}

impl Writer {
    pub(crate) fn new(pair: &KeyPair) -> Self {
        let secret = pair.secret_key();
        let mut seed = Zeroizing::new([0; 32]);
        // the first half, as libsodium has it
        for (to, from) in seed.iter_mut().zip(secret.as_bytes()) {
            *to = *from;
        }
        Self {
            seed,
            pair: OnceLock::new(),
        }
    }

    pub(crate) fn pair(&self) -> &KeyPair {
        self.pair
            .get_or_init(|| Box::new(KeyPair::from_seed(&self.seed)))
    }
}

impl From<KeyPair> for Writer {
    /// One that is about to sign.
    fn from(pair: KeyPair) -> Self {
        Self {
            pair: OnceLock::from(Box::new(pair.clone())),
            ..Self::new(&pair)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_wakes_up_is_the_same_pair() {
        let pair = KeyPair::from_seed(&[7; 32]);
        for writer in [Writer::new(&pair), Writer::from(pair.clone())] {
            assert_eq!(writer.pair().public_key(), pair.public_key());
            assert_eq!(writer.pair().sign(b"a head"), pair.sign(b"a head"));
        }
        assert!(size_of::<Writer>() * 4 < size_of::<KeyPair>());
    }
}
