//! The reference at the other end of a TCP connection: both of its versions, both ways.
//!
//! Scenarios are functions of the version; `against_both!` makes two tests of each.

mod common;
mod economy;
mod full;
mod kinds;
mod live;
mod proofs;
mod relay;
mod resume;
mod signers;
mod sparse;
mod trust;
