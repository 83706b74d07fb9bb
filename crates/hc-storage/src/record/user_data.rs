//! Finding user data by its keys. Owns what lies between two bounds, and which keys are not the
//! application's; knows nothing of where it is kept.

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;

/// Where it is kept that a log was signed twice, and the proof of it.
pub const CONFLICT_KEY: &str = "hypercore/conflict";

/// Whether a key of user data is the library's own, which applications neither write nor read:
/// [`CONFLICT_KEY`], and all that begin with a zero byte. Stores keep such user data like any other; the
/// layers above refuse it.
///
/// ```
/// use hc_storage::{CONFLICT_KEY, is_reserved};
///
/// assert!(is_reserved("\0mark/0") && is_reserved(CONFLICT_KEY));
/// assert!(!is_reserved("app/version") && !is_reserved(""));
/// ```
#[must_use]
pub fn is_reserved(key: &str) -> bool {
    key.starts_with('\0') || key == CONFLICT_KEY
}

/// The pairs whose keys lie between two bounds, in order; none where the bounds cross.
pub(crate) fn between(
    all: &BTreeMap<String, Bytes>,
    (start, end): (Bound<&str>, Bound<&str>),
) -> Vec<(String, Bytes)> {
    let before_end = |key: &str| match end {
        Bound::Included(last) => key <= last,
        Bound::Excluded(end) => key < end,
        Bound::Unbounded => true,
    };
    all.range::<str, _>((start, Bound::Unbounded))
        .take_while(|(key, _)| before_end(key))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}
