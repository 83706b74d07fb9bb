//! Behaviour of the crate, and its agreement with the golden vectors.

mod batch;
mod bounds;
mod draft;
mod flat_vectors;
mod hash_vectors;
mod key_vectors;
mod manifest_vectors;
mod plan;
mod proof_file;
mod reorgs;
mod restore;
mod signature_vectors;
mod sources;
mod store;
mod store_heads;
mod trust_model;
mod vectors;
mod verify;
mod walks;
