//! Owns sets of integers as bits and as ranges; knows nothing of what a number means.
//!
#![doc = include_str!("../README.md")]
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod bitfield;
pub mod limits;
mod page;
mod paged;
mod pages;
mod range_set;
mod segment;
mod wants;
mod wire;

pub use bitfield::Bitfield;
pub use page::PageRef;
pub use pages::PageIndex;
pub use range_set::RangeSet;
pub use wants::{Ask, LocalWants, RemoteWants, Window};
pub use wire::{ReceiveError, Words};
