//! One type for each kind of integer, and the only conversions between them.
//!
//! Owns `BlockIndex`, `NodeIndex`, `Length`, `Fork`, `ByteLength` and `ByteOffset`. Knows nothing of
//! trees beyond the fact that block *i* is leaf *2i*.

use core::fmt;

use hc_encoding::{Decode, DecodeError, Encode, Reader, Writer};

macro_rules! integer {
    ($(#[$meta:meta])* $name:ident) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(u64);

        impl $name {
            /// Zero.
            pub const ZERO: Self = Self(0);

            /// Wraps a plain number.
            #[must_use]
            pub const fn new(value: u64) -> Self {
                Self(value)
            }

            /// The plain number.
            #[must_use]
            pub const fn get(self) -> u64 {
                self.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl From<u64> for $name {
            fn from(value: u64) -> Self {
                Self(value)
            }
        }

        impl From<$name> for u64 {
            fn from(value: $name) -> Self {
                value.0
            }
        }

        impl Encode for $name {
            fn encoded_len(&self) -> usize {
                self.0.encoded_len()
            }

            fn encode(&self, writer: &mut Writer<'_>) {
                writer.uint(self.0);
            }
        }

        impl<'a> Decode<'a> for $name {
            fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
                reader.uint().map(Self)
            }
        }
    };
}

integer!(
    /// Position of a block in the log, from 0.
    BlockIndex
);
integer!(
    /// Position of a node in the flat (in-order) tree: leaves are even, parents odd.
    NodeIndex
);
integer!(
    /// Number of blocks in a log, or in a part of it.
    Length
);
integer!(
    /// How often a log was truncated; grows with every truncation.
    Fork
);
integer!(
    /// Number of bytes in a log, a block or a subtree.
    ByteLength
);
integer!(
    /// Position of a byte in the log, from 0.
    ByteOffset
);

impl BlockIndex {
    /// The leaf of this block; `None` above 2^63 - 1, where the tree has no number for it.
    #[must_use]
    pub const fn leaf(self) -> Option<NodeIndex> {
        match self.0.checked_mul(2) {
            Some(index) => Some(NodeIndex(index)),
            None => None,
        }
    }
}
