//! The blocks of a log in order, as a stream.

use std::fmt;
use std::future::IntoFuture;
use std::ops::RangeBounds;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_core::Stream;
use hc_merkle::BlockIndex;

use super::ahead::Ahead;
use super::prefetch::Prefetch;
use crate::error::{GetError, UpdateError};
use crate::hypercore::Hypercore;
use crate::read::{Get, Reader, Update, Wait, bounds};
use crate::rt::BoxFuture;
use crate::snapshot::Snapshot;

/// Blocks in order: a stream that ends after the last, or after the first error. See
/// [`Hypercore::read_stream`].
#[must_use = "streams do nothing unless polled"]
pub struct ReadStream {
    reader: Reader,
    start: u64,
    end: Option<u64>,
    mode: Mode,
    backwards: bool,
    wait: Option<Wait>,
    prefetch: Prefetch,
    ahead: Ahead,
    state: State,
}

/// What a stream without an end takes for one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// The length of the log when it is first polled.
    Snapshot,
    /// The length of the log when it gets there.
    Growing,
    /// None.
    Live,
}

enum State {
    New,
    /// Peers are asked for a longer log.
    Updating(BoxFuture<Result<bool, UpdateError>>),
    Between,
    Waiting(BoxFuture<Result<Bytes, GetError>>),
    Done,
}

impl ReadStream {
    fn new(reader: Reader, range: &impl RangeBounds<u64>) -> Self {
        let range = bounds(range);
        Self {
            reader,
            start: range.start,
            end: range.end,
            mode: Mode::Snapshot,
            backwards: false,
            wait: None,
            prefetch: Prefetch::default(),
            ahead: Ahead::default(),
            state: State::New,
        }
    }

    /// Goes on with what is appended, for ever. Has no effect where the range has an end, on a snapshot,
    /// and backwards.
    pub fn live(mut self) -> Self {
        self.mode = Mode::Live;
        self
    }

    /// Ends at the end that the log has when it is reached, instead of the one that it had when the stream
    /// was first polled. Has no effect where the range has an end, on a snapshot, and backwards.
    pub fn growing(mut self) -> Self {
        self.mode = Mode::Growing;
        self
    }

    /// From the last block to the first.
    pub fn backwards(mut self) -> Self {
        self.backwards = true;
        self
    }

    /// How long to wait for each block that is not stored here, instead of what the handle does by
    /// default. One that does not come is an error, not the end.
    pub fn wait(mut self, wait: Wait) -> Self {
        self.wait = Some(wait);
        self
    }

    /// Has so many blocks fetched ahead of the one that is read; none by default. Not backwards.
    pub fn prefetch(mut self, blocks: u64) -> Self {
        self.prefetch = Prefetch::of(blocks);
        self
    }

    /// Waits for the next block; `None` at the end.
    ///
    /// # Errors
    /// As [`Hypercore::get`].
    pub async fn next(&mut self) -> Option<Result<Bytes, GetError>> {
        std::future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    fn open(&mut self) -> Result<(), GetError> {
        let length = self.reader.length();
        let has_end = self.reader.frozen.is_some() || self.backwards;
        if has_end || self.mode == Mode::Snapshot {
            self.end.get_or_insert(length);
        }
        // Nothing that is appended later is read: then it is read as it is now, whatever becomes of it.
        let is_here = self.end.is_some_and(|end| end <= length);
        if is_here && self.start < length && self.reader.frozen.is_none() {
            self.reader.frozen = Some(Arc::new(self.reader.handle.core.freeze()?));
        }
        Ok(())
    }

    /// The next block, and one past the last that is read after it.
    fn step(&mut self) -> Option<(u64, u64)> {
        let end = match (self.end, self.mode) {
            (Some(end), _) => end,
            (None, Mode::Growing) => self.reader.length(),
            (None, _) => u64::MAX,
        };
        if self.start >= end {
            return None;
        }
        if self.backwards {
            let last = end.saturating_sub(1);
            self.end = Some(last);
            return Some((last, last));
        }
        let next = self.start;
        self.start = next.saturating_add(1);
        Some((next, end))
    }

    /// The block, or who waits for it.
    fn read(&mut self, index: u64, end: u64) -> Result<Bytes, BoxFuture<Result<Bytes, GetError>>> {
        let reader = &self.reader;
        let index = BlockIndex::new(index);
        if self.prefetch.blocks > 0 && !self.backwards {
            self.prefetch.ahead(reader, self.start, end);
        }
        let glanced = if self.backwards {
            reader.glance(index)
        } else {
            self.ahead.glance(reader, index.get(), end)
        };
        if let Some(block) = glanced {
            return Ok(block);
        }
        let get = Get::new(reader.clone(), index);
        let get = match self.wait {
            Some(wait) => get.wait(wait),
            None => get,
        };
        Err(get.into_future())
    }
}

impl Stream for ReadStream {
    type Item = Result<Bytes, GetError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            this.state = match &mut this.state {
                State::New if this.end.is_none() && this.reader.frozen.is_none() => {
                    State::Updating(Update::of(&this.reader.handle).into_future())
                }
                State::New => match this.open() {
                    Ok(()) => State::Between,
                    Err(error) => {
                        this.state = State::Done;
                        return Poll::Ready(Some(Err(error)));
                    }
                },
                State::Updating(update) => {
                    // What peers could not say shows at the next block.
                    let _ = ready!(update.as_mut().poll(cx));
                    match this.open() {
                        Ok(()) => State::Between,
                        Err(error) => {
                            this.state = State::Done;
                            return Poll::Ready(Some(Err(error)));
                        }
                    }
                }
                State::Between => match this.step() {
                    None => State::Done,
                    Some((index, end)) => match this.read(index, end) {
                        Ok(block) => return Poll::Ready(Some(Ok(block))),
                        Err(get) => State::Waiting(get),
                    },
                },
                State::Waiting(get) => {
                    let block = ready!(get.as_mut().poll(cx));
                    this.state = if block.is_ok() {
                        State::Between
                    } else {
                        State::Done
                    };
                    return Poll::Ready(Some(block));
                }
                State::Done => return Poll::Ready(None),
            };
        }
    }
}

impl fmt::Debug for ReadStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadStream")
            .field("start", &self.start)
            .field("end", &self.end)
            .field("mode", &self.mode)
            .finish_non_exhaustive()
    }
}

impl Hypercore {
    /// The blocks of a range in order, as a stream. Without an end, peers are first asked for a longer
    /// log, and it ends where the log then does; what was there is read as it was, whatever becomes of it
    /// meanwhile. An end past that of the log waits for blocks that do not exist yet.
    ///
    /// ```
    /// # futures_lite::future::block_on(async {
    /// # use hypercore::{Hypercore, Storage};
    /// use futures_lite::StreamExt;
    ///
    /// # let log = Hypercore::builder(Storage::memory()).open().await?;
    /// log.append_batch(["a", "b", "c", "d"]).await?;
    /// let blocks: Vec<_> = log.read_stream(1..3).try_collect().await?;
    /// assert_eq!(blocks, ["b", "c"]);
    ///
    /// let mut all = log.read_stream(..).backwards();
    /// assert_eq!(all.next().await.unwrap()?, "d");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn read_stream(&self, range: impl RangeBounds<u64>) -> ReadStream {
        ReadStream::new(self.reader(), &range)
    }
}

impl Snapshot {
    /// As [`Hypercore::read_stream`], of the blocks that the log had then.
    pub fn read_stream(&self, range: impl RangeBounds<u64>) -> ReadStream {
        ReadStream::new(self.reader(), &range)
    }
}
