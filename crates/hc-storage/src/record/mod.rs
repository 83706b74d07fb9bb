//! What is stored about a log besides its blocks and its tree.
//!
//! Owns the types that callers exchange with an engine, and the bytes of everything that is written in
//! the log. Knows nothing of segments and pages.

mod core;
pub(crate) mod cursor;
pub(crate) mod entry;
mod shelf;
mod user_data;
pub mod varint;

pub use core::{Auth, CoreEntry, CoreRecord, EncryptionScheme, Hints, Lineage};
pub use shelf::{ActiveCore, Alias, Moment, NamedCore, NamespaceId, StoreSecret, Topic};
pub(crate) use user_data::between;
pub use user_data::{CONFLICT_KEY, is_reserved};
