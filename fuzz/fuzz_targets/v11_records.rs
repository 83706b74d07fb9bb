//! Fuzzes `v11_records`; the body is in `hc-testkit`.
#![no_main]

hypercore_fuzz::target!("v11_records");
