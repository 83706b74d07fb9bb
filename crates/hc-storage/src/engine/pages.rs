//! Pages of the index that were read lately, so that the next to read them need not look there.
//!
//! What is newer than the index is above it until a checkpoint is through, so a page may be given as it
//! was before one that is not. Knows nothing of what is in a page.

use std::collections::HashMap;
use std::sync::Mutex;

use bytes::Bytes;

use crate::error::IndexError;
use crate::lock::lock;
use crate::record::entry::CoreId;

/// Bytes of pages that are held; when there would be more, all of them go.
const MAX_BYTES: usize = 4 << 20;

/// Bytes that an entry takes besides its page.
const ENTRY: usize = 128;

/// A page of some kind of a log.
pub(crate) type PageKey = (CoreId, u8, u64);

/// Pages that were read.
#[derive(Debug, Default)]
pub(crate) struct Pages(Mutex<Held>);

#[derive(Debug, Default)]
struct Held {
    /// Checkpoints so far.
    age: u64,
    bytes: usize,
    pages: HashMap<PageKey, Option<Bytes>>,
}

impl Held {
    fn clear(&mut self) {
        self.bytes = 0;
        self.pages.clear();
    }
}

impl Pages {
    /// The page, from `read` where it is not held; `None` where the index has none.
    pub(crate) fn get(
        &self,
        key: PageKey,
        read: impl FnOnce() -> Result<Option<Bytes>, IndexError>,
    ) -> Result<Option<Bytes>, IndexError> {
        let age = {
            let held = lock(&self.0);
            if let Some(page) = held.pages.get(&key) {
                return Ok(page.clone());
            }
            held.age
        };
        let page = read()?;
        let mut held = lock(&self.0);
        if held.age == age {
            let len = ENTRY + page.as_ref().map_or(0, Bytes::len);
            if held.bytes + len > MAX_BYTES {
                held.clear();
            }
            held.bytes += len;
            held.pages.insert(key, page.clone());
        }
        Ok(page)
    }

    /// The index has changed.
    pub(crate) fn forget(&self) {
        let mut held = lock(&self.0);
        held.age += 1;
        held.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(len: usize) -> Result<Option<Bytes>, IndexError> {
        Ok(Some(Bytes::from(vec![7; len])))
    }

    const KEY: PageKey = (CoreId(1), 2, 3);

    #[test]
    fn a_page_is_read_once_until_the_index_changes() {
        let pages = Pages::default();
        assert_eq!(pages.get(KEY, || page(10)), page(10));
        assert_eq!(pages.get(KEY, || unreachable!("it is held")), page(10));
        pages.forget();
        assert_eq!(pages.get(KEY, || Ok(None)), Ok(None));
        assert_eq!(pages.get(KEY, || unreachable!("it is held")), Ok(None));
    }

    #[test]
    fn what_was_read_before_a_change_is_not_held_after_it() {
        let pages = Pages::default();
        let read = || {
            pages.forget();
            page(10)
        };
        assert_eq!(pages.get(KEY, read), page(10));
        assert_eq!(pages.get(KEY, || page(20)), page(20));
    }

    #[test]
    fn all_go_where_there_would_be_too_many() {
        let pages = Pages::default();
        let most = MAX_BYTES / (ENTRY + 1000);
        for number in 0..=most as u64 {
            assert_eq!(lock(&pages.0).pages.len() as u64, number);
            pages
                .get((CoreId(1), 2, number), || page(1000))
                .expect("read");
        }
        assert_eq!(lock(&pages.0).pages.len(), 1);
        assert_eq!(lock(&pages.0).bytes, ENTRY + 1000);
    }
}
