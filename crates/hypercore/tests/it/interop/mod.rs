//! The reference at the other end of a TCP connection: both of its versions, both ways.
//!
//! Scenarios are functions of the version; `against_both!` makes two tests of each.

mod clear;
mod common;
mod conflict;
mod economy;
mod extensions;
mod forks;
mod full;
mod kinds;
mod live;
mod many;
mod migrate;
mod nonsense;
mod proofs;
mod push;
mod relay;
mod resume;
mod rough;
mod seeks;
mod signers;
mod sparse;
mod stores;
mod structures;
mod trust;
