//! The first bytes of a segment, and its name. Knows nothing of frames.

use super::Lsn;
use crate::record::cursor::Cursor;

/// Directory of the segments, in the store.
pub(crate) const DIR: &str = "log";

/// Version of everything that is in the log.
pub(crate) const FORMAT_VERSION: u32 = 1;

/// Bytes before the first frame.
pub(crate) const HEADER_LEN: u32 = 64;

const MAGIC: [u8; 8] = *b"HCRS-LOG";

/// What tells the log of one store from that of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StoreId(pub(crate) [u8; 16]);

/// The first bytes of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) number: u32,
    pub(crate) store: StoreId,
    /// The first frame in it.
    pub(crate) first: Lsn,
}

/// Why the first bytes of a segment are of no use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BadHeader {
    Version(u32),
    Damaged,
}

impl Header {
    pub(crate) fn encode(&self) -> [u8; HEADER_LEN as usize] {
        let mut out = Vec::with_capacity(HEADER_LEN as usize);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        out.extend_from_slice(&self.number.to_le_bytes());
        out.extend_from_slice(&self.store.0);
        out.extend_from_slice(&self.first.0.to_le_bytes());
        out.resize(HEADER_LEN as usize - 4, 0);
        out.extend_from_slice(&crc32c::crc32c(&out).to_le_bytes());
        let mut header = [0; HEADER_LEN as usize];
        header.copy_from_slice(&out);
        header
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, BadHeader> {
        let mut cursor = Cursor::new(bytes);
        if cursor.array() != Some(MAGIC) {
            return Err(BadHeader::Damaged);
        }
        let version = cursor.u32().ok_or(BadHeader::Damaged)?;
        if version != FORMAT_VERSION {
            return Err(BadHeader::Version(version));
        }
        Self::decode_fields(&mut cursor, bytes).ok_or(BadHeader::Damaged)
    }

    fn decode_fields(cursor: &mut Cursor<'_>, bytes: &[u8]) -> Option<Self> {
        let number = cursor.u32()?;
        let store = StoreId(cursor.array()?);
        let first = Lsn(cursor.u64()?);
        let (content, crc) = bytes.get(..HEADER_LEN as usize)?.split_last_chunk()?;
        (crc32c::crc32c(content) == u32::from_le_bytes(*crc)).then_some(Self {
            number,
            store,
            first,
        })
    }
}

/// Name of a segment in the store.
pub(crate) fn name(number: u32) -> String {
    format!("{DIR}/{number:08}.seg")
}

/// The number in the name of a file in [`DIR`].
pub(crate) fn number(file: &str) -> Option<u32> {
    let digits = file
        .strip_suffix(".seg")
        .filter(|digits| digits.len() >= 8)?;
    digits
        .bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| digits.parse().ok())?
}
