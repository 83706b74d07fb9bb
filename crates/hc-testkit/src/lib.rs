//! What the tests of this workspace share: a JavaScript peer under remote control, blocks that both
//! sides can make from their index, and the bodies of the fuzz targets.
//!
//! Only the fuzz bodies (feature `fuzz`) know the crates that they help to test.

// Failing loudly is what a test kit is for.
#![allow(clippy::print_stderr)]

#[cfg(feature = "fuzz")]
pub mod fuzz;
pub mod pattern;
pub mod reference;

pub use pattern::Pattern;
pub use reference::{Reference, Version};
