//! Fuzzes `store_frames`; the body is in `hc-testkit`.
#![no_main]

hypercore_fuzz::target!("store_frames");
