//! Behaviour of the wire protocol, against the reference's vectors and against hostile input.
#![allow(clippy::unwrap_used, clippy::panic)] // a test fails by panicking

mod datagram;
mod frame;
mod golden;
mod link;
mod messages;
mod messages_sessions;
mod messages_vectors;
mod mux_limits;
mod mux_model;
mod mux_rules;
mod mux_vectors;
mod secret_stream;
mod secure;
mod sessions;
mod transcripts;
