//! Compact encoding, nothing else: the binary primitives that every record and every message of an
//! append-only log is made of.
//!
//! Owns the two traits [`Encode`] and [`Decode`], the cursors [`Writer`] and [`Reader`], and the
//! primitive forms (integers, byte strings, arrays, options). Knows nothing of what it encodes: the
//! codec of a type stands beside that type, in the crate that owns it.
//!
//! Encoding is exact and cannot fail: [`Encode::encoded_len`] is computed first, then that many
//! bytes are written. Decoding borrows from its input, checks every declared length against what is
//! left *before* it allocates, and reports where it stopped.
//!
//! ```
//! use hc_encoding::{Reader, encode_to_vec};
//!
//! let bytes = encode_to_vec(&300u64);
//! assert_eq!(bytes, [0xfd, 0x2c, 0x01]);
//! assert_eq!(Reader::new(&bytes).uint()?, 300);
//! # Ok::<(), hc_encoding::DecodeError>(())
//! ```
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod codec;
mod error;
mod reader;
mod uint;
mod writer;

pub use codec::{Decode, Encode, decode_exact, decode_prefix, encode_to_vec};
pub use error::{DecodeError, DecodeErrorKind};
pub use reader::Reader;
pub use uint::{uint_len, zigzag_decode, zigzag_encode};
pub use writer::Writer;

/// Most entries that an array may declare (2^20), as in the reference's `compact-encoding`.
pub const MAX_ARRAY_LEN: usize = 0x10_0000;
