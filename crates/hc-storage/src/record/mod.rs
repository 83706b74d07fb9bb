//! What is stored about a log besides its blocks and its tree.
//!
//! Owns the types that callers exchange with an engine. Knows nothing of where they end up.

mod core;

pub use core::{Auth, CoreEntry, CoreRecord, EncryptionScheme, Hints};
