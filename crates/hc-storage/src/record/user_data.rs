//! Finding user data by its keys. Owns what lies between two bounds; knows nothing of where it is kept.

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;

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
