//! Behaviour of the crate, and its agreement with the golden vectors.

mod flat_vectors;
mod hash_vectors;
mod vectors;
