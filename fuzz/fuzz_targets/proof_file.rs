//! Fuzzes `proof_file`; the body is in `hc-testkit`.
#![no_main]

hypercore_fuzz::target!("proof_file");
