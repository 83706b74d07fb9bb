//! What to ask of whom, and when: the replication of an append-only log as a machine without I/O.
//!
//! **The contract:** call one `Replicator::handle`, then drain `Replicator::poll_output` until it
//! returns [`Output::Wait`], then wait for the next message, reply or demand, or for that moment.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod config;
mod demand;
mod error;
mod flight;
mod hotswap;
mod id;
mod inflight;
mod input;
pub mod limits;
mod local;
mod machine;
mod output;
mod path;
mod peer;
mod publish;
mod rng;
mod schedule;
mod shared;
mod stats;
mod timer;

pub use config::{Config, PushPolicy, Window};
pub use error::{Fault, Limited, Rejection};
pub use id::{DemandId, PeerId, Ticket};
pub use input::{Demand, Input, Order, PeerInfo, Published, Reply, Span};
pub use local::{LocalView, ManifestState};
pub use machine::Replicator;
pub use output::{Effect, Hangup, Notice, Outcome, Output};
pub use stats::{Counts, Stats};
