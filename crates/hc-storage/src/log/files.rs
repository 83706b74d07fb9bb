//! Open segments, and reading blocks out of them. Knows nothing of frames.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;

use super::{Locator, segment};
use crate::disk::{Disk, DiskFile, fault};
use crate::error::{Action, IoFault};
use crate::lock::lock;

/// Most segments that are open at once.
const MAX_OPEN: usize = 32;

/// Segments that were opened for reading.
#[derive(Debug)]
pub(crate) struct Files {
    disk: Arc<dyn Disk>,
    open: Mutex<BTreeMap<u32, Arc<dyn DiskFile>>>,
}

impl Files {
    pub(crate) fn new(disk: Arc<dyn Disk>) -> Self {
        Self {
            disk,
            open: Mutex::default(),
        }
    }

    /// `None` where there is no such segment.
    pub(crate) fn segment(&self, number: u32) -> Result<Option<Arc<dyn DiskFile>>, IoFault> {
        if let Some(file) = lock(&self.open).get(&number) {
            return Ok(Some(Arc::clone(file)));
        }
        let name = segment::name(number);
        let opened = self.disk.open(&name, false);
        let Some(file) = opened.map_err(fault(&*self.disk, Action::Open, &name))? else {
            return Ok(None);
        };
        let mut open = lock(&self.open);
        if open.len() >= MAX_OPEN {
            open.pop_first();
        }
        open.insert(number, Arc::clone(&file));
        Ok(Some(file))
    }

    /// Closes a segment, which is about to be removed.
    pub(crate) fn forget(&self, number: u32) {
        lock(&self.open).remove(&number);
    }

    /// Bytes of a segment; shorter than asked for where it ends.
    pub(crate) fn read(&self, number: u32, offset: u64, len: usize) -> Result<Bytes, IoFault> {
        let Some(file) = self.segment(number)? else {
            return Ok(Bytes::new());
        };
        let mut out = vec![0; len];
        let name = || segment::name(number);
        let read = file.read_at(&mut out, offset);
        let read = read.map_err(|source| fault(&*self.disk, Action::Read, &name())(source))?;
        out.truncate(read);
        Ok(Bytes::from(out))
    }
}

/// Whether these are the bytes that the locator was made for.
pub(crate) fn is_whole(locator: &Locator, bytes: &[u8]) -> bool {
    bytes.len() == locator.len as usize && crc32c::crc32c(bytes) == locator.crc
}
