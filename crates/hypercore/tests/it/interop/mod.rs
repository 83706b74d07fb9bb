//! The reference at the other end of a TCP connection: both of its versions, both ways.
//!
//! Scenarios are functions of the version; `against_both!` makes two tests of each.

mod common;
mod conflict;
mod economy;
mod extensions;
mod forks;
mod full;
mod kinds;
mod live;
mod migrate;
mod proofs;
mod push;
mod relay;
mod resume;
mod seeks;
mod signers;
mod sparse;
mod stores;
mod structures;
mod trust;
