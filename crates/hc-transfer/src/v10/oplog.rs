//! The `oplog` of version 10: two slots for a header, then entries that change what it says.
//!
//! Owns the bytes of header and entries, and which of them count. Knows no file.
//!
//! A slot is 4096 bytes, the entries start at 8192. Header and entry stand after 8 bytes: CRC-32 over what
//! follows, then a 32-bit word with the length times 4, plus 2 where more entries of the same write
//! follow, plus 1 or 0: of the headers, the second counts where their bits differ, else the first; an
//! entry counts where its bit is that of the sum.

use bytes::Bytes;
use hc_encoding::{Decode, DecodeError, DecodeErrorKind, Reader};
use hc_merkle::{CoreKey, Fork, Length, Manifest, Node, SecretKey};

/// Bytes of a slot.
const SLOT: usize = 4096;

/// Bytes before the content of a header or an entry.
const FRAME: usize = 8;

/// What is wrong with an oplog, and at which of its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OplogFault {
    pub(crate) offset: usize,
    pub(crate) kind: OplogFaultKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OplogFaultKind {
    /// Neither header is whole.
    NoHeader,
    /// A header that is whole has no meaning.
    Header,
    /// An entry that is whole has no meaning.
    Entry,
}

/// A header, or where it is kept.
#[derive(Debug, Clone)]
pub(crate) enum Found {
    Here(Box<Header>),
    /// In the file `header`.
    External {
        start: u64,
        len: u64,
    },
}

/// What a log was when it was last flushed.
#[derive(Debug, Clone)]
pub(crate) struct Header {
    pub(crate) key: CoreKey,
    pub(crate) manifest: Option<Manifest>,
    pub(crate) secret_key: Option<SecretKey>,
    pub(crate) user_data: Vec<(String, Bytes)>,
    pub(crate) tree: Tree,
}

/// Length, fork and signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tree {
    pub(crate) fork: Fork,
    pub(crate) length: Length,
    pub(crate) signature: Bytes,
}

/// One change since then.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Entry {
    pub(crate) user_data: Option<(String, Bytes)>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) upgrade: Option<Upgrade>,
    pub(crate) bits: Option<Bits>,
}

/// A new length, and what of the old one is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Upgrade {
    pub(crate) ancestors: Length,
    pub(crate) tree: Tree,
}

/// Blocks that are there from now on, or are not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bits {
    pub(crate) is_there: bool,
    pub(crate) start: u64,
    pub(crate) len: u64,
}

/// A whole frame.
struct Frame {
    at: usize,
    bit: u32,
    more_follows: bool,
    content: Bytes,
}

/// Reads the header that counts, and the entries after it.
pub(crate) fn read(file: &Bytes) -> Result<(Found, Vec<Entry>), OplogFault> {
    let first = frame(file, 0).filter(|frame| decodes(&frame.content));
    let second = frame(file, SLOT).filter(|frame| decodes(&frame.content));
    let (header, bit) = match (first, second) {
        (None, None) => {
            return Err(OplogFault {
                offset: 0,
                kind: OplogFaultKind::NoHeader,
            });
        }
        (Some(first), None) => (first, 0),
        (None, Some(second)) => (second, 1),
        (Some(first), Some(second)) => match (first.bit + second.bit) & 1 {
            0 => (first, 0),
            _ => (second, 1),
        },
    };
    let content = Bytes::clone(&header.content);
    let found = Found::decode(&mut Reader::over(&content)).map_err(|error| OplogFault {
        offset: header.at + FRAME + error.at,
        kind: OplogFaultKind::Header,
    })?;
    Ok((found, entries(file, bit)?))
}

fn decodes(content: &Bytes) -> bool {
    Found::decode(&mut Reader::over(content)).is_ok()
}

/// All entries with this bit, up to the first that is not whole; without those of a write that is not.
fn entries(file: &Bytes, bit: u32) -> Result<Vec<Entry>, OplogFault> {
    let mut entries = Vec::new();
    let mut whole = 0;
    let mut at = 2 * SLOT;
    while let Some(frame) = frame(file, at).filter(|frame| frame.bit == bit) {
        let entry = Entry::decode(&mut Reader::over(&frame.content));
        entries.push(entry.map_err(|error| OplogFault {
            offset: at + FRAME + error.at,
            kind: OplogFaultKind::Entry,
        })?);
        if !frame.more_follows {
            whole = entries.len();
        }
        at += FRAME + frame.content.len();
    }
    entries.truncate(whole);
    Ok(entries)
}

/// The frame at a place, if its checksum is right.
fn frame(file: &Bytes, at: usize) -> Option<Frame> {
    let mut reader = Reader::new(file.get(at..)?);
    let checksum = u32::from_le_bytes(reader.array().ok()?);
    let word = u32::from_le_bytes(reader.array().ok()?);
    let len = usize::try_from(word >> 2).ok()?;
    let start = at.checked_add(FRAME)?;
    let end = start.checked_add(len).filter(|end| *end <= file.len())?;
    (crc32fast::hash(file.get(at + 4..end)?) == checksum).then(|| Frame {
        at,
        bit: word & 1,
        more_follows: word & 2 != 0,
        content: file.slice(start..end),
    })
}

