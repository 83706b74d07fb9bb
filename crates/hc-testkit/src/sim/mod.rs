//! Tasks, time and networks on one thread, all from one seed: the same seed gives the same run.
//!
//! Owns the order in which things happen: [`Sim`] runs tasks and its clock jumps from one timer to the
//! next, [`link`] is a connection that is slow, stalls, goes dead in one direction or is cut, and
//! [`Relay`] is a remote that knows the key and lies. Knows no log and no store: what has to hold is the
//! test's to say.

mod executor;
mod network;
mod relay;

pub use executor::{Sim, Task};
pub use network::{End, Plug, link};
pub use relay::{Relay, Vices};
