//! Append-only logs on disk: one checksummed commit log per store, and an index under it that can be
//! rebuilt at any time.
//!
//! Owns everything that touches a disk. Knows nothing of peers, of futures, or of whether a signature
//! is valid: what it is given to store has been verified.
//!
//! | module | what it has |
//! | --- | --- |
//! | [`Store`], [`CoreStore`], [`CoreRead`] | what every engine can do |
//! | [`Batch`] | one change to one log or branch, all or nothing; several [together](Store::commit_all) too |
//! | [`Lineage`] | what a branch has of the log that it left |
//! | [`Durability`], [`Ticket`] | what must not lose it, and how to wait for that |
//! | [`DiskStore`], [`StoreOptions`] | the default engine: a directory with the log and its index |
//! | [`fault`] | the default engine on a disk that fails on command |
//! | [`varint`] | LEB128 integers, for whoever writes files of our own |
//! | [`Overlay`] | changes to a log, kept in memory until somebody writes them |
//! | [`MemoryStore`] | an engine that forgets everything when it is dropped |
#![forbid(unsafe_code)]

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

mod batch;
mod disk;
mod durability;
mod engine;
mod error;
pub mod fault;
#[cfg(feature = "fuzz")]
pub mod fuzz;
mod index;
pub mod limits;
mod lock;
mod log;
mod memory;
mod record;
mod store;

pub use batch::{Batch, BatchError};
pub use durability::{Durability, Ticket};
pub use engine::{DiskStore, StoreOptions};
pub use error::{
    Action, Damage, DamageKind, Holder, IndexError, IndexFault, IoFault, OpenError, StorageError,
};
pub use memory::{Changes, MemoryStore, Overlay};
pub use record::{
    ActiveCore, Alias, Auth, CONFLICT_KEY, CoreEntry, CoreRecord, EncryptionScheme, Hints, Lineage,
    Moment, NamedCore, NamespaceId, StoreSecret, Topic, is_reserved, varint,
};
pub use store::{Access, CoreRead, CoreStore, Repaired, Rootless, Store, Usage};
