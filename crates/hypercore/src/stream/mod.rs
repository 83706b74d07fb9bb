//! Streams: blocks and bytes in order out of a log, and blocks in order into one.
//!
//! Each is driven by whoever polls it, block by block, and ends with the handle that it was made from.

mod ahead;
mod blocks;
mod bytes;
mod prefetch;
mod write;

pub use self::blocks::ReadStream;
pub use self::bytes::{ByteStream, ByteStreamError};
pub use self::write::WriteStream;
