//! Length framing: every message has its length before it, in three bytes, little-endian.
//!
//! Owns the bytes of a frame that has not come whole. Knows nothing of what is in it.

use bytes::{Buf, BytesMut};
use thiserror::Error;

use crate::Fault;
use crate::limits::MAX_FRAME_LEN;

/// Bytes of the length before a frame.
pub const PREFIX_LEN: usize = 3;

/// The memory of a frame over this size goes when the frame does. That of smaller ones is used again.
const LARGE_FRAME: usize = 1024 * 1024;

/// The length of a frame as it is sent before it.
///
/// # Errors
/// [`FrameTooLong`] over [`MAX_FRAME_LEN`].
pub const fn prefix(len: usize) -> Result<[u8; PREFIX_LEN], FrameTooLong> {
    if len > MAX_FRAME_LEN {
        return Err(FrameTooLong {
            len,
            limit: MAX_FRAME_LEN,
        });
    }
    #[allow(clippy::cast_possible_truncation)] // checked above: it has 24 bits
    let [a, b, c, _] = (len as u32).to_le_bytes();
    Ok([a, b, c])
}

/// Takes bytes as they come and gives frames as they are complete.
///
/// It holds what was received and not yet taken: no more than one frame that has not come whole, where
/// [`next_frame`](Self::next_frame) is called until it has none. Frames share the memory that they were
/// received in; nothing is copied again, but for what came behind a large one.
#[derive(Debug, Default)]
pub struct FrameDecoder {
    received: BytesMut,
}

impl FrameDecoder {
    /// A decoder that has received nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds bytes in the order in which they came.
    pub fn receive(&mut self, bytes: &[u8]) {
        self.received.extend_from_slice(bytes);
    }

    /// Takes the next frame, without its length, if it is complete.
    ///
    /// # Errors
    /// [`FrameTooLong`] as soon as a frame declares more than `limit` bytes; nothing is taken then.
    pub fn next_frame(&mut self, limit: usize) -> Result<Option<BytesMut>, FrameTooLong> {
        let Some(&[a, b, c]) = self.received.first_chunk::<PREFIX_LEN>() else {
            return Ok(None);
        };
        let len = usize::from(a) | usize::from(b) << 8 | usize::from(c) << 16;
        if len > limit {
            return Err(FrameTooLong { len, limit });
        }
        let end = PREFIX_LEN + len;
        if self.received.len() < end {
            return Ok(None);
        }
        let mut frame = self.received.split_to(end);
        if end > LARGE_FRAME && self.received.len() <= end {
            // Else what comes next would keep the memory of this frame.
            self.received = BytesMut::from(self.received.as_ref());
        }
        frame.advance(PREFIX_LEN);
        Ok(Some(frame))
    }

    /// Bytes received and not yet taken.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.received.len()
    }
}

/// A frame that is longer than it may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("frame of {len} bytes is over the limit of {limit}")]
pub struct FrameTooLong {
    /// Bytes that it declares.
    pub len: usize,
    /// Bytes that it may have.
    pub limit: usize,
}

impl FrameTooLong {
    /// What the sender can be blamed for.
    #[must_use]
    pub const fn fault(&self) -> Fault {
        Fault::OverLimit
    }
}
