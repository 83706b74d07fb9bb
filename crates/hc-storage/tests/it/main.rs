//! Behaviour of all engines, and of the default one through crashes, faults and other processes.

// A test says no by panicking; and the patterns that fill blocks are cut to bytes on purpose.
#![allow(clippy::panic, clippy::cast_possible_truncation)]

mod branch_model;
mod branch_space;
mod branches;
mod crash;
mod damage;
mod disk;
mod holes;
mod kill;
mod log;
mod model;
mod position;
mod room;
mod scale;
mod secrets;
mod seen;
mod space;
mod suite;
mod upkeep;
