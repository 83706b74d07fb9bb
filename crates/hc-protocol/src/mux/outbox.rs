//! Messages out, encoded straight into the frames that carry them.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use hc_encoding::{Encode, Writer, uint_len};

use super::SendError;
use super::limits::{MAX_BATCH, MAX_FRAME, MAX_MESSAGE};

/// Bytes that a frame leaves free around its content, so that whoever encrypts it need not copy it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Room {
    /// Bytes in front, zero until they are filled.
    pub before: usize,
    /// Spare capacity behind.
    pub after: usize,
}

/// Frames that wait to be sent, and the batch that is being gathered.
#[derive(Debug)]
pub(super) struct Outbox {
    room: Room,
    frames: VecDeque<Vec<u8>>,
    queued: usize,
    corked: u32,
    batch: Option<Batch>,
}

#[derive(Debug)]
struct Batch {
    buffer: Vec<u8>,
    channel: u64,
}

impl Outbox {
    pub(super) fn new(room: Room) -> Self {
        Self {
            room,
            frames: VecDeque::new(),
            queued: 0,
            corked: 0,
            batch: None,
        }
    }

    pub(super) fn cork(&mut self) {
        self.corked = self.corked.saturating_add(1);
    }

    pub(super) fn uncork(&mut self) {
        self.corked = self.corked.saturating_sub(1);
        if self.corked == 0 {
            self.flush();
        }
    }

    pub(super) fn pop(&mut self) -> Option<Vec<u8>> {
        let frame = self.frames.pop_front()?;
        self.queued = self.queued.saturating_sub(frame.len());
        Some(frame)
    }

    /// Bytes in frames that wait, and in the batch that is being gathered.
    pub(super) fn queued(&self) -> usize {
        self.queued + self.batch.as_ref().map_or(0, |batch| batch.buffer.len())
    }

    /// Writes one message: a frame of its own, or an item of the batch while corked.
    pub(super) fn push<M: Encode + ?Sized>(
        &mut self,
        channel: u64,
        kind: u64,
        message: &M,
    ) -> Result<(), SendError> {
        let len = uint_len(kind) + message.encoded_len();
        if len > MAX_MESSAGE {
            return Err(SendError::TooLong { len });
        }
        if self.corked > 0 {
            self.push_item(channel, kind, len, message);
        } else {
            let mut frame = self.allocate(uint_len(channel) + len);
            let mut writer = Writer::new(frame.get_mut(self.room.before..).unwrap_or_default());
            writer.uint(channel);
            writer.uint(kind);
            message.encode(&mut writer);
            debug_assert!(
                writer.is_full(),
                "encoded_len is longer than what encode wrote"
            );
            self.enqueue(frame);
        }
        Ok(())
    }

    fn push_item<M: Encode + ?Sized>(&mut self, channel: u64, kind: u64, len: usize, message: &M) {
        let item = uint_len(len as u64) + len;
        let gathered = self
            .batch
            .as_ref()
            .map_or(0, |batch| batch.buffer.len() - self.room.before);
        if gathered >= MAX_BATCH || gathered + 1 + uint_len(channel) + item > MAX_FRAME {
            self.flush();
        }
        let (mut batch, switch) = match self.batch.take() {
            Some(batch) => {
                let switch = batch.channel != channel;
                (batch, switch)
            }
            // Channel 0, type 0, and then the channel of what comes: one zero more than a switch.
            None => (
                Batch {
                    buffer: self.allocate(1),
                    channel,
                },
                true,
            ),
        };
        let start = batch.buffer.len();
        let head = if switch { 1 + uint_len(channel) } else { 0 };
        batch.buffer.reserve(head + item + self.room.after);
        batch.buffer.resize(start + head + item, 0);
        let mut writer = Writer::new(batch.buffer.get_mut(start..).unwrap_or_default());
        if switch {
            writer.u8(0);
            writer.uint(channel);
        }
        writer.uint(len as u64);
        writer.uint(kind);
        message.encode(&mut writer);
        debug_assert!(
            writer.is_full(),
            "encoded_len is longer than what encode wrote"
        );
        self.batch = Some(Batch { channel, ..batch });
    }

    fn flush(&mut self) {
        if let Some(batch) = self.batch.take() {
            self.enqueue(batch.buffer);
        }
    }

    fn allocate(&self, len: usize) -> Vec<u8> {
        let filled = self.room.before + len;
        let mut frame = Vec::with_capacity(filled + self.room.after);
        frame.resize(filled, 0);
        frame
    }

    fn enqueue(&mut self, frame: Vec<u8>) {
        self.queued = self.queued.saturating_add(frame.len());
        self.frames.push_back(frame);
    }
}
