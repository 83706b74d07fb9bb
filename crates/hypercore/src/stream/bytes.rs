//! The bytes of a log in order, as a stream of pieces.

use std::fmt;
use std::future::IntoFuture;
use std::ops::RangeBounds;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_core::Stream;
use hc_merkle::BlockIndex;
use thiserror::Error;

use super::prefetch::Prefetch;
use crate::error::GetError;
use crate::hypercore::Hypercore;
use crate::limits::PREFETCH_BLOCKS;
use crate::read::{Get, Position, Reader, Seek, SeekError, Update, Wait, bounds};
use crate::rt::BoxFuture;
use crate::snapshot::Snapshot;

/// Why a stream of bytes broke off.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ByteStreamError {
    /// Its first byte was not found.
    #[error(transparent)]
    Seek(#[from] SeekError),
    /// A block of it was not read.
    #[error(transparent)]
    Get(#[from] GetError),
}

/// Bytes in order: a stream of pieces, one for each block, that ends after the last, or after the first
/// error. See [`Hypercore::byte_stream`].
#[must_use = "streams do nothing unless polled"]
pub struct ByteStream {
    reader: Reader,
    start: u64,
    end: Option<u64>,
    wait: Option<Wait>,
    prefetch: Prefetch,
    state: State,
}

enum State {
    New,
    Opening(BoxFuture<Result<Place, ByteStreamError>>),
    At(Place),
    Waiting(Place, BoxFuture<Result<Bytes, GetError>>),
    Done,
}

/// Where it reads on.
#[derive(Clone)]
struct Place {
    reader: Reader,
    index: u64,
    /// Bytes of the block that are not wanted.
    skip: u64,
    /// Bytes that are.
    left: u64,
}

impl ByteStream {
    fn new(reader: Reader, range: &impl RangeBounds<u64>) -> Self {
        let range = bounds(range);
        Self {
            reader,
            start: range.start,
            end: range.end,
            wait: None,
            prefetch: Prefetch::of(PREFETCH_BLOCKS),
            state: State::New,
        }
    }

    /// How many blocks are fetched ahead of the one that is read: 32 by default.
    pub fn prefetch(mut self, blocks: u64) -> Self {
        self.prefetch = Prefetch::of(blocks);
        self
    }

    /// How long to wait for each block that is not stored here, instead of what the handle does by
    /// default.
    pub fn wait(mut self, wait: Wait) -> Self {
        self.wait = Some(wait);
        self
    }

    /// Waits for the next piece; `None` at the end.
    ///
    /// # Errors
    /// [`ByteStreamError`].
    pub async fn next(&mut self) -> Option<Result<Bytes, ByteStreamError>> {
        std::future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    fn open(&self) -> BoxFuture<Result<Place, ByteStreamError>> {
        let (mut reader, wait) = (self.reader.clone(), self.wait);
        let (start, end) = (self.start, self.end);
        Box::pin(async move {
            if end.is_none() && reader.frozen.is_none() {
                // What peers could not say shows at the next block.
                let _ = Update::of(&reader.handle).await;
            }
            let frozen = reader.hold().map_err(GetError::from)?;
            let bytes = reader.plain_length(&frozen.head);
            let end = end.unwrap_or(bytes);
            if end <= bytes {
                reader.frozen = Some(Arc::clone(&frozen));
            }
            let left = end.saturating_sub(start);
            let position = if left == 0 || start == 0 {
                Position {
                    index: BlockIndex::new(0),
                    offset: 0,
                }
            } else {
                let seek = Seek::new(reader.clone(), start);
                match wait {
                    Some(wait) => seek.wait(wait).await?,
                    None => seek.await?,
                }
            };
            Ok(Place {
                reader,
                index: position.index.get(),
                skip: position.offset,
                left,
            })
        })
    }

    /// The block at a place, or who waits for it.
    fn read(&mut self, place: &Place) -> Result<Bytes, BoxFuture<Result<Bytes, GetError>>> {
        let reader = &place.reader;
        let index = BlockIndex::new(place.index);
        let next = place.index.saturating_add(1);
        self.prefetch.ahead(reader, next, u64::MAX);
        if let Some(block) = reader.glance(index) {
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

impl Place {
    /// What of a block is wanted, and where to read on.
    fn cut(&mut self, block: &Bytes) -> Bytes {
        let from = usize::try_from(self.skip).unwrap_or(usize::MAX);
        let piece = block.slice(from.min(block.len())..);
        let most = usize::try_from(self.left).unwrap_or(usize::MAX);
        let piece = piece.slice(..most.min(piece.len()));
        self.left = self.left.saturating_sub(piece.len() as u64);
        self.index = self.index.saturating_add(1);
        self.skip = 0;
        piece
    }
}

impl Stream for ByteStream {
    type Item = Result<Bytes, ByteStreamError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            let (place, block) = match std::mem::replace(&mut this.state, State::Done) {
                State::New => {
                    this.state = State::Opening(this.open());
                    continue;
                }
                State::Opening(mut opening) => match opening.as_mut().poll(cx) {
                    Poll::Pending => {
                        this.state = State::Opening(opening);
                        return Poll::Pending;
                    }
                    Poll::Ready(Ok(place)) => {
                        this.state = State::At(place);
                        continue;
                    }
                    Poll::Ready(Err(error)) => return Poll::Ready(Some(Err(error))),
                },
                State::At(place) if place.left == 0 => return Poll::Ready(None),
                State::At(place) => match this.read(&place) {
                    Ok(block) => (place, Ok(block)),
                    Err(get) => {
                        this.state = State::Waiting(place, get);
                        continue;
                    }
                },
                State::Waiting(place, mut get) => match get.as_mut().poll(cx) {
                    Poll::Pending => {
                        this.state = State::Waiting(place, get);
                        return Poll::Pending;
                    }
                    Poll::Ready(block) => (place, block),
                },
                State::Done => return Poll::Ready(None),
            };
            let mut place = place;
            return Poll::Ready(Some(match block {
                Ok(block) => {
                    let piece = place.cut(&block);
                    this.state = State::At(place);
                    Ok(piece)
                }
                Err(error) => Err(error.into()),
            }));
        }
    }
}

impl fmt::Debug for ByteStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ByteStream")
            .field("start", &self.start)
            .field("end", &self.end)
            .finish_non_exhaustive()
    }
}

impl Hypercore {
    /// The bytes of a range in order, as a stream of pieces: one for each block that has any of them, and
    /// an empty one for each empty block in between. Bytes are those of the plain text where the handle
    /// can decrypt. Without an end, peers are first asked for a longer log, and it ends where that does.
    /// While a block is read, the next 32 are fetched.
    ///
    /// ```
    /// # futures_lite::future::block_on(async {
    /// # use hypercore::{Hypercore, Storage};
    /// use futures_lite::StreamExt;
    ///
    /// # let log = Hypercore::builder(Storage::memory()).open().await?;
    /// log.append_batch(["hello", "wonderful", "world"]).await?;
    /// let pieces: Vec<_> = log.byte_stream(3..16).try_collect().await?;
    /// assert_eq!(pieces, ["lo", "wonderful", "wo"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn byte_stream(&self, range: impl RangeBounds<u64>) -> ByteStream {
        ByteStream::new(self.reader(), &range)
    }
}

impl Snapshot {
    /// As [`Hypercore::byte_stream`], of the bytes that the log had then.
    pub fn byte_stream(&self, range: impl RangeBounds<u64>) -> ByteStream {
        ByteStream::new(self.reader(), &range)
    }
}
