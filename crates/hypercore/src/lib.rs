//! A secure, distributed append-only log: signed, sparse, live, wire-compatible with Hypercore 10 and 11.
#![forbid(unsafe_code)]

pub mod encryption;
