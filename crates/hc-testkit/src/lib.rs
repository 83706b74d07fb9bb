//! What the tests of this workspace share: a JavaScript peer under remote control, and blocks that
//! both sides can make from their index.
//!
//! Knows nothing of the crates that it helps to test, so that each of them can use it.

// Failing loudly is what a test kit is for.
#![allow(clippy::print_stderr)]

pub mod pattern;
pub mod reference;

pub use pattern::Pattern;
pub use reference::{Reference, Version};
