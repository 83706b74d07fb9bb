//! Owns the traits, the cursors and the primitive forms; knows nothing of what is encoded.
//!
#![doc = include_str!("../README.md")]
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod big;
mod bytes;
mod codec;
mod collection;
mod error;
mod fixed;
mod json;
mod lexint;
mod net;
mod reader;
mod text;
mod uint;
mod writer;

pub use big::{BigInt, BigUint};
pub use bytes::{BitArray, Raw, buffer_len};
pub use codec::{Decode, Encode, decode_exact, decode_prefix, encode_to_vec};
pub use collection::{Entries, Frame, Packed, PackedNumber, Record};
pub use error::{DecodeError, DecodeErrorKind};
pub use fixed::{IntLe, UintBe, UintLe};
pub use json::Json;
pub use lexint::Lexint;
pub use reader::Reader;
pub use text::{Ascii, Utf16Le};
pub use uint::{DateMillis, uint_len, zigzag_decode, zigzag_encode};
pub use writer::Writer;

/// Most entries that an array may declare (2^20), as in the reference's `compact-encoding`.
pub const MAX_ARRAY_LEN: usize = 0x10_0000;

/// Most arrays and objects inside each other that JSON text may have.
pub const MAX_JSON_DEPTH: usize = 128;
