//! Owns the replication of one log: peers, demands, requests, announcements. Knows nothing of storage,
//! hashes, encryption or bytes on the wire.
//!
#![doc = include_str!("../README.md")]
//!
//! # The contract
//!
//! Call one [`Replicator::handle`], then drain [`Replicator::poll_output`] until it returns
//! [`Output::Wait`], then wait for the next message, reply or demand, or for that moment. The same seed
//! and the same inputs give the same outputs. A whole driver, but for its I/O:
//!
//! ```
//! # use hc_protocol::{Time, message::Message};
//! # use hc_replicator::*;
//! /// The channels, the store and the callers of one log.
//! trait World {
//!     fn send(&mut self, peer: PeerId, message: Message);
//!     fn close(&mut self, peer: PeerId, reason: Hangup);
//!     fn start(&mut self, ticket: Ticket, peer: PeerId, effect: Effect);
//!     fn wake(&mut self, id: DemandId, outcome: Outcome);
//!     fn trace(&mut self, notice: Notice);
//! }
//!
//! /// Takes in one event, does what follows, and says when to come back with `Input::Elapsed`.
//! fn drive(machine: &mut Replicator, now: Time, input: Input, world: &mut dyn World) -> Option<Time> {
//!     machine.handle(now, input);
//!     loop {
//!         match machine.poll_output() {
//!             Output::Send { peer, message } => world.send(peer, message),
//!             Output::Hangup { peer, reason } => world.close(peer, reason),
//!             Output::Run { ticket, peer, effect } => world.start(ticket, peer, effect),
//!             Output::Resolve { id, outcome } => world.wake(id, outcome),
//!             Output::Notify(notice) => world.trace(notice),
//!             Output::Wait(until) => return until,
//!             _ => {}
//!         }
//!     }
//! }
//! ```
//!
//! What a driver has to keep to:
//!
//! - Effects come back as [`Input::Completed`], each once, in any order, or never once its peer is
//!   closed. [`Effect::Apply`] is best gathered: take what is there, verify it against one head,
//!   commit it as one change.
//! - [`Input::Published`] comes after every commit, also of one's own appends, and before the
//!   [`Reply::Applied`] of what is in it.
//! - [`Effect::ExamineFork`] and [`Effect::CheckConflict`] come in their turn among the `Apply`.
//! - The view keeps what [`LocalView`] promises. From its bits alone the machine tells how many nodes a
//!   request has to ask for, so nothing is read before a request.
//! - Values of blocks go from the driver to those who wait, on [`Outcome::Available`]: the machine
//!   never sees them again after `Apply`.
//! - After a [`Hangup::Idle`] the channel may come back under a new [`PeerId`]: when the remote opens
//!   it, or when our side becomes active.
//!
//! # Where things are
//!
//! A message goes to one peer (`peer/`): `sync` keeps lengths, `have` and `want` who has what, `data`
//! takes answers, `lean` orders them, `serve` gives them, `push` does so unasked, `announce` tells what is
//! new, `pace` sizes the window, `standing` says what its answers are worth. What peers share is in
//! `shared`: the view, the demands (`demand/`), the blocks under way (`flight`). After each event `machine`
//! settles: it takes back what is not needed, tells peers where we stand, and has `schedule` find more to
//! ask of those with room, or `hotswap` what others are slow to give. `fork` follows peers to later forks,
//! `update` ends who waits for a longer log, `seek` asks where bytes lie, `conflict` compares logs that
//! were signed twice.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod config;
mod conflict;
mod demand;
mod error;
mod flight;
mod fork;
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
mod policy;
mod progress;
mod publish;
mod rng;
mod schedule;
mod seek;
mod shared;
mod stats;
mod tasks;
mod timer;
mod tune;
mod update;

pub use config::{Config, PullPolicy, PushPolicy, Window};
pub use error::{Fault, Limited, Rejection};
pub use id::{DemandId, PeerId, Ticket};
pub use input::{Demand, Input, Order, PeerInfo, Published, Reply, Seek, Span};
pub use local::{LocalView, ManifestState};
pub use machine::Replicator;
pub use output::{Effect, Hangup, Notice, Outcome, Output};
pub use policy::PeerPolicy;
pub use progress::PeerState;
pub use stats::{Counts, Stats};
