//! Behaviour of the crate, and its agreement with the golden vectors.

mod encryption;
