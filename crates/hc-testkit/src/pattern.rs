//! Blocks that can be made from their index, on either side of a connection.

/// Block *i* has `len_base + (i * len_step mod len_mod)` bytes; its byte *j* is
/// `(i * a + j * b + salt) mod 256`. The golden vectors and the remote-controlled reference peer use
/// the same rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pattern {
    /// Factor of the block's index.
    pub a: u64,
    /// Factor of the byte's place in the block.
    pub b: u64,
    /// Added to every byte.
    pub salt: u64,
    /// Bytes that every block has.
    pub len_base: u64,
    /// How fast the sizes change.
    pub len_step: u64,
    /// Sizes stay below `len_base` plus this.
    pub len_mod: u64,
}

impl Pattern {
    /// Sizes from 0 to 999 bytes, empty blocks among them.
    pub const VARIED: Self = Self {
        a: 7,
        b: 13,
        salt: 101,
        len_base: 0,
        len_step: 37,
        len_mod: 1000,
    };

    /// 1 KiB each.
    pub const KIB: Self = Self {
        a: 31,
        b: 3,
        salt: 17,
        len_base: 1024,
        len_step: 0,
        len_mod: 1,
    };

    /// 16 bytes each: cheap where only the number of blocks matters.
    pub const SMALL: Self = Self {
        a: 131,
        b: 7,
        salt: 5,
        len_base: 16,
        len_step: 0,
        len_mod: 1,
    };

    /// Block `index`.
    #[must_use]
    pub fn block(&self, index: u64) -> Vec<u8> {
        let len = self.len_base + (index * self.len_step) % self.len_mod;
        let byte = |j: u64| (index * self.a + j * self.b + self.salt).to_le_bytes()[0];
        (0..len).map(byte).collect()
    }

    /// Blocks of a range of indexes.
    #[must_use]
    pub fn blocks(&self, range: core::ops::Range<u64>) -> Vec<Vec<u8>> {
        range.map(|index| self.block(index)).collect()
    }

    /// As the reference peer takes it.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::json!({
            "a": self.a, "b": self.b, "salt": self.salt,
            "lenBase": self.len_base, "lenStep": self.len_step, "lenMod": self.len_mod,
        })
    }
}
