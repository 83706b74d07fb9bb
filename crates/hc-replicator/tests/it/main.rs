//! Machines in pairs and groups, over logs whose proofs are real.
#![allow(clippy::unwrap_used, clippy::panic)] // in tests, a panic is the report

mod announce;
mod byzantine;
mod claims;
mod conflicts;
mod download;
mod economy;
mod forks;
mod large;
mod lean;
mod log;
mod model;
mod pair;
mod peers;
mod policy;
mod push;
mod ranges;
mod reach;
mod script;
mod seeks;
mod serve;
mod updates;
mod world;
