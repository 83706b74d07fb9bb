//! What the tests of this workspace share: a JavaScript peer under remote control, blocks that both
//! sides can make from their index, the bodies of the fuzz targets, and a world in virtual time.
//!
//! Only the fuzz bodies (feature `fuzz`) and the world (feature `sim`) know crates that they help to test.

// Failing loudly is what a test kit is for.
#![allow(clippy::print_stderr)]

#[cfg(feature = "fuzz")]
pub mod fuzz;
pub mod pattern;
pub mod reference;
#[cfg(feature = "sim")]
pub mod sim;

pub use pattern::Pattern;
pub use reference::{Reference, Version};
