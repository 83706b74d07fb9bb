//! Segments of a store's log, and pages of its index.

pub(super) use hc_storage::fuzz::{frames, page, segment};
