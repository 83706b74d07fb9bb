//! One frame: a header, a body that says what was done, and the bytes of blocks.
//!
//! The checksum in the header is over body, header and the id of the store: whoever may choose the bytes
//! of a block cannot put a frame into them, nor does one of another store count. Each block has its own
//! in the body, so that one block can be read and verified without the rest of its frame.

use bytes::Bytes;

use super::Lsn;
use super::segment::StoreId;
use crate::record::cursor::Cursor;

/// Bytes of the header of a frame.
pub(crate) const HEADER_LEN: usize = 32;

/// First bytes of a frame.
pub(crate) const MAGIC: [u8; 4] = *b"HCfr";

/// Blocks of at least this length are written from where they are, shorter ones are copied together.
const COPY_BELOW: usize = 1 << 10;

/// So many bytes are copied all the same: a frame in one piece is written faster than one in two.
const COPY_UP_TO: usize = 4 << 10;

/// The header of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) crc: u32,
    pub(crate) body_len: u32,
    pub(crate) data_len: u32,
    pub(crate) lsn: Lsn,
    /// All frames before this one were on the device when this one was written.
    pub(crate) synced: Lsn,
}

impl Header {
    pub(crate) fn decode(bytes: &[u8; HEADER_LEN]) -> Option<Self> {
        let mut cursor = Cursor::new(bytes);
        if cursor.array()? != MAGIC {
            return None;
        }
        Some(Self {
            crc: cursor.u32()?,
            body_len: cursor.u32()?,
            data_len: cursor.u32()?,
            lsn: Lsn(cursor.u64()?),
            synced: Lsn(cursor.u64()?),
        })
    }

    fn encode(&self) -> [u8; HEADER_LEN] {
        let mut out = [0; HEADER_LEN];
        let (magic, rest) = out.split_at_mut(4);
        magic.copy_from_slice(&MAGIC);
        let (crc, rest) = rest.split_at_mut(4);
        crc.copy_from_slice(&self.crc.to_le_bytes());
        rest.copy_from_slice(&self.covered());
        out
    }

    /// The part of the header that its checksum covers.
    fn covered(&self) -> [u8; HEADER_LEN - 8] {
        let mut out = [0; HEADER_LEN - 8];
        let lens = (u64::from(self.data_len) << 32) | u64::from(self.body_len);
        for (place, field) in out
            .chunks_exact_mut(8)
            .zip([lens, self.lsn.0, self.synced.0])
        {
            place.copy_from_slice(&field.to_le_bytes());
        }
        out
    }

    pub(crate) fn is_of(&self, body: &[u8], store: StoreId) -> bool {
        self.crc == self.checksum(crc32c::crc32c(body), store)
    }

    fn checksum(&self, of_body: u32, store: StoreId) -> u32 {
        let mut rest = [0; HEADER_LEN - 8 + 16];
        let (header, id) = rest.split_at_mut(HEADER_LEN - 8);
        header.copy_from_slice(&self.covered());
        id.copy_from_slice(&store.0);
        crc32c::crc32c_append(of_body, &rest)
    }

    /// Bytes of the whole frame.
    pub(crate) fn frame_len(&self) -> u64 {
        HEADER_LEN as u64 + u64::from(self.body_len) + u64::from(self.data_len)
    }
}

/// A frame that is ready but for its place in the log.
#[derive(Debug)]
pub(crate) struct Draft {
    /// The first begins with the header's place and the body.
    parts: Vec<Part>,
    body_len: u32,
    body_crc: u32,
    data_len: u32,
    copied: Copied,
}

/// Bytes of blocks that are copied behind what comes before them.
#[derive(Debug, Default)]
struct Copied(usize);

impl Copied {
    /// Whether the next block is copied too.
    fn takes(&mut self, len: usize) -> bool {
        let sum = self.0.saturating_add(len);
        let takes = len < COPY_BELOW || sum <= COPY_UP_TO;
        if takes {
            self.0 = sum;
        }
        takes
    }
}

/// Some bytes of a frame.
#[derive(Debug)]
pub(crate) enum Part {
    Shared(Bytes),
    Copied(Vec<u8>),
}

impl AsRef<[u8]> for Part {
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::Shared(bytes) => bytes,
            Self::Copied(bytes) => bytes,
        }
    }
}

impl Draft {
    /// Room for the header; the body is appended to it.
    pub(crate) fn body_buffer(capacity: usize) -> Vec<u8> {
        let mut buffer = Vec::with_capacity(HEADER_LEN + capacity);
        buffer.resize(HEADER_LEN, 0);
        buffer
    }

    /// `front` is from [`body_buffer`](Self::body_buffer), with the body behind it. `None` where the
    /// frame would be too long to be numbered.
    pub(crate) fn new(front: Vec<u8>, blocks: impl Iterator<Item = Bytes>) -> Option<Self> {
        let body = front.get(HEADER_LEN..)?;
        let (body_len, body_crc) = (u32::try_from(body.len()).ok()?, crc32c::crc32c(body));
        let mut draft = Self {
            parts: vec![Part::Copied(front)],
            body_len,
            body_crc,
            data_len: 0,
            copied: Copied::default(),
        };
        for block in blocks {
            draft.data_len = draft
                .data_len
                .checked_add(u32::try_from(block.len()).ok()?)?;
            draft.push(block);
        }
        Some(draft)
    }

    /// Bytes of these blocks that are copied.
    pub(crate) fn copied_len<'a>(blocks: impl Iterator<Item = &'a Bytes>) -> usize {
        let mut copied = Copied::default();
        for block in blocks {
            copied.takes(block.len());
        }
        copied.0
    }

    fn push(&mut self, block: Bytes) {
        if !self.copied.takes(block.len()) {
            self.parts.push(Part::Shared(block));
        } else if let Some(Part::Copied(last)) = self.parts.last_mut() {
            last.extend_from_slice(&block);
        } else {
            self.parts.push(Part::Copied(block.to_vec()));
        }
    }

    pub(crate) fn frame_len(&self) -> u64 {
        self.data_offset() + u64::from(self.data_len)
    }

    /// Bytes from the start of the frame to its data.
    pub(crate) fn data_offset(&self) -> u64 {
        HEADER_LEN as u64 + u64::from(self.body_len)
    }

    /// The frame as it is written, and the checksum in its header.
    pub(crate) fn seal(mut self, lsn: Lsn, synced: Lsn, store: StoreId) -> (Vec<Part>, u32) {
        let (body_len, data_len) = (self.body_len, self.data_len);
        let mut header = Header {
            crc: 0,
            body_len,
            data_len,
            lsn,
            synced,
        };
        header.crc = header.checksum(self.body_crc, store);
        if let Some(Part::Copied(front)) = self.parts.first_mut()
            && let Some(place) = front.get_mut(..HEADER_LEN)
        {
            place.copy_from_slice(&header.encode());
        }
        (self.parts, header.crc)
    }
}
