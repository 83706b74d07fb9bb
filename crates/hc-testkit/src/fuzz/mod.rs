//! The bodies of the fuzz targets: what is done with bytes that nobody vouches for.
//!
//! Each body takes any bytes and must neither panic nor allocate without bound; what it asserts holds
//! for every input. `fuzz/` hands them to libFuzzer, and `tests/it` replays the committed corpora
//! through them, so that an input found once stays a test. Knows nothing of either.

mod decode;
mod machine;
mod store;
mod transfer;
mod tree;
mod wire;

/// What a target does with an input.
pub type Body = fn(&[u8]);

/// Every target: its name, which is also the folder of its corpus, and its body.
pub const TARGETS: &[(&str, Body)] = &[
    ("backup", transfer::backup),
    ("bitfield", decode::bitfield),
    ("bundle", transfer::bundle),
    ("encoding", decode::encoding),
    ("frames", wire::frames),
    ("handshake", wire::handshake),
    ("keys", decode::keys),
    ("link", wire::link),
    ("manifest", decode::manifest),
    ("message", wire::message),
    ("multisig", decode::multisig),
    ("mux", wire::mux),
    ("proof", tree::proof),
    ("proof_file", decode::proof_file),
    ("replicator", machine::replicator),
    ("request", tree::request),
    ("store_frames", store::frames),
    ("store_page", store::page),
    ("store_secrets", store::secrets),
    ("store_segment", store::segment),
    ("stranger", wire::stranger),
    ("v10", transfer::v10),
    ("v11", transfer::v11),
    ("v11_records", transfer::v11_records),
];
