//! What a remote can be blamed for. Knows nothing of what is done about it.

use core::fmt;

/// What a remote did that ends a connection with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Fault {
    /// It sent bytes that mean nothing, or that mean nothing at that point.
    Malformed,
    /// It sent more, or asked to keep more, than a limit allows.
    OverLimit,
    /// It sent bytes that do not authenticate: altered, repeated, reordered, or under another key.
    Unauthentic,
    /// It could not prove that it knows what it claims to know.
    WrongCapability,
    /// It sent what nobody asked for.
    Unsolicited,
    /// It sent a proof that does not lead to the tree.
    InvalidProof,
    /// It sent a signature that does not verify.
    InvalidSignature,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "malformed bytes",
            Self::OverLimit => "more than a limit allows",
            Self::Unauthentic => "bytes that do not authenticate",
            Self::WrongCapability => "a capability that does not verify",
            Self::Unsolicited => "what was not asked for",
            Self::InvalidProof => "a proof that does not verify",
            Self::InvalidSignature => "a signature that does not verify",
        })
    }
}
