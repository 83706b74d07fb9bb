//! The wire protocol of an append-only log as one machine without I/O.
//!
//! Owns the Noise handshake, the encrypted stream, framing, channels and the replication messages.
//! Knows nothing of storage, clocks or sockets, nor of what a session wants.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

pub mod capability;
pub mod datagram;
mod error;
mod established;
pub mod frame;
pub mod limits;
pub mod link;
pub mod message;
pub mod mux;
mod namespace;
pub mod noise;
pub mod secret_stream;
pub mod secretbox;
pub mod secure;
mod time;

pub use error::Fault;
pub use established::{Established, HandshakeHash, StreamKey};
pub use hc_merkle::Side;
pub use link::Link;
pub use time::Time;
