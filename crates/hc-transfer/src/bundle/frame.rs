//! Records: kind, length, content, checksum.
//!
//! Owns the frame around a record, in both directions. Knows nothing of what records say.

use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};

use hc_storage::varint;

use super::{BundleError, BundleFault};

/// First bytes of a bundle, then its version.
pub(super) const MAGIC: [u8; 8] = *b"\x89hcbundl";
pub(super) const VERSION: u8 = 1;

/// Bytes of a checksum.
const CHECKSUM: usize = 4;

/// Most bytes of a length.
const MAX_VARINT: usize = 10;

/// Bytes that are read at once.
const BUFFER: usize = 128 << 10;

/// What a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Header,
    Head,
    UserData,
    Block,
    End,
}

impl Kind {
    const ALL: [Self; 5] = [
        Self::Header,
        Self::Head,
        Self::UserData,
        Self::Block,
        Self::End,
    ];

    pub(super) const fn number(self) -> u8 {
        match self {
            Self::Header => 1,
            Self::Head => 2,
            Self::UserData => 3,
            Self::Block => 4,
            Self::End => 5,
        }
    }

    fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.number() == number)
    }
}

/// Writes a record of these parts, and says how many bytes it took.
pub(super) fn write(out: &mut dyn Write, kind: Kind, parts: &[&[u8]]) -> io::Result<u64> {
    let len: usize = parts.iter().map(|part| part.len()).sum();
    let mut start = vec![kind.number()];
    varint::put(&mut start, len as u64);
    let mut checksum = crc32c::crc32c(&start);
    out.write_all(&start)?;
    for part in parts {
        checksum = crc32c::crc32c_append(checksum, part);
        out.write_all(part)?;
    }
    out.write_all(&checksum.to_le_bytes())?;
    Ok((start.len() + len + CHECKSUM) as u64)
}

/// Reads records from front to back.
#[derive(Debug)]
pub(super) struct Records<R> {
    input: BufReader<R>,
    at: u64,
}

/// The beginning of a record.
#[derive(Debug)]
pub(super) struct Start {
    pub(super) kind: Kind,
    /// Where it starts.
    pub(super) offset: u64,
    /// Bytes of content that have not been read.
    pub(super) left: u64,
    checksum: u32,
}

impl<R: Read + Seek> Records<R> {
    pub(super) fn new(input: R) -> Result<Self, BundleError> {
        let mut records = Self {
            input: BufReader::with_capacity(BUFFER, input),
            at: 0,
        };
        let magic = damaged(0, BundleFault::Magic);
        let mut start = [0; MAGIC.len()];
        match records.input.read_exact(&mut start) {
            Ok(()) if start == MAGIC => {}
            Ok(()) => return Err(magic),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Err(magic),
            Err(error) => return Err(error.into()),
        }
        records.at = MAGIC.len() as u64;
        match records.byte(0)? {
            VERSION => Ok(records),
            found => Err(BundleError::Version { found }),
        }
    }

    /// Where the next byte to be read stands.
    pub(super) fn position(&self) -> u64 {
        self.at
    }

    /// Goes to where a record starts.
    pub(super) fn go_to(&mut self, position: u64) -> io::Result<()> {
        self.input.seek(SeekFrom::Start(position))?;
        self.at = position;
        Ok(())
    }

    /// The beginning of the next record.
    pub(super) fn start(&mut self) -> Result<Start, BundleError> {
        let offset = self.at;
        let kind = self.byte(offset)?;
        let mut bytes = vec![kind];
        let len = loop {
            bytes.push(self.byte(offset)?);
            let number = bytes.get(1..).unwrap_or_default();
            match varint::take(number) {
                Some((len, _)) => break len,
                None if number.len() < MAX_VARINT && number.last() >= Some(&0x80) => {}
                None => return Err(damaged(offset, BundleFault::Malformed)),
            }
        };
        let malformed = damaged(offset, BundleFault::Malformed);
        Ok(Start {
            kind: Kind::from_number(kind).ok_or(malformed)?,
            offset,
            left: len,
            checksum: crc32c::crc32c(&bytes),
        })
    }

    /// Some of the content: at most `len` bytes, as many as there are. Room grows with what is there.
    pub(super) fn some(&mut self, start: &mut Start, len: u64) -> Result<Vec<u8>, BundleError> {
        let len = len.min(start.left);
        let mut bytes = Vec::new();
        let read = self.input.by_ref().take(len).read_to_end(&mut bytes)? as u64;
        self.at += read;
        if read < len {
            return Err(damaged(start.offset, BundleFault::Truncated));
        }
        start.left -= len;
        start.checksum = crc32c::crc32c_append(start.checksum, &bytes);
        Ok(bytes)
    }

    /// The rest of the content, whose checksum has to be right.
    pub(super) fn rest(&mut self, mut start: Start) -> Result<Vec<u8>, BundleError> {
        let bytes = self.some(&mut start, u64::MAX)?;
        let mut checksum = [0; CHECKSUM];
        for place in &mut checksum {
            *place = self.byte(start.offset)?;
        }
        if u32::from_le_bytes(checksum) != start.checksum {
            return Err(damaged(start.offset, BundleFault::Checksum));
        }
        Ok(bytes)
    }

    /// Passes over the rest of the content and the checksum.
    pub(super) fn skip(&mut self, start: &Start) -> Result<(), BundleError> {
        let len = start.left.saturating_add(CHECKSUM as u64);
        let step = i64::try_from(len).map_err(|_| too_long(start.offset, start.left))?;
        self.input.seek_relative(step)?;
        self.at = self.at.saturating_add(len);
        Ok(())
    }

    /// Whether nothing is left.
    pub(super) fn is_at_end(&mut self) -> io::Result<bool> {
        let mut byte = [0];
        Ok(self.input.read(&mut byte)? == 0)
    }

    fn byte(&mut self, record: u64) -> Result<u8, BundleError> {
        let mut byte = [0];
        match self.input.read_exact(&mut byte) {
            Ok(()) => {
                self.at += 1;
                let [byte] = byte;
                Ok(byte)
            }
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Err(damaged(record, BundleFault::Truncated))
            }
            Err(error) => Err(error.into()),
        }
    }
}

pub(super) fn damaged(offset: u64, fault: BundleFault) -> BundleError {
    BundleError::Damaged { offset, fault }
}

pub(super) fn too_long(offset: u64, len: u64) -> BundleError {
    damaged(offset, BundleFault::TooLong { len })
}
