//! The wire protocol of an append-only log as one machine without I/O.
//!
//! Owns the Noise handshake, the encrypted stream, framing, channels and the replication messages.
//! Knows nothing of storage, clocks or sockets, nor of what a session wants.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod message;
pub mod mux;
mod time;

pub use time::Time;
