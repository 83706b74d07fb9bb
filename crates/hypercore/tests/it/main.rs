//! What the crate promises, seen from outside.

#![allow(clippy::unwrap_used, clippy::panic)] // a helper may fail its test

mod atoms;
mod attach;
mod audit;
mod bits;
mod branches;
mod clear;
mod codecs;
mod conflicts;
mod corestore;
mod derive;
mod disk;
mod encryption;
mod endings;
mod extensions;
mod fair;
mod flow;
mod forks;
mod interop;
mod legacy;
mod limits;
mod lines;
mod log;
mod manifests;
mod marks;
mod model;
mod moves;
mod opening;
mod peers;
mod pipe;
mod providers;
mod recover;
mod remote_proofs;
mod replicate;
mod restored;
mod rough;
#[path = "../sim/runtime.rs"]
mod runtime;
mod search;
mod seeks;
mod sessions;
mod signers;
mod snapshots;
mod stranger;
mod strangers;
mod streams;
mod threads;
#[cfg(feature = "tokio")]
mod tokio;
mod truncate;
mod user_data;
