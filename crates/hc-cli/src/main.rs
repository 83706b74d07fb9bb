//! The command line of the append-only log.

fn main() {}