impl<'a> Decode<'a> for Found {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let unknown = reader.error(DecodeErrorKind::Invalid);
        match reader.uint()? {
            0 => Ok(Self::Here(Box::new(header_of_alpha(reader)?))),
            1 => {
                let flags = reader.uint()?;
                if flags & 1 != 0 {
                    let (start, len) = (reader.uint()?, reader.uint()?);
                    return Ok(Self::External { start, len });
                }
                Ok(Self::Here(Box::new(header(reader, flags)?)))
            }
            _ => Err(unknown),
        }
    }
}

fn header(reader: &mut Reader<'_>, flags: u64) -> Result<Header, DecodeError> {
    let key = CoreKey(reader.array()?);
    let manifest = (flags & 2 != 0)
        .then(|| Manifest::decode(reader))
        .transpose()?;
    let pair = (flags & 4 != 0).then(|| key_pair(reader)).transpose()?;
    let header = Header {
        key,
        manifest,
        secret_key: pair.and_then(|(_, secret)| secret),
        user_data: user_data(reader)?,
        tree: tree_header(reader)?,
    };
    hints(reader)?;
    Ok(header)
}

/// As the first releases wrote it: the public key is the key.
fn header_of_alpha(reader: &mut Reader<'_>) -> Result<Header, DecodeError> {
    for _ in 0..3 {
        reader.buffer()?; // names of the hash, the bitfield and the signature: always the same
    }
    let user_data = user_data(reader)?;
    let tree = tree_header(reader)?;
    let invalid = reader.error(DecodeErrorKind::Invalid);
    let (public_key, secret_key) = key_pair(reader)?;
    let key = CoreKey(public_key.try_into().map_err(|_| invalid)?);
    hints(reader)?;
    Ok(Header {
        key,
        manifest: None,
        secret_key,
        user_data,
        tree,
    })
}

/// A public key of any length, and the secret one if it is there.
fn key_pair<'a>(reader: &mut Reader<'a>) -> Result<(&'a [u8], Option<SecretKey>), DecodeError> {
    let public_key = reader.buffer()?;
    let invalid = reader.error(DecodeErrorKind::Invalid);
    let secret_key = match reader.buffer()? {
        [] => None,
        bytes => Some(SecretKey::from_bytes(
            bytes.try_into().map_err(|_| invalid)?,
        )),
    };
    Ok((public_key, secret_key))
}

fn user_data(reader: &mut Reader<'_>) -> Result<Vec<(String, Bytes)>, DecodeError> {
    let len = reader.array_len(2)?;
    (0..len).map(|_| key_value(reader)).collect()
}

fn key_value(reader: &mut Reader<'_>) -> Result<(String, Bytes), DecodeError> {
    let key = String::from_utf8_lossy(reader.buffer()?).into_owned();
    Ok((key, Bytes::copy_from_slice(reader.buffer()?)))
}

fn tree_header(reader: &mut Reader<'_>) -> Result<Tree, DecodeError> {
    let (fork, length) = (reader.uint()?, reader.uint()?);
    reader.buffer()?; // the tree hash, which follows from the roots
    Ok(Tree {
        fork: Fork::new(fork),
        length: Length::new(length),
        signature: Bytes::copy_from_slice(reader.buffer()?),
    })
}

/// Nothing of it is needed: it is found again by looking.
fn hints(reader: &mut Reader<'_>) -> Result<(), DecodeError> {
    for _ in 0..reader.array_len(3)? {
        for _ in 0..3 {
            reader.uint()?;
        }
    }
    if !reader.is_empty() {
        reader.uint()?;
    }
    Ok(())
}

impl<'a> Decode<'a> for Entry {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let flags = reader.uint()?;
        let mut entry = Self::default();
        if flags & 1 != 0 {
            entry.user_data = Some(key_value(reader)?);
        }
        if flags & 2 != 0 {
            let len = reader.array_len(34)?;
            entry.nodes = (0..len)
                .map(|_| Node::decode(reader))
                .collect::<Result<_, _>>()?;
        }
        if flags & 4 != 0 {
            let (fork, ancestors, length) = (reader.uint()?, reader.uint()?, reader.uint()?);
            entry.upgrade = Some(Upgrade {
                ancestors: Length::new(ancestors),
                tree: Tree {
                    fork: Fork::new(fork),
                    length: Length::new(length),
                    signature: Bytes::copy_from_slice(reader.buffer()?),
                },
            });
        }
        if flags & 8 != 0 {
            let flags = reader.uint()?;
            entry.bits = Some(Bits {
                is_there: flags & 1 == 0,
                start: reader.uint()?,
                len: reader.uint()?,
            });
        }
        Ok(entry)
    }
}

#[cfg(test)]
mod tests;
