//! A sparse copy-on-write bitfield and a range set.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
