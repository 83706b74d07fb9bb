//! Segments of a store's log, pages of its index, and the file of its secret keys.

pub(super) use hc_storage::fuzz::{frames, page, secrets, segment};
