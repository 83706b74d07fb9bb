//! Behaviour of the crate through its public interface.
#![allow(clippy::unwrap_used, clippy::panic)] // a test fails by panicking

mod model;
mod remote;
mod vectors;
mod wants;
