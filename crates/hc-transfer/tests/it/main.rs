//! Logs in and out of stores: bundles, backups, and what the reference left on disk.
#![allow(clippy::unwrap_used, clippy::panic)]

mod bounds;
mod bundle;
mod engines;
mod fixtures;
mod keys;
mod v10;
mod v11;
mod world;
