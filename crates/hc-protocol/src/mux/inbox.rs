//! Frames in, taken apart one item at a time: what a remote can make this hold is the frame itself.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use bytes::Bytes;

use super::MuxError;
use super::control::{BATCH, Control, take_uint};
use super::limits::{MAX_BATCH_DEPTH, MAX_FRAME};

/// Frames that have been received and the place in them that has been reached.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    frames: VecDeque<Bytes>,
    /// The batches that the next item lies in, outermost first.
    batches: Vec<Batch>,
}

/// What is left of a batch, and the channel of the next item in it.
#[derive(Debug)]
struct Batch {
    rest: Bytes,
    channel: u64,
}

/// A channel and what was sent on it: a type, then a body.
#[derive(Debug)]
struct Raw {
    channel: u64,
    rest: Bytes,
}

/// One item of a frame.
#[derive(Debug)]
pub(super) enum Item {
    Control(Control),
    Message {
        number: u64,
        kind: u64,
        payload: Bytes,
    },
}

impl Inbox {
    /// Takes a frame in; empty ones, which only keep the connection alive, say nothing.
    pub(super) fn push(&mut self, frame: Bytes) -> Result<(), MuxError> {
        if frame.len() > MAX_FRAME {
            return Err(MuxError::FrameTooLong { len: frame.len() });
        }
        if !frame.is_empty() {
            self.frames.push_back(frame);
        }
        Ok(())
    }

    /// Whether everything has been read.
    pub(super) fn is_empty(&self) -> bool {
        self.frames.is_empty() && self.batches.iter().all(|batch| batch.rest.is_empty())
    }

    /// The next item that has a meaning; `begin` says whether another frame may be begun.
    pub(super) fn next(&mut self, begin: bool) -> Result<Option<Item>, MuxError> {
        loop {
            let raw = match self.next_in_batch()? {
                Some(raw) => raw,
                None if begin => match self.next_frame()? {
                    Some(raw) => raw,
                    None => return Ok(None),
                },
                None => return Ok(None),
            };
            if let Some(item) = self.classify(raw)? {
                return Ok(Some(item));
            }
        }
    }

    fn next_in_batch(&mut self) -> Result<Option<Raw>, MuxError> {
        while let Some(batch) = self.batches.last_mut() {
            if batch.rest.is_empty() {
                self.batches.pop();
                continue;
            }
            let len = take_uint(&mut batch.rest)?;
            if len == 0 {
                batch.channel = take_uint(&mut batch.rest)?;
                continue;
            }
            // An item that claims more than there is gets what there is, as in the reference.
            let len = usize::try_from(len)
                .unwrap_or(usize::MAX)
                .min(batch.rest.len());
            return Ok(Some(Raw {
                channel: batch.channel,
                rest: batch.rest.split_to(len),
            }));
        }
        Ok(None)
    }

    fn next_frame(&mut self) -> Result<Option<Raw>, MuxError> {
        let Some(mut rest) = self.frames.pop_front() else {
            return Ok(None);
        };
        let channel = take_uint(&mut rest)?;
        Ok(Some(Raw { channel, rest }))
    }

    fn classify(&mut self, Raw { channel, mut rest }: Raw) -> Result<Option<Item>, MuxError> {
        let kind = take_uint(&mut rest)?;
        if channel != 0 {
            return Ok(Some(Item::Message {
                number: channel,
                kind,
                payload: rest,
            }));
        }
        if kind != BATCH {
            return Ok(Control::decode(kind, rest)?.map(Item::Control));
        }
        if self.batches.len() >= MAX_BATCH_DEPTH {
            return Err(MuxError::BatchTooDeep);
        }
        let channel = take_uint(&mut rest)?;
        self.batches.push(Batch { rest, channel });
        Ok(None)
    }
}
