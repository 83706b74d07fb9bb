//! Bounds on what a remote can make this crate hold or compute.

use crate::Length;

/// Most blocks that a log may have (2^52): node numbers then stay within the integers that every
/// implementation of the protocol can count with (2^53).
pub const MAX_LENGTH: Length = Length::new(1 << 52);
