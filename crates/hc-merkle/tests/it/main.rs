//! Behaviour of the crate, and its agreement with the golden vectors.

mod draft;
mod flat_vectors;
mod hash_vectors;
mod store;
mod vectors;
