//! The reference at the other end of a TCP connection: both of its versions, both ways.
//!
//! Scenarios are functions of the version; `against_both!` makes two tests of each.

mod common;
mod economy;
mod extensions;
mod full;
mod kinds;
mod live;
mod migrate;
mod proofs;
mod push;
mod relay;
mod resume;
mod signers;
mod sparse;
mod structures;
mod trust;
