//! The first bytes of a segment, its number and its name. Knows nothing of frames.
//!
//! A number is a place in the log and a round: 0 for a segment that was appended to, one more each time
//! that what is there was collected. One that was collected stands for all places from its own to a last.

use super::Lsn;
use crate::record::cursor::Cursor;

/// Directory of the segments, in the store.
pub(crate) const DIR: &str = "log";

/// Version of everything that is in the log.
pub(crate) const FORMAT_VERSION: u32 = 2;

/// Bytes before the first frame.
pub(crate) const HEADER_LEN: u32 = 64;

/// The file that a collected segment is written to before it gets its name.
pub(crate) const NEW: &str = "log/collecting";

const MAGIC: [u8; 8] = *b"HCRS-LOG";

/// Bits of a number that say the place.
const PLACE_BITS: u32 = 24;

/// Where in the log a segment is.
pub(crate) const fn place(number: u32) -> u32 {
    number & ((1 << PLACE_BITS) - 1)
}

/// How often what is in a segment was collected.
pub(crate) const fn round(number: u32) -> u32 {
    number >> PLACE_BITS
}

/// The number of a place and a round; `None` where there are no more.
pub(crate) const fn numbered(place: u32, round: u32) -> Option<u32> {
    if place >> PLACE_BITS != 0 || round >> (u32::BITS - PLACE_BITS) != 0 {
        return None;
    }
    Some(round << PLACE_BITS | place)
}

/// What tells the log of one store from that of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StoreId(pub(crate) [u8; 16]);

/// The first bytes of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) number: u32,
    pub(crate) store: StoreId,
    /// The first frame in it, or that it stands for.
    pub(crate) first: Lsn,
    /// Of one that was collected.
    pub(crate) collected: Option<Collected>,
}

/// What a collected segment stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Collected {
    /// The first frame after those that it stands for.
    pub(crate) next: Lsn,
    /// The last place that it stands for.
    pub(crate) through: u32,
    /// Bytes in its file.
    pub(crate) len: u32,
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
        if let Some(collected) = &self.collected {
            out.extend_from_slice(&collected.next.0.to_le_bytes());
            out.extend_from_slice(&collected.through.to_le_bytes());
            out.extend_from_slice(&collected.len.to_le_bytes());
        }
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
        let collected = Collected {
            next: Lsn(cursor.u64()?),
            through: cursor.u32()?,
            len: cursor.u32()?,
        };
        let (content, crc) = bytes.get(..HEADER_LEN as usize)?.split_last_chunk()?;
        (crc32c::crc32c(content) == u32::from_le_bytes(*crc)).then_some(Self {
            number,
            store,
            first,
            collected: (round(number) > 0).then_some(collected),
        })
    }
}

/// Name of a segment in the store.
pub(crate) fn name(number: u32) -> String {
    match (place(number), round(number)) {
        (place, 0) => format!("{DIR}/{place:08}.seg"),
        (place, round) => format!("{DIR}/{place:08}-{round:03}.seg"),
    }
}

/// The number in the name of a file in [`DIR`].
pub(crate) fn number(file: &str) -> Option<u32> {
    let stem = file.strip_suffix(".seg")?;
    let (place, round) = match stem.split_once('-') {
        Some((place, round)) => (place, digits(round, 3).filter(|round| *round > 0)?),
        None => (stem, 0),
    };
    numbered(digits(place, 8)?, round)
}

fn digits(text: &str, len: usize) -> Option<u32> {
    let all = text.len() == len && text.bytes().all(|byte| byte.is_ascii_digit());
    all.then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for (place, round, expected) in [
            (0, 0, "00000000.seg"),
            (7, 0, "00000007.seg"),
            (7, 1, "00000007-001.seg"),
            ((1 << 24) - 1, 255, "16777215-255.seg"),
        ] {
            let number = numbered(place, round).expect("a number");
            assert_eq!((super::place(number), super::round(number)), (place, round));
            assert_eq!(name(number), format!("{DIR}/{expected}"));
            assert_eq!(super::number(expected), Some(number));
        }
        assert_eq!(numbered(1 << 24, 0), None);
        assert_eq!(numbered(0, 256), None);
        for file in [
            "collecting",
            "7.seg",
            "00000007-000.seg",
            "00000007-1.seg",
            "16777216.seg",
        ] {
            assert_eq!(super::number(file), None, "{file}");
        }
    }

    #[test]
    fn headers_are_read_as_they_are_written() {
        let collected = Collected {
            next: Lsn(90),
            through: 5,
            len: 4000,
        };
        for (number, collected) in [(3, None), (3 | 2 << PLACE_BITS, Some(collected))] {
            let header = Header {
                number,
                store: StoreId([9; 16]),
                first: Lsn(1 << 33),
                collected,
            };
            assert_eq!(Header::decode(&header.encode()), Ok(header));
        }
    }
}
