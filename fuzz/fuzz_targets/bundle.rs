//! Fuzzes `bundle`; the body is in `hc-testkit`.
#![no_main]

hypercore_fuzz::target!("bundle");
