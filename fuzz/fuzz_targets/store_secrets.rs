//! Fuzzes `store_secrets`; the body is in `hc-testkit`.
#![no_main]

hypercore_fuzz::target!("store_secrets");
