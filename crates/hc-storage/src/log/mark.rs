//! A frame that is known to be on the device with all before it, and the file beside the log that says
//! so: what it names must be there whenever the store is opened, with an index or without one.
//!
//! Owns the file's bytes and that it is replaced whole or not at all. Does not read the log.

use super::segment::StoreId;
use super::{Lsn, Position};
use crate::disk::{Disk, fault};
use crate::error::{Action, Damage, DamageKind, IoFault, OpenError};
use crate::record::cursor::Cursor;

/// Name of the file in the store.
pub(crate) const FILE: &str = "POSITION";

/// Name of the file while it is written.
pub(crate) const NEW_FILE: &str = "POSITION.new";

const MAGIC: [u8; 8] = *b"HCRS-POS";
const VERSION: u32 = 1;
const LEN: usize = 64;

/// One frame, by its place and its checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) segment: u32,
    /// Where the frame starts.
    pub(crate) start: u32,
    /// Where the next one starts.
    pub(crate) end: u32,
    pub(crate) lsn: Lsn,
    /// The checksum in its header.
    pub(crate) crc: u32,
}

/// What the file says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Recorded {
    pub(crate) store: StoreId,
    pub(crate) mark: Mark,
}

impl Mark {
    /// Where the frame is.
    pub(crate) fn position(&self) -> Position {
        Position {
            segment: self.segment,
            offset: self.start,
            lsn: self.lsn,
        }
    }

    /// Where the next one is.
    pub(crate) fn next(&self) -> Position {
        Position {
            segment: self.segment,
            offset: self.end,
            lsn: self.lsn.next(),
        }
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        for field in [self.segment, self.start, self.end, self.crc] {
            out.extend_from_slice(&field.to_le_bytes());
        }
        out.extend_from_slice(&self.lsn.0.to_le_bytes());
    }

    pub(crate) fn decode(cursor: &mut Cursor<'_>) -> Option<Self> {
        Some(Self {
            segment: cursor.u32()?,
            start: cursor.u32()?,
            end: cursor.u32()?,
            crc: cursor.u32()?,
            lsn: Lsn(cursor.u64()?),
        })
    }
}

impl Recorded {
    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(LEN);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&self.store.0);
        self.mark.encode(&mut out);
        out.resize(LEN - 4, 0);
        out.extend_from_slice(&crc32c::crc32c(&out).to_le_bytes());
        out
    }

    /// `None` where the checksum or the length is wrong.
    fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; LEN] = bytes.try_into().ok()?;
        let (content, crc) = bytes.split_last_chunk()?;
        if crc32c::crc32c(content) != u32::from_le_bytes(*crc) {
            return None;
        }
        let mut cursor = Cursor::new(content.get(MAGIC.len() + 4..)?);
        Some(Self {
            store: StoreId(cursor.array()?),
            mark: Mark::decode(&mut cursor)?,
        })
    }
}

/// Reads the file; `None` where there is none.
pub(crate) fn read(disk: &dyn Disk) -> Result<Option<Recorded>, OpenError> {
    let opened = disk.open(FILE, false);
    let Some(file) = opened.map_err(fault(disk, Action::Open, FILE))? else {
        return Ok(None);
    };
    // one more than there should be, to see that there is no more
    let mut bytes = [0; LEN + 1];
    let read = file.read_at(&mut bytes, 0);
    let read = read.map_err(fault(disk, Action::Read, FILE))?;
    let bytes = bytes.get(..read).unwrap_or_default();
    let mut cursor = Cursor::new(bytes);
    match (cursor.array() == Some(MAGIC), cursor.u32()) {
        (true, Some(VERSION)) => match Recorded::decode(bytes) {
            Some(recorded) => Ok(Some(recorded)),
            None => Err(damage(disk).into()),
        },
        (true, Some(found)) => Err(OpenError::Version {
            path: disk.root().join(FILE),
            found,
            supported: VERSION,
        }),
        _ => Err(damage(disk).into()),
    }
}

/// Replaces the file, on the device when this returns. The log has to be there already.
pub(crate) fn write(disk: &dyn Disk, recorded: &Recorded) -> Result<(), IoFault> {
    let file = disk
        .create(NEW_FILE)
        .map_err(fault(disk, Action::Create, NEW_FILE))?;
    file.write_at(&[&recorded.encode()], 0)
        .map_err(fault(disk, Action::Write, NEW_FILE))?;
    file.sync().map_err(fault(disk, Action::Sync, NEW_FILE))?;
    disk.rename(NEW_FILE, FILE)
        .map_err(fault(disk, Action::Rename, NEW_FILE))?;
    disk.sync_dir("").map_err(fault(disk, Action::Sync, ""))
}

/// The file is not what was written, or another store's.
pub(crate) fn damage(disk: &dyn Disk) -> Damage {
    Damage {
        path: disk.root().join(FILE),
        offset: 0,
        kind: DamageKind::Position,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_bytes_that_were_written_are_a_position() {
        let recorded = Recorded {
            store: StoreId([7; 16]),
            mark: Mark {
                segment: 3,
                start: 64,
                end: 1000,
                lsn: Lsn(1 << 40),
                crc: 0xdead_beef,
            },
        };
        let bytes = recorded.encode();
        assert_eq!(Recorded::decode(&bytes), Some(recorded));
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Recorded::decode(&damaged), None, "bit {bit}");
        }
        assert_eq!(Recorded::decode(&bytes[..LEN - 1]), None);
        assert_eq!(Recorded::decode(&[&bytes[..], &[0]].concat()), None);
    }
}
