//! What to ask of whom, and when: the replication of an append-only log as a machine without I/O.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
