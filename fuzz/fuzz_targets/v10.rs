//! Fuzzes `v10`; the body is in `hc-testkit`.
#![no_main]

hypercore_fuzz::target!("v10");
