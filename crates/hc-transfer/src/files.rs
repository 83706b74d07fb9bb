//! Reading files of others at any place, with errors that name it. Knows no format.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use zeroize::Zeroizing;

use crate::error::{BadFile, FileFault};

/// Bytes of a cached page.
const PAGE: u64 = 16 << 10;

/// Most pages that are cached.
const MAX_PAGES: usize = 256;

/// A file that is read at places.
#[derive(Debug)]
pub(crate) struct PlacedFile {
    path: PathBuf,
    file: Mutex<File>,
    len: u64,
    pages: Mutex<BTreeMap<u64, Bytes>>,
}

/// A lock whose holder may have panicked: what it guards is a cache or a file that every read places
/// anew.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Bytes that are wiped once nobody has them: secret keys may be among them.
pub(crate) fn wiped(bytes: Vec<u8>) -> Bytes {
    Bytes::from_owner(Zeroizing::new(bytes))
}

impl PlacedFile {
    /// Opens a file.
    pub(crate) fn open(path: &Path) -> Result<Self, BadFile> {
        let bad = |error: io::Error| BadFile::new(path, 0, error.into());
        let file = File::open(path).map_err(bad)?;
        let len = file.metadata().map_err(bad)?.len();
        Ok(Self {
            path: path.to_path_buf(),
            file: Mutex::new(file),
            len,
            pages: Mutex::default(),
        })
    }

    /// As [`open`](Self::open); `None` where there is no such file.
    pub(crate) fn open_if_there(path: &Path) -> Result<Option<Self>, BadFile> {
        match Self::open(path) {
            Err(BadFile {
                fault: FileFault::Io(error),
                ..
            }) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            opened => opened.map(Some),
        }
    }

    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    pub(crate) fn bad(&self, offset: u64, fault: FileFault) -> BadFile {
        BadFile::new(&self.path, offset, fault)
    }

    pub(crate) fn malformed(&self, offset: u64, what: &'static str) -> BadFile {
        self.bad(offset, FileFault::Malformed { what })
    }

    /// Bytes at a place: room is made only for what the file has.
    pub(crate) fn read(&self, offset: u64, len: u64) -> Result<Bytes, BadFile> {
        let end = offset.checked_add(len).filter(|end| *end <= self.len);
        let len = end.and_then(|_| usize::try_from(len).ok());
        let len = len.ok_or_else(|| self.bad(self.len.min(offset), FileFault::Truncated))?;
        let mut bytes = vec![0; len];
        let mut file = lock(&self.file);
        let read = file
            .seek(SeekFrom::Start(offset))
            .and_then(|_| file.read_exact(&mut bytes));
        match read {
            Ok(()) => Ok(wiped(bytes)),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Err(self.bad(offset, FileFault::Truncated))
            }
            Err(error) => Err(self.bad(offset, error.into())),
        }
    }

    /// A few bytes of a file that is read here and there, through a cache; `None` past its end.
    pub(crate) fn peek<const N: usize>(&self, offset: u64) -> Result<Option<[u8; N]>, BadFile> {
        let mut out = [0; N];
        let mut filled = 0;
        while filled < N {
            let at = offset.saturating_add(filled as u64);
            let page = self.page(at / PAGE)?;
            let rest = usize::try_from(at % PAGE)
                .ok()
                .and_then(|start| page.get(start..))
                .unwrap_or_default();
            let Some(place) = out.get_mut(filled..) else {
                break;
            };
            let len = rest.len().min(place.len());
            if len == 0 {
                return Ok(None);
            }
            let (place, _) = place.split_at_mut(len);
            place.copy_from_slice(rest.get(..len).unwrap_or_default());
            filled += len;
        }
        Ok(Some(out))
    }

    fn page(&self, number: u64) -> Result<Bytes, BadFile> {
        if let Some(page) = lock(&self.pages).get(&number) {
            return Ok(page.clone());
        }
        let start = number.saturating_mul(PAGE);
        let page = if start < self.len {
            self.read(start, PAGE.min(self.len - start))?
        } else {
            Bytes::new()
        };
        let mut pages = lock(&self.pages);
        if pages.len() >= MAX_PAGES {
            pages.clear();
        }
        pages.insert(number, page.clone());
        Ok(page)
    }

    /// All of a file that may not be longer than `limit`.
    pub(crate) fn read_all(&self, what: &'static str, limit: u64) -> Result<Bytes, BadFile> {
        if self.len > limit {
            let len = self.len;
            return Err(self.bad(0, FileFault::TooLong { what, len, limit }));
        }
        self.read(0, self.len)
    }
}
