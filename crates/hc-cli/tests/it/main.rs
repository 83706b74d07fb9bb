//! The command line as a user and a script meet it: processes, their output and their exit codes.

// Helpers of tests may fail as tests do.
#![allow(clippy::unwrap_used, clippy::panic)]

mod badness;
mod demo;
mod encryption;
mod line;
mod local;
mod memory;
mod moving;
mod network;
mod proxy;
mod run;
mod signals;
mod stores;
mod upkeep;
