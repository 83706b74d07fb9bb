//! Reading a database of RocksDB, as far as the reference uses it: what is in its tables, its blob files
//! and its write-ahead logs, at the latest state.
//!
//! Owns the formats. Knows nothing of what keys and values mean. Nothing is written, nothing locked: a
//! database that is being written to meanwhile may look damaged.

mod batch;
mod blob;
mod block;
mod database;
mod log;
mod manifest;
mod table;
mod tombstones;

pub(crate) use database::Database;

/// What an entry of a key is: the numbers that the format has for it.
pub(crate) mod kind {
    pub(crate) const DELETION: u8 = 0x0;
    pub(crate) const VALUE: u8 = 0x1;
    pub(crate) const LOG_DATA: u8 = 0x3;
    pub(crate) const CF_DELETION: u8 = 0x4;
    pub(crate) const CF_VALUE: u8 = 0x5;
    pub(crate) const SINGLE_DELETION: u8 = 0x7;
    pub(crate) const CF_SINGLE_DELETION: u8 = 0x8;
    pub(crate) const NOOP: u8 = 0xd;
    pub(crate) const CF_RANGE_DELETION: u8 = 0xe;
    pub(crate) const RANGE_DELETION: u8 = 0xf;
    pub(crate) const CF_BLOB_INDEX: u8 = 0x10;
    pub(crate) const BLOB_INDEX: u8 = 0x11;
}

/// A checksum as it is stored: the format keeps CRC-32C of what contains CRC-32C apart from itself.
pub(crate) fn masked(crc: u32) -> u32 {
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

/// Reads a record that no checksum vouches for.
pub(crate) fn probe(choice: u8, bytes: &bytes::Bytes) {
    match choice {
        6 => drop(batch::writes(bytes, 1, |_, _| {})),
        7 => drop(block::entries(bytes, block::Values::Sized)),
        8 => drop(block::entries(bytes, block::Values::Handles)),
        _ => {
            drop(manifest::edit(bytes));
            drop(blob::BlobPlace::decode(bytes));
        }
    }
}

/// The latest of what is stored under a key.
#[derive(Debug, Clone)]
pub(crate) struct Version {
    /// Later writes have greater ones.
    pub(crate) sequence: u64,
    pub(crate) kind: u8,
    pub(crate) value: bytes::Bytes,
}

impl Version {
    /// Takes the place of `slot` where it is later.
    pub(crate) fn supersede(self, slot: &mut Option<Self>) {
        if slot
            .as_ref()
            .is_none_or(|other| other.sequence < self.sequence)
        {
            *slot = Some(self);
        }
    }
}
