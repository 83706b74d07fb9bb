//! What the crate promises, seen from outside.

#![allow(clippy::unwrap_used, clippy::panic)] // a helper may fail its test

mod attach;
mod bits;
mod derive;
mod disk;
mod encryption;
mod endings;
mod forks;
mod interop;
mod log;
mod manifests;
mod peers;
mod pipe;
mod remote_proofs;
mod replicate;
mod signers;
mod strangers;
#[cfg(feature = "tokio")]
mod tokio;
