//! One frame: a header, a body that says what was done, and the bytes of blocks.
//!
//! The checksum in the header is over body, header and the id of the store: whoever may choose the bytes
//! of a block cannot put a frame into them, nor does one of another store count. Each block has its own
//! in the body, so that one block can be read and verified without the rest of its frame.

use std::cell::Cell;

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
    /// With the header's place.
    parts: Parts,
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

/// The bytes of a frame: mostly in one piece.
#[derive(Debug)]
pub(crate) struct Parts {
    /// Header and body, and the bytes of small blocks.
    front: Vec<u8>,
    rest: Vec<Part>,
}

/// Some bytes behind the front of a frame.
#[derive(Debug)]
enum Part {
    Shared(Bytes),
    Copied(Vec<u8>),
}

impl Parts {
    /// All of them, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let rest = self.rest.iter().map(|part| match part {
            Part::Shared(bytes) => &bytes[..],
            Part::Copied(bytes) => bytes,
        });
        std::iter::once(self.front.as_slice()).chain(rest)
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        1 + self.rest.len()
    }

    /// The bytes, if they are in one piece.
    pub(crate) fn whole(&self) -> Option<&[u8]> {
        self.rest.is_empty().then_some(&self.front)
    }

    /// Where bytes are appended.
    fn end(&mut self) -> Option<&mut Vec<u8>> {
        match self.rest.last_mut() {
            None => Some(&mut self.front),
            Some(Part::Copied(bytes)) => Some(bytes),
            Some(Part::Shared(_)) => None,
        }
    }
}

/// Most bytes of room that a thread keeps from a frame for its next one.
const SPARE: usize = 16 << 10;

thread_local! {
    /// Room of a frame that is no more. To get it anew for each costs an append more than to fill it.
    static ROOM: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

impl Drop for Parts {
    fn drop(&mut self) {
        if self.front.capacity() <= SPARE {
            // a thread that ends keeps nothing
            let _ = ROOM.try_with(|room| room.set(std::mem::take(&mut self.front)));
        }
    }
}

impl Draft {
    /// Room for the header; the body is appended to it.
    pub(crate) fn body_buffer(capacity: usize) -> Vec<u8> {
        let mut buffer = ROOM.try_with(Cell::take).unwrap_or_default();
        buffer.clear();
        buffer.reserve(HEADER_LEN + capacity);
        buffer.resize(HEADER_LEN, 0);
        buffer
    }

    /// `front` is from [`body_buffer`](Self::body_buffer), with the body behind it. `None` where the
    /// frame would be too long to be numbered.
    pub(crate) fn new(front: Vec<u8>, blocks: impl Iterator<Item = Bytes>) -> Option<Self> {
        let body = front.get(HEADER_LEN..)?;
        let (body_len, body_crc) = (u32::try_from(body.len()).ok()?, crc32c::crc32c(body));
        let mut draft = Self {
            parts: Parts {
                front,
                rest: Vec::new(),
            },
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
            self.parts.rest.push(Part::Shared(block));
        } else if let Some(end) = self.parts.end() {
            end.extend_from_slice(&block);
        } else {
            self.parts.rest.push(Part::Copied(block.to_vec()));
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
    pub(crate) fn seal(mut self, lsn: Lsn, synced: Lsn, store: StoreId) -> (Parts, u32) {
        let (body_len, data_len) = (self.body_len, self.data_len);
        let mut header = Header {
            crc: 0,
            body_len,
            data_len,
            lsn,
            synced,
        };
        header.crc = header.checksum(self.body_crc, store);
        if let Some(place) = self.parts.front.get_mut(..HEADER_LEN) {
            place.copy_from_slice(&header.encode());
        }
        (self.parts, header.crc)
    }
}
